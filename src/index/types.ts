// What the index says of a mutation, and the two doors of the index: writing and reading.

import type { Clock } from "../clock/tick.ts";
import type { PrincipalId } from "./pseudo-channel.ts";

/** Bits of {@link Entry.flags}. */
export const EntryFlag = {
  /** The revision is a deletion. */
  deleted: 1,
  /** The document left this channel with this mutation. */
  removed: 2,
  /** The document has more than one leaf revision: rows in style `all_docs` need its tree. */
  conflict: 4,
  /** The entry is in a principal's pseudo-channel, and carries what the document grants it. */
  grants: 8,
} as const;

/** One line of the index: "this revision went into this channel". */
export interface Entry {
  readonly vb: number;
  readonly seq: number;
  /** Ordinal of the vbucket's branch that `seq` belongs to; 0 is the first. */
  readonly branch: number;
  /** Bits of {@link EntryFlag}. */
  readonly flags: number;
  readonly docId: string;
  readonly revId: string;
  /** The seq of the same document's mutation that this one supersedes; 0 when there is none. */
  readonly supersedes: number;
  /** With {@link EntryFlag.grants}: what the document grants the pseudo-channel's principal. */
  readonly grants?: readonly Grant[];
}

/**
 * One thing that a document gives a principal, and how long: a span of the document's vbucket. The
 * newest entry of a document tells its whole past by these spans, so that older ones may go.
 */
export interface Grant {
  readonly kind: "channel" | "role";
  /** The channel's name, or the role's without `role:`. */
  readonly name: string;
  /** The seq of the mutation with which it began; it has held without a break since. */
  readonly from: number;
  /** The seq of the mutation that withdrew it; 0: it holds. At clock K: `from <= K[vb] < until`. */
  readonly until: number;
}

/** Everything that one document grants, and has granted, to one principal. */
export interface PrincipalGrants {
  readonly principal: PrincipalId;
  readonly grants: readonly Grant[];
}

/** A channel that a document left, and where. */
export interface Removal {
  readonly channel: string;
  /** The seq of the mutation with which it left; the mutation's own seq when it left now. */
  readonly seq: number;
  readonly revId: string;
  /** Bits of {@link EntryFlag}, `removed` among them. */
  readonly flags: number;
}

/**
 * Everything that the index has to say of one mutation: a pure function of the document's `_sync`
 * attribute (`src/documents/sync-metadata.ts` computes it), so that a lost write can be made again.
 */
export interface IndexMutation {
  readonly vb: number;
  readonly seq: number;
  readonly vbuuid: string;
  readonly docId: string;
  readonly revId: string;
  /** Bits of {@link EntryFlag}, never `removed`. */
  readonly flags: number;
  readonly supersedes: number;
  /** The channels that the document is in now. `*` is not named: the sequence document is it. */
  readonly channels: readonly string[];
  /** The channels it has left. A front-end writes those of this seq; healing writes them all. */
  readonly removals: readonly Removal[];
  /**
   * What it grants: an entry of this seq in the pseudo-channel of each principal. As long as the
   * `_sync` attribute keeps a withdrawn grant, its principal is named here.
   */
  readonly grants?: readonly PrincipalGrants[];
}

/** A hash of a channel's name (32 bits), for sets of changed channels. Collisions only wake. */
export type ChannelHash = number;

/** The channel of all documents. */
export const ALL_CHANNEL = "*";
/** The channel that every principal may see. */
export const PUBLIC_CHANNEL = "!";

/** Writes index entries, in groups with whatever else is being written at the moment. */
export interface IndexWriter {
  /**
   * Writes the mutation's entries into its channels' blocks and then its record into its
   * partition's sequence document. Resolves when the record is acknowledged. May be repeated.
   *
   * @param healing true writes every removal, false only those of the mutation's own seq
   */
  write(mutation: IndexMutation, healing?: boolean): Promise<void>;
}

/** What a reader sees of the index. */
export interface IndexReader {
  /**
   * The entries of `channel` in the interval `(from, to]`, in `(vb, seq)` order, of every document
   * only the newest there, none of dead branches. In batches of bounded size; the memory in use is
   * bounded by a batch and a block, whatever the size of the answer.
   *
   * @param start begin after this position: entries up to it are not wanted
   */
  read(
    channel: string,
    from: Clock,
    to: Clock,
    start?: { vb: number; seq: number },
  ): AsyncIterable<readonly Entry[]>;
}
