// A bounded set of channel hashes: what changed since some moment. Beyond its bound it says
// "unknown", which only wakes more readers than needed.

import type { ChangedChannels } from "./ports.ts";
import { MAX_CHANGED_CHANNELS } from "./settings.ts";

/** Channel hashes, collected; "unknown" once there were more than fit. */
export class ChangedSet {
  #hashes: Set<number> | undefined;
  #unknown = false;
  readonly #limit: number;

  /** @param limit the most hashes kept */
  constructor(limit = MAX_CHANGED_CHANNELS) {
    this.#limit = limit;
  }

  /** Whether nothing was added. */
  get empty(): boolean {
    return !this.#unknown && (this.#hashes === undefined || this.#hashes.size === 0);
  }

  /** Adds the hashes of one mutation. */
  add(hashes: Iterable<number> | "unknown"): void {
    if (this.#unknown) return;
    if (hashes !== "unknown") {
      this.#hashes ??= new Set();
      for (const hash of hashes) this.#hashes.add(hash);
      if (this.#hashes.size <= this.#limit) return;
    }
    this.#unknown = true;
    this.#hashes = undefined;
  }

  /** What was collected. The set given is never changed afterwards by `take`. */
  get value(): ChangedChannels {
    return this.#unknown ? "unknown" : (this.#hashes ?? NOTHING);
  }

  /** Gives what was collected and starts anew. */
  take(): ChangedChannels {
    const value = this.value;
    this.#hashes = undefined;
    this.#unknown = false;
    return value;
  }
}

const NOTHING: ReadonlySet<number> = new Set();
