// Large answers that wait in memory for their clients to take them: bounded altogether. Whoever
// takes nothing of its answer for a while is cut when there is no room for another.

import { TidegateError } from "../base/errors.ts";
import type { Time } from "../runtime/time.ts";

/** What is not larger is not counted. */
export const LARGE_ANSWER_BYTES = 1024 * 1024;

/**
 * An answer of which no slice was taken for so long may be cut for another. With slices of 256 KiB
 * that is who takes less than some 50 KiB a second.
 */
const STALLED_MS = 5000;

/** A client that found no room may try again after this. */
const RETRY_SECONDS = 2;

/** One answer that is held. */
export interface HeldAnswer {
  /** The client took a part of it. */
  taken(): void;
  /** It is not held any more. Calling it again does nothing. */
  release(): void;
}

interface Entry {
  readonly bytes: number;
  readonly cut: () => void;
  movedMs: number;
}

/** All of them. */
export class HeldAnswers {
  readonly #time: Time;
  readonly #limitBytes: number;
  /** The one of which nothing was taken for the longest time is first. */
  readonly #entries = new Set<Entry>();
  #held = 0;

  /** @param limitBytes the most bytes held at once; an answer that is larger is held alone */
  constructor(time: Time, limitBytes: number) {
    this.#time = time;
    this.#limitBytes = limitBytes;
  }

  /** Bytes held now. */
  get held(): number {
    return this.#held;
  }

  /**
   * Holds an answer of `bytes` until it is released. Throws `unavailable` when there is no
   * room, also after stalled ones were cut.
   *
   * @param cut ends the answer in the middle; called at most once
   */
  hold(bytes: number, cut: () => void): HeldAnswer {
    this.makeRoom(bytes);
    const entry: Entry = { bytes, cut, movedMs: this.#time.monotonicMs() };
    this.#entries.add(entry);
    this.#held += bytes;
    return {
      taken: () => {
        entry.movedMs = this.#time.monotonicMs();
        if (this.#entries.delete(entry)) this.#entries.add(entry);
      },
      release: () => this.#remove(entry),
    };
  }

  /** Throws `unavailable` when there is no room for `bytes`, also after stalled ones were cut. */
  makeRoom(bytes: number): void {
    while (this.#held > 0 && this.#held + bytes > this.#limitBytes) {
      const [first] = this.#entries;
      if (!first || this.#time.monotonicMs() - first.movedMs < STALLED_MS) {
        const reason = `answers take ${this.#held} bytes already (limits.heldAnswerBytes)`;
        throw new TidegateError("unavailable", reason, { retryAfterSeconds: RETRY_SECONDS });
      }
      this.#remove(first);
      first.cut();
    }
  }

  #remove(entry: Entry): void {
    if (this.#entries.delete(entry)) this.#held -= entry.bytes;
  }
}
