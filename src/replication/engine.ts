// The changes engine: opens feeds, and wakes those that wait when a tick changed one of their
// channels. Waking costs as much as the feeds that it concerns; idle feeds cost a tick nothing.

import { TidegateError } from "../base/errors.ts";
import { vbucketOf } from "../bucket/vbucket.ts";
import type { Branches } from "../clock/branches.ts";
import { resolvePosition } from "../clock/position.ts";
import { formatTick, parseSequence } from "../clock/sequence.ts";
import type { Stable } from "../clock/tick.ts";
import type { LookupMap, StableClock } from "../controller/ports.ts";
import type { Actor, DocumentStore } from "../documents/types.ts";
import { EntryFlag, type IndexMutation, type IndexReader } from "../index/types.ts";
import type { Time } from "../runtime/time.ts";
import { Audiences } from "./audience.ts";
import { DescendingFeed } from "./descending.ts";
import { EagerRows } from "./eager.ts";
import { StableFeed } from "./feed.ts";
import { MAX_FEED_CHANNELS, MAX_FEED_DOCUMENTS } from "./limits.ts";
import type { Change } from "./merge.ts";
import type { FeedSource, Place } from "./ports.ts";
import { type Plan, Reach } from "./reach.ts";
import { readPlan } from "./read-plan.ts";
import { RecentTicks } from "./recent-ticks.ts";
import type { ChangesEngine, ChangesFeed, ChangesOptions } from "./types.ts";

/** What {@link createChangesEngine} needs. */
export interface ChangesEngineOptions {
  readonly vbuckets: number;
  readonly stable: StableClock;
  readonly lookup: LookupMap;
  readonly branches: Branches;
  readonly index: IndexReader;
  readonly documents: DocumentStore;
  /** The 32-bit hash of a channel's name, as the index's records carry it. */
  readonly channelHash: (channel: string) => number;
  readonly time: Time;
  /** Whether feeds that do not say are eager. */
  readonly eager?: () => boolean;
}

/** A changes engine, and what its gateway tells it. */
export interface RunningChangesEngine extends ChangesEngine {
  /** A save of this node is durable: for eager feeds. */
  saved(mutation: IndexMutation): void;
  /** Ends the subscription to the stable clock. */
  close(): void;
}

/** Creates the changes engine of a database. */
export function createChangesEngine(options: ChangesEngineOptions): RunningChangesEngine {
  return new Engine(options);
}

class Engine implements RunningChangesEngine {
  readonly #options: ChangesEngineOptions;
  readonly #audiences: Audiences;
  readonly #recent: RecentTicks;
  readonly #unsubscribe: () => void;
  /** The newest tick that the feeds were told of. */
  #head: Stable;
  #branchesVersion: number;
  #open = 0;

  constructor(options: ChangesEngineOptions) {
    const { stable, channelHash, branches } = options;
    this.#options = options;
    this.#head = stable.head();
    this.#branchesVersion = branches.version;
    this.#audiences = new Audiences(channelHash);
    this.#recent = new RecentTicks(this.#head.tick);
    this.#unsubscribe = stable.subscribe((newest, changed) => {
      const before = this.#head;
      this.#head = newest;
      this.#recent.add(newest.tick, changed);
      this.#audiences.ticked(before, changed);
    });
  }

  get openFeeds(): number {
    return this.#open;
  }

  currentSequence(): string {
    return formatTick(this.#head.tick);
  }

  close(): void {
    this.#unsubscribe();
  }

  async open(actor: Actor, options: ChangesOptions): Promise<ChangesFeed> {
    const { lookup, vbuckets, branches } = this.#options;
    const source = this.#source(actor, options);
    const { from, within } =
      options.since === "now"
        ? { from: this.#head, within: undefined }
        : await resolvePosition(parseSequence(options.since), lookup, vbuckets, branches);
    this.#open++;
    if (options.descending) return new DescendingFeed(source, from);
    const eager = options.eager ?? this.#options.eager?.() ?? false;
    return new StableFeed(source, from, within, eager ? new EagerRows() : undefined);
  }

  saved(mutation: IndexMutation): void {
    this.#audiences.saved(mutation);
  }

  #changes(
    actor: Actor,
    plan: Plan,
    start: Place | undefined,
    vbuckets: ReadonlySet<number> | undefined,
  ): AsyncIterable<readonly Change[]> {
    const { branches } = this.#options;
    if (this.#branchesVersion !== branches.version) {
      // What was cut away changed channels too, and no tick says which.
      this.#branchesVersion = branches.version;
      this.#recent.forget(this.#head.tick);
    }
    const changed = this.#recent.changed(plan.from.tick, plan.to.tick);
    return readPlan(this.#options, actor.access, plan, changed, { start, vbuckets });
  }

  #source(actor: Actor, options: ChangesOptions): FeedSource {
    const { documents, lookup, branches, vbuckets } = this.#options;
    const ids = options.docIds === undefined ? undefined : new Set(options.docIds);
    if (ids !== undefined && ids.size > MAX_FEED_DOCUMENTS) {
      throw new TidegateError("too_large", `doc_ids: at most ${MAX_FEED_DOCUMENTS} documents`);
    }
    const asked = options.channels;
    if (asked !== undefined && asked.length > MAX_FEED_CHANNELS) {
      throw new TidegateError("too_large", `channels: at most ${MAX_FEED_CHANNELS} in one feed`);
    }
    const ofIds = ids && new Set(Array.from(ids, (id) => vbucketOf(id, vbuckets)));
    const audiences = this.#audiences;
    return {
      options,
      actor,
      documents,
      lookup,
      branches,
      reach: new Reach(actor.access, asked, options.revocations ?? false),
      head: () => this.#head,
      changes: (plan, start, stripe) => {
        const wanted = stripe && ofIds ? stripe.intersection(ofIds) : (stripe ?? ofIds);
        return this.#changes(actor, plan, start, wanted);
      },
      // An entry without a revision stands for a purge, or for what is no document.
      wants: ({ entry, left, revoked }) =>
        entry.revId !== "" &&
        (ids === undefined || ids.has(entry.docId)) &&
        (revoked ||
          !(options.activeOnly && (left !== undefined || entry.flags & EntryFlag.deleted))),
      join: (channels, eager) => audiences.join(channels, eager),
      leave: (audience, eager) => audiences.leave(audience, eager),
      watch: (feed, audience, others) => audiences.watch(feed, audience, others),
      unwatch: (feed, audience, others) => audiences.unwatch(feed, audience, others),
      closed: () => {
        this.#open--;
      },
    };
  }
}
