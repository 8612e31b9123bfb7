// A feed in descending order. The answer is turned around in pieces: stripes of vbuckets, from the
// last to the first, each small enough to be held at once.

import { TidegateError } from "../base/errors.ts";
import { formatTick } from "../clock/sequence.ts";
import type { Stable } from "../clock/tick.ts";
import { needsDetails, readDetails } from "./details.ts";
import {
  DESCENDING_PIECE,
  MAX_BATCH_DOCUMENTS,
  MAX_BATCH_ROWS,
  MAX_DESCENDING_VBUCKET,
} from "./limits.ts";
import type { Change } from "./merge.ts";
import type { FeedSource } from "./ports.ts";
import type { Plan } from "./reach.ts";
import { rowText } from "./row-text.ts";
import type { ChangesBatch, ChangesFeed } from "./types.ts";

/** The changes of one interval, newest positions first; then it is done. */
export class DescendingFeed implements ChangesFeed {
  readonly #source: FeedSource;
  readonly #from: Stable;
  readonly #to: Stable;
  /** What the reader is sent; found with the first piece. */
  #plan: Plan | undefined;
  /** Vbuckets from here on were given out. */
  #below: number;
  #stripe: number;
  #piece: Change[] = [];
  #left: number;
  #closed = false;

  constructor(source: FeedSource, from: Stable) {
    this.#source = source;
    this.#from = from;
    this.#to = source.head();
    this.#below = this.#to.clock.length;
    this.#stripe = this.#below;
    const { limit } = source.options;
    this.#left = limit === undefined ? Number.POSITIVE_INFINITY : Math.max(1, limit);
  }

  async read(_wait: boolean, signal?: AbortSignal): Promise<ChangesBatch> {
    while (this.#piece.length === 0 && this.#below > 0 && this.#left > 0) {
      if (this.#closed || signal?.aborted) break;
      await this.#readPiece();
    }
    const rows = this.#left > 0 ? await this.#rows() : [];
    const ended = this.#piece.length === 0 && this.#below === 0;
    // Only the whole answer leads to its end: whoever stops earlier has nothing that lies together.
    const at = ended ? this.#to.tick : this.#from.tick;
    const done = ended || this.#left <= 0 || this.#closed;
    return { rows, lastSeq: formatTick(at), caughtUp: ended, done };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#piece = [];
    this.#source.closed();
  }

  /** Reads the next stripe that is small enough, in ascending order. */
  async #readPiece(): Promise<void> {
    const first = Math.max(0, this.#below - this.#stripe);
    const single = this.#below - first === 1;
    const piece = await this.#readStripe(first, single ? MAX_DESCENDING_VBUCKET : DESCENDING_PIECE);
    if (piece !== undefined) {
      this.#piece = piece;
      this.#below = first;
      return;
    }
    if (single) {
      throw new TidegateError(
        "too_large",
        `descending: vbucket ${first} has more than ${MAX_DESCENDING_VBUCKET} changes since this ` +
          "sequence, too many to be turned around. Read ascending, or from a later sequence",
      );
    }
    this.#stripe = Math.max(1, this.#stripe >>> 1);
  }

  /** The wanted changes of the vbuckets from `first` on; undefined when they are more than `most`. */
  async #readStripe(first: number, most: number): Promise<Change[] | undefined> {
    const { reach, changes, wants, head } = this.#source;
    const newest = head();
    await this.#source.actor.access.refresh();
    this.#plan = this.#plan
      ? reach.renewed(this.#plan)
      : reach.plan(this.#from, this.#to, undefined, newest);
    const stripe = new Set<number>();
    for (let vb = first; vb < this.#below; vb++) stripe.add(vb);
    const piece: Change[] = [];
    for await (const batch of changes(this.#plan, undefined, stripe)) {
      for (const change of batch) if (wants(change)) piece.push(change);
      if (piece.length > most) return undefined;
    }
    return piece;
  }

  async #rows(): Promise<string[]> {
    const { options, documents, actor } = this.#source;
    const most = Math.min(options.includeDocs ? MAX_BATCH_DOCUMENTS : MAX_BATCH_ROWS, this.#left);
    const changes = this.#piece.slice(-most).reverse();
    const details = needsDetails(options)
      ? await readDetails(changes, options, documents, actor)
      : undefined;
    if (details !== undefined) changes.length = details.length;
    this.#piece.length -= Math.min(changes.length, this.#piece.length);
    this.#left -= changes.length;
    const seq = formatTick(this.#from.tick);
    return changes.map((change, i) =>
      rowText(seq, change, details?.[i]?.leaves, details?.[i]?.doc),
    );
  }
}
