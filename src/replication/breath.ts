// Long work on the event loop, in pieces: so that others are served meanwhile.

import { sleep, type Time } from "../runtime/time.ts";
import { MAX_BUSY_MS } from "./limits.ts";

/** Lets the event loop turn when it was kept busy for a while. */
export class Breath {
  readonly #time: Time;
  #since: number;
  #pause: Promise<void> | undefined;

  constructor(time: Time) {
    this.#time = time;
    this.#since = time.monotonicMs();
  }

  /** To be awaited between two pieces of work; undefined when there is nothing to wait for. */
  take(): Promise<void> | undefined {
    if (this.#pause) return this.#pause;
    if (this.#time.monotonicMs() - this.#since < MAX_BUSY_MS) return undefined;
    this.#pause = sleep(this.#time, 0).then(() => {
      this.#pause = undefined;
      this.#since = this.#time.monotonicMs();
    });
    return this.#pause;
  }
}
