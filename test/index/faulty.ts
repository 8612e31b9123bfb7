// A collection over a real one that refuses, forgets to answer, or stops: what a busy bucket, a
// broken connection and a killed process look like from the index.

import { TidegateError } from "../../src/base/errors.ts";
import type {
  KeyValueCollection,
  KeyValueOperation,
  KeyValueResult,
} from "../../src/bucket/bucket.ts";

/** What happens to a batch: it is refused, carried out without an answer, or cut off after some. */
export type Fault = "none" | "refused" | "unanswered" | { readonly stopAfter: number };

/** Says what happens to a batch; it may do something to the collection just before. */
export type Plan = (operations: readonly KeyValueOperation[]) => Fault | Promise<Fault>;

/** A collection whose batches meet the faults that `plan` says. */
export class FaultyCollection implements KeyValueCollection {
  readonly #inner: KeyValueCollection;
  readonly #plan: Plan;
  /** Faults so far. */
  faults = 0;

  constructor(inner: KeyValueCollection, plan: Plan) {
    this.#inner = inner;
    this.#plan = plan;
  }

  get(key: string) {
    return this.#inner.get(key);
  }

  getMany(keys: readonly string[]) {
    return this.#inner.getMany(keys);
  }

  keys(prefix: string, options: { after?: string; limit: number }) {
    return this.#inner.keys(prefix, options);
  }

  async batch(operations: readonly KeyValueOperation[]): Promise<KeyValueResult[]> {
    const fault = await this.#plan(operations);
    if (fault !== "none") this.faults++;
    if (fault === "refused") throw new TidegateError("unavailable", "busy");
    if (typeof fault === "object") {
      await this.#inner.batch(operations.slice(0, fault.stopAfter));
      throw new TidegateError("internal", "stopped");
    }
    const results = await this.#inner.batch(operations);
    if (fault === "unanswered") throw new TidegateError("ambiguous", "no answer came");
    return results;
  }
}

/** A plan that stops for ever after so many operations. */
export function stoppingAfter(count: number): Plan {
  let left = count;
  return (operations) => {
    const stopAfter = Math.max(0, left);
    left -= operations.length;
    return left >= 0 ? "none" : { stopAfter };
  };
}
