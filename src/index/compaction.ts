// Compaction: rewrites documents that the stable clock has passed, so that a read costs by the size
// of its answer and not of the history. Superseded entries and those of dead branches go, what
// remains is sorted and compressed into one chunk. Replaced by CAS: what was appended meanwhile is
// not lost. In a channel the entry stays, too, with which a document came into it when it was there
// last: so that who has lost the channel can be told what it had at any clock.
//
// Why a reader is right before, during and after it: an entry goes only when a newer one of the
// same document in the same channel is in the stable clock. A reader of (S, T] whose T is before
// the newer one may get neither, or (from its cache, or in the middle of a round) an even older
// one; but its next interval begins at T and ends at or beyond the stable clock, and has the newer
// one. So nothing is missed; what was not sent, or sent late, is obsolete. Nothing is sent twice:
// intervals do not overlap.
//
// Records go before entries: an entry goes from a channel only when all records of its document up
// to the superseding one are gone from the sequence documents. After a rollback that cuts off the
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
import { isPseudoChannel } from "./pseudo-channel.ts";
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

/** What is compacted at a time: one channel in one column of vbuckets. */
interface Pass {
  readonly channel: string;
  readonly column: Stripe;
  /** Nothing beyond this clock is touched, and nothing beyond it supersedes. */
  readonly upTo: Clock;
  /**
   * The seqs of each vbucket of the column, ascending, whose entries were seen to be superseded.
   * What was not seen then stays: it was healed since, below a stable clock that had promised too
   * much.
   */
  readonly superseded: Map<number, Float64Array>;
  /** For `*`: lowered to where superseded records may remain. */
  readonly proven: Clock | undefined;
}

/** A document as it was read, and what it is to become. */
interface Change {
  readonly want: WantedEntries;
  readonly stored: StoredValue;
  readonly rewriting: Rewriting;
}

