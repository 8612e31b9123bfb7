// Thinning: of old ticks only some are kept, the fewer the older they are, so that the lookup map
// stays small for ever. A tick that is gone resolves to the nearest older one, which only repeats
// changes.

import type { Log } from "../base/log.ts";
import { MalformedBytes } from "./bytes.ts";
import { copyClock } from "./clock.ts";
import { type Segment, SegmentWriter } from "./segment.ts";
import { type SegmentRef, type SegmentStore, segmentRef } from "./segment-store.ts";
import type { Clock, Tick } from "./tick.ts";

/** One step of a policy. */
export interface ThinningStep {
  /** Ticks older than this… */
  readonly olderThanMs: number;
  /** …are thinned to one in this time. */
  readonly keepEveryMs: number;
}

/** Which ticks are kept: steps of growing age. Before the first step, every tick is. */
export type ThinningPolicy = readonly ThinningStep[];

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/**
 * Every tick for 20 minutes, one a second for 6 hours, one a minute for a week, one an hour beyond:
 * a year at 10,000 writes a second stays below 64 MB (bench/sequence/ measures it).
 */
export const DEFAULT_POLICY: ThinningPolicy = [
  { olderThanMs: 20 * MINUTE, keepEveryMs: SECOND },
  { olderThanMs: 6 * HOUR, keepEveryMs: MINUTE },
  { olderThanMs: 7 * 24 * HOUR, keepEveryMs: HOUR },
];

/** Steps of a policy, at most. */
export const MAX_POLICY_STEPS = 8;

/** A thinned segment is closed at this size: a cold look-up reads one of them. */
const SEGMENT_BYTES = 16 * 1024;

/** Nothing is thinned before it would keep about this many ticks: segments should become full. */
const WORTHWHILE_TICKS = 32;

/** Segments read by one step of thinning, at most. */
const MAX_SEGMENTS_A_STEP = 256;

/** What is wrong with a policy, in words; undefined when it is one. */
export function policyProblem(policy: ThinningPolicy): string | undefined {
  if (policy.length > MAX_POLICY_STEPS) return `it has more than ${MAX_POLICY_STEPS} steps`;
  for (let index = 0; index < policy.length; index++) {
    const { olderThanMs, keepEveryMs } = policy[index]!;
    const before = policy[index - 1] ?? { olderThanMs: 0, keepEveryMs: 0 };
    if (!(olderThanMs > before.olderThanMs)) return `step ${index}: olderThanMs does not grow`;
    if (!(keepEveryMs > before.keepEveryMs)) return `step ${index}: keepEveryMs does not grow`;
    if (keepEveryMs > olderThanMs) return `step ${index}: keepEveryMs is longer than olderThanMs`;
  }
  return undefined;
}

/** A tick that is kept, with its clock. */
interface Kept {
  readonly tick: Tick;
  readonly clock: Clock;
}

/** Thins the segments of one lookup map. Run it in one place at a time. */
export class Thinner {
  readonly #store: SegmentStore;
  readonly #policy: ThinningPolicy;
  readonly #log: Log;

  constructor(store: SegmentStore, policy: ThinningPolicy, log: Log) {
    this.#store = store;
    this.#policy = policy;
    this.#log = log;
  }

  /** Thins what has become old enough by `nowMs`. The last segment is never touched. */
  async run(nowMs: number): Promise<void> {
    for (let level = 0; level < this.#policy.length; level++) {
      while (await this.#step(level, nowMs)) {
        // Each step makes one segment of the next level.
      }
    }
  }

  /** Makes one segment of level + 1; false when there was nothing worthwhile. */
  async #step(level: number, nowMs: number): Promise<boolean> {
    const { olderThanMs, keepEveryMs } = this.#policy[level]!;
    const old = this.#oldSegments(level, nowMs - olderThanMs);
    const last = old.at(-1);
    if (last === undefined) return false;
    if (last.end - old[0]!.ref.first < WORTHWHILE_TICKS * keepEveryMs) return false;

    const writer = new SegmentWriter(SEGMENT_BYTES);
    const oldest = old[0]?.ref === this.#store.refs[0];
    const keeper = new Keeper(keepEveryMs, oldest, ({ tick, clock }) => {
      writer.add(writer.encode(tick, clock));
    });
    const done: SegmentRef[] = [];
    for (const { ref, end } of old) {
      const segment = await this.#store.peek(ref);
      if (segment !== undefined) this.#offer(keeper, ref, segment, end);
      done.push(ref);
      if (writer.isFull(SEGMENT_BYTES)) break;
    }
    keeper.close();
    // First the new, then without the old: in between, a tick is found in either.
    if (writer.first !== undefined) {
      await this.#store.write(segmentRef(level + 1, writer.first), writer.view());
    }
    await this.#store.remove(done);
    this.#log.debug({ level, segments: done.length, bytes: writer.length }, "thinned ticks");
    return true;
  }

  /** The segments of `level` of which every tick is older than `before`, and where they end. */
  #oldSegments(level: number, before: number): { ref: SegmentRef; end: Tick }[] {
    const refs = this.#store.refs;
    const old: { ref: SegmentRef; end: Tick }[] = [];
    for (let index = 0; index + 1 < refs.length; index++) {
      const end = refs[index + 1]!.first;
      if (end > before || old.length >= MAX_SEGMENTS_A_STEP) break;
      if (refs[index]!.level === level) old.push({ ref: refs[index]!, end });
    }
    return old;
  }

  /** Offers the ticks of a segment, without those whose clock is damaged. */
  #offer(keeper: Keeper, ref: SegmentRef, segment: Segment, end: Tick): void {
    const clock = segment.emptyClock();
    let index = 0;
    while (index < segment.size) {
      const tick = segment.tickAt(index);
      try {
        segment.advance(clock, index);
      } catch (error) {
        if (!(error instanceof MalformedBytes)) throw error;
        const fields = { key: ref.key, tick, damage: error.message };
        this.#log.warn(fields, "a tick's clock is damaged: what builds on it is left out");
        index = segment.nextStart(index);
        continue;
      }
      index++;
      keeper.offer(tick, index < segment.size ? segment.tickAt(index) : end, clock);
    }
  }
}

/**
 * Keeps of each period the tick that was the newest for the longest time: the one that most clients
 * hold, such as the last before a quiet night.
 */
class Keeper {
  readonly #everyMs: number;
  readonly #keep: (kept: Kept) => void;
  #keepFirst: boolean;
  #period = -1;
  #kept: Kept | undefined;
  #stoodMs = 0;

  /**
   * @param keepFirst keep the first tick too: the oldest of all, so that those after it do not
   *   resolve to nothing
   */
  constructor(everyMs: number, keepFirst: boolean, keep: (kept: Kept) => void) {
    this.#everyMs = everyMs;
    this.#keepFirst = keepFirst;
    this.#keep = keep;
  }

  /** Offers a tick that was the newest until `next`. The clock is copied if need be. */
  offer(tick: Tick, next: Tick, clock: Clock): void {
    if (this.#keepFirst) {
      this.#keepFirst = false;
      this.#keep({ tick, clock: copyClock(clock) });
      return;
    }
    const period = Math.floor(tick / this.#everyMs);
    if (period !== this.#period) {
      this.close();
      this.#period = period;
    } else if (next - tick <= this.#stoodMs) {
      return;
    }
    this.#kept = { tick, clock: copyClock(clock) };
    this.#stoodMs = next - tick;
  }

  /** Ends the period. */
  close(): void {
    if (this.#kept !== undefined) this.#keep(this.#kept);
    this.#kept = undefined;
  }
}
