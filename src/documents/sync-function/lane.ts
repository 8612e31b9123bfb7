// Where a sync function's slow calls run: one worker thread for each function, started when it is
// needed, let go when it is idle. What does not live here: deciding which calls are slow.

import { assert } from "../../base/assert.ts";
import { TidegateError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Cancel, Time } from "../../runtime/time.ts";
import { startWorker, type WorkerThread } from "../../runtime/worker.ts";
import {
  type FunctionKind,
  MAX_LOST_WORKERS,
  MAX_WAITING_CALLS,
  type SandboxLimits,
  WORKER_GRACE_MS,
  WORKER_IDLE_MS,
  WORKER_START_MS,
} from "./limits.ts";
import type { Outcome } from "./outcome.ts";

/** The file of the thread, from `src/`. */
const ENTRY = "documents/sync-function/sync-function-worker.ts";

/** One call, as it is sent to the thread. */
export interface LaneRequest {
  /** With the first call of a thread: what it is to run. */
  readonly setup:
    | { readonly kind: FunctionKind; readonly source: string; readonly limits: SandboxLimits }
    | undefined;
  readonly text: string;
  readonly budgetMs: number;
}

/** A call that waits for its outcome. */
interface Job {
  readonly text: string;
  resolve(outcome: Outcome | undefined): void;
  reject(error: TidegateError): void;
}

const STUCK: Outcome = { kind: "failed", failure: "time", message: "", logs: [], dropped: 0 };
const CRASHED: Outcome = { kind: "failed", failure: "crash", message: "", logs: [], dropped: 0 };

/** A worker thread for one sync function. Calls run one after the other, in their order. */
export class Lane {
  readonly #kind: FunctionKind;
  readonly #source: string;
  readonly #limits: SandboxLimits;
  readonly #log: Log;
  readonly #time: Time;
  readonly #waiting: Job[] = [];
  #running: Job | undefined;
  #thread: WorkerThread | undefined;
  /** Whether the thread has the source. */
  #started = false;
  #cancel: Cancel = () => {};
  #lost = 0;
  /** Whether threads can be had here at all: false after one could not be started. */
  #usable = true;

  constructor(kind: FunctionKind, source: string, limits: SandboxLimits, log: Log, time: Time) {
    this.#kind = kind;
    this.#source = source;
    this.#limits = limits;
    this.#log = log;
    this.#time = time;
  }

  /**
   * Runs the function on `text` with its whole time; undefined when there are no threads to be had.
   *
   * Rejects with TidegateError `unavailable` when too many calls wait, or the lane is closed.
   */
  async call(text: string): Promise<Outcome | undefined> {
    if (!this.#usable) return undefined;
    if (this.#waiting.length >= MAX_WAITING_CALLS) {
      throw new TidegateError(
        "unavailable",
        `The ${this.#kind} is slow: ${MAX_WAITING_CALLS} documents wait for it. Try again later.`,
      );
    }
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ text, resolve, reject });
      if (this.#running === undefined) this.#next();
    });
  }

  /** Ends the thread; calls that wait are refused as `unavailable`. */
  close(): void {
    this.#drop();
    const jobs = this.#waiting.splice(0);
    if (this.#running !== undefined) jobs.push(this.#running);
    this.#running = undefined;
    for (const job of jobs) {
      job.reject(new TidegateError("unavailable", "The database is being closed."));
    }
  }

  #next(): void {
    assert(this.#running === undefined, "a lane runs one call at a time");
    this.#cancel();
    const job = this.#waiting.shift();
    if (job === undefined) {
      if (this.#thread !== undefined)
        this.#cancel = this.#time.after(WORKER_IDLE_MS, () => this.#drop());
      return;
    }
    this.#running = job;
    if (this.#lost >= MAX_LOST_WORKERS) {
      this.#finish(STUCK);
      return;
    }
    const thread = this.#thread ?? this.#start();
    if (thread === undefined) return;
    const setup = this.#started
      ? undefined
      : { kind: this.#kind, source: this.#source, limits: this.#limits };
    const budgetMs = this.#limits.timeMs;
    const startMs = this.#started ? 0 : WORKER_START_MS;
    this.#started = true;
    thread.post({ setup, text: job.text, budgetMs } satisfies LaneRequest);
    const waitMs = startMs + budgetMs + WORKER_GRACE_MS;
    this.#cancel = this.#time.after(waitMs, () => this.#giveUp());
  }

  #start(): WorkerThread | undefined {
    let thread: WorkerThread | undefined;
    let ready = false;
    try {
      thread = startWorker(ENTRY, {
        onReady: () => {
          ready = true;
        },
        onAnswer: (answer) => {
          if (this.#thread === thread) this.#finish(answer as Outcome);
        },
        onEnd: (reason) => {
          if (this.#thread === thread) this.#ended(reason, ready);
        },
      });
    } catch (error) {
      this.#ended(error instanceof Error ? error : new Error(String(error)), false);
      return undefined;
    }
    this.#thread = thread;
    this.#started = false;
    return thread;
  }

  #finish(outcome: Outcome): void {
    const job = this.#running;
    if (job === undefined) return;
    this.#running = undefined;
    job.resolve(outcome);
    this.#next();
  }

  /** The thread is gone by itself, or never came. */
  #ended(reason: Error | undefined, wasReady: boolean): void {
    this.#drop();
    this.#log.error({ err: reason }, `the ${this.#kind}'s thread ended by itself`);
    if (wasReady) {
      this.#finish(CRASHED);
      return;
    }
    this.#usable = false;
    const jobs = this.#waiting.splice(0);
    if (this.#running !== undefined) jobs.unshift(this.#running);
    this.#running = undefined;
    for (const job of jobs) job.resolve(undefined);
  }

  /** The thread did not come back in time: the engine is in a loop that can't be interrupted. */
  #giveUp(): void {
    this.#lost++;
    this.#log.error({ lost: this.#lost }, `the ${this.#kind}'s thread hangs, and is given up`);
    this.#drop();
    this.#finish(STUCK);
  }

  #drop(): void {
    this.#cancel();
    const thread = this.#thread;
    this.#thread = undefined;
    thread?.terminate().catch((error: unknown) => {
      this.#log.warn({ err: error }, `the ${this.#kind}'s thread did not end in order`);
    });
  }
}
