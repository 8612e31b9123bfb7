// Compaction: rewrites documents that the stable clock has passed, so that a read costs by the size
// of its answer and not of the history. Superseded entries and those of dead branches go, what remains
// is sorted and compressed into one chunk. Replaced by CAS: what was appended meanwhile is not lost.
//
// Why a reader is right before, during and after it: an entry goes only when a newer one of the same
// document in the same channel is in the stable clock. A reader of (S, T] whose T is before the newer
// one gets neither; but its next interval begins at T and ends at or beyond the stable clock, and has
// the newer one. So nothing is missed, and the older revision would have been superseded anyway.
//
// Records go before entries: an entry goes from a channel only when all records of its document up to
// the superseding one are gone from the sequence documents. After a rollback that cuts off the
// superseding mutation, the journal then says of the one before that it has no record, and it is
// healed. Were its record there without its entries, it would be lost.

import { assert } from "../base/assert.ts";
import type { KeyValueOperation, StoredValue } from "../bucket/bucket.ts";
import { total, zeroClock } from "../clock/clock.ts";
import type { Clock } from "../clock/tick.ts";
import { sleep, type Time } from "../runtime/time.ts";
import { type EmptyBlock, removeBlocks } from "./block-removal.ts";
import type { BranchTable } from "./branch-table.ts";
import type { Documents } from "./documents.ts";
import type { EntryTable, Range } from "./entry-codec.ts";
import { Gathering } from "./gather.ts";
import { Interval, type Stripe, stripesOf } from "./interval.ts";
import * as limits from "./limits.ts";
import { type Rewriting, rewriteOf } from "./rewrite.ts";
import type { Source, WantedEntries } from "./sources.ts";
import { ALL_CHANNEL } from "./types.ts";

/** How much one call of `compact` may do. */
export interface CompactionBudget {
  /** Documents to look at, about: a stripe that was begun is finished. */
  readonly documents: number;
  /** Begin a round although little has changed since the last. */
  readonly always?: boolean;
}

/** What compaction did; all numbers since the index was opened. */
export interface CompactionCounts {
  rounds: number;
  documents: number;
  rewritten: number;
  removed: number;
  dropped: number;
  bytesSaved: number;
  /** Documents that were appended to while they were rewritten: left for the next round. */
  overtaken: number;
}

/** What a {@link Compactor} stands on. */
export interface CompactionContext {
  readonly documents: Documents;
  readonly branches: BranchTable;
  readonly vbuckets: number;
  readonly time: Time;
  /** Where the entries of a channel are, given an interval. */
  source(channel: string, interval: Interval): Promise<Source>;
  /** All channels but `*`, in pages. */
  channels(): AsyncIterable<readonly string[]>;
}

/** A document as it was read, to be rewritten. */
interface Candidate {
  readonly want: WantedEntries;
  readonly stored: StoredValue;
}

/** The live seqs of each vbucket of a column, ascending. */
type Live = ReadonlyMap<number, Float64Array>;

/** Compacts one index, round after round, a bounded piece at a time. */
export class Compactor {
  readonly counts: CompactionCounts = {
    rounds: 0,
    documents: 0,
    rewritten: 0,
    removed: 0,
    dropped: 0,
    bytesSaved: 0,
    overtaken: 0,
  };
  readonly #context: CompactionContext;
  #round: AsyncGenerator<number, void> | undefined;
  #step: Promise<unknown> | undefined;
  /** The branches when the round began: when one is added, what was found alive is void. */
  #branchesAt = -1;
  /** Mutations in the stable clock when the last round began, and records that it kept. */
  #lastMutations = 0;
  #keptRecords = 0;

  constructor(context: CompactionContext) {
    this.#context = context;
  }

