// Deltas: a clock as what changed since one that the reader has.

import { deflateRawSync, gzipSync, zstdCompressSync } from "node:zlib";
import { encode as encodeCbor } from "cbor-x";
import { ByteWriter } from "../../src/clock/bytes.ts";
import { codecOf } from "../../src/clock/codec/payload.ts";
import { applyDelta, encodeDelta, payloadOfDelta } from "../../src/clock/delta.ts";
import type { Clock } from "../../src/clock/tick.ts";
import { prepareZstd, zstdCompressWith } from "../../src/clock/zstd.ts";
import { deltaBound } from "./bound.ts";
import { poisson, random } from "./chance.ts";
import { type Timing, time } from "./timing.ts";
import { VBUCKETS } from "./traces.ts";

/** The numbers of writes between the two clocks. */
const WRITES = [
  1, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 200, 300, 500, 700, 1000, 2000, 3000, 5000, 7000, 10_000,
];

/** The writes that the base has. */
const BASE_WRITES = 1e6;

/** Samples of each, and those timed. */
const SAMPLES = 200;
const TIMED = 16;

/** An envelope of protobuf takes a tag and a length. */
const ENVELOPE = (bytes: number) => bytes + 1 + (bytes < 128 ? 1 : 2);

/** What deltas of so many writes take. */
export interface DeltaResult {
  readonly writes: number;
  readonly bound: number;
  /** Our form, with its version and its check, on average; and in a protobuf field of its own. */
  readonly bytes: number;
  readonly enveloped: number;
  readonly chosen: Readonly<Record<string, number>>;
  readonly encode: Timing;
  readonly decode: Timing;
  /** Other formats: name -> bytes on average. */
  readonly others: Readonly<Record<string, number>>;
}

/** Measures deltas of evenly spread writes. */
export async function measureDeltas(): Promise<DeltaResult[]> {
  await prepareZstd({ dictionaries: true });
  return WRITES.map((writes) => {
    const pairs = Array.from({ length: SAMPLES }, (_, seed) => pairOf(writes, seed));
    const chosen: Record<string, number> = {};
    const others: Record<string, number> = {};
    let bytes = 0;
    let enveloped = 0;
    for (const [index, { base, clock }] of pairs.entries()) {
      const delta = encodeDelta(base, clock);
      bytes += delta.length / SAMPLES;
      enveloped += ENVELOPE(delta.length) / SAMPLES;
      const codec = codecOf(payloadOfDelta(delta));
      chosen[codec] = (chosen[codec] ?? 0) + 1;
      const target = base.slice();
      applyDelta(target, delta);
      if (!target.every((seq, vb) => seq === clock[vb])) throw new Error("a delta went wrong");
      if (index >= TIMED) continue;
      for (const [name, size] of Object.entries(otherSizes(base, clock))) {
        others[name] = (others[name] ?? 0) + size / TIMED;
      }
    }
    return {
      writes,
      bound: deltaBound(writes, VBUCKETS),
      bytes,
      enveloped,
      chosen,
      others,
      ...timings(pairs),
    };
  });
}

interface Pair {
  readonly base: Clock;
  readonly clock: Clock;
}

function pairOf(writes: number, seed: number): Pair {
  const next = random(seed * 31 + writes);
  const base = Float64Array.from({ length: VBUCKETS }, () => poisson(next, BASE_WRITES / VBUCKETS));
  const clock = base.slice();
  for (let write = 0; write < writes; write++) {
    const vb = Math.floor(next() * VBUCKETS);
    clock[vb] = clock[vb]! + 1;
  }
  return { base, clock };
}

function timings(pairs: readonly Pair[]): { encode: Timing; decode: Timing } {
  const timed = pairs.slice(0, TIMED);
  const deltas = timed.map(({ base, clock }) => encodeDelta(base, clock));
  const target = new Float64Array(VBUCKETS);
  return {
    encode: time((run) => {
      const { base, clock } = timed[run % TIMED]!;
      return encodeDelta(base, clock);
    }),
    decode: time((run) => {
      target.set(timed[run % TIMED]!.base);
      applyDelta(target, deltas[run % TIMED]!);
    }),
  };
}

/** What one would write otherwise, with no checksum: pairs of (vbucket, by how much). */
function otherSizes(base: Clock, clock: Clock): Record<string, number> {
  const changes: Record<string, number> = {};
  const writer = new ByteWriter(256);
  let before = -1;
  for (let vb = 0; vb < clock.length; vb++) {
    const by = clock[vb]! - base[vb]!;
    if (by === 0) continue;
    changes[vb] = by;
    writer.varint(vb - before - 1);
    writer.varint(by);
    before = vb;
  }
  const pairs = writer.bytes();
  const whole = new Uint8Array(clock.buffer);
  const dictionary = new Uint8Array(base.buffer);
  return {
    JSON: JSON.stringify(changes).length,
    CBOR: encodeCbor(new Map(Object.entries(changes).map(([vb, by]) => [Number(vb), by]))).length,
    "gap and varint": pairs.length,
    "gap, varint, deflate": deflateRawSync(pairs, { level: 9 }).length,
    "gap, varint, gzip": gzipSync(pairs, { level: 9 }).length,
    "gap, varint, zstd": zstdCompressSync(pairs).length,
    "zstd with the base as dictionary": zstdCompressWith(dictionary, whole, 19).length,
  };
}
