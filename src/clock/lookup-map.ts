// The stable clock's history: which clock a tick names. Kept in the index collection as segments,
// which are thinned with age. How a client's position is made of it: position.ts.

import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { KeyValueCollection } from "../bucket/bucket.ts";
import type { LookupMap } from "../controller/ports.ts";
import type { Time } from "../runtime/time.ts";
import { type Branches, clampToBranches, noBranches } from "./branches.ts";
import { MalformedBytes } from "./bytes.ts";
import { copyClock, includesClock, zeroClock } from "./clock.ts";
import { type Segment, SegmentWriter } from "./segment.ts";
import { type SegmentRef, SegmentStore, segmentRef } from "./segment-store.ts";
import { MAX_TICK, TICK_ZERO } from "./sequence.ts";
import { DEFAULT_POLICY, policyProblem, Thinner, type ThinningPolicy } from "./thinning.ts";
import type { Clock, Stable, Tick } from "./tick.ts";

/** A segment that is appended to is closed at this size. */
const OPEN_SEGMENT_BYTES = 8 * 1024;

/** Resolved clocks held in memory, in bytes. */
const MAX_CACHED_CLOCK_BYTES = 4 * 1024 * 1024;

/** How often, at most, ticks are thinned: with the ticks that are published. */
const THIN_EVERY_MS = 10_000;

/** How often, at most, the segments are listed anew when one is not where it was. */
const LIST_EVERY_MS = 1_000;

/** What {@link openLookupMap} needs. */
export interface LookupMapOptions {
  /** The index collection. */
  readonly collection: KeyValueCollection;
  readonly vbuckets: number;
  readonly time: Time;
  readonly log: Log;
  /** The rollbacks seen; none unless given. */
  readonly branches?: Branches;
  /** Which ticks are kept; {@link DEFAULT_POLICY} unless given. */
  readonly policy?: ThinningPolicy;
}

/** A tick that the lookup map has. */
export interface KeptTick {
  readonly tick: Tick;
  /** The bytes that its clock takes. */
  readonly bytes: number;
  /** Whole, or what changed since the tick before, or since the first of its segment. */
  readonly kind: "checkpoint" | "change" | "leap";
}

/** The lookup map with what only its owner and the tools call. */
export interface TickHistory extends LookupMap {
  /** Another node published this: it is the newest now. */
  observe(stable: Stable): void;
  /** The oldest tick kept whose clock has `(vb, seq)`; undefined when none has. */
  tickOf(vb: number, seq: number): Promise<Tick | undefined>;
  /** The ticks kept from `from` on, ascending, at most `limit`, with the bytes that each takes. */
  ticks(from: Tick, limit: number): Promise<KeptTick[]>;
  /** Thins now what is old enough; otherwise it is done now and then as ticks are published. */
  thin(): Promise<void>;
  /** Ends thinning. Resolves when none is under way. */
  close(): Promise<void>;
}

/**
 * Opens the lookup map, and reads the newest tick of it.
 *
 * @throws TidegateError `bad_config` for a policy that is none
 */
export async function openLookupMap(options: LookupMapOptions): Promise<TickHistory> {
  const policy = options.policy ?? DEFAULT_POLICY;
  const problem = policyProblem(policy);
  if (problem !== undefined) throw new TidegateError("bad_config", `index.ticks: ${problem}`);
  const map = new SegmentedLookupMap(options, policy);
  await map.open();
  return map;
}

class SegmentedLookupMap implements TickHistory {
  readonly #store: SegmentStore;
  readonly #thinner: Thinner;
  readonly #vbuckets: number;
  readonly #time: Time;
  readonly #log: Log;
  readonly #branches: Branches;
  readonly #zero: Stable;
  /** As published: not clamped. */
  #newest: Stable | undefined;
  /** The segment that this node appends to, and what is in it. */
  #tail: { readonly ref: SegmentRef; readonly writer: SegmentWriter } | undefined;
  #appending = false;
  /** By the tick asked for, in the order of their last use; clamped as of `#cachedVersion`. */
  readonly #cache = new Map<Tick, Stable>();
  #cachedVersion = 0;
  #thinning: Promise<void> | undefined;
  #thinNextMs: number;
  #listedMs = Number.NEGATIVE_INFINITY;
  /** Another node has published ticks since the segments were listed. */
  #behind = false;
  #closed = false;

