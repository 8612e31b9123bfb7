// Random and damaged bytes against every decoder: each refuses them in words, or gives what can be
// written down again. Runs 5 seconds, or what CLOCK_FUZZ_MS says; a minute where CI is set.

import { expect, test } from "bun:test";
import { isTidegateError } from "../../src/base/errors.ts";
import { MAX_SEQ } from "../../src/bucket/vbucket.ts";
import { MalformedBytes } from "../../src/clock/bytes.ts";
import { addPayload, encodePayload } from "../../src/clock/codec/payload.ts";
import { applyDelta, encodeDelta } from "../../src/clock/delta.ts";
import { seal } from "../../src/clock/envelope.ts";
import { decodePartitionClock, encodePartitionClock } from "../../src/clock/partition.ts";
import { Segment, SegmentWriter } from "../../src/clock/segment.ts";
import { formatSequence, parseSequence } from "../../src/clock/sequence.ts";
import type { Clock, Tick } from "../../src/clock/tick.ts";
import { decodeClock, encodeClock } from "../../src/clock/whole.ts";
import { random, shapes } from "./support.ts";

const LIMIT_MS = Number(process.env.CLOCK_FUZZ_MS ?? (process.env.CI ? 60_000 : 5_000));
const seed = Number(process.env.CLOCK_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const next = random(seed);

function isClock(clock: Clock): boolean {
  return clock.every((seq) => Number.isSafeInteger(seq) && seq >= 0);
}

/** The names of the decoders, and what each is given; each throws when something is wrong. */
const decoders: Readonly<Record<string, (bytes: Uint8Array) => void>> = {
  payload(bytes) {
    const clock = new Float64Array(1 + Math.floor(next() * 80));
    addPayload(bytes, clock);
    if (!isClock(clock)) throw new Error("a payload gave what is not a clock");
  },
  whole(bytes) {
    const clock = decodeClock(bytes);
    if (!isClock(clock)) throw new Error("gave what is not a clock");
    decodeClock(encodeClock(clock));
  },
  delta(bytes) {
    const clock = new Float64Array(64).fill(1000);
    applyDelta(clock, bytes);
    if (!isClock(clock)) throw new Error("a delta gave what is not a clock");
  },
  segment(bytes) {
    const segment = new Segment(bytes, 48);
    for (let index = 0; index < segment.size; index++) {
      if (!isClock(segment.clockAt(index))) throw new Error("a segment gave what is not a clock");
    }
  },
  partition(bytes) {
    const { entries } = decodePartitionClock(bytes);
    if (!entries.every(({ seq }) => Number.isSafeInteger(seq))) throw new Error("bad seq");
  },
  sequence(bytes) {
    const text = Buffer.from(bytes).toString("latin1");
    for (const one of [text, `c_${Buffer.from(bytes).toString("base64url")}`]) {
      const sequence = parseSequence(one);
      if (sequence.kind !== "clock" && formatSequence(sequence) !== one) {
        throw new Error(`${one} is not the one spelling`);
      }
    }
  },
};

/** For each decoder bytes that are right, to be damaged. */
function samples(): Record<string, Uint8Array[]> {
  const all: Record<string, Uint8Array[]> = {};
  const add = (name: string, bytes: Uint8Array) => {
    all[name] ??= [];
    all[name].push(bytes);
  };
  for (const make of Object.values(shapes)) {
    const clock = make(48, next);
    const later = clock.map((seq) => Math.min(MAX_SEQ, seq + (next() < 0.2 ? 1 : 0)));
    add("payload", encodePayload(clock, "small"));
    add("whole", encodeClock(clock));
    add("delta", encodeDelta(new Float64Array(48).fill(1000), later));
    const writer = new SegmentWriter(256);
    writer.add(writer.encode(1_700_000_000_000 as Tick, clock));
    writer.add(writer.encode(1_700_000_000_025 as Tick, later));
    add("segment", writer.view().slice());
    const branches = [{ vbuuid: "0123456789abcdef", seq: 5 }];
    const entries = [1, 2, 60].map((vb) => ({ vb, seq: Math.floor(next() * 1e6), branches }));
    add("partition", encodePartitionClock({ vbuckets: 64, entries }));
    const seq = Math.ceil(next() * 1e6);
    const interval = { kind: "interval", from: 5 as Tick, to: 9 as Tick, vb: 7, seq } as const;
    add("sequence", new TextEncoder().encode(formatSequence(interval)));
  }
  return all;
}

/** Some damage; sometimes with a check that is right again, as someone would forge it. */
function damage(bytes: Uint8Array): Uint8Array {
  const changed = bytes.slice(0, next() < 0.1 ? Math.floor(next() * bytes.length) : undefined);
  for (let count = Math.floor(next() * 4); count >= 0 && changed.length > 0; count--) {
    changed[Math.floor(next() * changed.length)] = Math.floor(next() * 256);
  }
  if (next() < 0.5 && changed.length > 4) seal(changed);
  return changed;
}

/** Whether the decoder refuses the bytes in words. */
function refuses(name: string, decode: (bytes: Uint8Array) => void, bytes: Uint8Array): boolean {
  try {
    decode(bytes);
    return false;
  } catch (error) {
    const inWords = error instanceof MalformedBytes || isTidegateError(error, "bad_sequence");
    if (inWords) return true;
    throw new Error(`${name} of ${Buffer.from(bytes).toString("hex")}`, { cause: error });
  }
}

test(
  `no decoder is led astray by what it is given (seed ${seed})`,
  () => {
    const right = samples();
    const counts: Record<string, { cases: number; refused: number }> = {};
    for (const name of Object.keys(decoders)) counts[name] = { cases: 0, refused: 0 };
    const end = performance.now() + LIMIT_MS;
    while (performance.now() < end) {
      for (const [name, decode] of Object.entries(decoders)) {
        const own = right[name]!;
        for (let round = 0; round < 50; round++) {
          const bytes =
            next() < 0.2
              ? Uint8Array.from({ length: Math.floor(next() * 100) }, () => next() * 256)
              : damage(own[Math.floor(next() * own.length)]!);
          const count = counts[name]!;
          count.cases++;
          if (refuses(name, decode, bytes)) count.refused++;
        }
      }
    }
    const cases = Object.values(counts).reduce((sum, count) => sum + count.cases, 0);
    console.log(`fuzzed ${cases} cases in ${LIMIT_MS} ms, seed ${seed}: ${JSON.stringify(counts)}`);
    for (const { cases: tried, refused } of Object.values(counts)) {
      expect(tried).toBeGreaterThan(100);
      expect(refused).toBeGreaterThan(tried / 50);
    }
  },
  LIMIT_MS + 60_000,
);
