// Gathers the entries of one stripe of vbuckets from decoded documents, puts them into (vb, seq)
// order, and leaves of every document only the newest. Pure: no input or output.

import type { BranchTable } from "./branch-table.ts";
import type { EntryTable } from "./entry-codec.ts";
import type { Interval, Stripe } from "./interval.ts";
import type { Entry } from "./types.ts";

/** One vbucket's entries in seq order. */
interface Ordered {
  readonly vb: number;
  readonly order: ArrayLike<number>;
  readonly tableOf: Uint32Array;
  readonly indexOf: Uint32Array;
}

/** When a document was in a channel last, looked at from its end on. */
interface Stay {
  /** The oldest entry found of it, but for the newest of all; 0: none. */
  first: number;
  /** Whether its beginning was found, or is not looked for. */
  ended: boolean;
}

/** The entries of an interval in the vbuckets of a stripe, found but not unpacked. */
export class Gathering {
  readonly #interval: Interval;
  readonly #stripe: Stripe;
  readonly #branches: BranchTable;
  readonly #tables: EntryTable[] = [];
  /** How many entries of each vbucket of the stripe are in the interval. */
  readonly #counts: Uint32Array;

  constructor(interval: Interval, stripe: Stripe, branches: BranchTable) {
    this.#interval = interval;
    this.#stripe = stripe;
    this.#branches = branches;
    this.#counts = new Uint32Array(stripe.vbTo - stripe.vbFrom);
  }

  /** Takes what a document holds. */
  add(tables: readonly EntryTable[]): void {
    for (const table of tables) {
      let found = 0;
      this.#each(table, (vb) => {
        this.#counts[vb - this.#stripe.vbFrom]!++;
        found++;
      });
      if (found > 0) this.#tables.push(table);
    }
  }

  #each(table: EntryTable, visit: (vb: number, index: number) => void): void {
    const { vbFrom, vbTo } = this.#stripe;
    const { after, upTo } = this.#interval;
    const { vb: vbs, seq: seqs, count } = table;
    for (let index = 0; index < count; index++) {
      const vb = vbs[index]!;
      if (vb < vbFrom || vb >= vbTo) continue;
      const seq = seqs[index]!;
      if (seq > after[vb]! && seq <= upTo[vb]!) visit(vb, index);
    }
  }

  /** The live entries vbucket by vbucket, each vbucket's newest of every document in seq order. */
  *vbuckets(): Generator<Entry[]> {
    for (const { order, tableOf, indexOf } of this.#ordered()) {
      yield this.#newest(order, tableOf, indexOf);
    }
  }

  /**
   * The seqs of the entries that a newer one supersedes, vbucket by vbucket, each ascending.
   *
   * @param withFirst whether the entry stays with which a document came into the channel when it was
   *   there last: by it a reader who has lost the channel is told what it had
   */
  *superseded(withFirst = false): Generator<{ vb: number; seqs: Float64Array }> {
    for (const { vb, order, tableOf, indexOf } of this.#ordered()) {
      const seqs: number[] = [];
      const stays = new Map<string, Stay>();
      let lastSeq = -1;
      for (let i = order.length - 1; i >= 0; i--) {
        const table = this.#tables[tableOf[order[i]!]!]!;
        const index = indexOf[order[i]!]!;
        const seq = table.seq[index]!;
        if (seq === lastSeq || table.branch(index) !== this.#branches.owner(vb, seq)) continue;
        lastSeq = seq;
        const docId = table.docId(index);
        const stay = stays.get(docId);
        if (stay === undefined) {
          stays.set(docId, { first: 0, ended: !withFirst });
        } else if (stay.ended || table.isRemoval(index)) {
          stay.ended = true;
          seqs.push(seq);
        } else {
          if (stay.first > 0) seqs.push(stay.first);
          stay.first = seq;
        }
      }
      yield { vb, seqs: Float64Array.from(seqs).sort() };
    }
  }

  /** The entries gathered, vbucket by vbucket: the numbers of their tables, and places there. */
  *#ordered(): Generator<Ordered> {
    const starts = new Uint32Array(this.#counts.length + 1);
    for (let i = 0; i < this.#counts.length; i++) starts[i + 1] = starts[i]! + this.#counts[i]!;
    const total = starts[this.#counts.length]!;
    const tableOf = new Uint32Array(total);
    const indexOf = new Uint32Array(total);
    const seqOf = new Float64Array(total);
    const next = starts.slice();
    for (const [number, table] of this.#tables.entries()) {
      this.#each(table, (vb, index) => {
        const at = next[vb - this.#stripe.vbFrom]!++;
        tableOf[at] = number;
        indexOf[at] = index;
        seqOf[at] = table.seq[index]!;
      });
    }
    for (let i = 0; i < this.#counts.length; i++) {
      if (this.#counts[i] === 0) continue;
      const order = inOrder(seqOf, starts[i]!, starts[i + 1]!);
      yield { vb: this.#stripe.vbFrom + i, order, tableOf, indexOf };
    }
  }

  #newest(order: ArrayLike<number>, tableOf: Uint32Array, indexOf: Uint32Array): Entry[] {
    const newest: Entry[] = [];
    const seen = order.length > 1 ? new Set<string>() : undefined;
    let lastSeq = -1;
    for (let i = order.length - 1; i >= 0; i--) {
      const at = order[i]!;
      const table = this.#tables[tableOf[at]!]!;
      const index = indexOf[at]!;
      const seq = table.seq[index]!;
      if (seq === lastSeq) continue;
      const entry = table.entry(index);
      if (entry.branch !== this.#branches.owner(entry.vb, seq)) continue;
      lastSeq = seq;
      if (seen?.has(entry.docId)) continue;
      seen?.add(entry.docId);
      newest.push(entry);
    }
    return newest.reverse();
  }
}

/** The numbers from `from` to `to`, ordered by their `seqOf`; what is in order stays as it is. */
function inOrder(seqOf: Float64Array, from: number, to: number): ArrayLike<number> {
  const order = new Uint32Array(to - from);
  let sorted = true;
  for (let at = from; at < to; at++) {
    order[at - from] = at;
    if (at > from && seqOf[at]! < seqOf[at - 1]!) sorted = false;
  }
  return sorted ? order : order.sort((one, other) => seqOf[one]! - seqOf[other]!);
}
