// Publishes ticks: names the joined clock, stores it in the lookup map, then in the head, and only
// then tells the node. In this order nothing is ever announced that a crash could take back.

import { TidegateError } from "../base/errors.ts";
import type { Clock, Stable } from "../clock/tick.ts";
import type { TickSource } from "../clock/tick-source.ts";
import { ChangedSet } from "./changed-set.ts";
import { HeadRing } from "./head-ring.ts";
import type { ChangedChannels, LookupMap } from "./ports.ts";
import type { Rollbacks } from "./rollbacks.ts";
import type { StableHead } from "./stable.ts";
import type { ControllerStore } from "./store.ts";

/** How often a swap is tried again when another node wrote in between. */
const MAX_SWAP_ATTEMPTS = 8;

/** What an {@link Aggregator} needs. */
export interface AggregatorOptions {
  readonly store: ControllerStore;
  readonly lookup: LookupMap;
  readonly ticks: TickSource;
  readonly stable: StableHead;
  readonly rollbacks: Rollbacks;
  readonly epoch: number;
}

/** The aggregator of one term of ownership. Its calls must come one after the other. */
export class Aggregator {
  readonly #options: AggregatorOptions;
  readonly #ring: HeadRing;
  #headCas: bigint;
  #rollbacksCas: bigint;
  /** Changed since the last tick that was published; kept when publishing fails. */
  readonly #unpublished = new ChangedSet();

  private constructor(options: AggregatorOptions, headCas: bigint, rollbacksCas: bigint) {
    this.#options = options;
    this.#headCas = headCas;
    this.#rollbacksCas = rollbacksCas;
    // What changed in the ticks before this term is not known here: those who were not awake look
    // at all.
    this.#ring = new HeadRing(options.stable.head().tick);
  }

  /**
   * Opens the aggregator of a term that was taken. The head is written anew under its epoch, so that
   * the aggregator before it can't write it any more.
   *
   * @throws TidegateError `stale_owner` when another node took over in between
   */
  static async open(options: AggregatorOptions): Promise<Aggregator> {
    const { store, rollbacks, epoch } = options;
    let headCas = 0n;
    for (let attempt = 0; ; attempt++) {
      const head = await store.head();
      if ((head?.record.epoch ?? 0) > epoch) throw stale("the head");
      if (head === undefined) break;
      const cas = await store.writeHead({ ...head.record, epoch }, head.cas);
      if (cas !== undefined) {
        headCas = cas;
        break;
      }
      if (attempt === MAX_SWAP_ATTEMPTS) throw stale("the head");
    }
    const { record, cas } = await store.rollbacks();
    rollbacks.replace(record);
    return new Aggregator(options, headCas, cas);
  }

  /**
   * Publishes `clock`, which the partition clocks already hold, as the next tick.
   *
   * @param clock not to be changed afterwards
   * @throws TidegateError `stale_owner` when another node took over
   */
  async publish(clock: Clock, changed: ChangedChannels): Promise<Stable> {
    const { store, lookup, ticks, stable, rollbacks, epoch } = this.#options;
    this.#unpublished.add(changed);
    const tick = await ticks.next();
    await lookup.append(tick, clock);
    const all = this.#unpublished.take();
    this.#ring.add(tick, all);
    const head = { tick, clock };
    const record = { epoch, stable: head, rollbacks: rollbacks.version, ...this.#ring.record() };
    try {
      const cas = await store.writeHead(record, this.#headCas);
      if (cas === undefined) throw stale("the head");
      this.#headCas = cas;
    } catch (error) {
      this.#unpublished.add(all);
      throw error;
    }
    stable.publish(head, all);
    return head;
  }

  /**
   * Stores that ticks until now must not reach beyond these seqs.
   *
   * @throws TidegateError `stale_owner` when another node took over
   */
  async cut(cuts: readonly { readonly vb: number; readonly seq: number }[]): Promise<void> {
    const { store, ticks, rollbacks } = this.#options;
    const tick = ticks.last;
    for (let attempt = 0; attempt < MAX_SWAP_ATTEMPTS; attempt++) {
      const next = rollbacks.with(cuts.map(({ vb, seq }) => ({ vb, seq, tick })));
      const cas = await store.writeRollbacks(next, this.#rollbacksCas);
      if (cas !== undefined) {
        this.#rollbacksCas = cas;
        rollbacks.replace(next);
        return;
      }
      // Another node saw rollbacks too: what it saw is as true, and is kept.
      await this.#rereadRollbacks();
    }
    throw stale("the rollbacks");
  }

  /** After a write whose outcome is not known: finds out which CAS the documents have now. */
  async reread(): Promise<void> {
    const head = await this.#options.store.head();
    if ((head?.record.epoch ?? 0) > this.#options.epoch) throw stale("the head");
    this.#headCas = head?.cas ?? 0n;
    await this.#rereadRollbacks();
  }

  async #rereadRollbacks(): Promise<void> {
    const { record, cas } = await this.#options.store.rollbacks();
    this.#options.rollbacks.replace(record);
    this.#rollbacksCas = cas;
  }
}

function stale(what: string): TidegateError {
  return new TidegateError("stale_owner", `${what} was written by another node: it aggregates now`);
}