  /**
   * Goes on with the round under way, or begins one when enough has changed. Gives whether there is
   * nothing left to do. Not to be called again before it has ended. Only one node should do it for a
   * bucket, the one whose controller hears of rollbacks.
   */
  async compact(stable: Clock, budget: CompactionBudget): Promise<boolean> {
    if (!this.#round && !budget.always && !this.#due(stable)) return true;
    for (let seen = 0; seen < budget.documents; ) {
      const step = await this.#next(stable);
      if (step.done) return true;
      seen += Math.max(1, step.value);
    }
    return false;
  }

  /** One step of the round under way, or the first of a new one. */
  async #next(stable: Clock): Promise<IteratorResult<number, void>> {
    const { branches } = this.#context;
    assert(this.#step === undefined, "compact was called again before it had ended");
    if (this.#round && this.#branchesAt !== branches.version) this.#end();
    if (!this.#round) {
      this.#branchesAt = branches.version;
      this.#round = this.#run(stable.slice());
    }
    const step = this.#round.next();
    this.#step = step;
    try {
      const result = await step;
      if (!result.done) return result;
      this.counts.rounds++;
      this.#round = undefined;
      return result;
    } catch (error) {
      this.#end();
      throw error;
    } finally {
      this.#step = undefined;
    }
  }

  #end(): void {
    this.#round = undefined;
    this.#lastMutations = 0;
  }

  /** Resolves when nothing is being rewritten by what was known of branches before. */
  async paused(): Promise<void> {
    await this.#step?.catch(() => undefined);
  }

  #due(stable: Clock): boolean {
    const grown = total(stable) - this.#lastMutations;
    const share = this.#keptRecords * limits.MIN_ROUND_GROWTH;
    return grown >= limits.MIN_ROUND_MUTATIONS && grown >= share;
  }

