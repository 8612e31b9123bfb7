// The stable clock's history: which clock a tick names. Kept in the index collection as segments.
// How a client's position is made of it: position.ts.

import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { KeyValueCollection } from "../bucket/bucket.ts";
import type { LookupMap } from "../controller/ports.ts";
import type { Time } from "../runtime/time.ts";
import { type Branches, clampToBranches, noBranches } from "./branches.ts";
import { ByteWriter, MalformedBytes } from "./bytes.ts";
import { copyClock, includesClock, zeroClock } from "./clock.ts";
import { CHECKPOINT_EVERY, encodeChange, encodeCheckpoint, Segment } from "./segment.ts";
import { type SegmentRef, SegmentStore, segmentRef } from "./segment-store.ts";
import { TICK_ZERO } from "./sequence.ts";
import type { Clock, Stable, Tick } from "./tick.ts";

/** A segment that is appended to is closed at this size: small, since stores rewrite it whole. */
const OPEN_SEGMENT_BYTES = 8 * 1024;

/** Resolved clocks held in memory, in bytes. */
const MAX_CACHED_CLOCK_BYTES = 4 * 1024 * 1024;

/** What {@link openLookupMap} needs. */
export interface LookupMapOptions {
  /** The index collection. */
  readonly collection: KeyValueCollection;
  readonly vbuckets: number;
  readonly time: Time;
  readonly log: Log;
  /** The rollbacks seen; none unless given. */
  readonly branches?: Branches;
}

/** Opens the lookup map, and reads the newest tick of it. */
export async function openLookupMap(options: LookupMapOptions): Promise<LookupMap> {
  const map = new SegmentedLookupMap(options);
  await map.open();
  return map;
}

/** The segment that this node appends to, and what is in it. */
interface Tail {
  readonly ref: SegmentRef;
  readonly writer: ByteWriter;
  sinceCheckpoint: number;
}

class SegmentedLookupMap implements LookupMap {
  readonly #collection: KeyValueCollection;
  readonly #store: SegmentStore;
  readonly #vbuckets: number;
  readonly #log: Log;
  readonly #branches: Branches;
  readonly #zero: Stable;
  /** As published: not clamped. */
  #newest: Stable | undefined;
  #tail: Tail | undefined;
  #appending = false;
  /** By the tick asked for, in the order of their last use; clamped as of `#cachedVersion`. */
  readonly #cache = new Map<Tick, Stable>();
  #cachedVersion = 0;

  constructor(options: LookupMapOptions) {
    this.#collection = options.collection;
    this.#store = new SegmentStore(options.collection, options.vbuckets, options.log);
    this.#vbuckets = options.vbuckets;
    this.#log = options.log;
    this.#branches = options.branches ?? noBranches;
    this.#zero = { tick: TICK_ZERO, clock: zeroClock(options.vbuckets) };
  }

  async open(): Promise<void> {
    await this.#store.list();
    this.#newest = await this.#lookUp(Number.MAX_SAFE_INTEGER as Tick);
  }

  newest(): Stable | undefined {
    return this.#newest;
  }

