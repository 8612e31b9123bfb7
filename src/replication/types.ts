// The changes engine as the transports see it: they pull batches of rows when they can send.

import type { Actor } from "../documents/types.ts";

/** What a client asks of `_changes`. Parsed and checked by the transport. */
export interface ChangesOptions {
  /** A sequence's text; "now" starts at the stable clock. */
  readonly since: string;
  /** The rows wanted, at most; 0 counts as 1, as in CouchDB. */
  readonly limit?: number;
  readonly includeDocs?: boolean;
  readonly conflicts?: boolean;
  readonly attachments?: boolean;
  /** `all_docs`: every leaf revision in `changes`, not the winner alone. */
  readonly style?: "main_only" | "all_docs";
  /** Leave out deletions and removals. */
  readonly activeOnly?: boolean;
  readonly descending?: boolean;
  /** Only these channels. Without it: everything that the actor may see. */
  readonly channels?: readonly string[];
  /** Only these documents. */
  readonly docIds?: readonly string[];
  /** Rows with `revoked` for documents that the reader had and may not see any more. */
  readonly revocations?: boolean;
  /** Rows beyond the stable clock too, as soon as this node knows them. */
  readonly eager?: boolean;
}

/** A piece of a changes feed. */
export interface ChangesBatch {
  /** JSON texts of rows: `{"seq":…,"id":…,"changes":[…],…}`. Bounded in number and in bytes. */
  readonly rows: readonly string[];
  /** The exact position after these rows: `last_seq`. */
  readonly lastSeq: string;
  /** Whether everything in the stable clock was sent. */
  readonly caughtUp: boolean;
  /** Whether `limit` was reached: no more will come. */
  readonly done: boolean;
}

/** One open feed. Not to be read by two at once. */
export interface ChangesFeed {
  /**
   * The next batch. When there is nothing to send: waits for it when `wait` is true, otherwise gives
   * an empty batch that is caught up. An aborted `signal` ends the wait with an empty batch.
   */
  read(wait: boolean, signal?: AbortSignal): Promise<ChangesBatch>;
  close(): void;
}

/** Opens changes feeds. Throws `bad_sequence` for a malformed `since`. */
export interface ChangesEngine {
  open(actor: Actor, options: ChangesOptions): Promise<ChangesFeed>;
  /** The sequence of the stable clock, for `update_seq` and `since=now`. */
  currentSequence(): string;
  /** Feeds open now. */
  readonly openFeeds: number;
}
