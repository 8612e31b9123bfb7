// Opens the index of a database: puts writer, reader, journal and memory together over one
// collection. What each of them does lives in its own file.

import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { KeyValueCollection } from "../bucket/bucket.ts";
import type { Clock } from "../clock/tick.ts";
import type { Journal } from "../controller/ports.ts";
import type { Time } from "../runtime/time.ts";
import { type BranchPoint, BranchTable, packBranches } from "./branch-table.ts";
import { type CompactionBudget, Compactor } from "./compaction.ts";
import { Documents } from "./documents.ts";
import { encodeFrame, encodeHeader, Kind } from "./frame.ts";
import { memberOf } from "./group.ts";
import type { Interval } from "./interval.ts";
import { type MutationName, type RecordedListener, RecordJournal } from "./journal.ts";
import { CHANNEL_PAGE } from "./limits.ts";
import { channelOfRoot, decodeLayout, encodeLayout } from "./list-codec.ts";
import { Reader } from "./reader.ts";
import {
  type BlockAddress,
  BRANCHES_KEY,
  LAYOUT_KEY,
  ROOT_PREFIX,
  SequenceGrid,
  type ShapeMode,
} from "./shape.ts";
import { wantBranches, wantList, wantRoot } from "./sources.ts";
import { Tail } from "./tail.ts";
import {
  ALL_CHANNEL,
  type Entry,
  type IndexMutation,
  type IndexReader,
  type IndexWriter,
} from "./types.ts";
import { Writer } from "./writer.ts";

/** What an index is opened with. */
export interface IndexOptions {
  /** Where the index lives: `bucket.index`. Its keys that start with `ix:` are the index's own. */
  readonly collection: KeyValueCollection;
  /** Vbuckets of the bucket of the documents. */
  readonly vbuckets: number;
  /** Partitions of the sequence documents, when the index is made; 16 unless said. */
  readonly partitions?: number;
  /** Which shapes the channels' blocks take; "computed" unless said. */
  readonly shape?: ShapeMode;
  readonly time: Time;
  readonly log: Log;
  /** Bytes of decoded documents to keep. */
  readonly cacheBytes?: number;
  /** Entries of this node's own to keep at hand. */
  readonly tailEntries?: number;
  /** Stored bytes that one read holds at once. */
  readonly stripeBytes?: number;
}

const DEFAULT_PARTITIONS = 16;

/** An open index: it writes, reads, and is the controller's journal. */
export class Index implements IndexWriter, IndexReader, Journal {
  readonly collection: KeyValueCollection;
  readonly vbuckets: number;
  readonly grid: SequenceGrid;
  readonly documents: Documents;
  readonly branches = new BranchTable();
  readonly log: Log;
  readonly #tail: Tail;
  readonly #journal: RecordJournal;
  readonly #writer: Writer;
  readonly #reader: Reader;
  readonly #compactor: Compactor;
  #stable: Clock;
  #tailReads = 0;

