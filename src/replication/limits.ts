// The named limits of the changes engine.

/** The most rows in one batch. */
export const MAX_BATCH_ROWS = 1000;

/** The most rows in one batch when documents come along: they are read this many at a time. */
export const MAX_BATCH_DOCUMENTS = 200;

/** A batch is closed when its documents have this many characters. One of them may be larger. */
export const MAX_BATCH_CHARS = 256 * 1024;

/** In a long answer, a new exact position comes every so many rows. */
export const ROWS_PER_POSITION = 100;

/** The most channels that one feed may name. */
export const MAX_FEED_CHANNELS = 1000;

/** The most document ids that one feed may be filtered by. */
export const MAX_FEED_DOCUMENTS = 10_000;

/** A descending answer is turned around in pieces of at most this many changes, where it can be. */
export const DESCENDING_PIECE = 50_000;

/** The most changes of one vbucket that a descending answer can be turned around with. */
export const MAX_DESCENDING_VBUCKET = 1_000_000;

/** The most rows sent ahead of the stable clock that a feed remembers, so as not to repeat them. */
export const MAX_EAGER_SENT = 4096;

/** The most rows ahead of the stable clock that wait for a feed. */
export const MAX_EAGER_QUEUED = 4096;

/** Channels that are merged as streams; more of them are gathered, stripe of vbuckets by stripe. */
export const MAX_MERGED_STREAMS = 64;

/** The most entries that gathering holds, unless one vbucket has more. */
export const MAX_GATHERED_ENTRIES = 100_000;

/** Channels that are read at once when they are gathered. */
export const GATHERED_AT_ONCE = 32;

/** Documents whose newest version is looked at together before their rows are sent. */
export const MAX_CHECKED_DOCUMENTS = 200;

/** The ticks of which it is remembered which channels they changed. */
export const MAX_RECENT_TICKS = 512;

/** The most hashes of changed channels remembered of all those ticks. */
export const MAX_RECENT_HASHES = 100_000;

/** Gathering keeps the event loop busy for about so long at a time, in milliseconds. */
export const MAX_BUSY_MS = 5;