  constructor(options: LookupMapOptions, policy: ThinningPolicy) {
    this.#store = new SegmentStore(options.collection, options.vbuckets, options.log);
    this.#thinner = new Thinner(this.#store, policy, options.log);
    this.#vbuckets = options.vbuckets;
    this.#time = options.time;
    this.#log = options.log;
    this.#branches = options.branches ?? noBranches;
    this.#zero = { tick: TICK_ZERO, clock: zeroClock(options.vbuckets) };
    this.#thinNextMs = options.time.monotonicMs() + THIN_EVERY_MS;
  }

  async open(): Promise<void> {
    await this.#list();
    this.#newest = await this.#lookUp(MAX_TICK);
  }

  newest(): Stable | undefined {
    return this.#newest;
  }

  observe(stable: Stable): void {
    assert(stable.clock.length === this.#vbuckets, "a clock of this bucket is observed");
    if (stable.tick <= (this.#newest?.tick ?? 0)) return;
    this.#newest = { tick: stable.tick, clock: copyClock(stable.clock) };
    this.#tail = undefined;
    this.#behind = true;
  }

  resolve(tick: Tick): Promise<Stable> {
    const newest = this.#newest;
    if (newest === undefined || tick <= 0) return Promise.resolve(this.#zero);
    const wanted = tick > newest.tick ? newest.tick : tick;
    if (this.#cachedVersion !== this.#branches.version) {
      this.#cache.clear();
      this.#cachedVersion = this.#branches.version;
    }
    const cached = this.#cache.get(wanted);
    if (cached === undefined) return this.#resolveCold(wanted, newest);
    this.#remember(wanted, cached);
    return Promise.resolve(cached);
  }

  async append(tick: Tick, clock: Clock): Promise<void> {
    assert(clock.length === this.#vbuckets, "a clock of this bucket is published");
    assert(tick > (this.#newest?.tick ?? 0), "ticks grow");
    assert(!this.#appending && !this.#closed, "ticks are appended one after the other");
    this.#appending = true;
    try {
      await this.#write(tick, copyClock(clock));
    } finally {
      this.#appending = false;
    }
    this.#thinNowAndThen();
  }

  async floor(clock: Clock): Promise<Stable> {
    assert(clock.length === this.#vbuckets, "a clock of this bucket is looked up");
    if (this.#newest === undefined) return this.#zero;
    return this.#newestWhere((candidate) => includesClock(clock, candidate));
  }

  async tickOf(vb: number, seq: number): Promise<Tick | undefined> {
    assert(vb < this.#vbuckets, "a vbucket of this bucket is looked up");
    const without = await this.#newestWhere((candidate) => candidate[vb]! < seq);
    if (without.tick === (this.#newest?.tick ?? 0)) return undefined;
    const [next] = await this.ticks((without.tick + 1) as Tick, 1);
    return next?.tick ?? this.#newest?.tick;
  }

  async ticks(from: Tick, limit: number): Promise<KeptTick[]> {
    const found: KeptTick[] = [];
    const refs = this.#store.refs.slice(Math.max(0, this.#store.indexOf(from)));
    for (const ref of refs) {
      const segment = await this.#store.read(ref);
      if (segment === undefined) continue;
      for (let index = 0; index < segment.size; index++) {
        const tick = segment.tickAt(index);
        if (tick < from || tick <= (found.at(-1)?.tick ?? 0)) continue;
        if (found.length >= limit) return found;
        found.push({ tick, bytes: segment.bytesAt(index), kind: segment.kindAt(index) });
      }
    }
    return found;
  }

  async thin(): Promise<void> {
    await this.#thinning;
    this.#thinning = this.#thinner.run(this.#time.nowMs()).finally(() => {
      this.#thinning = undefined;
    });
    await this.#thinning;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#thinning?.catch(() => {}); // whoever began it has heard of it
  }

  /** In the background: what is thinned late takes space, and nothing else. */
  #thinNowAndThen(): void {
    if (this.#thinning !== undefined || this.#time.monotonicMs() < this.#thinNextMs) return;
    this.#thinNextMs = this.#time.monotonicMs() + THIN_EVERY_MS;
    this.thin().catch((error) => {
      this.#log.warn({ err: error }, "ticks could not be thinned; it is tried again");
    });
  }

  async #write(tick: Tick, clock: Clock): Promise<void> {
    const tail = this.#tail;
    if (tail !== undefined && !tail.writer.isFull(OPEN_SEGMENT_BYTES)) {
      const record = tail.writer.encode(tick, clock);
      // Should it fail, nobody knows what the segment ends with: the next tick begins a new one.
      this.#tail = undefined;
      if (await this.#store.append(tail.ref, record.bytes)) {
        tail.writer.add(record);
        this.#tail = tail;
        this.#published({ tick, clock });
        return;
      }
      this.#log.warn({ key: tail.ref.key }, "the open tick segment is gone; a new one is begun");
    }
    this.#tail = undefined;
    const ref = segmentRef(0, tick);
    const writer = new SegmentWriter(OPEN_SEGMENT_BYTES + 2048);
    writer.add(writer.encode(tick, clock));
    if (!(await this.#store.insert(ref, writer.view().slice()))) {
      throw new TidegateError(
        "stale_owner",
        `tick ${tick} is taken: ${ref.key} exists already; another node publishes ticks`,
      );
    }
    this.#tail = { ref, writer };
    this.#published({ tick, clock });
  }

  #published(stable: Stable): void {
    this.#newest = stable;
    // What was read of it does not have this tick; it is read again when an older one is asked for.
    if (this.#tail !== undefined) this.#store.forget(this.#tail.ref);
    if (this.#cachedVersion === this.#branches.version) this.#remember(stable.tick, stable);
  }

  async #resolveCold(wanted: Tick, newest: Stable): Promise<Stable> {
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

  /** The stored pair at or before `tick`, not clamped; undefined when there is none. */
  async #lookUp(tick: Tick): Promise<Stable | undefined> {
    let wanted = tick;
    for (;;) {
      const index = this.#store.indexOf(wanted);
      const ref = this.#store.refs[index];
      if (this.#behind && index === this.#store.refs.length - 1) {
        this.#behind = false;
        if (ref !== undefined) this.#store.forget(ref);
        await this.#list();
        continue;
      }
      if (ref === undefined) return undefined;
      const segment = await this.#store.read(ref);
      const found = segment && this.#lookIn(ref, segment, wanted);
      if (found !== undefined) return found;
      // Gone: thinned, or lost. Damaged from its beginning: what is before it is older, and so
      // safe.
      if (segment === undefined) await this.#gone(ref);
      else wanted = (ref.first - 1) as Tick;
    }
  }

  async #list(): Promise<void> {
    this.#listedMs = this.#time.monotonicMs();
    await this.#store.list();
  }

  /** A segment is not there any more: its ticks are in another one now, or they round down. */
  async #gone(ref: SegmentRef): Promise<void> {
    if (!this.#store.refs.includes(ref)) return;
    this.#store.drop(ref);
    if (this.#time.monotonicMs() - this.#listedMs < LIST_EVERY_MS) return;
    this.#log.info({ key: ref.key }, "a tick segment is gone: thinned by another node, or lost");
    await this.#list();
  }

  #lookIn(ref: SegmentRef, segment: Segment, tick: Tick): Stable | undefined {
    for (let index = segment.indexOf(tick); index >= 0; index--) {
      try {
        return { tick: segment.tickAt(index), clock: segment.clockAt(index) };
      } catch (error) {
        if (!(error instanceof MalformedBytes)) throw error;
        this.#store.reportDamage(ref, segment.tickAt(index), error.message);
      }
    }
    return undefined;
  }

  /** The newest pair with a clock that `fits`, when what fits is a beginning of the history. */
  async #newestWhere(fits: (clock: Clock) => boolean): Promise<Stable> {
    const newest = await this.resolve(this.#newest?.tick ?? TICK_ZERO);
    if (fits(newest.clock)) return newest;
    const segment = await this.#lastWhere(this.#store.refs, ({ first }) => first, fits);
    const ref = this.#store.refs[this.#store.indexOf(segment.tick)];
    const records = ref && (await this.#store.read(ref));
    if (records === undefined) return segment;
    const ticks = Array.from({ length: records.size }, (_, index) => records.tickAt(index));
    const record = await this.#lastWhere(ticks, (tick) => tick, fits);
    return record.tick > segment.tick ? record : segment;
  }

  async #lastWhere<T>(
    items: readonly T[],
    tickOf: (item: T) => Tick,
    fits: (clock: Clock) => boolean,
  ): Promise<Stable> {
    let best = this.#zero;
    let low = 0;
    let high = items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const found = await this.resolve(tickOf(items[middle]!));
      if (fits(found.clock)) {
        best = found;
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return best;
  }

  #remember(tick: Tick, stable: Stable): void {
    this.#cache.delete(tick);
    this.#cache.set(tick, stable);
    if (this.#cache.size * this.#vbuckets * 8 > MAX_CACHED_CLOCK_BYTES && this.#cache.size > 1) {
      this.#cache.delete(this.#cache.keys().next().value!);
    }
  }
}
