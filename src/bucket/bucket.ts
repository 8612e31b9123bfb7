// The bucket as every floor above sees it: three collections and a mutation feed.
// Two buckets fit it: embedded/ (SQLite) and couchbase/. Nothing above may ask which one it is.

import type { Json } from "../base/json.ts";
import type { Feed } from "./feed.ts";

/**
 * A bucket, open. It is cut into `vbuckets` vbuckets, and holds
 * - `documents`: the users' documents with their `_sync` attribute. Every write is a mutation
 *   `(vb, seq)` of the feed. Writes are durable when their promise resolves;
 * - `metadata`: what must survive but is not a mutation: attachments, `_local` documents, old
 *   revisions, settings. Durable like the documents;
 * - `index`: the channel index. A power cut may lose the *newest* writes of this collection, always
 *   a suffix of them, never some from the middle: the controller heals what is lost. A crash of the
 *   process alone loses nothing.
 *
 * The promises reject with a `TidegateError` only for what no caller can go on from: `unavailable`
 * (nothing was changed), `ambiguous`, `corrupt`. Expected outcomes (a CAS that does not match) are
 * values.
 */
export interface Bucket {
  readonly name: string;
  readonly vbuckets: number;
  readonly documents: DocumentCollection;
  readonly metadata: KeyValueCollection;
  readonly index: KeyValueCollection;
  readonly feed: Feed;
  /** Counters of this bucket for metrics and health: name -> value. */
  stats(): Readonly<Record<string, number>>;
  /** Finishes the writes in flight and lets go of everything. No call may follow. */
  close(): Promise<void>;
}

/** Unix seconds at which an item goes away by itself; 0: never. */
export type ExpirySeconds = number;

/** Where a write landed. `vbuuid` names the vbucket's branch: 16 hexadecimal digits. */
export interface MutationToken {
  readonly vb: number;
  readonly seq: number;
  readonly vbuuid: string;
}

/** Why a single operation was refused. Nothing was changed by it. */
export type Refusal = "not_found" | "exists" | "cas_mismatch" | "too_large" | "not_a_counter";

// ---------------------------------------------------------------------------------------------
// documents

/** A document as stored. A tombstone (`body` undefined) keeps its system attributes. */
export interface StoredDocument {
  readonly key: string;
  readonly cas: bigint;
  /** The JSON text's UTF-8 bytes; undefined for a tombstone, and when the body was not asked for. */
  readonly body: Uint8Array | undefined;
  readonly deleted: boolean;
  /** Extended attributes: name -> JSON text. */
  readonly xattrs: Readonly<Record<string, string>>;
  readonly expiry: ExpirySeconds;
}

/** A value that the bucket itself puts into an extended attribute as it writes. */
export interface Macro {
  /** The attribute and then the keys of objects down to the value, for example `["_sync", "seq"]`. */
  readonly path: readonly [attribute: string, ...keys: string[]];
  /**
   * `seqno` is written as Couchbase writes `${Mutation.seqno}`: the hex text of the number,
   * big-endian, "0x" and 16 digits; `cas` as `${Mutation.CAS}`: the same of the CAS, little-endian.
   */
  readonly value: "seqno" | "cas";
}

/** One whole-document write: body and attributes in one mutation. */
export interface DocumentWrite {
  readonly key: string;
  /** The CAS of the version that was read, tombstones too; `0n`: there must be no item at all. */
  readonly cas: bigint;
  /** The new body; null makes the document a tombstone that keeps `xattrs`. */
  readonly body: Uint8Array | null;
  /** Attributes to set. Those not named keep their value (a tombstone keeps `_`-named ones only). */
  readonly xattrs: Readonly<Record<string, Json>>;
  readonly macros: readonly Macro[];
  readonly expiry?: ExpirySeconds;
}

/** What became of a {@link DocumentWrite}. */
export type DocumentWriteResult =
  | ({ readonly ok: true; readonly cas: bigint } & MutationToken)
  | { readonly ok: false; readonly refusal: Refusal };