  /** Use {@link openIndex}. */
  constructor(options: IndexOptions, grid: SequenceGrid) {
    const { collection, vbuckets, shape = "computed", time, log } = options;
    this.collection = collection;
    this.vbuckets = vbuckets;
    this.grid = grid;
    this.log = log;
    this.#stable = new Float64Array(vbuckets);
    this.documents = new Documents(collection, log, options.cacheBytes);
    this.#tail = new Tail(vbuckets, this.branches, options.tailEntries);
    const { documents, branches } = this;
    const refreshBranches = () => this.refreshBranches();
    const foreign = (vb: number, seq: number) => this.#tail.foreign(vb, seq);
    this.#journal = new RecordJournal({ documents, branches, grid, refreshBranches, foreign });
    this.#reader = new Reader({
      documents,
      branches,
      vbuckets,
      grid,
      takeBranches: (points) => this.#takeBranches(points),
      fromTail: (channel, interval) => this.#fromTail(channel, interval),
      ...(options.stripeBytes === undefined ? {} : { stripeBytes: options.stripeBytes }),
    });
    this.#compactor = new Compactor({
      documents,
      branches,
      vbuckets,
      time,
      source: (channel, interval) => this.#reader.source(channel, interval),
      channels: () => this.channels(),
    });
    this.#writer = new Writer({
      collection,
      vbuckets,
      grid,
      shape,
      time,
      log,
      stableSeq: (vb) => this.#stable[vb]!,
      late: (keys) => documents.late(keys),
      newestShapes: (channels) => this.#newestShapes(channels),
      memberOf: (mutation, healing) => this.#memberOf(mutation, healing),
      begun: ({ vb, seq }) => this.#journal.begun(vb, seq),
      failed: ({ vb, seq }) => this.#journal.failed(vb, seq),
      acknowledged: (members) => {
        for (const { record, entries, hashes } of members) {
          this.#journal.acknowledged(record.vb, record.seq, record.branch, hashes);
          this.#tail.add([{ channel: ALL_CHANNEL, entry: record }, ...entries]);
        }
        this.#journal.announce(members.map(({ record }) => record));
      },
    });
  }

  #memberOf(mutation: IndexMutation, healing: boolean) {
    const { vb, seq, vbuuid } = mutation;
    const stable = this.#stable[vb]!;
    return memberOf(
      mutation,
      (channel) => this.#writer.groups.densities.hashOf(channel),
      (at) => this.branches.ordinal(vb, vbuuid, at),
      // A removal beyond the stable clock may be one whose own write a crash has cut off, and which
      // no feed will show again, since this mutation supersedes it.
      (at) => healing || at === seq || (at > stable && !this.#journal.wrote(vb, at)),
    );
  }

  #fromTail(channel: string, interval: Interval): readonly Entry[] | undefined {
    const entries = this.#tail.read(channel, interval);
    if (entries) this.#tailReads++;
    return entries;
  }

  /** As `IndexWriter.write`; removals of which the stable clock knows nothing are written too. */
  write(mutation: IndexMutation, healing = false): Promise<void> {
    return this.#writer.write(mutation, healing);
  }

  /** As `IndexReader.read`. */
  read(channel: string, from: Clock, to: Clock, start?: { vb: number; seq: number }) {
    return this.#reader.read(channel, from, to, start);
  }

  /** As {@link read}, never from this node's memory: for checks. */
  readStored(channel: string, interval: Interval) {
    return this.#reader.stored(channel, interval);
  }

  /** As `Journal.recorded`. */
  recorded(mutations: readonly MutationName[], where: "memory" | "stored" = "stored") {
    return this.#journal.recorded(mutations, where);
  }

  /** As `Journal.onRecorded`. */
  onRecorded(listener: RecordedListener): () => void {
    return this.#journal.onRecorded(listener);
  }

  /** As `Journal.passed`. `clock` must not change afterwards. */
  passed(clock: Clock): void {
    this.#stable = clock;
    this.documents.passed(clock);
    this.#journal.passed(clock);
  }

  /** As `Journal.validated`. */
  validated(vb: number, from: number, to: number): void {
    this.#tail.validated(vb, from, to);
  }

  /** As `Journal.branched`. */
  async branched(vb: number, vbuuid: string, seq: number): Promise<void> {
    await this.refreshBranches();
    if (this.branches.knows(vb, vbuuid)) return;
    const results = await this.collection.batch([
      { op: "insert", key: BRANCHES_KEY, value: encodeHeader(Kind.branches, new Uint8Array()) },
      { op: "append", key: BRANCHES_KEY, value: encodeFrame(packBranches([{ vb, seq, vbuuid }])) },
    ]);
    const appended = results[1];
    if (!appended?.ok) {
      const why = appended?.refusal ?? "no answer";
      throw new TidegateError("unavailable", `the branch of vbucket ${vb} was not stored: ${why}`);
    }
    await this.refreshBranches();
    await this.#compactor.paused();
  }

  /**
   * Compacts a bounded piece of what is in `stable`. Gives whether nothing is left to do for now.
   * One call at a time; it rejects when the bucket does, and may be called again then.
   */
  compact(stable: Clock, budget: CompactionBudget): Promise<boolean> {
    return this.#compactor.compact(stable, budget);
  }

  /** Takes up the branches that are stored and not known yet. */
  async refreshBranches(): Promise<void> {
    const [points] = await this.documents.fetch([wantBranches()]);
    this.#takeBranches(points);
  }

  #takeBranches(points: readonly BranchPoint[] | undefined): boolean {
    let fresh = false;
    for (const point of points ?? []) {
      if (!this.branches.add(point)) continue;
      fresh = true;
      this.#tail.distrust(point.vb);
      // Nothing counts as stable until the controller has checked the vbucket again: numbers beyond
      // the cut go to other mutations, and what a lost one had superseded may never have been
      // written.
      this.#stable = this.#stable.slice();
      this.#stable[point.vb] = 0;
    }
    if (fresh) this.documents.distrust();
    return fresh;
  }

  /** The names of all channels that have blocks, in pages; `*` is not among them. */
  async *channels(): AsyncGenerator<string[]> {
    let after: string | undefined;
    for (;;) {
      const options = { limit: CHANNEL_PAGE, ...(after === undefined ? {} : { after }) };
      const keys = await this.collection.keys(ROOT_PREFIX, options);
      if (keys.length === 0) return;
      after = keys.at(-1)!;
      yield await this.#namesOf(keys);
    }
  }

  async #namesOf(rootKeys: readonly string[]): Promise<string[]> {
    const roots = await this.collection.getMany(rootKeys);
    return roots.flatMap((root) => {
      const name = root ? channelOfRoot(root.value) : undefined;
      return name === undefined ? [] : [name];
    });
  }

  async #newestShapes(channels: readonly string[]): Promise<(BlockAddress | undefined)[]> {
    const { vbuckets, documents } = this;
    const roots = await documents.fetch(channels.map((channel) => wantRoot(channel, vbuckets)));
    const wanted = roots.map((windows, i) => {
      let newest: { bits: number; number: number } | undefined;
      for (const window of windows ?? []) {
        const end = (window.number + 1) * 2 ** window.bits;
        if (!newest || end >= (newest.number + 1) * 2 ** newest.bits) newest = window;
      }
      return newest ? wantList(channels[i]!, newest, vbuckets) : undefined;
    });
    const lists = await documents.fetch(wanted.filter((want) => want !== undefined));
    let next = 0;
    return wanted.map((want) => (want ? lists[next++]?.newest : undefined));
  }

  /** Resolves when no write is queued or under way. */
  idle(): Promise<void> {
    return this.#writer.idle();
  }

  /** Takes no more writes, and finishes those that were begun. */
  close(): Promise<void> {
    return this.#writer.close();
  }

  /** Counters and sizes for metrics: name -> value. */
  stats(): Record<string, number> {
    const { counts, groups, queued } = this.#writer;
    return {
      ...prefixed("write_", counts),
      ...prefixed("write_", groups.counts),
      ...prefixed("documents_", this.documents.counts),
      ...prefixed("compaction_", this.#compactor.counts),
      write_queued: queued,
      channels_in_mind: groups.densities.size,
      journal_remembered: this.#journal.size,
      tail_entries: this.#tail.size,
      tail_reads: this.#tailReads,
      cache_bytes: this.documents.cachedBytes,
    };
  }
}

