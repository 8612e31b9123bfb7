// Who owns the partitions: a steppable core that watches the cluster document. Ownership is taken by
// compare-and-swap with a higher epoch, so a wrong guess here costs noise, never correctness.

import type { ClusterRecord } from "./records.ts";
import type { Stored } from "./store.ts";

/** How a node appears in the cluster document. */
export interface Instance {
  /** Unlike every other instance, also of the same process. */
  readonly id: string;
  readonly host: string;
  readonly pid: number;
}

/** Decides when this node may take over from the owner it sees. */
export class Election {
  readonly #own: string;
  readonly #takeOverMs: number;
  readonly #gone: (owner: Instance) => boolean;
  #seen: bigint | undefined;
  #seenMs = 0;

  /**
   * @param own this node's instance: what it took and could not begin it may take again
   * @param takeOverMs how long the owner's heartbeat may stand still, by this node's own clock
   * @param gone whether this node knows for sure that the owner's process is gone
   */
  constructor(own: string, takeOverMs: number, gone: (owner: Instance) => boolean) {
    this.#own = own;
    this.#takeOverMs = takeOverMs;
    this.#gone = gone;
  }

  /** Looks at the cluster document: may this node take over? */
  mayTake(found: Stored<ClusterRecord> | undefined, nowMs: number): boolean {
    if (found === undefined || found.record.released) return true;
    const { owner, host, pid } = found.record;
    if (owner === this.#own || this.#gone({ id: owner, host, pid })) return true;
    // The heartbeat is compared by its CAS and timed by this node's own monotonic clock: clocks of
    // two machines are never compared.
    if (found.cas !== this.#seen) {
      this.#seen = found.cas;
      this.#seenMs = nowMs;
    }
    return nowMs - this.#seenMs >= this.#takeOverMs;
  }
}
