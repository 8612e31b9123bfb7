// A segment of the lookup map in binary: the message Segment of proto/clock.proto. Its records are ticks
// with their clocks, some whole (checkpoints), the others as deltas against the one before; a record is
// added by appending its bytes. Where segments are kept, and which ticks are in them, is not decided here.

import { crc32 } from "node:zlib";
import protobuf from "protobufjs/minimal.js";
import { assert } from "../base/assert.ts";
import { ByteWriter, MalformedBytes } from "./bytes.ts";
import { tidegate } from "./clock.generated.js";
import { addPayload, encodePayload } from "./codec/payload.ts";
import { applyDelta, encodeDelta } from "./delta.ts";
import { CHECK_BYTES, mismatch, openEnvelope, readCheck, writeCheck } from "./envelope.ts";
import type { Clock, Tick } from "./tick.ts";

const { Segment: SegmentMessage, TickRecord } = tidegate.clock;

/** The tag of `records` in the message Segment. */
const RECORDS_TAG = 10;

/**
 * How much may be decoded after a checkpoint before the next one, in units of one value for each
 * vbucket. It bounds the time that any record takes: about 10 microseconds a unit for 1,024 vbuckets.
 */
const MAX_CHAIN_COST = 6;

/** How many records follow a checkpoint, at most, however cheap they are. */
const MAX_CHAIN = 32;

/** The longest distance of two ticks that a change carries, in milliseconds: 49 days. */
const MAX_GAP = 0xffffffff;

/** What one change costs in a sparse delta, in values of the other codecs. */
const SPARSE_COST = 4;

/** The record of `tick` with its whole clock. */
export function encodeCheckpoint(tick: Tick, clock: Clock): Uint8Array {
  const payload = encodePayload(clock, "fast");
  const checkpoint = new Uint8Array(payload.length + CHECK_BYTES);
  checkpoint.set(payload);
  writeCheck(checkpoint, payload.length, CHECK_BYTES, crc32(payload, seedOf(tick)));
  return SegmentMessage.encode({ records: [{ tick, checkpoint }] }).finish();
}

/** The record of `tick` as what changed since the record before it. */
export function encodeChange(
  before: { tick: Tick; clock: Clock },
  tick: Tick,
  clock: Clock,
): Uint8Array {
  assert(tick > before.tick, "ticks grow within a segment");
  const change = encodeDelta(before.clock, clock, seedOf(tick));
  return SegmentMessage.encode({ records: [{ gap: tick - before.tick, change }] }).finish();
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
  /** Records and their cost since the last checkpoint, this one included. */
  readonly chain: number;
  readonly cost: number;
}

/** Puts records one after the other, choosing between checkpoint and change. */
export class SegmentWriter {
  readonly #bytes: ByteWriter;
  #last: NewRecord | undefined;
  #first: Tick | undefined;

  /** @param capacity bytes to make room for at first */
  constructor(capacity: number) {
    this.#bytes = new ByteWriter(capacity);
  }

  /** The tick of the first record. */
  get first(): Tick | undefined {
    return this.#first;
  }

  /** The bytes so far. */
  get length(): number {
    return this.#bytes.length;
  }

  /** The segment so far, as a view: adding to it leaves these bytes as they are. */
  view(): Uint8Array {
    return this.#bytes.view();
  }

  /** The record that would add `clock` here. The clock must not be changed any more. */
  encode(tick: Tick, clock: Clock): NewRecord {
    const last = this.#last;
    if (last !== undefined && last.chain < MAX_CHAIN && tick - last.tick <= MAX_GAP) {
      const cost = last.cost + costOf(last.clock, clock);
      if (cost <= MAX_CHAIN_COST) {
        return { tick, clock, bytes: encodeChange(last, tick, clock), chain: last.chain + 1, cost };
      }
    }
    return { tick, clock, bytes: encodeCheckpoint(tick, clock), chain: 0, cost: 0 };
  }

  /** Adds what {@link encode} has made. */
  add(record: NewRecord): void {
    this.#first ??= record.tick;
    this.#last = record;
    this.#bytes.raw(record.bytes);
  }
}

/** What it costs to decode the change, in units of one value for each vbucket. */
function costOf(before: Clock, clock: Clock): number {
  let changed = 0;
  for (let vb = 0; vb < clock.length; vb++) changed += before[vb] === clock[vb] ? 0 : 1;
  return Math.min(1, (SPARSE_COST * changed) / clock.length);
}

/** A segment that was read: its ticks, and their clocks on demand. */
export class Segment {
  readonly #vbuckets: number;
  readonly #ticks: Tick[] = [];
  readonly #payloads: Uint8Array[] = [];
  readonly #checkpoints: boolean[] = [];
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
    const whole = record.checkpoint != null;
    const tick = whole ? record.tick : before + record.gap;
    const payload = record.checkpoint ?? record.change;
    if (payload == null) throw new MalformedBytes("a record without a clock");
    if (!whole && this.#ticks.length === 0) throw new MalformedBytes("its checkpoint is missing");
    if (!(tick > before) || !Number.isSafeInteger(tick)) {
      throw new MalformedBytes("its ticks do not grow");
    }
    this.#ticks.push(tick as Tick);
    this.#payloads.push(payload);
    this.#checkpoints.push(whole);
  }

  /** The number of records. */
  get size(): number {
    return this.#ticks.length;
  }

  /** The tick of record `index`. */
  tickAt(index: number): Tick {
    return this.#ticks[index]!;
  }

  /** Whether record `index` has its clock whole. */
  isCheckpoint(index: number): boolean {
    return this.#checkpoints[index]!;
  }

  /** The first record after `index` that has its clock whole; {@link size} when there is none. */
  nextCheckpoint(index: number): number {
    let next = index + 1;
    while (next < this.size && !this.#checkpoints[next]) next++;
    return next;
  }

  /** A clock with nothing in it, for {@link advance}. */
  emptyClock(): Clock {
    return new Float64Array(this.#vbuckets);
  }

  /** The bytes that the clock of record `index` takes. */
  bytesAt(index: number): number {
    return this.#payloads[index]!.length;
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
    while (!this.#checkpoints[start]) start--;
    const clock = new Float64Array(this.#vbuckets);
    this.#checkpoint(start, clock, start === index);
    // The check of the last one covers the clock, and so everything that led to it.
    for (let at = start + 1; at <= index; at++) {
      applyDelta(clock, this.#payloads[at]!, seedOf(this.#ticks[at]!), at === index);
    }
    return clock;
  }

  /** Turns the clock of record `index - 1` into that of record `index`. */
  advance(clock: Clock, index: number): void {
    if (this.#checkpoints[index]) {
      clock.fill(0);
      this.#checkpoint(index, clock, true);
    } else {
      applyDelta(clock, this.#payloads[index]!, seedOf(this.#ticks[index]!), true);
    }
  }

  #checkpoint(index: number, clock: Clock, verify: boolean): void {
    const bytes = this.#payloads[index]!;
    const length = bytes.length - CHECK_BYTES;
    if (length < 1) throw new MalformedBytes("they end too early");
    const payload = bytes.subarray(0, length);
    const expected = crc32(payload, seedOf(this.#ticks[index]!)) >>> 0;
    if (verify && readCheck(bytes, length, CHECK_BYTES) !== expected) throw mismatch();
    addPayload(payload, clock);
  }
}
