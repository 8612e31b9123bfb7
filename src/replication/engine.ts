// The changes engine: opens feeds, and wakes those that wait when a tick changed one of their
// channels. Waking costs as much as the feeds that it concerns; idle feeds cost a tick nothing.

import { TidegateError } from "../base/errors.ts";
import { vbucketOf } from "../bucket/vbucket.ts";
import type { Branches } from "../clock/branches.ts";
import { resolvePosition } from "../clock/position.ts";
import { formatTick, parseSequence } from "../clock/sequence.ts";
import type { Clock, Stable } from "../clock/tick.ts";
import type { LookupMap, StableClock } from "../controller/ports.ts";
import type { Actor, DocumentStore } from "../documents/types.ts";
import { ALL_CHANNEL, EntryFlag, type IndexMutation, type IndexReader } from "../index/types.ts";
import { DescendingFeed } from "./descending.ts";
import { EagerRows } from "./eager.ts";
import { StableFeed } from "./feed.ts";
import { MAX_FEED_CHANNELS, MAX_FEED_DOCUMENTS } from "./limits.ts";
import { type Change, mergeChannels } from "./merge.ts";
import type { FeedSource, Place, Waiting } from "./ports.ts";
import type { ChangesEngine, ChangesFeed, ChangesOptions } from "./types.ts";
import { WakeTable, type WatchedChannels } from "./wake-table.ts";

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
  /** The channels that the actor may see; `["*"]`: every document. */
  readonly visible: (actor: Actor) => readonly string[];
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

/** An eager feed with its rows. */
interface Eager {
  readonly rows: EagerRows;
  feed: Waiting | undefined;
}

class Engine implements RunningChangesEngine {
  readonly #options: ChangesEngineOptions;
  readonly #wake = new WakeTable<Waiting>();
  readonly #eager = new WakeTable<Eager>();
  readonly #unsubscribe: () => void;
  /** The newest tick that the feeds were told of. */
  #head: Stable;
  #open = 0;

  constructor(options: ChangesEngineOptions) {
    this.#options = options;
    this.#head = options.stable.head();
    this.#unsubscribe = options.stable.subscribe((stable, changed) => {
      const before = this.#head;
      this.#head = stable;
      for (const feed of this.#wake.concerned(changed)) feed.wake(before);
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
    const { lookup, vbuckets, branches, visible } = this.#options;
    const channels = wantedChannels(visible(actor), options.channels);
    const { from, within } =
      options.since === "now"
        ? { from: this.#head, within: undefined }
        : await resolvePosition(parseSequence(options.since), lookup, vbuckets, branches);
    if (options.descending) {
      const source = this.#source(actor, options, channels, undefined);
      return this.#opened(new DescendingFeed(source, from));
    }
    const eager =
      (options.eager ?? this.#options.eager?.()) ? this.#eagerRows(channels) : undefined;
    const feed = new StableFeed(this.#source(actor, options, channels, eager), from, within);
    if (eager) eager.feed = feed;
    return this.#opened(feed);
  }

  #opened<Feed extends ChangesFeed>(feed: Feed): Feed {
    this.#open++;
    return feed;
  }

  #eagerRows(channels: readonly string[]): Eager {
    const all = channels.includes(ALL_CHANNEL);
    const eager: Eager = { rows: new EagerRows(all ? "all" : channels), feed: undefined };
    this.#eager.add(eager, this.#watched(channels));
    return eager;
  }

  saved(mutation: IndexMutation): void {
    if (this.#eager.size === 0) return;
    const { channelHash } = this.#options;
    const hashes = new Set(mutation.channels.map(channelHash));
    for (const { channel } of mutation.removals) hashes.add(channelHash(channel));
    for (const { rows, feed } of this.#eager.concerned(hashes)) {
      rows.saved(mutation);
      if (rows.waiting) feed?.nudge();
    }
  }

  #watched(channels: readonly string[]): WatchedChannels {
    return channels.includes(ALL_CHANNEL) ? "all" : channels.map(this.#options.channelHash);
  }

  #source(
    actor: Actor,
    options: ChangesOptions,
    channels: readonly string[],
    eager: Eager | undefined,
  ): FeedSource {
    const { documents, lookup, branches, index, vbuckets } = this.#options;
    const ids = options.docIds === undefined ? undefined : new Set(options.docIds);
    if (ids !== undefined && ids.size > MAX_FEED_DOCUMENTS) {
      throw new TidegateError("too_large", `doc_ids: at most ${MAX_FEED_DOCUMENTS} documents`);
    }
    const inVbuckets = ids && new Set(Array.from(ids, (id) => vbucketOf(id, vbuckets)));
    const watched = this.#watched(channels);
    return {
      options,
      actor,
      documents,
      lookup,
      branches,
      head: () => this.#head,
      changes: (from: Clock, to: Clock, start: Place | undefined) => {
        const upTo = inVbuckets ? narrowed(from, to, inVbuckets) : to;
        return mergeChannels(
          channels.map((channel) => ({
            channel,
            batches: index.read(channel, from, upTo, start),
          })),
        );
      },
      // An entry without a revision stands for a purge, or for what is no document.
      wants: ({ entry, left }: Change) =>
        entry.revId !== "" &&
        (ids === undefined || ids.has(entry.docId)) &&
        !(options.activeOnly && (left !== undefined || entry.flags & EntryFlag.deleted)),
      watch: (feed: Waiting) => this.#wake.add(feed, watched),
      unwatch: (feed: Waiting) => this.#wake.remove(feed, watched),
      eager: eager?.rows,
      closed: () => {
        this.#open--;
        if (eager) this.#eager.remove(eager, watched);
      },
    };
  }
}

/** The channels to read: those asked for, as far as they are visible. */
function wantedChannels(
  visible: readonly string[],
  asked: readonly string[] | undefined,
): readonly string[] {
  if (asked !== undefined && asked.length > MAX_FEED_CHANNELS) {
    throw new TidegateError("too_large", `channels: at most ${MAX_FEED_CHANNELS} in one feed`);
  }
  const all = visible.includes(ALL_CHANNEL);
  if (asked === undefined || asked.includes(ALL_CHANNEL)) return all ? [ALL_CHANNEL] : visible;
  const wanted = new Set(asked);
  return all ? [...wanted] : visible.filter((channel) => wanted.has(channel));
}

/** `to` where the documents asked for can be, and nothing elsewhere: what is not read costs nothing. */
function narrowed(from: Clock, to: Clock, vbuckets: ReadonlySet<number>): Clock {
  const narrow = from.slice();
  for (const vb of vbuckets) narrow[vb] = to[vb] ?? 0;
  return narrow;
}
