// When a tick is published: at once when idle, at most every interval under load; and again after a
// pause when storing it failed. What is stored, and in which order: term.ts and aggregator.ts.

import { isTidegateError } from "../base/errors.ts";
import { equals } from "../clock/clock.ts";
import type { Clock } from "../clock/tick.ts";
import type { Cancel, Time } from "../runtime/time.ts";
import type { Aggregator } from "./aggregator.ts";
import { ChangedSet } from "./changed-set.ts";
import type { Journal } from "./ports.ts";
import type { Problems } from "./problems.ts";
import { MAX_HOLD_MS, WRITE_RETRY_MAX_MS, WRITE_RETRY_MIN_MS } from "./settings.ts";
import type { Term } from "./term.ts";
import type { Validation } from "./validation.ts";

/** What a {@link Ticker} needs. */
export interface TickerOptions {
  readonly time: Time;
  readonly problems: Problems;
  readonly tickIntervalMs: number;
  /** The clock that was published last, in an earlier term. */
  readonly published: Clock;
  readonly term: Term;
  readonly aggregator: Aggregator;
  readonly validation: Validation;
  readonly journal: Journal;
  /** Called when another node took over. */
  readonly lost: (error: unknown) => void;
}

/** Publishes the ticks of one term. */
export class Ticker {
  /** Ticks published, those that could not be stored, and the time spent in storing them. */
  readonly counts = { ticks: 0, tickFailures: 0, tickMs: 0 };
  readonly #options: TickerOptions;
  readonly #clock: Float64Array;
  /** Moved vbuckets whose partition clock is not known to be stored. */
  #unwritten = new Set<number>();
  readonly #changed = new ChangedSet();
  /** Whether the partition clocks stored are ahead of what is published. */
  #unpublished = false;
  #lastMs = Number.NEGATIVE_INFINITY;
  /** Ticks wait until then for vbuckets that are checked again. */
  #heldUntilMs = Number.NEGATIVE_INFINITY;
  #scheduled: Cancel | undefined;
  #running = false;
  #retryMs = 0;
  #stopped = false;
  #lock: Promise<void> = Promise.resolve();

  constructor(options: TickerOptions) {
    this.#options = options;
    this.#clock = Float64Array.from(options.term.states, (state) => state.clock);
    // The owner before may have ended between storing its clocks and publishing them.
    if (!equals(this.#clock, options.published)) {
      this.#unpublished = true;
      this.#changed.add("unknown");
    }
  }

  /** Runs `task` while no tick and no other task of this lock is under way. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#lock.then(task);
    this.#lock = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  /**
   * Holds ticks back, for a bounded time, while vbuckets are checked again after a rollback: their
   * clocks may claim what was never indexed. Should it take longer, older ticks are clamped for it.
   */
  hold(): void {
    this.#heldUntilMs = this.#options.time.monotonicMs() + MAX_HOLD_MS;
  }

  /** Says that the clock of `vb` was clamped to `seq`: it moves on from there. */
  cut(vb: number, seq: number): void {
    if ((this.#clock[vb] ?? 0) > seq) this.#clock[vb] = seq;
  }

  /** Says that clocks may have moved: publishes a tick, now or when it may. */
  moved(): void {
    const { time, tickIntervalMs, validation } = this.#options;
    const held = this.#heldUntilMs > time.monotonicMs() && validation.checking;
    if (!held && this.#heldUntilMs > Number.NEGATIVE_INFINITY) {
      this.#heldUntilMs = Number.NEGATIVE_INFINITY;
      this.#scheduled?.();
      this.#scheduled = undefined;
    }
    if (this.#stopped || this.#running || this.#scheduled) return;
    if (!this.#wanted()) return;
    const dueMs = Math.max(this.#lastMs + tickIntervalMs, held ? this.#heldUntilMs : 0);
    const pause = Math.max(dueMs - time.monotonicMs(), this.#retryMs);
    if (pause <= 0) void this.#run();
    else {
      this.#scheduled = time.after(Math.ceil(pause), () => {
        this.#scheduled = undefined;
        void this.#run();
      });
    }
  }

  #wanted(): boolean {
    return this.#options.validation.moved.size > 0 || this.#unwritten.size > 0 || this.#unpublished;
  }

  /** Publishes what is there, without waiting for the interval. Throws what publishing throws. */
  async flush(): Promise<void> {
    await this.exclusive(async () => {
      if (this.#wanted()) await this.#tick();
    });
  }

  /** Publishes no more. What is under way comes to its end. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#scheduled?.();
    await this.#lock;
  }

  async #run(): Promise<void> {
    const { time, problems, lost } = this.#options;
    this.#running = true;
    this.#lastMs = time.monotonicMs();
    try {
      await this.exclusive(() => (this.#stopped ? Promise.resolve() : this.#tick()));
      this.#retryMs = 0;
      problems.clear("tick");
    } catch (error) {
      this.counts.tickFailures++;
      if (isTidegateError(error, "stale_owner")) {
        this.#stopped = true;
        lost(error);
        return;
      }
      problems.raise("tick", error);
      const doubled = Math.max(this.#retryMs * 2, WRITE_RETRY_MIN_MS);
      this.#retryMs = Math.min(doubled, WRITE_RETRY_MAX_MS);
      await this.reread();
    } finally {
      this.#running = false;
    }
    this.moved();
  }

  async #tick(): Promise<void> {
    const { term, aggregator, validation, journal, time } = this.#options;
    const startedMs = time.monotonicMs();
    const { vbuckets, changed } = validation.takeMoved();
    this.#changed.add(changed);
    for (const vb of vbuckets) this.#unwritten.add(vb);
    const next = this.#clock.slice();
    for (const vb of this.#unwritten) next[vb] = validation.vbucket(vb).clock;
    await term.write(this.#unwritten);
    for (const vb of this.#unwritten) {
      const [from, to] = [this.#clock[vb] ?? 0, next[vb] ?? 0];
      if (to > from) journal.validated?.(vb, from, to);
    }
    this.#clock.set(next);
    this.#unwritten = new Set();
    this.#unpublished = true;
    await aggregator.publish(next, this.#changed.take());
    this.#unpublished = false;
    journal.passed(next);
    this.counts.ticks++;
    this.counts.tickMs += time.monotonicMs() - startedMs;
  }

  /** After a write that failed: learns which CAS the documents have, so that the next can succeed. */
  async reread(): Promise<void> {
    const { term, aggregator, problems, lost } = this.#options;
    try {
      await this.exclusive(async () => {
        await term.reread();
        await aggregator.reread();
      });
    } catch (error) {
      if (!isTidegateError(error, "stale_owner")) return problems.raise("tick", error);
      this.#stopped = true;
      lost(error);
    }
  }
}
