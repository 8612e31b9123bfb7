// CAS values: a hybrid clock. What does not live here: where the last value is stored.

import { assert } from "../../base/assert.ts";
import type { Time } from "../../runtime/time.ts";

/**
 * Gives CAS values: microseconds since the Unix epoch, and always more than the value before, also
 * when the machine's clock goes back. Integers below 2^53, so that SQLite and JavaScript hold them
 * as plain numbers; the bucket's interface shows them as bigint.
 */
export class CasClock {
  readonly #time: Time;
  /** The newest value given, or seen in the file. */
  last = 0;

  constructor(time: Time) {
    this.#time = time;
  }

  /** The next value. */
  next(): number {
    this.last = Math.max(this.last + 1, this.#time.nowMs() * 1000);
    assert(Number.isSafeInteger(this.last), "CAS is a safe integer");
    return this.last;
  }
}
