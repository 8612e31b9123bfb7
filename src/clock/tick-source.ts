// Where ticks come from: the machine's clock, held above every tick that may have been issued
// before.
// A ceiling in `metadata` is stored ahead of the ticks, so that they grow also when the index was
// lost, when the process was killed, and when the machine's clock went back.

import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { KeyValueCollection } from "../bucket/bucket.ts";
import type { Time } from "../runtime/time.ts";
import { ByteReader, ByteWriter, MalformedBytes } from "./bytes.ts";
import { MAX_TICK, TICK_ZERO } from "./sequence.ts";
import type { Tick } from "./tick.ts";

/** How far ahead of the ticks the ceiling is stored: what a tick can be off after a crash. */
export const CEILING_LEAD_MS = 60_000;

/** A tick that finds less than this left of the lead has the ceiling moved in the background. */
const CEILING_LOW_MS = 30_000;

/** How long to wait after the ceiling could not be moved in the background. */
const RETRY_AFTER_MS = 1_000;

/** The ceiling's key in `metadata`. */
export const CEILING_KEY = "tick:ceiling";

/** How often storing the ceiling is tried again when another node stored it in between. */
const MAX_STORE_ATTEMPTS = 8;

const VERSION = 1;

/** Issues ticks. One for each bucket and node. */
export interface TickSource {
  /**
   * The next tick: now, or one more than the last. Waits only when the ceiling is too low: after a
   * long idle time, or when the bucket is slow.
   *
   * @throws TidegateError what the bucket throws when the ceiling cannot be stored
   */
  next(): Promise<Tick>;
  /** The last tick issued, or that may have been issued before the start. */
  readonly last: Tick;
  /** Stores the last tick exactly, so that the next start needs no lead. */
  close(): Promise<void>;
}

/** What {@link openTickSource} needs. */
export interface TickSourceOptions {
  readonly metadata: KeyValueCollection;
  readonly time: Time;
  readonly log: Log;
  /** Ticks are above this one too: the newest that the lookup map knows. */
  readonly above?: Tick;
}

/**
 * Opens the source of ticks, and stores a ceiling with a full lead.
 *
 * @throws TidegateError `corrupt` when the stored ceiling fails its checksum
 */
export async function openTickSource(options: TickSourceOptions): Promise<TickSource> {
  const source = new CeilingTickSource(options);
  await source.open();
  return source;
}

/**
 * The ceiling as it is stored; tick 0 when there is none.
 *
 * @throws TidegateError `corrupt`, `newer_version`
 */
export async function readCeiling(metadata: KeyValueCollection): Promise<Tick> {
  const found = await metadata.get(CEILING_KEY);
  return found === undefined ? TICK_ZERO : decodeCeiling(found.value);
}

class CeilingTickSource implements TickSource {
  readonly #metadata: KeyValueCollection;
  readonly #time: Time;
  readonly #log: Log;
  #last: Tick;
  /** Stored durably: no tick above it may be issued. */
  #ceiling: Tick = TICK_ZERO;
  #storing: Promise<void> | undefined;
  /** After a failure in the background, the time (monotonic) before which it is not tried again. */
  #notBeforeMs = 0;
  #closed = false;

  constructor({ metadata, time, log, above }: TickSourceOptions) {
    this.#metadata = metadata;
    this.#time = time;
    this.#log = log;
    this.#last = above ?? TICK_ZERO;
  }

  get last(): Tick {
    return this.#last;
  }

  async open(): Promise<void> {
    await this.#raise();
  }

  async next(): Promise<Tick> {
    assert(!this.#closed, "no tick is asked for after close");
    for (;;) {
      const tick = Math.max(this.#time.nowMs(), this.#last + 1) as Tick;
      assert(Number.isSafeInteger(tick) && tick <= MAX_TICK, "ticks are integers below 2^53");
      if (tick <= this.#ceiling) {
        this.#last = tick;
        if (this.#ceiling - tick < CEILING_LOW_MS) this.#raiseAhead();
        return tick;
      }
      await this.#raise();
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#storing?.catch(() => {}); // it was logged, or thrown to who waited
    await this.#store((stored) => (stored > this.#ceiling ? stored : this.#last));
  }

  /** Moves the ceiling a full lead ahead of now; joins the move under way if there is one. */
  #raise(): Promise<void> {
    this.#storing ??= this.#store((stored) => {
      // A ceiling that is not ours: ticks up to it may have been issued, by whoever stored it.
      if (stored > this.#ceiling && stored > this.#last) this.#last = stored;
      return (Math.max(this.#time.nowMs(), this.#last) + CEILING_LEAD_MS) as Tick;
    }).finally(() => {
      this.#storing = undefined;
    });
    return this.#storing;
  }

  /** Replaces the stored ceiling by what `choose` makes of it, by compare-and-swap. */
  async #store(choose: (stored: Tick) => Tick): Promise<void> {
    for (let attempt = 0; attempt < MAX_STORE_ATTEMPTS; attempt++) {
      const found = await this.#metadata.get(CEILING_KEY);
      const ceiling = choose(found === undefined ? TICK_ZERO : decodeCeiling(found.value));
      const value = encodeCeiling(ceiling);
      const [result] = await this.#metadata.batch([
        found === undefined
          ? { op: "insert", key: CEILING_KEY, value }
          : { op: "replace", key: CEILING_KEY, value, cas: found.cas },
      ]);
      if (result?.ok) {
        this.#ceiling = ceiling;
        return;
      }
    }
    throw new TidegateError(
      "unavailable",
      `the ceiling of ticks (${CEILING_KEY} in metadata) was changed by other nodes ` +
        `${MAX_STORE_ATTEMPTS} times in a row; try again`,
    );
  }

  /** Moves the ceiling in the background, so that the ticks to come need not wait for it. */
  #raiseAhead(): void {
    if (this.#storing !== undefined || this.#time.monotonicMs() < this.#notBeforeMs) return;
    this.#raise().catch((error) => {
      // Nothing is lost yet: it is tried again, and the tick that reaches the ceiling fails if it
      // must.
      this.#notBeforeMs = this.#time.monotonicMs() + RETRY_AFTER_MS;
      this.#log.warn({ err: error, key: CEILING_KEY }, "the ceiling of ticks could not be stored");
    });
  }
}

/** Layout: version byte, tick varint, CRC-32 of both. */
function encodeCeiling(ceiling: Tick): Uint8Array {
  const writer = new ByteWriter(16);
  writer.byte(VERSION);
  writer.varint(ceiling);
  writer.uint32(crc32(writer.view()));
  return writer.bytes();
}

function decodeCeiling(bytes: Uint8Array): Tick {
  try {
    const reader = new ByteReader(bytes);
    const version = reader.byte();
    if (version > VERSION) {
      throw new TidegateError("newer_version", `${CEILING_KEY} has version ${version}`);
    }
    const tick = reader.varint();
    const sum = crc32(bytes.subarray(0, reader.at));
    if (reader.uint32() !== sum) throw new MalformedBytes("the checksum does not match");
    reader.end();
    return tick as Tick;
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    throw new TidegateError(
      "corrupt",
      `the ceiling of ticks (${CEILING_KEY} in metadata) cannot be read: ${error.message}`,
      { cause: error },
    );
  }
}
