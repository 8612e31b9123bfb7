// Work that needs many bytes of memory at once waits here for its turn, so that what is under way at
// the same moment is bounded. What becomes of the bytes afterwards is not known here.

import { TidegateError } from "../base/errors.ts";

interface Waiting {
  readonly bytes: number;
  enter(): void;
}

/** Lets work in, in the order it came, as long as its bytes fit. */
export class ByteGate {
  readonly #limitBytes: number;
  readonly #maxWaiting: number;
  readonly #what: string;
  readonly #waiting: Waiting[] = [];
  #inside = 0;

  /**
   * @param limitBytes the most bytes inside; work of more goes in alone
   * @param maxWaiting the most that may wait; beyond, `unavailable`
   * @param what what there is too much of then, such as "attachments are being read"
   */
  constructor(limitBytes: number, maxWaiting: number, what: string) {
    this.#what = what;
    this.#limitBytes = limitBytes;
    this.#maxWaiting = maxWaiting;
  }

  /** Runs `work` when there is room for `bytes`. Rejects with `unavailable` when too much waits. */
  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) await this.#turn(bytes);
    else this.#inside += bytes;
    try {
      return await work();
    } finally {
      this.#inside -= bytes;
      this.#letIn();
    }
  }

  #fits(bytes: number): boolean {
    return this.#inside === 0 || this.#inside + bytes <= this.#limitBytes;
  }

  #turn(bytes: number): Promise<void> {
    if (this.#waiting.length >= this.#maxWaiting) {
      const reason = `too many ${this.#what} at this moment; try again`;
      throw new TidegateError("unavailable", reason, { retryAfterSeconds: 1 });
    }
    return new Promise((enter) => {
      this.#waiting.push({ bytes, enter });
    });
  }

  #letIn(): void {
    for (let [first] = this.#waiting; first && this.#fits(first.bytes); [first] = this.#waiting) {
      this.#waiting.shift();
      this.#inside += first.bytes;
      first.enter();
    }
  }
}
