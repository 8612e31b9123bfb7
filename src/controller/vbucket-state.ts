// One vbucket as its owner sees it: where its clock stands, and what of the feed is not yet proven
// to be in the index. Pure state; asking the journal and healing live in validation.ts.

import { assert } from "../base/assert.ts";
import type { FailoverEntry, FeedMutation, StreamPosition } from "../bucket/feed.ts";
import { ChangedSet } from "./changed-set.ts";
import type { ChangedChannels } from "./ports.ts";

/**
 * The mutations between two snapshot ends. The clock moves over a segment as a whole: inside a
 * snapshot no position is a consistent state.
 */
export interface Segment {
  /** The snapshot's end: where the clock moves to. */
  end: number;
  /** Whether the feed has delivered everything up to `end`. */
  complete: boolean;
  /** Mutations delivered and not yet validated. */
  pending: number;
  readonly changed: ChangedSet;
}

/** A mutation that the feed delivered and that is not yet known to be completely indexed. */
export interface Pending {
  readonly vb: number;
  readonly seq: number;
  readonly vbuuid: string;
  readonly mutation: FeedMutation;
  readonly segment: Segment;
  /** When it came, in monotonic milliseconds. */
  readonly seenMs: number;
  state: "waiting" | "healing" | "failed" | "done";
  /** Failed heals so far. */
  attempts: number;
  /** When it is to be healed again, in monotonic milliseconds. */
  retryMs: number;
}

/** A vbucket's part of a partition clock document. */
export interface VbucketRecord {
  /** Everything up to here is completely indexed: the end of a snapshot, both of its bounds. */
  readonly clock: number;
  /** Where the feed is read from: `clock`, or less while a vbucket is checked again. */
  readonly position: number;
  /** The failover log, newest first; its first entry is the branch of `clock`. */
  readonly log: readonly FailoverEntry[];
}

/** The record of a vbucket that was never looked at. */
export const NEW_VBUCKET: VbucketRecord = { clock: 0, position: 0, log: [] };

/** One vbucket's clock, segments and failover log. */
export class VbucketState {
  readonly vb: number;
  #clock: number;
  #log: readonly FailoverEntry[];
  /** The highest seq that the feed has delivered or moved over. */
  #read: number;
  #position: number;
  /** What the clock has passed up to here is being checked again. */
  #checkUntil: number;
  #segments: Segment[] = [];
  /** What was delivered and is not yet validated, by seq. */
  readonly #pending = new Map<number, Pending>();

  constructor(vb: number, record: VbucketRecord) {
    assert(record.position <= record.clock, "a vbucket's feed position is beyond its clock");
    this.vb = vb;
    this.#clock = record.clock;
    this.#log = record.log;
    this.#position = record.position;
    this.#read = record.position;
    this.#checkUntil = record.clock;
  }

  /** Everything up to here is completely indexed. */
  get clock(): number {
    return this.#clock;
  }

  /** Whether what the clock has passed is being checked again, and not yet to its end. */
  get checking(): boolean {
    return this.#position < this.#checkUntil;
  }

  /** Whether `seq` was passed before it was checked. */
  passed(seq: number): boolean {
    return seq <= this.#checkUntil;
  }

  /** Whether the feed is ahead of the clock: something is not validated, or a snapshot is open. */
  get busy(): boolean {
    return this.#segments.length > 0;
  }

  /** What the partition clock document says of this vbucket. */
  record(): VbucketRecord {
    return { clock: this.#clock, position: this.#position, log: this.#log };
  }

  /** Where the feed is to be resumed. The clock only ever stands on a snapshot's end. */
  streamPosition(): StreamPosition {
    const seq = this.#position;
    const vbuuid = seq === 0 ? "0" : this.#branch((entry) => entry.seq <= seq);
    return { vb: this.vb, vbuuid, seq, snapshotStart: seq, snapshotEnd: seq };
  }

  /** The branch that the mutation `seq` belongs to. */
  branchOf(seq: number): string {
    return this.#branch((entry) => entry.seq < seq);
  }

  #branch(covers: (entry: FailoverEntry) => boolean): string {
    return (this.#log.find(covers) ?? this.#log.at(-1))?.vbuuid ?? "0";
  }

