// A segment of the lookup map in binary: ticks with their clocks, some whole (checkpoints), the others
// as deltas against the one before. Made so that a record is added by appending bytes. Where segments
// are kept, and which ticks are in them, is not decided here.

import { ByteReader, ByteWriter, MalformedBytes } from "./bytes.ts";
import { applyDelta, encodeDelta } from "./delta.ts";
import type { Clock, Tick } from "./tick.ts";
import { decodeClock, encodeClock } from "./whole.ts";

/** How many records may follow a checkpoint before the next: the longest chain to decode. */
export const CHECKPOINT_EVERY = 16;

const CHECKPOINT = 1;
const DELTA = 2;

/** The record of `tick` with its whole clock. */
export function encodeCheckpoint(tick: Tick, clock: Clock): Uint8Array {
  return encodeRecord(CHECKPOINT, tick, encodeClock(clock));
}

/** The record of `tick` as what changed since the record before it. */
export function encodeChange(tick: Tick, before: Clock, clock: Clock): Uint8Array {
  return encodeRecord(DELTA, tick, encodeDelta(before, clock));
}

/** Layout: kind byte, tick varint, payload length varint, payload (with its own checksum). */
function encodeRecord(kind: number, tick: Tick, payload: Uint8Array): Uint8Array {
  const writer = new ByteWriter(payload.length + 16);
  writer.byte(kind);
  writer.varint(tick);
  writer.varint(payload.length);
  writer.raw(payload);
  return writer.bytes();
}

interface Record {
  readonly tick: Tick;
  readonly checkpoint: boolean;
  readonly payload: Uint8Array;
}

/** A segment that was read: its ticks, and their clocks on demand. */
export class Segment {
  readonly #vbuckets: number;
  readonly #records: Record[] = [];
  /** What ended the reading early: the records before it are whole. Undefined when all was read. */
  readonly damage: string | undefined;

  /** Reads the frame of `bytes`: never throws; what is damaged is left out. */
  constructor(bytes: Uint8Array, vbuckets: number) {
    this.#vbuckets = vbuckets;
    const reader = new ByteReader(bytes);
    let damage: string | undefined;
    try {
      while (reader.left > 0) this.#records.push(readRecord(reader));
    } catch (error) {
      if (!(error instanceof MalformedBytes)) throw error;
      damage = error.message;
    }
    this.damage = damage;
  }

  /** The number of records. */
  get size(): number {
    return this.#records.length;
  }

  /** The tick of record `index`. */
  tickAt(index: number): Tick {
    return this.#records[index]!.tick;
  }

  /** The last record whose tick is at most `tick`; -1 when there is none. */
  indexOf(tick: Tick): number {
    let low = 0;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#records[middle]!.tick <= tick) low = middle + 1;
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
    while (start > 0 && !this.#records[start]!.checkpoint) start--;
    const first = this.#records[start]!;
    if (!first.checkpoint) throw new MalformedBytes("its checkpoint is missing");
    const clock = decodeClock(first.payload);
    if (clock.length !== this.#vbuckets) throw new MalformedBytes("it is of another bucket");
    for (let at = start + 1; at <= index; at++) applyDelta(clock, this.#records[at]!.payload);
    return clock;
  }
}

function readRecord(reader: ByteReader): Record {
  const kind = reader.byte();
  if (kind !== CHECKPOINT && kind !== DELTA) throw new MalformedBytes(`record kind ${kind}`);
  const tick = reader.varint() as Tick;
  const payload = reader.raw(reader.varint());
  return { tick, checkpoint: kind === CHECKPOINT, payload };
}
