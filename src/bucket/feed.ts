// The mutation feed as every floor above sees it, with the semantics of Couchbase's DCP:
// snapshots, deduplication by key, tombstones, resume, failover logs, rollback.

import type { StoredDocument } from "./bucket.ts";
import type { SeqVector } from "./vbucket.ts";

/** One branch of a vbucket's history: it began after `seq`. Newest first in a failover log. */
export interface FailoverEntry {
  readonly vbuuid: string;
  readonly seq: number;
}

/** Where a consumer stands in a vbucket: everything up to `seq` of branch `vbuuid` is handled. */
export interface StreamPosition {
  readonly vb: number;
  /** The branch that `seq` belongs to; "0" with seq 0 means from the beginning. */
  readonly vbuuid: string;
  readonly seq: number;
  /** The bounds of the snapshot that `seq` lies in; both equal `seq` when it was complete. */
  readonly snapshotStart: number;
  readonly snapshotEnd: number;
}

/** What a stream carries. Within a vbucket: a snapshot marker first, then its mutations by seq. */
export type FeedEvent =
  | {
      /**
       * The mutations up to `end` follow, deduplicated by key: only the newest version of a key
       * within the snapshot appears. A position inside a snapshot is not a consistent state.
       * `start` is the position that the snapshot continues from. A marker that comes before the
       * end of the one before was reached, with the same `start`, extends that snapshot: documents
       * changed while it was being read, so the state at the end announced first never comes.
       */
      readonly kind: "snapshot";
      readonly vb: number;
      readonly start: number;
      readonly end: number;
    }
  | FeedMutation
  /** The vbucket's position may move to `seq` although no mutation came (gaps are normal). */
  | { readonly kind: "advanced"; readonly vb: number; readonly seq: number }
  /**
   * The consumer's position is on a dead branch: it must drop what it has beyond `seq` and call
   * `restart`. The stream of this vbucket is closed until then.
   */
  | { readonly kind: "rollback"; readonly vb: number; readonly seq: number }
  /** The branch of the vbucket changed while streaming, or on resuming: its new failover log. */
  | { readonly kind: "failover"; readonly vb: number; readonly log: readonly FailoverEntry[] }
  /** The stream of this vbucket is over. `ended`: the end that was asked for was reached. */
  | { readonly kind: "end"; readonly vb: number; readonly reason: "ended" | "closed" | "moved" };

/** One mutation. A deletion or expiration has no body, but may keep system attributes. */
export interface FeedMutation extends StoredDocument {
  readonly kind: "mutation" | "deletion" | "expiration";
  readonly vb: number;
  readonly seq: number;
}

/** Options of {@link Feed.open}. */
export interface FeedOptions {
  /** Whether mutations carry their body; false saves reading it. */
  readonly withBody?: boolean;
  /** Stop each vbucket at this clock; without it the feed goes on live. */
  readonly until?: SeqVector;
}

/** The mutation feed of the `documents` collection. */
export interface Feed {
  /** The highest seq of every vbucket. */
  highSeqs(): Promise<SeqVector>;
  /** The failover log of every vbucket, indexed by vbucket; each newest first. */
  failoverLogs(): Promise<readonly (readonly FailoverEntry[])[]>;
  /** Opens streams from `positions`, one for each vbucket named there. */
  open(positions: readonly StreamPosition[], options?: FeedOptions): FeedReader;
}

/** Streams of several vbuckets, read by one consumer at its own pace. */
export interface FeedReader {
  /**
   * The next events, at least one, a bounded number of them; waits when there are none yet, so it
   * gives back nothing (an empty array) only after `close` or when every stream has ended. The next
   * call says that the events before are finished with: that is the flow control.
   */
  read(): Promise<readonly FeedEvent[]>;
  /** Opens the stream of one vbucket again, after a rollback or an end. */
  restart(position: StreamPosition): void;
  close(): void;
}