  /** One round: first the sequence documents, then every channel. Gives documents looked at. */
  async *#run(stable: Clock): AsyncGenerator<number, void> {
    this.#lastMutations = total(stable);
    this.#keptRecords = 0;
    // Up to here every record that is superseded is gone: what of channels may go by.
    const proven = stable.slice();
    yield* this.#channel(ALL_CHANNEL, stable, proven);
    for await (const channels of this.#context.channels()) {
      for (const channel of channels) yield* this.#channel(channel, proven);
    }
  }

  /** @param proven for `*`: lowered to where superseded records may remain */
  async *#channel(channel: string, upTo: Clock, proven?: Clock): AsyncGenerator<number, void> {
    const interval = Interval.of(zeroClock(upTo.length), upTo);
    yield 1;
    if (interval.empty) return;
    const source = await this.#context.source(channel, interval);
    const bytes = source.bytesOfVbuckets();
    for (const column of stripesOf(bytes, limits.COMPACTION_COLUMN_BYTES)) {
      const wanted = source.documents(column);
      if (wanted.length === 0) continue;
      const live = new Map<number, Float64Array>();
      for (const stripe of stripesOf(bytes, limits.MAX_STRIPE_BYTES)) {
        const cut = {
          vbFrom: Math.max(stripe.vbFrom, column.vbFrom),
          vbTo: Math.min(stripe.vbTo, column.vbTo),
        };
        if (cut.vbFrom >= cut.vbTo) continue;
        yield await this.#findLive(source, interval, cut, live);
      }
      const page = limits.REWRITE_PAGE_DOCUMENTS;
      for (let at = 0; at < wanted.length; at += page) {
        const part = wanted.slice(at, at + page);
        yield await this.#rewrite(channel, part, column, upTo, live, proven);
      }
    }
  }

  async #findLive(
    source: Source,
    interval: Interval,
    stripe: Stripe,
    live: Map<number, Float64Array>,
  ): Promise<number> {
    const { documents, branches, time } = this.#context;
    const wanted = source.documents(stripe);
    const gathering = new Gathering(interval, stripe, branches);
    for (const tables of await documents.fetch(wanted, { keep: false })) {
      if (tables) gathering.add(tables);
    }
    for (const entries of gathering.vbuckets()) {
      const first = entries[0];
      if (first)
        live.set(
          first.vb,
          Float64Array.from(entries, ({ seq }) => seq),
        );
      await sleep(time, 0);
    }
    return wanted.length;
  }

  async #rewrite(
    channel: string,
    wanted: readonly WantedEntries[],
    column: Stripe,
    upTo: Clock,
    live: Live,
    proven: Clock | undefined,
  ): Promise<number> {
    const { documents } = this.#context;
    const found = await documents.collection.getMany(wanted.map(({ key }) => key));
    const replaced: { operation: KeyValueOperation; candidate: Candidate; dropped: number }[] = [];
    const empty: EmptyBlock[] = [];
    for (const [i, want] of wanted.entries()) {
      const stored = found[i];
      if (!stored) continue;
      const candidate = { want, stored };
      if (!isSettled(want.range, upTo)) {
        lower(proven, want.range, column);
        continue;
      }
      const tables = documents.decode(want, stored.value);
      const keeps = (table: EntryTable, index: number) => {
        return this.#keeps(table, index, column, upTo, live);
      };
      const rewriting = rewriteOf(want, stored.value, tables, keeps, want.isSequences);
      if (rewriting === "damaged") lower(proven, want.range, column);
      if (want.isSequences) this.#keptRecords += keptIn(rewriting, tables);
      if (rewriting === "leave" || rewriting === "damaged") continue;
      const { value, dropped } = rewriting;
      const { key } = want;
      const { cas } = stored;
      if (value)
        replaced.push({ operation: { op: "replace", key, value, cas }, candidate, dropped });
      else if (want.address) empty.push({ key, cas, address: want.address });
      else replaced.push({ operation: { op: "remove", key, cas }, candidate, dropped });
    }
    this.counts.documents += wanted.length;
    if (this.#branchesAt !== this.#context.branches.version) return wanted.length;
    await this.#carryOut(replaced, column, proven);
    if (empty.length > 0) {
      this.counts.removed += await removeBlocks(documents, channel, empty, this.#context.vbuckets);
    }
    return wanted.length;
  }

  async #carryOut(
    replaced: readonly { operation: KeyValueOperation; candidate: Candidate; dropped: number }[],
    column: Stripe,
    proven: Clock | undefined,
  ): Promise<void> {
    if (replaced.length === 0) return;
    const { collection } = this.#context.documents;
    const results = await collection.batch(replaced.map(({ operation }) => operation));
    for (const [i, { operation, candidate, dropped }] of replaced.entries()) {
      if (!results[i]?.ok) {
        this.counts.overtaken++;
        lower(proven, candidate.want.range, column);
        continue;
      }
      const bytes = operation.op === "replace" ? operation.value.length : 0;
      if (operation.op === "replace") this.counts.rewritten++;
      else this.counts.removed++;
      this.counts.dropped += dropped;
      this.counts.bytesSaved += candidate.stored.value.length - bytes;
    }
  }

  #keeps(table: EntryTable, index: number, column: Stripe, upTo: Clock, live: Live): boolean {
    const vb = table.vb[index]!;
    const seq = table.seq[index]!;
    if (vb < column.vbFrom || vb >= column.vbTo) return true;
    const { branches } = this.#context;
    const branch = table.branch(index);
    if (branches.isDead(vb, seq, branch)) return false;
    if (seq > upTo[vb]! || branch !== branches.owner(vb, seq)) return true;
    const seqs = live.get(vb);
    return seqs !== undefined && includes(seqs, seq);
  }
}

function keptIn(rewriting: Rewriting | string, tables: readonly EntryTable[]): number {
  if (typeof rewriting !== "string") return rewriting.kept;
  return tables.reduce((count, table) => count + table.count, 0);
}

function includes(sorted: Float64Array, value: number): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}

/** Whether nearly all vbuckets that have reached the range are beyond it: little will be appended. */
function isSettled(range: Range, clock: Clock): boolean {
  let reached = 0;
  let beyond = 0;
  for (let vb = range.vbFrom; vb < range.vbTo; vb++) {
    if (clock[vb]! < range.seqFrom || clock[vb] === 0) continue;
    reached++;
    if (clock[vb]! >= range.seqTo - 1) beyond++;
  }
  return reached > 0 && beyond >= reached * limits.SETTLED_SHARE;
}

/** Takes out of `proven` what lies in or beyond a document that was not rewritten. */
function lower(proven: Clock | undefined, range: Range, column: Stripe): void {
  if (!proven) return;
  const to = Math.min(range.vbTo, column.vbTo);
  for (let vb = Math.max(range.vbFrom, column.vbFrom); vb < to; vb++) {
    proven[vb] = Math.min(proven[vb]!, Math.max(0, range.seqFrom - 1));
  }
}
