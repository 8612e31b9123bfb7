// The controller of one node: it follows the stable clock, takes over the partitions when nobody
// owns them, and steps down loudly when another node took them.

import type { Log } from "../base/log.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { Branches } from "../clock/branches.ts";
import { zeroClock } from "../clock/clock.ts";
import { TICK_ZERO } from "../clock/sequence.ts";
import { openTickSource, type TickSource } from "../clock/tick-source.ts";
import { sleep, type Time } from "../runtime/time.ts";
import { Aggregator } from "./aggregator.ts";
import { Election, type Instance } from "./election.ts";
import { follow } from "./follower.ts";
import { Owner } from "./owner.ts";
import type { FollowedLookupMap, Healer, Journal, LookupMap, StableClock } from "./ports.ts";
import type { Problems } from "./problems.ts";
import { Rollbacks } from "./rollbacks.ts";
import {
  type ControllerSettings,
  DEFAULT_CONTROLLER_SETTINGS,
  WRITE_RETRY_MAX_MS,
  WRITE_RETRY_MIN_MS,
} from "./settings.ts";
import { StableHead } from "./stable.ts";
import { ControllerStore } from "./store.ts";
import { type Term, takeTerm } from "./term.ts";

/** What {@link openController} needs. */
export interface ControllerOptions {
  readonly bucket: Bucket;
  /** Opens the lookup map over the index collection, clamped by these branches. */
  readonly openLookup: (branches: Branches) => Promise<FollowedLookupMap>;
  readonly journal: Journal;
  readonly healer: Healer;
  readonly time: Time;
  readonly log: Log;
  readonly problems: Problems;
  /** This node, as it appears in the cluster document. */
  readonly instance: Instance;
  /** Whether this node knows for sure that an owner's process is gone. Never, unless given. */
  readonly gone?: (owner: Instance) => boolean;
  readonly settings?: Partial<ControllerSettings>;
}

/** What a controller counts, for metrics. All grow, but for the last two. */
export interface ControllerMetrics {
  readonly validated: number;
  readonly healed: number;
  readonly imported: number;
  readonly healFailures: number;
  readonly ticks: number;
  /** The time spent in storing ticks altogether, in milliseconds. */
  readonly tickMs: number;
  readonly tickFailures: number;
  readonly casLosses: number;
  /** Mutations of the feed that are not validated yet. */
  readonly pending: number;
  /** 1 while this node owns the partitions. */
  readonly owner: number;
}

/** A node's controller, running. */
export interface Controller extends StableClock {
  readonly lookup: LookupMap;
  readonly branches: Branches;
  readonly role: "owner" | "follower";
  metrics(): ControllerMetrics;
  /**
   * Publishes what is validated, lets go of the partitions, and ends. The bucket's writes must have
   * come to their end before.
   */
  close(): Promise<void>;
  /** Ends as a crash would: nothing is published and nothing let go. For tests and simulators. */
  abandon(): Promise<void>;
}

/** Opens the controller of a node: it owns the partitions at once when nobody else does. */
export async function openController(options: ControllerOptions): Promise<Controller> {
  const rollbacks = new Rollbacks();
  const store = new ControllerStore(options.bucket.index);
  await store.removeDamaged(options.log);
  rollbacks.replace((await store.rollbacks()).record);
  const lookup = await options.openLookup(rollbacks);
  const node = new Node(options, store, rollbacks, lookup);
  await node.start();
  return node;
}

const ZERO_METRICS: ControllerMetrics = {
  validated: 0,
  healed: 0,
  imported: 0,
  healFailures: 0,
  ticks: 0,
  tickMs: 0,
  tickFailures: 0,
  casLosses: 0,
  pending: 0,
  owner: 0,
};

/** A term that was taken; `ended` resolves when it is over and put away. */
interface TermEnd {
  readonly ended: Promise<void>;
}

class Node implements Controller {
  readonly lookup: FollowedLookupMap;
  readonly branches: Rollbacks;
  readonly #options: ControllerOptions;
  readonly #settings: ControllerSettings;
  readonly #store: ControllerStore;
  readonly #ended = new AbortController();
  #stable: StableHead;
  #owner: Owner | undefined;
  #release: (() => Promise<void>) | undefined;
  /** Counts of the terms that are over. */
  #past: ControllerMetrics = ZERO_METRICS;
  #loop: Promise<void> = Promise.resolve();

  constructor(
    options: ControllerOptions,
    store: ControllerStore,
    rollbacks: Rollbacks,
    lookup: FollowedLookupMap,
  ) {
    this.#options = options;
    this.#settings = { ...DEFAULT_CONTROLLER_SETTINGS, ...options.settings };
    this.#store = store;
    this.branches = rollbacks;
    this.lookup = lookup;
    const zero = { tick: TICK_ZERO, clock: zeroClock(options.bucket.vbuckets) };
    this.#stable = new StableHead(zero, (error) => options.problems.raise("tick listener", error));
  }

