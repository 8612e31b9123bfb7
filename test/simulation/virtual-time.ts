// Time that a test moves: timers fire in order of their due time, and between two of them everything
// that was waiting for a promise runs to its end. Nothing here depends on the machine's clock.

import type { Cancel, Time } from "../../src/runtime/time.ts";

interface Timer {
  dueMs: number;
  readonly order: number;
  readonly everyMs: number | undefined;
  readonly run: () => void;
}

/** Rounds of timers due at once, after which something is taken to go round in circles. */
const MAX_ROUNDS = 1_000_000;

/** Virtual time. It moves only when {@link advance} or {@link run} is called. */
export class VirtualTime implements Time {
  #nowMs: number;
  readonly #startMs: number;
  #order = 0;
  readonly #timers = new Set<Timer>();

  /** @param startMs the first `nowMs` */
  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
    this.#startMs = startMs;
  }

  nowMs(): number {
    return Math.floor(this.#nowMs);
  }

  monotonicMs(): number {
    return this.#nowMs - this.#startMs;
  }

  after(ms: number, run: () => void): Cancel {
    return this.#add(ms, undefined, run);
  }

  every(ms: number, run: () => void): Cancel {
    return this.#add(ms, ms, run);
  }

  #add(ms: number, everyMs: number | undefined, run: () => void): Cancel {
    const dueMs = this.#nowMs + Math.max(0, ms);
    const timer: Timer = { dueMs, order: this.#order++, everyMs, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets `ms` milliseconds pass. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await drain();
    for (let round = 0; ; round++) {
      if (round > MAX_ROUNDS) throw new Error("the timers go round in circles");
      const next = this.#next();
      if (next === undefined || next.dueMs > untilMs) break;
      this.#fire(next);
      await drain();
    }
    this.#nowMs = untilMs;
  }

  /** Lets time pass until `promise` is settled, at most `limitMs`; gives what it gives. */
  async run<T>(promise: Promise<T>, limitMs = 600_000): Promise<T> {
    let settled = false;
    const done = () => {
      settled = true;
    };
    promise.then(done, done);
    const untilMs = this.#nowMs + limitMs;
    await drain();
    for (let round = 0; !settled; round++) {
      if (round > MAX_ROUNDS) throw new Error("the timers go round in circles");
      const next = this.#next();
      if (next === undefined) throw new Error("a promise waits for nothing: no timer is set");
      if (next.dueMs > untilMs) throw new Error(`not settled after ${limitMs} ms of virtual time`);
      this.#fire(next);
      await drain();
    }
    return promise;
  }

  /** Lets time pass until `condition` holds; fails after `limitMs`. */
  async until(condition: () => boolean, limitMs = 60_000): Promise<void> {
    const untilMs = this.#nowMs + limitMs;
    await drain();
    while (!condition()) {
      const next = this.#next();
      if (next === undefined || next.dueMs > untilMs) {
        throw new Error(`the condition did not hold within ${limitMs} ms of virtual time`);
      }
      this.#fire(next);
      await drain();
    }
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (
        next === undefined ||
        timer.dueMs < next.dueMs ||
        (timer.dueMs === next.dueMs && timer.order < next.order)
      ) {
        next = timer;
      }
    }
    return next;
  }

  #fire(timer: Timer): void {
    if (timer.dueMs > this.#nowMs) this.#nowMs = timer.dueMs;
    if (timer.everyMs === undefined) this.#timers.delete(timer);
    else timer.dueMs += timer.everyMs;
    timer.run();
  }
}

/** Lets everything that waits for a promise run. */
function drain(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
