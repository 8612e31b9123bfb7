// Reads a channel's entries of an interval: finds the documents, fetches them in pages, stripe by
// stripe of vbuckets, and gives batches. Holds a stripe's stored bytes and a batch, never the
// answer.

import type { Clock } from "../clock/tick.ts";
import type { BranchPoint, BranchTable } from "./branch-table.ts";
import type { Documents } from "./documents.ts";
import { Gathering } from "./gather.ts";
import { Interval, type Position, stripesOf } from "./interval.ts";
import { MAX_CACHED_SCAN, MAX_STRIPE_BYTES, READ_BATCH_ENTRIES } from "./limits.ts";
import type { ListWindow, SequenceGrid } from "./shape.ts";
import {
  ChannelSource,
  SequenceSource,
  type Source,
  wantBranches,
  wantLists,
  wantRoot,
} from "./sources.ts";
import { ALL_CHANNEL, type Entry, type IndexReader } from "./types.ts";

/** What a reader needs beside the documents. */
export interface ReaderContext {
  readonly documents: Documents;
  readonly vbuckets: number;
  readonly grid: SequenceGrid;
  readonly branches: BranchTable;
  /** Takes up the branches that are stored; gives whether one was new. */
  takeBranches(points: readonly BranchPoint[] | undefined): boolean;
  /** The answer from this node's memory, when it is known to have everything of the interval. */
  fromTail(channel: string, interval: Interval): readonly Entry[] | undefined;
  /** The stored bytes that a stripe may have. */
  readonly stripeBytes?: number;
}

/** Reads the index of one database. */
export class Reader implements IndexReader {
  readonly #context: ReaderContext;

  constructor(context: ReaderContext) {
    this.#context = context;
  }

  async *read(
    channel: string,
    from: Clock,
    to: Clock,
    start?: Position,
  ): AsyncGenerator<readonly Entry[]> {
    const interval = Interval.of(from, to, start);
    if (interval.empty) return;
    const remembered = this.#context.fromTail(channel, interval);
    if (remembered) {
      for (let at = 0; at < remembered.length; at += READ_BATCH_ENTRIES) {
        yield remembered.slice(at, at + READ_BATCH_ENTRIES);
      }
      return;
    }
    yield* this.stored(channel, interval);
  }

  /** The entries of a channel and interval, from the bucket. */
  async *stored(channel: string, interval: Interval): AsyncGenerator<readonly Entry[]> {
    const source = await this.source(channel, interval);
    const limit = this.#context.stripeBytes ?? MAX_STRIPE_BYTES;
    let batch: Entry[] = [];
    for (const stripe of stripesOf(source.bytesOfVbuckets(), limit)) {
      const wanted = source.documents(stripe);
      if (wanted.length === 0) continue;
      const options = { upTo: interval.upTo, keep: wanted.length <= MAX_CACHED_SCAN };
      const gathering = new Gathering(interval, stripe, this.#context.branches);
      for (const tables of await this.#context.documents.fetch(wanted, options)) {
        if (tables) gathering.add(tables);
      }
      for (const entries of gathering.vbuckets()) {
        for (const entry of entries) {
          batch.push(entry);
          if (batch.length < READ_BATCH_ENTRIES) continue;
          yield batch;
          batch = [];
        }
      }
    }
    if (batch.length > 0) yield batch;
  }

  /** Where the entries are that a read of this interval needs. */
  async source(channel: string, interval: Interval): Promise<Source> {
    const { documents, vbuckets, grid } = this.#context;
    if (channel === ALL_CHANNEL) {
      const [points] = await documents.fetch([wantBranches()]);
      this.#context.takeBranches(points);
      return new SequenceSource(grid, interval);
    }
    const options = { upTo: interval.upTo };
    const [points, windows] = await documents.fetch<unknown>(
      [wantBranches(), wantRoot(channel, vbuckets)],
      options,
    );
    // A branch that is new takes the trust from what is in the cache: the root too.
    const fresh = this.#context.takeBranches(points as readonly BranchPoint[] | undefined);
    if (fresh) return this.source(channel, interval);
    const wanted = wantLists(channel, (windows ?? []) as ListWindow[], interval, vbuckets);
    const lists = await documents.fetch(wanted, options);
    const found = lists.filter((list) => list !== undefined);
    return new ChannelSource(channel, found, interval, vbuckets);
  }
}
