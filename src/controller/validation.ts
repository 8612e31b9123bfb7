// The steppable core of the controller: which mutations are validated, which must be looked for or
// healed, and when. Events go in, work comes out; it does no input or output and has no timers.

import { assert } from "../base/assert.ts";
import type { FeedEvent, FeedMutation } from "../bucket/feed.ts";
import { ChangedSet } from "./changed-set.ts";
import type { ChangedChannels } from "./ports.ts";
import {
  FIRST_STORED_LOOK_MS,
  HEAL_RETRY_MAX_MS,
  HEAL_RETRY_MIN_MS,
  JOURNAL_RETRY_MS,
  MAX_HEAL_BATCH,
  MAX_HEALS_IN_FLIGHT,
  MAX_STORED_LOOK,
} from "./settings.ts";
import type { Pending, VbucketState } from "./vbucket-state.ts";

/** What the driver is to do now. */
export interface Work {
  /** Ask the journal's memory about these. */
  readonly memory: readonly Pending[];
  /** Ask the stored journal about these. */
  readonly stored: readonly Pending[];
  /**
   * Ticks until now must not reach beyond these seqs: something below was never indexed. To be
   * stored before the heals begin.
   */
  readonly clamps: readonly { readonly vb: number; readonly seq: number }[];
  /** Heal each of these batches. */
  readonly heals: readonly (readonly Pending[])[];
  /** When to come back at the latest, in monotonic milliseconds; Infinity: when an event comes. */
  readonly dueMs: number;
}

/** What a {@link Validation} counts. */
export interface ValidationCounts {
  /** Mutations whose record was found. */
  validated: number;
  /** Mutations that were healed. */
  healed: number;
  /** Mutations that no gateway wrote, imported. */
  imported: number;
  /** Calls of the healer that failed. */
  healFailures: number;
}

/** Options of {@link Validation}. */
export interface ValidationOptions {
  /** How long a mutation may stay without a record before it is healed; 0: this node writes all. */
  readonly graceMs: number;
  /** Mutations up to here were made before this node took over: their records may be stored. */
  readonly replayUntil: (vb: number) => number;
}

/** The validation of the mutations of some vbuckets. */
export class Validation {
  readonly counts: ValidationCounts = { validated: 0, healed: 0, imported: 0, healFailures: 0 };
  readonly #options: ValidationOptions;
  readonly #vbuckets = new Map<number, VbucketState>();
  readonly #pending = new Set<Pending>();
  /** What waits for its n-th look at the stored journal; in each queue those due first lead. */
  readonly #looks: Pending[][];
  readonly #lookOffsets: readonly number[];
  #healQueue: Pending[] = [];
  readonly #failed = new Set<Pending>();
  /** What the journal's memory may know of: it just came, or was just acknowledged. */
  #askMemory = new Set<Pending>();
  #memoryBusy = false;
  #storedBusy = false;
  /** After a question that failed, the next one waits. */
  #storedNotBeforeMs = Number.NEGATIVE_INFINITY;
  #heals = 0;
  #clamps: { vb: number; seq: number }[] = [];
  readonly #changed = new ChangedSet();
  readonly #moved = new Set<number>();
  /** The vbuckets that may be being checked again. */
  readonly #checking = new Set<number>();

  constructor(options: ValidationOptions, vbuckets: Iterable<VbucketState>) {
    this.#options = options;
    for (const state of vbuckets) {
      this.#vbuckets.set(state.vb, state);
      if (state.checking) this.#checking.add(state.vb);
    }
    const offsets = [0];
    for (let ms = FIRST_STORED_LOOK_MS; ms < options.graceMs; ms *= 2) offsets.push(ms);
    if (options.graceMs > 0) offsets.push(options.graceMs);
    this.#lookOffsets = offsets;
    this.#looks = offsets.map(() => []);
  }

  /** Mutations delivered and not yet validated. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Mutations whose heal failed and is to be tried again. */
  get failing(): number {
    return this.#failed.size;
  }

  /** The vbuckets whose clock moved since {@link takeMoved}. */
  get moved(): ReadonlySet<number> {
    return this.#moved;
  }

  /** Whether a vbucket is being checked again: until then its clock may claim too much. */
  get checking(): boolean {
    for (const vb of this.#checking) {
      if (this.vbucket(vb).checking) return true;
      this.#checking.delete(vb);
    }
    return false;
  }

  /** The state of a vbucket of this validation. */
  vbucket(vb: number): VbucketState {
    const state = this.#vbuckets.get(vb);
    assert(state !== undefined, () => `vbucket ${vb} is not owned`);
    return state;
  }

