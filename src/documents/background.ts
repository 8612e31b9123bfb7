// Writes that a save starts and nobody waits for: bodies of superseded revisions, removing what is
// not referenced any more. A failure costs space, never a document; it is logged and counted.

import type { Log } from "../base/log.ts";
import { MAX_BACKGROUND_WRITES } from "./limits.ts";

/** Clean-up writes under way. */
export class Background {
  readonly #log: Log;
  readonly #pending = new Set<Promise<void>>();
  /** The writes that failed since the start. */
  failures = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Takes over `work`. Gives back a promise to wait for only when too much is under way, so that
   * a slow bucket slows the saves down rather than filling the memory.
   *
   * @param what for the log: what it is that failed
   */
  add(work: Promise<unknown>, what: string): Promise<void> | undefined {
    const tracked = work.then(
      () => {
        this.#pending.delete(tracked);
      },
      (error: unknown) => {
        this.#pending.delete(tracked);
        this.failures++;
        this.#log.warn({ err: error }, `${what} failed; it only takes up space`);
      },
    );
    this.#pending.add(tracked);
    return this.#pending.size > MAX_BACKGROUND_WRITES ? tracked : undefined;
  }

  /** Resolves when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
  }
}
