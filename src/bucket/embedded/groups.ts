// Group commit: operations that come at about the same time share one transaction and one sync.
// What does not live here: what an operation does to the tables.

import { TidegateError } from "../../base/errors.ts";
import type { Random } from "../../runtime/random.ts";
import type { Time } from "../../runtime/time.ts";
import type { Connection } from "./connection.ts";
import { bucketError, isBusy, isEnvironmental, leavesDoubt } from "./failures.ts";
import * as limits from "./limits.ts";

/** What the owner of the tables does around each transaction. */
export interface GroupHooks {
  /** First in the transaction: what is cached must be checked against the file. */
  began(): void;
  /** Last in the transaction: what was only counted in memory is written. */
  ending(): void;
  /** After the commit, before the callers hear of it. */
  committed(): void;
  /** The transaction had no effect: what is cached is worth nothing. */
  rolledBack(): void;
  /** Between two groups: a promise, never rejected, when the next group must wait for it. */
  pause(): Promise<void> | undefined;
}

/** Operations of one caller. `done` counts those that are committed. */
interface Job {
  readonly operations: number;
  readonly bytesEach: number;
  readonly apply: (index: number) => void;
  readonly resolve: () => void;
  readonly reject: (error: TidegateError) => void;
  done: number;
}

/** The operations `from`..`to` of a job, in one group. */
interface Slice {
  readonly job: Job;
  readonly from: number;
  readonly to: number;
}

/**
 * Queues operations and carries them out in groups, one transaction each. A group begins as soon as
 * the event loop turns, so whatever is asked for in one turn shares a commit; while a commit blocks,
 * the next group gathers. An operation that throws takes nobody with it: its group is repeated one
 * operation at a time. When the machine fails (disk full, busy for too long), the group is refused.
 */
export class GroupCommit {
  readonly #connection: Connection;
  readonly #time: Time;
  readonly #random: Random;
  readonly #hooks: GroupHooks;
  #jobs: Job[] = [];
  #head = 0;
  #queuedOperations = 0;
  #queuedBytes = 0;
  #scheduled = false;
  #paused: Promise<void> | undefined;
  #closed = false;
  #drained: (() => void)[] = [];
  #busySinceMs: number | undefined;
  #busyTries = 0;
  /** Operations still to be carried out one by one, because their group threw. */
  #oneByOne = 0;
  /** Counters for `stats()`. */
  readonly counts = {
    groups: 0,
    operations: 0,
    largest_group: 0,
    busy_retries: 0,
    failed_groups: 0,
    failed_operations: 0,
    longest_group_ms: 0,
    group_ms: 0,
  };

  constructor(connection: Connection, time: Time, random: Random, hooks: GroupHooks) {
    this.#connection = connection;
    this.#time = time;
    this.#random = random;
    this.#hooks = hooks;
  }

  /** Operations waiting now. */
  get queued(): number {
    return this.#queuedOperations;
  }

