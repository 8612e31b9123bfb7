// The newest entries that this node wrote, in memory: a live read needs no bucket as long as this
// node is known to have written everything in the interval. What is not proven to be so is not
// answered here. What lives elsewhere: the records themselves (journal.ts), reading (reader.ts).

import type { BranchTable } from "./branch-table.ts";
import type { Interval } from "./interval.ts";
import { MAX_TAIL_ANSWERS, MAX_TAIL_ENTRIES } from "./limits.ts";
import type { Entry } from "./types.ts";

/** An entry and the channel that it went into. */
export interface ChannelEntry {
  readonly channel: string;
  readonly entry: Entry;
}

interface Answer {
  readonly interval: Interval;
  readonly entries: readonly Entry[];
}

/** Entries by channel and vbucket, oldest first; which intervals are complete; what was asked. */
export class Tail {
  readonly #branches: BranchTable;
  readonly #limit: number;
  readonly #channels = new Map<string, Map<number, Entry[]>>();
  /** All entries in the order in which they came, from `#head` on. */
  #order: ChannelEntry[] = [];
  #head = 0;
  /** Entries up to this seq may have been dropped. */
  readonly #dropped: Float64Array;
  /** Everything in `(#from, #to]` was written by this node, or is known not to exist. */
  readonly #from: Float64Array;
  readonly #to: Float64Array;
  /** The highest seq that another node wrote. */
  readonly #foreign: Float64Array;
  readonly #answers = new Map<string, Answer>();
  #used = false;

  constructor(vbuckets: number, branches: BranchTable, limit = MAX_TAIL_ENTRIES) {
    this.#branches = branches;
    this.#limit = limit;
    this.#dropped = new Float64Array(vbuckets);
    this.#from = new Float64Array(vbuckets).fill(Number.POSITIVE_INFINITY);
    this.#to = new Float64Array(vbuckets).fill(-1);
    this.#foreign = new Float64Array(vbuckets);
  }

  /** Entries held now. */
  get size(): number {
    return this.#order.length - this.#head;
  }

  /** Takes the entries of a mutation that this node has written completely. */
  add(entries: readonly ChannelEntry[]): void {
    for (const added of entries) {
      const { channel, entry } = added;
      if (!this.#used) {
        this.#drop(entry);
        continue;
      }
      let byVb = this.#channels.get(channel);
      if (!byVb) {
        byVb = new Map();
        this.#channels.set(channel, byVb);
      }
      const list = byVb.get(entry.vb);
      if (list) list.push(entry);
      else byVb.set(entry.vb, [entry]);
      this.#order.push(added);
    }
    while (this.size > this.#limit) this.#forgetOldest();
  }

  #drop({ vb, seq }: Entry): void {
    if (seq > this.#dropped[vb]!) this.#dropped[vb] = seq;
  }

  #forgetOldest(): void {
    const { channel, entry } = this.#order[this.#head++]!;
    if (this.#head > this.#limit) {
      this.#order = this.#order.slice(this.#head);
      this.#head = 0;
    }
    this.#drop(entry);
    const byVb = this.#channels.get(channel);
    const list = byVb?.get(entry.vb);
    list?.shift();
    if (list?.length === 0) byVb?.delete(entry.vb);
    if (byVb?.size === 0) this.#channels.delete(channel);
  }

  /** Says that the record of this mutation was found, and that another node wrote it. */
  foreign(vb: number, seq: number): void {
    if (seq > this.#foreign[vb]!) this.#foreign[vb] = seq;
  }

  /** Says that every mutation of the vbucket in `(from, to]` was looked at. */
  validated(vb: number, from: number, to: number): void {
    this.#used = true;
    if (this.#foreign[vb]! > from) {
      this.#from[vb] = to;
    } else if (this.#to[vb] !== from) {
      this.#from[vb] = from;
    }
    this.#to[vb] = to;
  }

  /** Says that the vbucket's history was cut: nothing of it is known any more. */
  distrust(vb: number): void {
    this.#from[vb] = Number.POSITIVE_INFINITY;
    this.#to[vb] = -1;
    this.#answers.clear();
  }

  /** The newest entries of an interval in (vb, seq) order; undefined when they may not be all. */
  read(channel: string, interval: Interval): readonly Entry[] | undefined {
    const answer = this.#answers.get(channel);
    const { after, upTo, vbuckets } = interval;
    if (answer?.interval.after === after && answer.interval.upTo === upTo) return answer.entries;
    for (const vb of vbuckets) {
      if (after[vb]! < this.#from[vb]! || upTo[vb]! > this.#to[vb]!) return undefined;
      if (after[vb]! < this.#dropped[vb]!) return undefined;
    }
    const entries: Entry[] = [];
    const byVb = this.#channels.get(channel);
    if (byVb) {
      for (const vb of vbuckets) {
        const list = byVb.get(vb);
        if (list) this.#newest(list, interval, entries);
      }
    }
    this.#answers.delete(channel);
    if (this.#answers.size >= MAX_TAIL_ANSWERS) {
      const oldest = this.#answers.keys().next();
      if (!oldest.done) this.#answers.delete(oldest.value);
    }
    this.#answers.set(channel, { interval, entries });
    return entries;
  }

  /** Adds to `entries` the newest of every document in one vbucket's list. */
  #newest(list: readonly Entry[], interval: Interval, entries: Entry[]): void {
    const live = list.filter(({ vb, seq, branch }) => {
      return interval.has(vb, seq) && branch === this.#branches.owner(vb, seq);
    });
    live.sort((one, other) => other.seq - one.seq);
    const seen = new Set<string>();
    const newest: Entry[] = [];
    for (const entry of live) {
      if (seen.has(entry.docId)) continue;
      seen.add(entry.docId);
      newest.push(entry);
    }
    for (let i = newest.length - 1; i >= 0; i--) entries.push(newest[i]!);
  }
}
