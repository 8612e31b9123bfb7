// Time and timers as the floors above see them: handed in, so that a simulator can run them.
// What does not live here: dates in texts, and anything a test would not want to control.

/** Ends a timer. Calling it twice, or after the timer fired, does nothing. */
export type Cancel = () => void;

/** The only source of time above `src/runtime/`. */
export interface Time {
  /** The machine's clock: milliseconds since the Unix epoch, an integer. It may jump, both ways. */
  nowMs(): number;
  /** Milliseconds since some start, with fractions. It never goes back. For durations. */
  monotonicMs(): number;
  /** Calls `run` once, `ms` milliseconds from now; `0` means as soon as the event loop turns. */
  after(ms: number, run: () => void): Cancel;
  /** Calls `run` every `ms` milliseconds until cancelled. */
  every(ms: number, run: () => void): Cancel;
}

/** The machine's own time. Its timers keep the process alive only when `keepAlive` is true. */
export function systemTime(keepAlive = true): Time {
  return {
    nowMs: () => Date.now(),
    monotonicMs: () => performance.now(),
    after(ms, run) {
      if (ms <= 0) {
        const immediate = setImmediate(run);
        return () => clearImmediate(immediate);
      }
      const timer = setTimeout(run, ms);
      if (!keepAlive) timer.unref();
      return () => clearTimeout(timer);
    },
    every(ms, run) {
      const timer = setInterval(run, ms);
      if (!keepAlive) timer.unref();
      return () => clearInterval(timer);
    },
  };
}

/** Resolves `ms` milliseconds from now by `time`; at once, when `signal` is or becomes aborted. */
export function sleep(time: Time, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const cancel = time.after(ms, done);
    signal?.addEventListener("abort", done);
  });
}