  /** Bytes waiting now. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /**
   * Carries out `apply(0)` … `apply(operations - 1)` in transactions, in this order, and resolves
   * with their results when all are committed. `apply` may run again when its group was rolled back.
   *
   * @param bytes about how much the operations write, together
   * @throws TidegateError `unavailable` (nothing was changed), `ambiguous` (some of many operations
   *   were, or the disk did not say)
   */
  run<T>(operations: number, bytes: number, apply: (index: number) => T): Promise<T[]> {
    if (operations === 0) return Promise.resolve([]);
    if (this.#closed) return Promise.reject(new TidegateError("unavailable", "bucket is closed"));
    const operationsAfter = this.#queuedOperations + operations;
    const bytesAfter = this.#queuedBytes + bytes;
    const full =
      operationsAfter > limits.MAX_QUEUED_OPERATIONS || bytesAfter > limits.MAX_QUEUED_BYTES;
    if (full && this.#queuedOperations > 0) {
      return Promise.reject(
        new TidegateError(
          "unavailable",
          `too many writes are waiting (${this.#queuedOperations} operations, ` +
            `${this.#queuedBytes} bytes); nothing was changed, try again`,
        ),
      );
    }
    this.#queuedOperations = operationsAfter;
    this.#queuedBytes = bytesAfter;
    this.#schedule(0);
    return new Promise((resolve, reject) => {
      const results = new Array<T>(operations);
      this.#jobs.push({
        operations,
        bytesEach: bytes / operations,
        apply: (index) => {
          results[index] = apply(index);
        },
        resolve: () => resolve(results),
        reject,
        done: 0,
      });
    });
  }

  /** Takes no more operations, and resolves when those that wait are carried out or refused. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#queuedOperations > 0) {
      await new Promise<void>((resolve) => this.#drained.push(resolve));
    }
    await this.#paused;
  }

  #schedule(ms: number): void {
    if (this.#scheduled || this.#paused !== undefined) return;
    this.#scheduled = true;
    this.#time.after(ms, () => {
      this.#scheduled = false;
      this.#next();
    });
  }

  #next(): void {
    if (this.#queuedOperations === 0) return;
    const started = this.#time.monotonicMs();
    try {
      this.#connection.begin();
    } catch (error) {
      if (isBusy(error) && this.#waitOrGiveUp(started, error)) return;
      if (!isBusy(error)) this.#refuse(this.#take(), this.#error(error));
      this.#goOn();
      return;
    }
    this.#busySinceMs = undefined;
    this.#busyTries = 0;
    this.#carryOut(this.#take());
    const took = this.#time.monotonicMs() - started;
    this.counts.group_ms += took;
    this.counts.longest_group_ms = Math.max(this.counts.longest_group_ms, took);
    this.#paused = this.#hooks.pause()?.then(() => {
      this.#paused = undefined;
      this.#goOn();
    });
    if (this.#paused === undefined) this.#goOn();
  }

  #goOn(): void {
    if (this.#queuedOperations > 0) this.#schedule(0);
    else for (const drained of this.#drained.splice(0)) drained();
  }

  /** Plans the next try; false when the limit has passed and everything that waits was refused. */
  #waitOrGiveUp(nowMs: number, error: unknown): boolean {
    this.counts.busy_retries++;
    this.#busySinceMs ??= nowMs;
    if (nowMs - this.#busySinceMs < limits.BUSY_LIMIT_MS) {
      this.#schedule(busyPauseMs(this.#busyTries++, this.#random));
      return true;
    }
    this.#busySinceMs = undefined;
    this.#busyTries = 0;
    while (this.#queuedOperations > 0) this.#refuse(this.#take(), this.#error(error));
    return false;
  }

  /** The next group: whole jobs while they fit, or a piece of a job that is larger than a group. */
  #take(): Slice[] {
    const slices: Slice[] = [];
    let room = this.#oneByOne > 0 ? 1 : limits.MAX_GROUP_OPERATIONS;
    let bytes = limits.MAX_GROUP_BYTES;
    for (let at = this.#head; at < this.#jobs.length && room > 0; at++) {
      const job = this.#jobs[at] as Job;
      const left = job.operations - job.done;
      const fits = Math.min(left, room, Math.floor(bytes / Math.max(job.bytesEach, 1)));
      const count = slices.length === 0 ? Math.max(fits, 1) : fits;
      if (count < left && slices.length > 0) break;
      slices.push({ job, from: job.done, to: job.done + count });
      room -= count;
      bytes -= count * job.bytesEach;
    }
    return slices;
  }

  #carryOut(slices: Slice[]): void {
    const operations = slices.reduce((sum, { from, to }) => sum + to - from, 0);
    let committing = false;
    try {
      this.#hooks.began();
      for (const { job, from, to } of slices) {
        for (let index = from; index < to; index++) job.apply(index);
      }
      this.#hooks.ending();
      committing = true;
      this.#connection.commit();
    } catch (error) {
      const cause = this.#rollBack(error);
      if (operations > 1 && !isEnvironmental(cause)) this.#oneByOne = operations;
      else this.#refuse(slices, this.#error(cause, committing));
      return;
    }
    this.counts.groups++;
    this.counts.operations += operations;
    this.counts.largest_group = Math.max(this.counts.largest_group, operations);
    this.#hooks.committed();
    for (const slice of slices) {
      if (this.#finished(slice)) slice.job.resolve();
    }
  }

  /** Ends the transaction without effect; gives the error that callers must hear of. */
  #rollBack(error: unknown): unknown {
    try {
      this.#connection.rollback();
      return error;
    } catch (second) {
      // The file is in a worse state than the first error told.
      return second;
    } finally {
      this.#hooks.rolledBack();
    }
  }

  #error(error: unknown, committing = false): TidegateError {
    const file = this.#connection.file;
    if (committing && leavesDoubt(error)) {
      const reason = `${file}: the disk failed while syncing; read before repeating the write`;
      return new TidegateError("ambiguous", reason, { cause: error });
    }
    return bucketError(error, file, "writing");
  }

  #refuse(slices: Slice[], error: TidegateError): void {
    this.counts.failed_groups++;
    for (const { job } of slices) {
      const partly = job.done > 0;
      this.counts.failed_operations += job.operations - job.done;
      this.#finished({ job, from: job.done, to: job.operations });
      const reason = `some of the operations were carried out, then: ${error.message}`;
      job.reject(partly ? new TidegateError("ambiguous", reason, { cause: error }) : error);
    }
  }

  /** Takes the operations of `slice` off the queue; true when that was the job's last. */
  #finished({ job, from, to }: Slice): boolean {
    const count = to - from;
    job.done = to;
    this.#queuedOperations -= count;
    this.#oneByOne = Math.max(0, this.#oneByOne - count);
    this.#queuedBytes = Math.max(0, this.#queuedBytes - count * job.bytesEach);
    if (this.#queuedOperations === 0) this.#queuedBytes = 0;
    if (job.done < job.operations) return false;
    // Jobs finish in the order in which they came, so this is the first one.
    this.#head++;
    if (this.#head === this.#jobs.length || this.#head > 1024) {
      this.#jobs = this.#jobs.slice(this.#head);
      this.#head = 0;
    }
    return true;
  }
}

/** The pause before try number `tries` for a busy file: doubled each time up to a limit, jittered. */
export function busyPauseMs(tries: number, random: Random): number {
  const longest = limits.BUSY_FIRST_PAUSE_MS * 2 ** Math.min(tries, 10);
  return Math.min(longest, limits.BUSY_LONGEST_PAUSE_MS) * (0.5 + random.fraction() / 2);
}