function operationOf({ want, stored, rewriting }: Change): KeyValueOperation {
  const { key } = want;
  const { cas } = stored;
  return rewriting.value
    ? { op: "replace", key, value: rewriting.value, cas }
    : { op: "remove", key, cas };
}

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
  /** The branches when the round began: when one is added, what was found superseded is void. */
  #branchesAt = -1;
  /** Mutations in the stable clock when the last round began, and records that it kept. */
  #lastMutations = 0;
  #keptRecords = 0;

  constructor(context: CompactionContext) {
    this.#context = context;
  }

  /**
   * Goes on with the round under way, or begins one when enough has changed. Gives whether there is
   * nothing left to do. Not to be called again before it has ended. Only one node should do it for
   * a bucket, the one whose controller hears of rollbacks.
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
      // Older documents first: of what a document was, the oldest goes first.
      const wanted = source.documents(column).sort((one, other) => {
        return one.range.seqFrom - other.range.seqFrom;
      });
      if (wanted.length === 0) continue;
      const superseded = new Map<number, Float64Array>();
      const pass: Pass = { channel, column, upTo, superseded, proven };
      for (const stripe of stripesOf(bytes, limits.MAX_STRIPE_BYTES)) {
        const cut = {
          vbFrom: Math.max(stripe.vbFrom, column.vbFrom),
          vbTo: Math.min(stripe.vbTo, column.vbTo),
        };
        if (cut.vbFrom >= cut.vbTo) continue;
        yield await this.#findSuperseded(source, interval, cut, pass);
      }
      const page = limits.REWRITE_PAGE_DOCUMENTS;
      for (let at = 0; at < wanted.length; at += page) {
        const part = wanted.slice(at, at + page);
        yield await this.#rewrite(pass, part);
      }
    }
  }

  async #findSuperseded(
    source: Source,
    interval: Interval,
    stripe: Stripe,
    { channel, superseded }: Pass,
  ): Promise<number> {
    const { documents, branches, time } = this.#context;
    const wanted = source.documents(stripe);
    const gathering = new Gathering(interval, stripe, branches);
    for (const tables of await documents.fetch(wanted, { keep: false })) {
      if (tables) gathering.add(tables);
    }
    // The newest entry of a pseudo-channel tells the past by itself.
    const withFirst = channel !== ALL_CHANNEL && !isPseudoChannel(channel);
    for (const { vb, seqs } of gathering.superseded(withFirst)) {
      superseded.set(vb, seqs);
      await sleep(time, 0);
    }
    return wanted.length;
  }

  /** Rewrites what has something to drop; what was appended to meanwhile, again. */
  async #rewrite(pass: Pass, wanted: readonly WantedEntries[]): Promise<number> {
    let left: readonly WantedEntries[] = wanted;
    for (let tries = 0; left.length > 0 && tries < limits.MAX_REWRITE_TRIES; tries++) {
      const changes = await this.#changesOf(pass, left);
      if (this.#branchesAt !== this.#context.branches.version) return wanted.length;
      left = await this.#carryOut(pass, changes);
      this.counts.overtaken += left.length;
    }
    for (const { range } of left) lower(pass.proven, range, pass.column);
    this.counts.documents += wanted.length;
    return wanted.length;
  }

  async #changesOf(pass: Pass, wanted: readonly WantedEntries[]): Promise<Change[]> {
    const { documents } = this.#context;
    const found = await documents.collection.getMany(wanted.map(({ key }) => key));
    const changes: Change[] = [];
    for (const [i, want] of wanted.entries()) {
      const stored = found[i];
      if (!stored) continue;
      const tables = documents.decode(want, stored.value);
      const rewriting = rewriteOf(want, stored.value, tables, (table, index) => {
        return this.#keeps(pass, table, index);
      });
      if (want.isSequences) this.#keptRecords += keptIn(rewriting, tables);
      if (rewriting === "damaged") lower(pass.proven, want.range, pass.column);
      if (typeof rewriting !== "string") changes.push({ want, stored, rewriting });
    }
    return changes;
  }

  /** Writes the changes; gives back the documents that had changed meanwhile. */
  async #carryOut(pass: Pass, changes: readonly Change[]): Promise<WantedEntries[]> {
    const { documents, vbuckets } = this.#context;
    const empty: EmptyBlock[] = [];
    const others: Change[] = [];
    for (const change of changes) {
      const { want, stored, rewriting } = change;
      const { address, key } = want;
      if (rewriting.value || !address) others.push(change);
      else empty.push({ key, cas: stored.cas, address });
    }
    const results = await documents.collection.batch(others.map(operationOf));
    const overtaken = others.filter((_change, i) => !results[i]?.ok).map(({ want }) => want);
    for (const [i, { stored, rewriting }] of others.entries()) {
      if (!results[i]?.ok) continue;
      if (rewriting.value) this.counts.rewritten++;
      else this.counts.removed++;
      this.counts.dropped += rewriting.dropped;
      this.counts.bytesSaved += stored.value.length - (rewriting.value?.length ?? 0);
    }
    if (empty.length > 0) {
      this.counts.removed += await removeBlocks(documents, pass.channel, empty, vbuckets);
    }
    return overtaken;
  }

  #keeps(pass: Pass, table: EntryTable, index: number): boolean {
    const { column, upTo, superseded } = pass;
    const vb = table.vb[index]!;
    const seq = table.seq[index]!;
    if (vb < column.vbFrom || vb >= column.vbTo) return true;
    const { branches } = this.#context;
    const branch = table.branch(index);
    if (branches.isDead(vb, seq, branch)) return false;
    if (seq > upTo[vb]! || branch !== branches.owner(vb, seq)) return true;
    const seqs = superseded.get(vb);
    return seqs === undefined || !includes(seqs, seq);
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

/** Takes out of `proven` what lies in or beyond a document that was not rewritten. */
function lower(proven: Clock | undefined, range: Range, column: Stripe): void {
  if (!proven) return;
  const to = Math.min(range.vbTo, column.vbTo);
  for (let vb = Math.max(range.vbFrom, column.vbFrom); vb < to; vb++) {
    proven[vb] = Math.min(proven[vb]!, Math.max(0, range.seqFrom - 1));
  }
}