  async resolve(tick: Tick): Promise<Stable> {
    const newest = this.#newest;
    if (newest === undefined || tick <= 0) return this.#zero;
    const wanted = tick > newest.tick ? newest.tick : tick;
    if (this.#cachedVersion !== this.#branches.version) {
      this.#cache.clear();
      this.#cachedVersion = this.#branches.version;
    }
    const cached = this.#cache.get(wanted);
    if (cached !== undefined) {
      this.#remember(wanted, cached);
      return cached;
    }
    const version = this.#branches.version;
    const found =
      wanted === newest.tick
        ? { tick: wanted, clock: copyClock(newest.clock) }
        : await this.#lookUp(wanted);
    if (found === undefined) return this.#zero;
    clampToBranches(found.clock, found.tick, this.#branches);
    if (version === this.#branches.version) this.#remember(wanted, found);
    return found;
  }

  async append(tick: Tick, clock: Clock): Promise<void> {
    assert(clock.length === this.#vbuckets, "a clock of this bucket is published");
    assert(tick > (this.#newest?.tick ?? 0), "ticks grow");
    assert(!this.#appending, "ticks are appended one after the other");
    this.#appending = true;
    try {
      await this.#write(tick, copyClock(clock));
    } finally {
      this.#appending = false;
    }
  }

  async floor(clock: Clock): Promise<Stable> {
    assert(clock.length === this.#vbuckets, "a clock of this bucket is looked up");
    const newest = await this.resolve(this.#newest?.tick ?? TICK_ZERO);
    if (includesClock(clock, newest.clock)) return newest;
    let low = 0;
    let high = newest.tick - 1;
    let best = this.#zero;
    while (low <= high) {
      const middle = Math.floor((low + high) / 2) as Tick;
      const found = await this.resolve(middle);
      if (includesClock(clock, found.clock)) {
        best = found;
        low = middle + 1;
      } else {
        high = found.tick - 1;
      }
    }
    return best;
  }

  async #write(tick: Tick, clock: Clock): Promise<void> {
    const before = this.#newest;
    const tail = this.#tail;
    if (tail !== undefined && before !== undefined) {
      const whole = tail.sinceCheckpoint + 1 >= CHECKPOINT_EVERY;
      const record = whole
        ? encodeCheckpoint(tick, clock)
        : encodeChange(tick, before.clock, clock);
      if (tail.writer.length + record.length <= OPEN_SEGMENT_BYTES) {
        // Should it fail, nobody knows what the segment ends with: the next tick begins a new one.
        this.#tail = undefined;
        const [result] = await this.#collection.batch([
          { op: "append", key: tail.ref.key, value: record },
        ]);
        if (result?.ok) {
          tail.writer.raw(record);
          tail.sinceCheckpoint = whole ? 0 : tail.sinceCheckpoint + 1;
          this.#stored(tail, { tick, clock });
          return;
        }
        this.#log.warn({ key: tail.ref.key }, "the open tick segment is gone; a new one is begun");
      }
    }
    await this.#begin(tick, clock);
  }

  /** Writes a new segment with a checkpoint. */
  async #begin(tick: Tick, clock: Clock): Promise<void> {
    this.#tail = undefined;
    const ref = segmentRef(0, tick);
    const writer = new ByteWriter(OPEN_SEGMENT_BYTES);
    writer.raw(encodeCheckpoint(tick, clock));
    const [result] = await this.#collection.batch([
      { op: "insert", key: ref.key, value: writer.bytes() },
    ]);
    if (!result?.ok) {
      throw new TidegateError(
        "stale_owner",
        `tick ${tick} is taken: ${ref.key} could not be inserted (${result?.refusal}); ` +
          "another node publishes ticks",
      );
    }
    this.#stored({ ref, writer, sinceCheckpoint: 0 }, { tick, clock });
  }

  #stored(tail: Tail, stable: Stable): void {
    this.#tail = tail;
    this.#newest = stable;
    this.#store.add(tail.ref, new Segment(tail.writer.view(), this.#vbuckets));
    this.#remember(stable.tick, stable);
  }

  /** The stored pair at or before `tick`, not clamped; undefined when there is none. */
  async #lookUp(tick: Tick): Promise<Stable | undefined> {
    let wanted = tick;
    for (;;) {
      const ref = this.#store.refs[this.#store.indexOf(wanted)];
      if (ref === undefined) return undefined;
      const segment = this.#store.cached(ref) ?? (await this.#store.read(ref));
      const found = segment && this.#lookIn(ref, segment, wanted);
      if (found !== undefined) return found;
      // Gone, or damaged from its beginning: what is before it is older, and so safe.
      if (segment !== undefined) wanted = (ref.first - 1) as Tick;
    }
  }

  #lookIn(ref: SegmentRef, segment: Segment, tick: Tick): Stable | undefined {
    for (let index = segment.indexOf(tick); index >= 0; index--) {
      try {
        return { tick: segment.tickAt(index), clock: segment.clockAt(index) };
      } catch (error) {
        if (!(error instanceof MalformedBytes)) throw error;
        this.#log.warn(
          { key: ref.key, tick: segment.tickAt(index), damage: error.message },
          "a tick's clock is damaged: it rounds down",
        );
      }
    }
    return undefined;
  }

  #remember(tick: Tick, stable: Stable): void {
    this.#cache.delete(tick);
    this.#cache.set(tick, stable);
    if (this.#cache.size * this.#vbuckets * 8 > MAX_CACHED_CLOCK_BYTES && this.#cache.size > 1) {
      this.#cache.delete(this.#cache.keys().next().value!);
    }
  }
}