/**
 * A range of keys in UTF-8 byte order, both ends included unless said. The scan goes from `from` to
 * `to`: when `descending`, `from` is the greater key (as CouchDB has startkey and endkey).
 */
export interface KeyRange {
  readonly from?: string;
  readonly to?: string;
  /** Whether `to` itself is in the range; true unless said. */
  readonly includeTo?: boolean;
  readonly descending?: boolean;
}

/** The collection of the users' documents. Values pass through whole; a key has at most 250 bytes. */
export interface DocumentCollection {
  /** The document, a tombstone too; undefined when there is no item. */
  get(key: string, options?: { withBody?: boolean }): Promise<StoredDocument | undefined>;
  /**
   * As `get` for each key, in the order of `keys`. Attributes other than `_`-named ones may be left
   * out where they would cost requests of their own; so may they by `get` without the body.
   */
  getMany(
    keys: readonly string[],
    options?: { withBody?: boolean },
  ): Promise<(StoredDocument | undefined)[]>;
  /** Writes body and attributes in one CAS mutation; resolves when it is durable. */
  write(write: DocumentWrite): Promise<DocumentWriteResult>;
  /** Removes the item with all its attributes (a mutation of the feed: a deletion without `_sync`). */
  purge(key: string, cas: bigint): Promise<DocumentWriteResult>;
  /** The live documents of `range` in key order, in pages of bounded size; no tombstones. */
  scan(range: KeyRange, options?: { withBody?: boolean }): AsyncIterable<StoredDocument[]>;
  /** The number of live documents whose key does not start with `_sync:`. */
  count(): Promise<number>;
}

// ---------------------------------------------------------------------------------------------
// metadata and index

/** A value of a key-value collection. */
export interface StoredValue {
  readonly value: Uint8Array;
  readonly cas: bigint;
}

/** One atomic operation on one key. `cas`, where given, must match. */
export type KeyValueOperation =
  | { op: "insert" | "upsert"; key: string; value: Uint8Array; expiry?: ExpirySeconds }
  | { op: "replace"; key: string; value: Uint8Array; cas?: bigint; expiry?: ExpirySeconds }
  | { op: "remove"; key: string; cas?: bigint }
  /** Adds bytes at the end of an existing value; `not_found` when there is none. */
  | { op: "append"; key: string; value: Uint8Array; cas?: bigint }
  /** Adds `delta` to an integer, which starts as `initial` (no delta added) when there is none. */
  | { op: "counter"; key: string; delta: number; initial: number }
  | { op: "touch"; key: string; expiry: ExpirySeconds };

/** What became of a {@link KeyValueOperation}; `counter` is set for counters. */
export type KeyValueResult =
  | { readonly ok: true; readonly cas: bigint; readonly counter?: number }
  | { readonly ok: false; readonly refusal: Refusal };

/** A collection of plain byte values. A value has at most {@link MAX_VALUE_BYTES}. */
export interface KeyValueCollection {
  get(key: string): Promise<StoredValue | undefined>;
  /** As `get` for each key, in the order of `keys`. */
  getMany(keys: readonly string[]): Promise<(StoredValue | undefined)[]>;
  /**
   * Carries out each operation, atomically by itself, in the order given for one key. The batch as
   * a whole is not atomic. One promise for many operations: this is what makes index writes cheap.
   */
  batch(operations: readonly KeyValueOperation[]): Promise<KeyValueResult[]>;
  /** The keys that start with `prefix` and are greater than `after`, in order, at most `limit`. */
  keys(prefix: string, options: { after?: string; limit: number }): Promise<string[]>;
}

/** The largest value of a key-value collection, Couchbase's own limit. */
export const MAX_VALUE_BYTES = 20 * 1024 * 1024;

/** The largest key in UTF-8 bytes, Couchbase's own limit. */
export const MAX_KEY_BYTES = 250;