  async start(): Promise<void> {
    const newest = this.lookup.newest();
    if (newest !== undefined) {
      this.#stable.publish(await this.lookup.resolve(newest.tick), "unknown");
    }
    const { time } = this.#options;
    const { id } = this.#options.instance;
    const gone = this.#options.gone ?? (() => false);
    const election = new Election(id, this.#settings.takeOverMs, gone);
    const cluster = await this.#store.cluster();
    const free = election.mayTake(cluster, time.monotonicMs());
    const term = free ? await this.#take(cluster?.cas ?? 0n) : undefined;
    this.#loop = this.#run(election, term);
  }

  get role(): "owner" | "follower" {
    return this.#owner === undefined ? "follower" : "owner";
  }

  head() {
    return this.#stable.head();
  }

  subscribe(listener: Parameters<StableClock["subscribe"]>[0]): () => void {
    return this.#stable.subscribe(listener);
  }

  reached(...parameters: Parameters<StableClock["reached"]>): Promise<void> {
    return this.#stable.reached(...parameters);
  }

  metrics(): ControllerMetrics {
    const owner = this.#owner;
    if (owner === undefined) return this.#past;
    return add(this.#past, {
      ...owner.validation.counts,
      ...owner.ticker.counts,
      casLosses: 0,
      pending: owner.validation.pending,
      owner: 1,
    });
  }

  async close(): Promise<void> {
    try {
      await this.#owner?.ticker.flush();
    } catch (error) {
      this.#options.problems.raise("tick", error);
    }
    this.#ended.abort();
    await this.#loop;
    await this.lookup.close();
    try {
      await this.#release?.();
    } catch (error) {
      // Another node waits a little longer, nothing more.
      this.#options.log.warn({ err: error }, "the partitions could not be let go of");
    }
  }

  async abandon(): Promise<void> {
    this.#ended.abort();
    await this.#loop;
    await this.lookup.close();
  }

  /** Owner, follower, owner, … until closed. */
  async #run(election: Election, first: TermEnd | undefined): Promise<void> {
    const { time, problems } = this.#options;
    const { signal } = this.#ended;
    const following = {
      store: this.#store,
      lookup: this.lookup,
      stable: this.#stable,
      rollbacks: this.branches,
      election,
      time,
      problems,
      settings: this.#settings,
    };
    let term = first;
    let pauseMs = WRITE_RETRY_MIN_MS;
    while (!signal.aborted) {
      if (term === undefined) {
        const seen = await follow(following, signal);
        if (seen === undefined) return;
        try {
          term = await this.#take(seen);
          problems.clear("take-over");
          pauseMs = WRITE_RETRY_MIN_MS;
        } catch (error) {
          problems.raise("take-over", error);
          await sleep(time, pauseMs, signal);
          pauseMs = Math.min(pauseMs * 2, WRITE_RETRY_MAX_MS);
        }
      }
      await term?.ended;
      term = undefined;
    }
  }

  /** Takes ownership. Gives undefined when another node was faster. */
  async #take(seen: bigint): Promise<TermEnd | undefined> {
    const { bucket, time, log, problems, instance, journal, healer } = this.#options;
    const term = await takeTerm(
      {
        store: this.#store,
        instance,
        partitions: this.#settings.partitions,
        vbuckets: bucket.vbuckets,
        floor: this.#stable.head().clock,
      },
      seen,
    );
    if (term === undefined) return undefined;
    const above = this.lookup.newest()?.tick ?? TICK_ZERO;
    const ticks = await openTickSource({ metadata: bucket.metadata, time, log, above });
    const aggregator = await Aggregator.open({
      store: this.#store,
      lookup: this.lookup,
      ticks,
      stable: this.#stable,
      rollbacks: this.branches,
      epoch: term.epoch,
    });
    let over = () => {};
    const lost = new Promise<void>((resolve) => {
      over = resolve;
    });
    const owner = new Owner(
      {
        bucket,
        journal,
        healer,
        time,
        problems,
        settings: this.#settings,
        term,
        aggregator,
        lost: (error) => {
          problems.raise("ownership", error);
          over();
        },
      },
      { replayUntil: await bucket.feed.highSeqs(), published: this.#stable.head().clock },
    );
    try {
      await owner.start();
    } catch (error) {
      await owner.stop();
      throw error;
    }
    this.#owner = owner;
    log.info({ epoch: term.epoch, instance: instance.id }, "this node owns the partitions");
    problems.clear("ownership");
    return { ended: this.#serve(owner, lost, ticks, term) };
  }

  /** Waits until the term is over, and puts everything of it away. */
  async #serve(owner: Owner, lost: Promise<void>, ticks: TickSource, term: Term): Promise<void> {
    const { signal } = this.#ended;
    let stolen = false;
    await Promise.race([
      lost.then(() => {
        stolen = true;
      }),
      new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve(), { once: true });
      }),
    ]);
    await owner.stop();
    this.#past = { ...this.metrics(), pending: 0, owner: 0 };
    this.#owner = undefined;
    if (stolen) {
      this.#past = { ...this.#past, casLosses: this.#past.casLosses + 1 };
      this.#options.log.error({ epoch: term.epoch }, "another node took the partitions over");
    } else {
      this.#release = async () => {
        await ticks.close();
        await term.beat(true);
      };
    }
  }
}

function add(a: ControllerMetrics, b: ControllerMetrics): ControllerMetrics {
  const sum: Record<string, number> = {};
  for (const [key, value] of Object.entries(a)) {
    sum[key] = value + (b[key as keyof ControllerMetrics] ?? 0);
  }
  return sum as unknown as ControllerMetrics;
}
