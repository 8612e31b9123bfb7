// The stable clock as this node knows it: the head, and who hears of each tick.

import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import { includesClock } from "../clock/clock.ts";
import type { Clock, Stable } from "../clock/tick.ts";
import type { ChangedChannels, StableClock, TickListener } from "./ports.ts";

/** The stable clock of a node; the owner and the follower publish into it. */
export class StableHead implements StableClock {
  #head: Stable;
  readonly #listeners = new Set<TickListener>();
  readonly #waiters = new Set<{ clock: Clock; done: () => void }>();
  /** Called when a listener throws: a defect, which must not keep the tick from the others. */
  readonly #failed: (error: unknown) => void;

  constructor(head: Stable, failed: (error: unknown) => void) {
    this.#head = head;
    this.#failed = failed;
  }

  head(): Stable {
    return this.#head;
  }

  subscribe(listener: TickListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  reached(clock: Clock, signal?: AbortSignal): Promise<void> {
    if (includesClock(this.#head.clock, clock)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const end = () => {
        this.#waiters.delete(waiter);
        signal?.removeEventListener("abort", aborted);
      };
      const aborted = () => {
        end();
        reject(new TidegateError("unavailable", "the wait for the stable clock was ended"));
      };
      const done = () => {
        end();
        resolve();
      };
      const waiter = { clock, done };
      if (signal?.aborted) return aborted();
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", aborted);
    });
  }

  /** Makes `stable` the head and tells everyone. The clock must not be changed afterwards. */
  publish(stable: Stable, changed: ChangedChannels): void {
    assert(stable.tick > this.#head.tick, "ticks grow");
    this.#head = stable;
    for (const listener of this.#listeners) {
      try {
        listener(stable, changed);
      } catch (error) {
        this.#failed(error);
      }
    }
    for (const waiter of [...this.#waiters]) {
      if (includesClock(stable.clock, waiter.clock)) waiter.done();
    }
  }
}