  /** A snapshot from `start` up to `end` begins, or the one under way is extended to `end`. */
  snapshot(start: number, end: number): void {
    const last = this.#segments.at(-1);
    if (last !== undefined && !last.complete && start < last.end) {
      // The state at the end announced before will never come.
      if (end > last.end) last.end = end;
      return;
    }
    if (last !== undefined) {
      last.complete = true;
      // A segment that waits only for those before it is joined with the new one, so that there
      // are never more segments than pending mutations and one.
      if (last.pending === 0 && end >= last.end) {
        last.end = end;
        last.complete = this.#read >= end;
        return;
      }
    }
    if (end > this.#read) this.#open(end, false);
  }

  /** A mutation of the open snapshot. */
  mutation(mutation: FeedMutation, nowMs: number): Pending {
    const { vb, seq } = mutation;
    assert(seq > this.#read, () => `vbucket ${vb}: seq ${seq} came after ${this.#read}`);
    this.#read = seq;
    const segment = this.#segments.at(-1);
    assert(segment !== undefined && !segment.complete, "a mutation came outside a snapshot");
    assert(seq <= segment.end, "a mutation came beyond its snapshot's end");
    if (seq === segment.end) segment.complete = true;
    segment.pending++;
    const vbuuid = this.branchOf(seq);
    const fresh = { state: "waiting", attempts: 0, retryMs: 0 } as const;
    const pending: Pending = { vb, seq, vbuuid, mutation, segment, seenMs: nowMs, ...fresh };
    this.#pending.set(seq, pending);
    return pending;
  }

  /** The feed moved to `seq` without a mutation. */
  advanced(seq: number): void {
    if (seq <= this.#read) return;
    this.#read = seq;
    const last = this.#segments.at(-1);
    if (last === undefined) {
      this.#open(seq, true);
    } else if (seq >= last.end) {
      last.end = seq;
      last.complete = true;
    }
  }

  #open(end: number, complete: boolean): Segment {
    const segment: Segment = { end, complete, pending: 0, changed: new ChangedSet() };
    this.#segments.push(segment);
    return segment;
  }

  /** The mutation `seq` when it was delivered and is not yet validated. */
  pendingAt(seq: number): Pending | undefined {
    return this.#pending.get(seq);
  }

  /** A mutation is completely indexed; its channels have these hashes. */
  validated({ seq, segment }: Pending, channels: readonly number[] | "unknown"): void {
    this.#pending.delete(seq);
    assert(segment.pending > 0, "a segment had more validated mutations than mutations");
    segment.pending--;
    segment.changed.add(channels);
  }

  /**
   * Moves the clock over the segments that are complete and validated, calling `changed` with the
   * channels of each. Gives whether it moved.
   */
  advance(changed: (channels: ChangedChannels) => void): boolean {
    const before = this.#clock;
    let first = this.#segments[0];
    while (first?.complete && first.pending === 0) {
      this.#segments.shift();
      this.#position = first.end;
      if (first.end >= this.#checkUntil) this.#checkUntil = 0;
      changed(first.changed.value);
      // While a vbucket is checked again the feed is behind the clock, which then stands still.
      if (first.end > this.#clock) this.#clock = first.end;
      first = this.#segments[0];
    }
    return this.#clock !== before;
  }

  /** Lowers the clock: a mutation was not indexed although the clock had passed it. */
  lower(seq: number): void {
    assert(this.#position <= seq, "a clock was lowered below the feed's position");
    if (seq < this.#clock) this.#clock = seq;
  }

  /** The branches of `log` that are new, oldest first. */
  added(log: readonly FailoverEntry[]): FailoverEntry[] {
    const known = new Set(this.#log.map((entry) => entry.vbuuid));
    return log.filter((entry) => !known.has(entry.vbuuid)).reverse();
  }

  /** Takes a new failover log. What is delivered must be of its branches. */
  failover(log: readonly FailoverEntry[]): void {
    this.#log = log;
  }

  /** Whether something beyond `seq` was delivered. */
  beyond(seq: number): boolean {
    return Math.max(this.#read, this.#clock) > seq;
  }

  /**
   * What lies beyond `seq` is on a dead branch: the clock is clamped, and the whole vbucket is read
   * again. Not only from `seq`: what a lost mutation had superseded lives again, and a feed that
   * skips superseded mutations may never have shown it.
   */
  rollback(seq: number): StreamPosition {
    if (seq < this.#clock) this.#clock = seq;
    this.#checkUntil = this.#clock;
    this.#position = 0;
    return this.restart();
  }

  /** Forgets what was delivered beyond the position, to read on from there. */
  restart(): StreamPosition {
    this.#segments = [];
    this.#pending.clear();
    this.#read = this.#position;
    return this.streamPosition();
  }
}
