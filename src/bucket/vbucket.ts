// Which vbucket a key lives in, as Couchbase computes it, and vectors of sequence numbers.

import { crc32 } from "node:zlib";

/** The number of vbuckets of a bucket unless said otherwise. A power of two. */
export const DEFAULT_VBUCKETS = 1024;

/** The largest number of vbuckets that any layout here carries. */
export const MAX_VBUCKETS = 65536;

/** The largest sequence number: the largest integer that a JavaScript number holds exactly. */
export const MAX_SEQ = Number.MAX_SAFE_INTEGER;

/**
 * One sequence number per vbucket, indexed by vbucket: integers of at most {@link MAX_SEQ}, held as
 * doubles so that loops over them are free of branches and of allocation.
 */
export type SeqVector = Float64Array;

/**
 * The vbucket of `key` among `vbuckets` (a power of two): bits 16..30 of the key's CRC-32, masked.
 *
 * @param key the document's key; its UTF-8 bytes are what is hashed
 */
export function vbucketOf(key: string, vbuckets: number): number {
  return (crc32(key) >>> 16) & 0x7fff & (vbuckets - 1);
}
