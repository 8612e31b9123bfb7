// The named limits of the document store: those a database sets, and those that are fixed.

import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from "../bucket/bucket.ts";

/** The limits that a database sets. */
export interface DocumentLimits {
  /** The most UTF-8 bytes of a document's JSON text, without attachments. */
  readonly documentBytes: number;
  /** The most bytes of one attachment. */
  readonly attachmentBytes: number;
  /** How many revisions of a branch are remembered, the leaf among them. */
  readonly revisionDepth: number;
  /** The most UTF-8 bytes of a document id; at most {@link MAX_KEY_BYTES} in any case. */
  readonly documentIdBytes: number;
}

/** What a {@link DocumentLimits} is unless a database says otherwise. */
export const DEFAULT_LIMITS: DocumentLimits = {
  documentBytes: MAX_VALUE_BYTES,
  attachmentBytes: 20 * 1024 * 1024,
  revisionDepth: 100,
  documentIdBytes: MAX_KEY_BYTES,
};

/** How long the body of a superseded revision can still be read, unless configured. */
export const DEFAULT_OLD_REVISION_SECONDS = 300;

/** The most leaf revisions of a document, deleted ones among them. More: `too_large`. */
export const MAX_LEAVES = 500;

/** The most revisions in one `_revisions` history that is given. More: `too_large`. */
export const MAX_GIVEN_HISTORY = 5000;

/** The most bytes of a `_sync` attribute; Couchbase allows 1 MB of attributes. */
export const MAX_SYNC_BYTES = 900_000;

/** The most attachments of one revision. More: `too_large`. */
export const MAX_ATTACHMENTS = 500;

/** The most bytes of all attachments of one revision: who reads them all has them in memory. */
export const MAX_REVISION_ATTACHMENT_BYTES = 200 * 1024 * 1024;

/** Bytes of attachments that are put into texts at the same moment; the others wait. */
export const INLINE_AT_ONCE_BYTES = 64 * 1024 * 1024;

/** Reads that may wait for their turn to put attachments into a text. */
export const MAX_WAITING_INLINE = 1000;

/** The most characters of the revisions of one `open_revs`, beyond the first. More: `too_large`. */
export const MAX_OPEN_REVS_CHARS = 64 * 1024 * 1024;

/** The longest attachment name and content type, in UTF-8 bytes. */
export const MAX_ATTACHMENT_NAME_BYTES = 250;

/** The largest piece of an attachment that is stored as one value. */
export const ATTACHMENT_CHUNK_BYTES = 4 * 1024 * 1024;

/** The largest body of a deleted revision, in UTF-8 bytes, that lives inside `_sync`. */
export const INLINE_BODY_BYTES = 1024;

/**
 * From this number on, left channels that the stable clock has passed are forgotten, oldest first:
 * the index has them.
 */
export const LEFT_CHANNELS_KEPT = 200;

/** The most left channels that the stable clock has not passed. More: `unavailable`, try again. */
export const MAX_LEFT_CHANNELS = 2000;

/**
 * From this number on, withdrawn grants that the stable clock has passed are forgotten, oldest
 * first: a client that has been away since before they ended is not told that they did.
 */
export const WITHDRAWN_GRANTS_KEPT = 200;

/** The most withdrawn grants of a document. More: `unavailable`, try again. */
export const MAX_WITHDRAWN_GRANTS = 20_000;

/** How often a save is tried again because another node changed the document at that moment. */
export const MAX_SAVE_ATTEMPTS = 30;

/** The documents of one bulk save that are in work at the same time. */
export const BULK_CONCURRENCY = 512;

/** The documents that a bulk read asks the bucket for at once. */
export const READ_PAGE = 64;

/** The most bytes of bodies and attachments that a bulk read holds ready beyond one document. */
export const READ_PAGE_BYTES = 4 * 1024 * 1024;

/** The documents that `_resync` and healing have in work at the same time. */
export const BACKGROUND_CONCURRENCY = 64;

/** The clean-up writes that may be under way before a save waits for its own. */
export const MAX_BACKGROUND_WRITES = 1000;
