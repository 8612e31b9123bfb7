// The bounds of the embedded bucket: every queue, page, cache and retry has its limit here.

/**
 * Operations carried out in one transaction, at most. The event loop stands still for a group: about
 * 25 µs for each insert of 1 KB, 20 µs for an append, and a sync; together some 13 ms. Groups are
 * this large only when so much waits; of 128 a bulk save took a tenth longer.
 */
export const MAX_GROUP_OPERATIONS = 512;

/**
 * Bytes written by one transaction, about, at most; one larger operation makes a group of its own.
 * The largest of all, 20 MiB, takes about 50 ms.
 */
export const MAX_GROUP_BYTES = 4 * 1024 * 1024;

/** Operations waiting for their group; beyond it a call is refused with `unavailable`. */
export const MAX_QUEUED_OPERATIONS = 65_536;

/** Bytes waiting for their group; beyond it a call is refused with `unavailable`. */
export const MAX_QUEUED_BYTES = 128 * 1024 * 1024;

/** How long a writer queues for another process's transaction before it gives up. */
export const BUSY_LIMIT_MS = 30_000;

/** The first and the longest pause between two tries for a file that another process holds. */
export const BUSY_FIRST_PAUSE_MS = 1;
export const BUSY_LONGEST_PAUSE_MS = 20;

/** Memory for pages of each file, in KiB, at most: it is taken as pages are used. */
export const PAGE_CACHE_KIB = 64 * 1024;

/** The page size of both files, in bytes. */
export const PAGE_BYTES = 4096;

/** Pages in a file's write-ahead log at which it is checkpointed: 8 MiB. */
export const CHECKPOINT_FRAMES = 2048;

/** The pause after a checkpoint that failed, for example because the disk is full. */
export const CHECKPOINT_RETRY_MS = 1000;

/** A write-ahead log longer than this is cut when it begins again. */
export const MAX_IDLE_LOG_BYTES = 64 * 1024 * 1024;

/** Items found expired in one pass, for each table, at most. */
export const MAX_EXPIRED_PER_PASS = 256;

/** The pause between two expiry passes. */
export const EXPIRY_PASS_MS = 1000;

/** Documents in one page of a scan, at most. */
export const MAX_SCAN_PAGE_ROWS = 500;

/** Bytes in one page of a scan, about: the page ends with the document that passes it. */
export const MAX_SCAN_PAGE_BYTES = 4 * 1024 * 1024;

/** Keys in one page of `keys`, at most, whatever limit was asked for. */
export const MAX_KEYS_PAGE = 10_000;

/** A value up to this length is rewritten by an append; a longer one gets a chunk row. */
export const INLINE_APPEND_BYTES = 1200;

/** Chunks of one value, at most: the tail of them is merged when they are more. */
export const MAX_CHUNKS = 16;

/** Chunks merged at once, at least. */
export const MIN_MERGED_CHUNKS = 8;

/** Values whose place and length are remembered for the next append. */
export const MAX_REMEMBERED_VALUES = 8192;

/** Entries of a vbucket's failover log; the oldest goes. Couchbase's own number. */
export const MAX_FAILOVER_ENTRIES = 25;

/** Events that one `read` of the feed gives, about: the page that passes it is the last. */
export const MAX_READ_EVENTS = 1024;

/** Bytes that one `read` of the feed gives, about. */
export const MAX_READ_BYTES = 4 * 1024 * 1024;

/** Mutations of one vbucket read at once from the file. */
export const MAX_FEED_PAGE_ROWS = 256;

/** Mutations of this process kept in memory for live feeds. */
export const MAX_RECENT_MUTATIONS = 8192;

/** Bytes of mutations kept in memory for live feeds. */
export const MAX_RECENT_BYTES = 32 * 1024 * 1024;

/** How often a waiting live feed looks for writes of other processes. */
export const FEED_POLL_MS = 20;

/** Bytes of the extended attributes' name, Couchbase's own limit. */
export const MAX_ATTRIBUTE_NAME_BYTES = 16;
