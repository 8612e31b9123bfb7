// A segment of the lookup map in binary: the message Segment of proto/clock.proto. Its records are
// ticks with their clocks: the first whole (a checkpoint), most as what changed since the one
// before, and now and then one as what changed since the first (a leap), so that no clock takes
// long to decode. A record is added by appending its bytes. Where segments are kept, and which
// ticks are in them: not here.

import { crc32 } from "node:zlib";
import protobuf from "protobufjs/minimal.js";
import { assert } from "../base/assert.ts";
import { ByteWriter, MalformedBytes } from "./bytes.ts";
import { tidegate } from "./clock.generated.js";
import { addPayload, encodePayload } from "./codec/payload.ts";
import { applyDelta, encodeDelta } from "./delta.ts";
import { CHECK_BYTES, finish, mismatch, openEnvelope, readCheck, writeCheck } from "./envelope.ts";
import type { Clock, Tick } from "./tick.ts";

const { Segment: SegmentMessage, TickRecord } = tidegate.clock;

/** The tag of `records` in the message Segment. */
const RECORDS_TAG = 10;

/**
 * How much may be decoded after a checkpoint or a leap before the next one, in units of one value
 * for each vbucket. It bounds the time that any record takes: 10 microseconds a unit for 1,024
 * vbuckets.
 */
const MAX_CHAIN_COST = 2;

/** How many records follow a checkpoint or a leap, at most, however cheap they are. */
const MAX_CHAIN = 32;

/** A segment is not closed before it is this many times as long as its first record. */
const MIN_FIRST_RECORDS = 4;

/** The longest distance of two ticks that a change carries, in milliseconds: 49 days. */
const MAX_GAP = 0xffffffff;

/** The record of `tick` with its whole clock. */
export function encodeCheckpoint(tick: Tick, clock: Clock): Uint8Array {
  const payload = encodePayload(clock, "fast");
  const checkpoint = new Uint8Array(payload.length + CHECK_BYTES);
  checkpoint.set(payload);
  writeCheck(checkpoint, payload.length, CHECK_BYTES, crc32(payload, seedOf(tick)));
  return finish(SegmentMessage.encode({ records: [{ tick, checkpoint }] }));
}

/** A delta's record: its distance to the tick before, and what changed since `base`. */
function encodeStep(
  kind: "change" | "leap",
  base: Clock,
  before: Tick,
  tick: Tick,
  clock: Clock,
): Uint8Array {
  assert(tick > before, "ticks grow within a segment");
  const delta = encodeDelta(base, clock, seedOf(tick));
  const gap = tick - before;
  const record = kind === "change" ? { gap, change: delta } : { gap, leap: delta };
  return finish(SegmentMessage.encode({ records: [record] }));
}

const tickMemory = new Float64Array(1);
const tickBytes = new Uint8Array(tickMemory.buffer);

/** The checks of a record cover its tick too. */
function seedOf(tick: Tick): number {
  tickMemory[0] = tick;
  return crc32(tickBytes);
}

/** A record that a {@link SegmentWriter} made. */
export interface NewRecord {
  readonly tick: Tick;
  /** Not to be changed any more. */
  readonly clock: Clock;
  readonly bytes: Uint8Array;
  /** Records and their cost since the last checkpoint or leap, this one included. */
  readonly chain: number;
  readonly cost: number;
}

/** Puts records one after the other, choosing between checkpoint, leap and change. */
export class SegmentWriter {
  readonly #bytes: ByteWriter;
  #first: NewRecord | undefined;
  #last: NewRecord | undefined;

  /** @param capacity bytes to make room for at first */
  constructor(capacity: number) {
    this.#bytes = new ByteWriter(capacity);
  }

  /** The tick of the first record. */
  get first(): Tick | undefined {
    return this.#first?.tick;
  }

  /** The bytes so far. */
  get length(): number {
    return this.#bytes.length;
  }

  /** Whether it has `bytes`, and a few times those of its first record, which large clocks need. */
  isFull(bytes: number): boolean {
    const first = this.#first?.bytes.length ?? 0;
    return this.length >= Math.max(bytes, first * MIN_FIRST_RECORDS);
  }

  /** The segment so far, as a view: adding to it leaves these bytes as they are. */
  view(): Uint8Array {
    return this.#bytes.view();
  }

  /** The record that would add `clock` here. The clock must not be changed any more. */
  encode(tick: Tick, clock: Clock): NewRecord {
    const [first, last] = [this.#first, this.#last];
    if (first === undefined || last === undefined || tick - last.tick > MAX_GAP) {
      return { tick, clock, bytes: encodeCheckpoint(tick, clock), chain: 0, cost: 0 };
    }
    const chain = last.chain + 1;
    const cost = last.cost + costOf(last.clock, clock);
    if (chain <= MAX_CHAIN && cost <= MAX_CHAIN_COST) {
      const bytes = encodeStep("change", last.clock, last.tick, tick, clock);
      return { tick, clock, bytes, chain, cost };
    }
    const bytes = encodeStep("leap", first.clock, last.tick, tick, clock);
    return { tick, clock, bytes, chain: 0, cost: 0 };
  }

  /** Adds what {@link encode} has made. */
  add(record: NewRecord): void {
    this.#first ??= record;
    this.#last = record;
    this.#bytes.raw(record.bytes);
  }
}

/** What one change costs in a sparse delta, in values of the other codecs. */
const SPARSE_COST = 4;

/** What it costs to decode the change, in units of one value for each vbucket. */
function costOf(before: Clock, clock: Clock): number {
  let changed = 0;
  for (let vb = 0; vb < clock.length; vb++) changed += before[vb] === clock[vb] ? 0 : 1;
  return Math.min(1, (SPARSE_COST * changed) / clock.length);
}

/** How a record has its clock. */
type RecordKind = "checkpoint" | "change" | "leap";

/** A segment that was read: its ticks, and their clocks on demand. */
export class Segment {
  readonly #vbuckets: number;
  readonly #ticks: Tick[] = [];
  readonly #payloads: Uint8Array[] = [];
  readonly #kinds: RecordKind[] = [];
  /** What ended the reading early: the records before it are whole. Undefined when all was read. */
  readonly damage: string | undefined;

