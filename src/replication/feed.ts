// One reader's feed in stable mode: interval after interval of the stable clock, each read from the
// index, merged and printed. Pull-based: a slow reader's ticks are conflated by themselves.

import type { Access } from "../access/types.ts";
import { assert } from "../base/assert.ts";
import { formatEager, formatInterval, formatTick } from "../clock/sequence.ts";
import type { Stable } from "../clock/tick.ts";
import type { Audience, EagerListener, Listener } from "./audience.ts";
import { type Details, needsDetails, readDetails } from "./details.ts";
import type { EagerRows } from "./eager.ts";
import { MAX_BATCH_DOCUMENTS, MAX_BATCH_ROWS, ROWS_PER_POSITION } from "./limits.ts";
import type { Change } from "./merge.ts";
import type { FeedSource, Place } from "./ports.ts";
import type { Channels, Plan } from "./reach.ts";
import { rowText } from "./row-text.ts";
import type { ChangesBatch, ChangesFeed } from "./types.ts";

/** An interval being read. */
interface Interval {
  /** What of it the reader is sent. */
  plan: Plan;
  changes: AsyncIterator<readonly Change[]>;
  /** Read from the index and not yet given out: from `at` on. */
  buffer: readonly Change[];
  at: number;
  /** The last change that the reader has, or did not want; undefined: none of this interval. */
  place: Place | undefined;
}

/** A feed of stable rows. */
export class StableFeed implements ChangesFeed, Listener {
  readonly #source: FeedSource;
  readonly #access: Access;
  /** Rows ahead of the stable clock, when the reader wants them. */
  readonly #eager: EagerRows | undefined;
  readonly #listener: EagerListener | undefined;
  /** Everything in here was sent. */
  #from: Stable;
  /** The channels that the reader has whole up to there; undefined: only the clock tells. */
  #has: Channels | undefined;
  /** The rollbacks that `#from` was clamped under. */
  #version: number;
  /** The end of the interval, and the place there, with which the reader came. */
  #within: ({ readonly to: Stable } & Place) | undefined;
  #interval: Interval | undefined;
  /** Who looks at the same channels. */
  #audience: Audience | undefined;
  /** Rows that may still be sent. */
  #left: number;
  #closed = false;
  #reading = false;
  #awake: ((before: Stable) => void) | undefined;

  constructor(
    source: FeedSource,
    from: Stable,
    within: ({ readonly to: Stable } & Place) | undefined,
    eager: EagerRows | undefined,
  ) {
    this.#source = source;
    this.#access = source.actor.access;
    this.#from = from;
    this.#within = within;
    this.#eager = eager;
    this.#listener = eager && { rows: eager, nudge: () => this.#awake?.(this.#source.head()) };
    this.#version = source.branches.version;
    const { limit } = source.options;
    this.#left = limit === undefined ? Number.POSITIVE_INFINITY : Math.max(1, limit);
  }

