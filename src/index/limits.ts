// The named limits and targets of the index. What does not live here: settings of a database.

/** Entries that a channel block is to hold when its channel's density is as measured. */
export const TARGET_BLOCK_ENTRIES = 128;

/** Bytes that this node appends to one block before the channel takes a finer shape. */
export const MAX_BLOCK_BYTES = 16 * 1024;

/** Blocks that one list window may name, about: the window exponent follows from the shape. */
export const MAX_BLOCKS_PER_LIST = 2048;

/**
 * Blocks are about as long as vbuckets are apart (a power of two of sequences, as exponent) before
 * they get wider than one vbucket; in buckets whose keys are skewed, no longer than this.
 */
export const MAX_SPREAD_BITS = 9;

/** The weight of one mutation in the running mean and variance of the vbuckets' seqs. */
export const SPREAD_WEIGHT = 1 / 512;

/** The longest block in sequences, as exponent. */
export const MAX_BLOCK_SEQ_BITS = 40;

/** A channel of which nothing is known is taken to have one of so many mutations. */
export const INITIAL_GAP = 8192;

/** The weight of a new gap between two mutations of a channel in its running mean. */
export const GAP_WEIGHT = 1 / 32;

/** Powers of two by which a shape must be off before the channel takes another. */
export const SHAPE_HYSTERESIS_BITS = 2;

/** Channels whose density this node keeps in mind. */
export const MAX_CHANNEL_STATES = 50_000;

/** Blocks whose size this node keeps in mind. */
export const MAX_BLOCK_SIZES = 65_536;

/** Slots `(vb, seq)` that a sequence document covers, about: 13 KB when every slot is used. */
export const SEQUENCE_DOCUMENT_SLOTS = 256;

/** Slots that a block of a fixed shape covers. */
export const FIXED_SHAPE_SLOTS_BITS = 10;

/** Mutations in one group of writes. */
export const MAX_GROUP_MUTATIONS = 1024;

/** Groups of writes under way at once. */
export const MAX_GROUPS_IN_FLIGHT = 2;

/** Mutations that wait to be written; beyond it writes are refused, and the controller heals. */
export const MAX_QUEUED_WRITES = 16_384;

/** Times that a failed bucket operation is tried, the first one included. */
export const MAX_WRITE_ATTEMPTS = 5;

/** Pause before the second try; it doubles with every try. */
export const FIRST_RETRY_MS = 20;

/** Times that entries are placed anew because their block is full to the bucket's limit. */
export const MAX_PLACEMENTS = 8;

/** Acknowledged records that the journal remembers. */
export const MAX_JOURNAL_RECORDS = 131_072;

/** Documents asked for at once by a reader. */
export const READ_PAGE_DOCUMENTS = 64;

/** Entries in one batch of a reader. */
export const READ_BATCH_ENTRIES = 1000;

/** Estimated stored bytes that a reader holds at once: its stripes of vbuckets fit it. */
export const MAX_STRIPE_BYTES = 8 * 1024 * 1024;

/** Stored bytes that a block is taken to have before it is read. */
export const EXPECTED_DOCUMENT_BYTES = 8 * 1024;

/** Bytes of decoded documents that an index keeps. */
export const MAX_CACHE_BYTES = 64 * 1024 * 1024;

/** A read of more documents than this does not put them into the cache. */
export const MAX_CACHED_SCAN = 512;

/** Appended pieces after which a cached document is decoded anew as one. */
export const MAX_CACHED_CHUNKS = 8;

/** Stable clocks that the cache remembers, to know what a document fetched then held. */
export const MAX_KNOWN_CLOCKS = 16;

/** Documents written to late that the cache tells from others; beyond it, it distrusts all. */
export const MAX_LATE_DOCUMENTS = 4096;

/** Entries that the tail holds: the newest that this node wrote. */
export const MAX_TAIL_ENTRIES = 65_536;

/** Answers from the tail that are kept for other feeds which ask the same. */
export const MAX_TAIL_ANSWERS = 64;

/** Channels asked for at once when they are listed. */
export const CHANNEL_PAGE = 256;

/** Estimated stored bytes of the vbuckets that a compaction looks at together. */
export const COMPACTION_COLUMN_BYTES = 64 * 1024 * 1024;

/** A round of compaction begins when so many mutations came since the last one, at least… */
export const MIN_ROUND_MUTATIONS = 10_000;

/** …and at least this share of the records that the last one kept. */
export const MIN_ROUND_GROWTH = 0.25;

/** Documents that a compaction rewrites at once. */
export const REWRITE_PAGE_DOCUMENTS = 16;

/** Times that a document is rewritten when it was appended to meanwhile. */
export const MAX_REWRITE_TRIES = 4;

/** A document is rewritten when at least this share of its bytes was appended since it last was. */
export const MIN_APPENDED_SHARE = 0.5;

/** Bytes from which a compacted chunk is compressed. */
export const MIN_COMPRESSED_BYTES = 256;

/** Mutations that a check computes anew at once, about. */
export const VERIFY_STRIPE_MUTATIONS = 200_000;

/** Differences that a check lists before it only counts. */
export const MAX_DIFFERENCES = 1000;