function prefixed(prefix: string, counts: object): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([name, value]) => [prefix + name, value]));
}

/**
 * Opens the index in `collection`, and makes it when there is none.
 *
 * @throws TidegateError `corrupt`, `newer_version`, `bad_config` (it was made for another number of
 *   vbuckets), `unavailable`
 */
export async function openIndex(options: IndexOptions): Promise<Index> {
  const { collection, vbuckets, partitions = DEFAULT_PARTITIONS, log } = options;
  const fitting = SequenceGrid.fitting(vbuckets, Math.min(partitions, vbuckets));
  await collection.batch([{ op: "insert", key: LAYOUT_KEY, value: encodeLayout(fitting) }]);
  const stored = await collection.get(LAYOUT_KEY);
  const grid = stored ? decodeLayout(stored.value) : fitting;
  if (grid.vbuckets !== vbuckets) {
    throw new TidegateError(
      "bad_config",
      `the index was made for ${grid.vbuckets} vbuckets, the bucket has ${vbuckets}`,
    );
  }
  if (grid.partitions !== partitions) {
    const fields = { made: grid.partitions, configured: partitions };
    log.warn(fields, "the index keeps the number of partitions that it was made with");
  }
  const index = new Index(options, grid);
  await index.refreshBranches();
  return index;
}