  /** Reads the envelope of `bytes`. Never throws: from the first damage on it is left out. */
  constructor(bytes: Uint8Array, vbuckets: number) {
    this.#vbuckets = vbuckets;
    let damage: string | undefined;
    const reader = protobuf.Reader.create(bytes);
    try {
      while (reader.pos < reader.len) {
        if (reader.uint32() !== RECORDS_TAG) throw new MalformedBytes("not a record");
        this.#read(reader.bytes());
      }
    } catch (error) {
      damage = error instanceof Error ? error.message : String(error);
    }
    this.damage = damage;
  }

  #read(bytes: Uint8Array): void {
    const record = openEnvelope(TickRecord, bytes);
    const before = this.#ticks.at(-1) ?? 0;
    const kind = record.clock;
    const payload = record.checkpoint ?? record.change ?? record.leap;
    if (kind === undefined || payload == null) throw new MalformedBytes("a record without a clock");
    if (kind !== "checkpoint" && before === 0)
      throw new MalformedBytes("its checkpoint is missing");
    const tick = kind === "checkpoint" ? record.tick : before + record.gap;
    if (!(tick > before) || !Number.isSafeInteger(tick)) {
      throw new MalformedBytes("its ticks do not grow");
    }
    this.#ticks.push(tick as Tick);
    this.#payloads.push(payload);
    this.#kinds.push(kind);
  }

  /** The number of records. */
  get size(): number {
    return this.#ticks.length;
  }

  /** The tick of record `index`. */
  tickAt(index: number): Tick {
    return this.#ticks[index]!;
  }

  /** How record `index` has its clock. */
  kindAt(index: number): RecordKind {
    return this.#kinds[index]!;
  }

  /** The bytes that the clock of record `index` takes. */
  bytesAt(index: number): number {
    return this.#payloads[index]!.length;
  }

  /** The bytes of all clocks together. */
  get bytes(): number {
    return this.#payloads.reduce((sum, payload) => sum + payload.length, 0);
  }

  /** The last record whose tick is at most `tick`; -1 when there is none. */
  indexOf(tick: Tick): number {
    let low = 0;
    let high = this.#ticks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#ticks[middle]! <= tick) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /**
   * The clock of record `index`, freshly made.
   *
   * @throws MalformedBytes when it, or one that it builds on, is damaged
   */
  clockAt(index: number): Clock {
    let start = index;
    while (this.#kinds[start] === "change") start--;
    const clock = new Float64Array(this.#vbuckets);
    this.#begin(clock, start, start === index);
    // The check of the last one covers the clock, and so everything that led to it.
    for (let at = start + 1; at <= index; at++) this.#apply(clock, at, at === index);
    return clock;
  }

  /** Turns the clock of record `index - 1` into that of record `index`. */
  advance(clock: Clock, index: number): void {
    if (this.#kinds[index] === "change") {
      this.#apply(clock, index, true);
    } else {
      clock.fill(0);
      this.#begin(clock, index, true);
    }
  }

  /** The first record after `index` that needs none before it but the first; {@link size}: none. */
  nextStart(index: number): number {
    let next = index + 1;
    while (this.#kinds[next] === "change") next++;
    return next;
  }

  /** A clock with nothing in it, for {@link advance}. */
  emptyClock(): Clock {
    return new Float64Array(this.#vbuckets);
  }

  /** Puts the clock of a checkpoint or a leap into an empty one. */
  #begin(clock: Clock, index: number, verify: boolean): void {
    if (this.#kinds[index] === "checkpoint") {
      this.#checkpoint(clock, index, verify);
    } else {
      this.#checkpoint(clock, 0, false);
      this.#apply(clock, index, verify);
    }
  }

  #apply(clock: Clock, index: number, verify: boolean): void {
    applyDelta(clock, this.#payloads[index]!, seedOf(this.#ticks[index]!), verify);
  }

  #checkpoint(clock: Clock, index: number, verify: boolean): void {
    const bytes = this.#payloads[index]!;
    const length = bytes.length - CHECK_BYTES;
    if (length < 1) throw new MalformedBytes("they end too early");
    const payload = bytes.subarray(0, length);
    const expected = crc32(payload, seedOf(this.#ticks[index]!)) >>> 0;
    if (verify && readCheck(bytes, length, CHECK_BYTES) !== expected) throw mismatch();
    addPayload(payload, clock, verify);
  }
}