  async read(wait: boolean, signal?: AbortSignal): Promise<ChangesBatch> {
    assert(!this.#reading, "a feed is read by one at a time");
    this.#reading = true;
    try {
      return await this.#read(wait, signal);
    } finally {
      this.#reading = false;
      if (this.#closed) await this.#drop();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#source.closed();
    this.#awake?.(this.#from);
    if (this.#audience) this.#source.leave(this.#audience, this.#listener);
    if (!this.#reading) void this.#drop();
  }

  wake(before: Stable): void {
    this.#awake?.(before);
  }

  async #read(wait: boolean, signal?: AbortSignal): Promise<ChangesBatch> {
    while (!this.#closed && this.#left > 0) {
      await this.#advance();
      const rows = this.#interval === undefined ? [] : await this.#next(this.#interval, signal);
      const caughtUp = this.#caughtUp();
      if (rows.length === 0 && caughtUp && this.#eager?.waiting) {
        const ahead = await this.#ahead(this.#eager);
        if (ahead !== undefined) return ahead;
      }
      if (rows.length > 0 || (caughtUp && !wait)) return this.#batch(rows, caughtUp);
      if (signal?.aborted || this.#closed) break;
      if (caughtUp) await this.#wait(signal);
    }
    return this.#batch([], this.#caughtUp());
  }

  /** Begins the next interval when none is under way, and there is a newer tick. */
  async #advance(): Promise<void> {
    if (this.#interval !== undefined) return;
    await this.#clamp();
    // The access has everything of this head then, if not more.
    const head = this.#source.head();
    await this.#access.refresh();
    if (this.#eager) this.#join();
    const within = this.#within;
    this.#within = undefined;
    if (within) this.#begin(within.to, { vb: within.vb, seq: within.seq }, head);
    else if (head.tick > this.#from.tick) this.#begin(head, undefined, head);
  }

  /** Joins those who look at the channels that this reader sees now. */
  #join(): Audience | undefined {
    const channels = this.#source.reach.now();
    this.#eager?.see(channels);
    if (this.#closed || this.#audience?.channels === channels) return this.#audience;
    if (this.#audience) this.#source.leave(this.#audience, this.#listener);
    this.#audience = this.#source.join(channels, this.#listener);
    return this.#audience;
  }

  /** Rows beyond the stable clock; undefined when there are none. */
  async #ahead(eager: EagerRows): Promise<ChangesBatch | undefined> {
    const { documents, actor, options, wants } = this.#source;
    const changes = eager.take(this.#from.clock).filter(wants);
    changes.length = Math.min(changes.length, this.#left);
    const details = needsDetails(options)
      ? await readDetails(changes, options, documents, actor)
      : undefined;
    // What documents make too large now comes with its tick, and so does what goes over the limit.
    if (details !== undefined) changes.length = details.length;
    const { tick } = this.#from;
    const rows = changes.map((change, i) => {
      const { vb, seq } = change.entry;
      eager.sent(vb, seq);
      return rowText(formatEager(tick, vb, seq), change, details?.[i]?.leaves, details?.[i]?.doc);
    });
    const last = changes.at(-1);
    if (last === undefined) return undefined;
    this.#left -= rows.length;
    const lastSeq = formatEager(tick, last.entry.vb, last.entry.seq);
    return { rows, lastSeq, caughtUp: this.#caughtUp(), done: this.#left <= 0 };
  }

  #caughtUp(): boolean {
    return this.#interval === undefined && this.#from.tick >= this.#source.head().tick;
  }

  #batch(rows: readonly string[], caughtUp: boolean): ChangesBatch {
    return { rows, lastSeq: this.#position(), caughtUp, done: this.#left <= 0 };
  }

  /** The exact position after what was given out. */
  #position(place = this.#interval?.place): string {
    const to = this.#interval?.plan.to;
    if (to === undefined || place === undefined) return formatTick(this.#from.tick);
    return formatInterval(this.#from.tick, to.tick, place.vb, place.seq);
  }

  /** After a rollback, what this reader has is clamped to the branch that lives. */
  async #clamp(): Promise<void> {
    const { branches, lookup } = this.#source;
    while (this.#version !== branches.version) {
      const { version } = branches;
      this.#from = await lookup.resolve(this.#from.tick);
      this.#version = version;
    }
  }

  #begin(to: Stable, place: Place | undefined, newest: Stable): void {
    const plan = this.#source.reach.plan(this.#from, to, this.#has, newest);
    const changes = this.#source.changes(plan, place)[Symbol.asyncIterator]();
    this.#interval = { plan, changes, buffer: [], at: 0, place };
  }

  /** Reads the interval anew after what was given out, by `plan`. */
  async #restart(interval: Interval, plan: Plan): Promise<void> {
    const before = interval.changes;
    interval.plan = plan;
    interval.changes = this.#source.changes(plan, interval.place)[Symbol.asyncIterator]();
    interval.buffer = [];
    interval.at = 0;
    await before.return?.();
  }

  /** Lets go of the interval under way; the feed must not be read on. */
  async #drop(): Promise<void> {
    const interval = this.#interval;
    this.#interval = undefined;
    await interval?.changes.return?.();
  }

  /** As {@link #fill}. When it fails, the next call goes on after what was given out. */
  async #next(interval: Interval, signal: AbortSignal | undefined): Promise<string[]> {
    try {
      await this.#access.refresh();
      const plan = this.#source.reach.renewed(interval.plan);
      // Who has lost a channel meanwhile gets nothing more of it, nor what was read already.
      if (plan.channels !== interval.plan.channels) await this.#restart(interval, plan);
      else interval.plan = plan;
      return await this.#fill(interval, signal);
    } catch (error) {
      await this.#restart(interval, interval.plan);
      throw error;
    }
  }

  /** Gives out the next rows of the interval; when it is used up, the feed stands at its end. */
  async #fill(interval: Interval, signal: AbortSignal | undefined): Promise<string[]> {
    const { options, documents, actor } = this.#source;
    const before = this.#position();
    let changes: Change[] = [];
    let more = await this.#load(interval);
    while (more && changes.length === 0 && !signal?.aborted && !this.#closed) {
      changes = this.#take(interval);
      if (changes.length === 0) more = await this.#load(interval);
    }
    let details: readonly Details[] | undefined;
    if (changes.length > 0 && needsDetails(options)) {
      details = await readDetails(changes, options, documents, actor);
      const next = changes[details.length];
      if (next !== undefined) {
        // Documents are many bytes: the rest comes with the next batch.
        interval.at = interval.buffer.indexOf(next);
        changes.length = details.length;
      }
    }
    const last = changes.at(-1);
    if (last !== undefined) {
      const { vb, seq } = last.entry;
      interval.place = { vb, seq };
      this.#left -= changes.length;
      more = await this.#peek(interval);
    }
    const { to, channels, whole } = interval.plan;
    const texts = new Positions(this.#from, to, before);
    if (!more) {
      this.#eager?.covered(to.clock);
      this.#from = to;
      this.#has = whole ? channels : undefined;
      this.#interval = undefined;
    }
    return texts.print(changes, details, this.#position());
  }

  /**
   * Whether there is more, looked at only so that the last row of all can carry the tick itself. A
   * failure here must not cost the rows at hand: it shows again when they are asked to go on.
   */
  async #peek(interval: Interval): Promise<boolean> {
    try {
      return await this.#load(interval);
    } catch {
      await this.#restart(interval, interval.plan);
      return true;
    }
  }

  /** Sees to it that the buffer has a change. Gives whether there was one. */
  async #load(interval: Interval): Promise<boolean> {
    while (interval.at === interval.buffer.length) {
      const next = await interval.changes.next();
      if (next.done) return false;
      interval.buffer = next.value;
      interval.at = 0;
    }
    return true;
  }

  /** Takes the changes out of the buffer that the reader wants, as many as fit into a batch. */
  #take(interval: Interval): Change[] {
    const { options } = this.#source;
    const most = Math.min(options.includeDocs ? MAX_BATCH_DOCUMENTS : MAX_BATCH_ROWS, this.#left);
    const changes: Change[] = [];
    while (interval.at < interval.buffer.length && changes.length < most) {
      const change = interval.buffer[interval.at++] as Change;
      const { vb, seq } = change.entry;
      const sent = this.#eager?.wasSent(vb, seq) ?? false;
      if (!sent && this.#source.wants(change)) changes.push(change);
      else interval.place = { vb, seq };
    }
    return changes;
  }

  /** Waits for a tick that may concern this feed, for `signal`, or for the feed's end. */
  async #wait(signal: AbortSignal | undefined): Promise<void> {
    const { watch, unwatch, head } = this.#source;
    // A tick may have come since it was looked for; the access has everything of the last one.
    if (head().tick > this.#from.tick) return;
    const audience = this.#join();
    if (audience === undefined) return;
    const others = this.#access.watched();
    await new Promise<void>((resolve) => {
      const awake = (before: Stable) => {
        unwatch(this, audience, others);
        signal?.removeEventListener("abort", aborted);
        this.#awake = undefined;
        // No tick since the wait began concerned this reader: it has all of them.
        if (before.tick > this.#from.tick) this.#from = before;
        resolve();
      };
      const aborted = () => awake(head());
      this.#awake = awake;
      watch(this, audience, others);
      signal?.addEventListener("abort", aborted);
    });
  }
}

/** Prints rows with their resume points. */
class Positions {
  readonly #from: Stable;
  readonly #to: Stable;
  #seq: string;

  /** @param seq the position before the first row */
  constructor(from: Stable, to: Stable, seq: string) {
    this.#from = from;
    this.#to = to;
    this.#seq = seq;
  }

  /**
   * The rows' texts. Most carry a position before them: printing one for each row would cost more
   * than the row. The last carries `after`, which is exact.
   */
  print(
    changes: readonly Change[],
    details: readonly Details[] | undefined,
    after: string,
  ): string[] {
    const rows: string[] = [];
    for (const [i, change] of changes.entries()) {
      if (i === changes.length - 1) this.#seq = after;
      else if ((i + 1) % ROWS_PER_POSITION === 0) {
        const { vb, seq } = change.entry;
        this.#seq = formatInterval(this.#from.tick, this.#to.tick, vb, seq);
      }
      rows.push(rowText(this.#seq, change, details?.[i]?.leaves, details?.[i]?.doc));
    }
    return rows;
  }
}