  /** An event of the feed, other than rollback, failover and end: those need the driver. */
  feed(event: FeedEvent, nowMs: number): void {
    const state = this.vbucket(event.vb);
    switch (event.kind) {
      case "snapshot":
        state.snapshot(event.start, event.end);
        break;
      case "advanced":
        state.advanced(event.seq);
        this.#advance(state);
        break;
      case "mutation":
      case "deletion":
      case "expiration":
        this.#arrived(state.mutation(event, nowMs));
        break;
      default:
        assert(false, `the driver handles ${event.kind}`);
    }
  }

  #arrived(pending: Pending): void {
    this.#pending.add(pending);
    const { vb, seq } = pending;
    const replayed = seq <= this.#options.replayUntil(vb) || this.vbucket(vb).passed(seq);
    const ownWriter = this.#options.graceMs === 0;
    if (!isOurs(pending.mutation) || (ownWriter && !replayed)) {
      this.#queueHeal(pending);
    } else {
      this.#looks[replayed || ownWriter ? 0 : 1]?.push(pending);
      if (!replayed) this.#askMemory.add(pending);
    }
  }

  /** This node's writer had the records of these mutations acknowledged. */
  acknowledged(written: readonly { readonly vb: number; readonly seq: number }[]): void {
    for (const { vb, seq } of written) {
      const pending = this.#vbuckets.get(vb)?.pendingAt(seq);
      if (pending !== undefined) this.#askMemory.add(pending);
    }
  }

  /** What is to be done now. Everything given counts as under way until its answer comes. */
  work(nowMs: number): Work {
    const memory = this.#memoryLook();
    const stored = this.#storedLook(nowMs);
    for (const pending of this.#failed) {
      if (pending.retryMs > nowMs) continue;
      this.#failed.delete(pending);
      pending.state = "healing";
      this.#healQueue.push(pending);
    }
    const heals = this.#takeHeals();
    const clamps = this.#clamps;
    this.#clamps = [];
    return { memory, stored, clamps, heals, dueMs: this.#dueMs() };
  }

  #memoryLook(): readonly Pending[] {
    if (this.#askMemory.size === 0 || this.#memoryBusy) return [];
    const asked = [...this.#askMemory].filter((pending) => pending.state === "waiting");
    this.#askMemory.clear();
    this.#memoryBusy = asked.length > 0;
    return asked;
  }

  #storedLook(nowMs: number): readonly Pending[] {
    if (this.#storedBusy || nowMs < this.#storedNotBeforeMs) return [];
    const asked: Pending[] = [];
    for (const [stage, queue] of this.#looks.entries()) {
      const offset = this.#lookOffsets[stage] ?? 0;
      let taken = 0;
      for (const pending of queue) {
        if (asked.length === MAX_STORED_LOOK) break;
        if (pending.state === "waiting") {
          if (pending.seenMs + offset > nowMs) break;
          asked.push(pending);
          this.#lookStage.set(pending, stage);
        }
        taken++;
      }
      queue.splice(0, taken);
    }
    this.#storedBusy = asked.length > 0;
    return asked;
  }

  readonly #lookStage = new Map<Pending, number>();

  #takeHeals(): (readonly Pending[])[] {
    const batches: (readonly Pending[])[] = [];
    while (this.#heals < MAX_HEALS_IN_FLIGHT && this.#healQueue.length > 0) {
      // One that failed before goes alone, so that it does not fail its neighbours again.
      const alone = (this.#healQueue[0]?.attempts ?? 0) > 0;
      const upTo = alone ? 1 : this.#healQueue.findIndex((pending) => pending.attempts > 0);
      const size = Math.min(upTo < 0 ? this.#healQueue.length : upTo, MAX_HEAL_BATCH);
      const batch = this.#healQueue.splice(0, size).filter((pending) => pending.state !== "done");
      if (batch.length === 0) continue;
      batches.push(batch);
      this.#heals++;
      for (const { vb, seq } of batch) {
        if (seq <= this.vbucket(vb).clock) this.#clamps.push({ vb, seq: seq - 1 });
      }
    }
    return batches;
  }

  #dueMs(): number {
    let due = Number.POSITIVE_INFINITY;
    if (!this.#storedBusy) {
      for (const [stage, queue] of this.#looks.entries()) {
        const first = queue[0];
        if (first) due = Math.min(due, first.seenMs + (this.#lookOffsets[stage] ?? 0));
      }
      due = Math.max(due, this.#storedNotBeforeMs);
    }
    if (this.#heals < MAX_HEALS_IN_FLIGHT) {
      for (const pending of this.#failed) due = Math.min(due, pending.retryMs);
    }
    return due;
  }

  /** The answer of the journal's memory; undefined: it could not be asked. */
  memoryAnswered(
    asked: readonly Pending[],
    answers: readonly (readonly number[] | undefined)[],
  ): void {
    this.#memoryBusy = false;
    this.#recorded(asked, answers);
  }

  /** The answer of the stored journal. */
  storedAnswered(
    asked: readonly Pending[],
    answers: readonly (readonly number[] | undefined)[],
  ): void {
    this.#recorded(asked, answers);
    this.#putBack(asked, (pending, stage) => {
      // What the clock has passed already has had its time.
      const late = this.vbucket(pending.vb).passed(pending.seq);
      return late ? undefined : this.#looks[stage + 1];
    });
  }

  /** The stored journal could not be asked: the question is put again after a pause. */
  storedFailed(asked: readonly Pending[], nowMs: number): void {
    this.#storedNotBeforeMs = nowMs + JOURNAL_RETRY_MS;
    this.#putBack(asked, (_, stage) => this.#looks[stage]);
  }

  /** Puts what still waits into its next queue; where there is none, it is healed. */
  #putBack(
    asked: readonly Pending[],
    queueOf: (pending: Pending, stage: number) => Pending[] | undefined,
  ): void {
    this.#storedBusy = false;
    for (const pending of asked) {
      const stage = this.#lookStage.get(pending) ?? 0;
      this.#lookStage.delete(pending);
      if (pending.state !== "waiting") continue;
      const queue = queueOf(pending, stage);
      if (queue) queue.push(pending);
      else this.#queueHeal(pending);
    }
  }

  #recorded(asked: readonly Pending[], answers: readonly (readonly number[] | undefined)[]): void {
    for (const [i, channels] of answers.entries()) {
      const pending = asked[i];
      if (channels === undefined || pending?.state !== "waiting") continue;
      this.counts.validated++;
      this.#done(pending, channels);
    }
  }

  #queueHeal(pending: Pending): void {
    pending.state = "healing";
    this.#healQueue.push(pending);
  }

  /** A batch was healed: for each mutation the hashes of its channels, or that it was imported. */
  healed(batch: readonly Pending[], results: readonly (readonly number[] | "imported")[]): void {
    assert(results.length === batch.length, "the healer gave not one result for each mutation");
    this.#heals--;
    for (const [i, result] of results.entries()) {
      const pending = batch[i];
      if (pending?.state !== "healing") continue;
      if (result === "imported") this.counts.imported++;
      else this.counts.healed++;
      this.#done(pending, result === "imported" ? [] : (result as readonly number[]));
    }
  }

  /** A batch could not be healed: each of its mutations is tried again, alone, after a pause. */
  healFailed(batch: readonly Pending[], nowMs: number): void {
    this.#heals--;
    this.counts.healFailures++;
    for (const pending of batch) {
      if (pending.state !== "healing") continue;
      pending.state = "failed";
      const pause = Math.min(HEAL_RETRY_MAX_MS, HEAL_RETRY_MIN_MS * 2 ** pending.attempts);
      pending.attempts++;
      pending.retryMs = nowMs + pause;
      this.#failed.add(pending);
    }
  }

  #done(pending: Pending, channels: readonly number[]): void {
    pending.state = "done";
    this.#pending.delete(pending);
    const state = this.vbucket(pending.vb);
    state.validated(pending, channels);
    if (pending.segment.pending === 0) this.#advance(state);
  }

  #advance(state: VbucketState): void {
    if (state.advance((channels) => this.#changed.add(channels))) this.#moved.add(state.vb);
  }

  /** Forgets what was delivered of `vb` beyond its position: its stream starts again. */
  drop(vb: number): void {
    for (const pending of this.#pending) {
      if (pending.vb !== vb) continue;
      pending.state = "done";
      this.#pending.delete(pending);
      this.#failed.delete(pending);
    }
  }

  /** Says that a clamp is stored: the clock goes back to it, and the heals may begin. */
  clamped(vb: number, seq: number): void {
    this.vbucket(vb).lower(seq);
    this.#moved.add(vb);
  }

  /** Says that the clock of `vb` was moved from outside: a rollback. */
  touched(vb: number): void {
    this.#moved.add(vb);
    this.#checking.add(vb);
    this.#changed.add("unknown");
  }

  /** The vbuckets whose clock moved, and the channels changed with that; both start anew. */
  takeMoved(): { vbuckets: readonly number[]; changed: ChangedChannels } {
    const vbuckets = [...this.#moved];
    this.#moved.clear();
    return { vbuckets, changed: this.#changed.take() };
  }
}

/** Whether a gateway wrote this mutation: only then may its record still come by itself. */
function isOurs(mutation: FeedMutation): boolean {
  return mutation.xattrs._sync !== undefined;
}
