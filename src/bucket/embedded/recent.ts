// The newest mutations of this process, in memory, so that live feeds need not read the file.

import type { FeedMutation } from "../feed.ts";
import { MAX_RECENT_BYTES, MAX_RECENT_MUTATIONS } from "./limits.ts";

/**
 * Keeps the newest mutations, bounded in number and bytes; the oldest go first. For each vbucket it
 * knows from which seq on it has them all.
 */
export class RecentMutations {
  readonly #byVbucket = new Map<number, FeedMutation[]>();
  /** All kept mutations in the order of their commit, from `#head` on. */
  #queue: FeedMutation[] = [];
  #head = 0;
  #bytes = 0;
  /** Of each vbucket: every mutation after this seq is here. */
  readonly #complete: Float64Array;

  constructor(vbuckets: number) {
    this.#complete = new Float64Array(vbuckets).fill(Number.POSITIVE_INFINITY);
  }

  /** Says that the vbucket was changed by another process: up to `high`, nothing is here. */
  reset(vb: number, high: number): void {
    this.#complete[vb] = high;
    this.#byVbucket.delete(vb);
  }

  /** Adds mutations just committed, each the next of its vbucket. */
  add(mutations: readonly FeedMutation[]): void {
    for (const mutation of mutations) {
      const kept = this.#byVbucket.get(mutation.vb);
      if (kept === undefined) this.#byVbucket.set(mutation.vb, [mutation]);
      else kept.push(mutation);
      this.#queue.push(mutation);
      this.#bytes += sizeOf(mutation);
    }
    while (this.#size > MAX_RECENT_MUTATIONS || this.#bytes > MAX_RECENT_BYTES) this.#drop();
  }

  /** Whether every mutation of `vb` after `seq` is here. */
  has(vb: number, seq: number): boolean {
    return seq >= (this.#complete[vb] as number);
  }

  /** The mutations of `vb` after `seq`, oldest first, at most `limit`; ask `has` before. */
  after(vb: number, seq: number, limit: number): FeedMutation[] {
    const kept = this.#byVbucket.get(vb) ?? [];
    let from = kept.length;
    while (from > 0 && (kept[from - 1] as FeedMutation).seq > seq) from--;
    return kept.slice(from, from + limit);
  }

  get #size(): number {
    return this.#queue.length - this.#head;
  }

  #drop(): void {
    const oldest = this.#queue[this.#head++] as FeedMutation;
    this.#bytes -= sizeOf(oldest);
    const kept = this.#byVbucket.get(oldest.vb);
    // After a reset the vbucket's list no longer has it.
    if (kept?.[0] === oldest) {
      kept.shift();
      this.#complete[oldest.vb] = oldest.seq;
      if (kept.length === 0) this.#byVbucket.delete(oldest.vb);
    }
    if (this.#head > MAX_RECENT_MUTATIONS) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  }
}

/** About how many bytes a mutation holds. */
export function sizeOf(mutation: FeedMutation): number {
  let bytes = 200 + mutation.key.length + (mutation.body?.length ?? 0);
  for (const name in mutation.xattrs) bytes += (mutation.xattrs[name] as string).length;
  return bytes;
}
