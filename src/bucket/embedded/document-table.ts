// The table of documents: what each write does to it, inside a transaction, and reads by key.
// What does not live here: queueing and grouping (groups.ts), scans (scan.ts), the feed (feed.ts).

import { assert } from "../../base/assert.ts";
import type {
  DocumentWrite,
  DocumentWriteResult,
  ExpirySeconds,
  Refusal,
  StoredDocument,
} from "../bucket.ts";
import { MAX_VALUE_BYTES } from "../bucket.ts";
import type { FeedMutation } from "../feed.ts";
import { vbucketOf } from "../vbucket.ts";
import type { CasClock } from "./cas.ts";
import type { Connection, Query } from "./connection.ts";
import { RowState } from "./schema.ts";
import { isExpired } from "./value-table.ts";
import type { VbucketTable } from "./vbucket-table.ts";
import { splitAttributes, systemAttributes, writeAttributes } from "./xattrs.ts";

/** Keys that start so are the gateway's own and are not counted. */
const OWN_KEYS = "_sync:";
/** The first text after all that start so. */
const OWN_KEYS_END = "_sync;";

/** What a write has to know of the version before it. */
type Before = [id: number, cas: number, state: number, expiry: number, xattrs: string];

/** The new version of a row. */
interface After {
  readonly state: number;
  readonly expiry: ExpirySeconds;
  readonly body: Uint8Array | null;
  /** Gives the attributes' text when seq and CAS are known. */
  readonly xattrs: (seq: number, cas: number) => string;
}

/** A row as read by key. */
type Row = [cas: number, state: number, expiry: number, xattrs: string, body: Uint8Array | null];

/** Reads and changes the table `documents`. */
export class DocumentTable {
  readonly #vbuckets: VbucketTable;
  readonly #cas: CasClock;
  /** Whether versions that are replaced go to the table `history`. */
  readonly keepHistory: boolean;
  /** Live documents that are not the gateway's own, counted in memory and saved with the group. */
  live = 0;
  /** The mutations of this transaction, in order. */
  written: FeedMutation[] = [];
  readonly #find: Query<Before>;
  readonly #insert: Query<[]>;
  readonly #update: Query<[]>;
  readonly #keep: Query<[]>;
  readonly #get: Query<Row>;
  readonly #getWithoutBody: Query<Row>;
  readonly #expired: Query<[key: string]>;
  readonly #expiredCount: Query<[count: number]>;

  constructor(connection: Connection, vbuckets: VbucketTable, cas: CasClock, keepHistory: boolean) {
    this.#vbuckets = vbuckets;
    this.#cas = cas;
    this.keepHistory = keepHistory;
    const query = connection.query.bind(connection);
    this.#find = query("SELECT id, cas, state, expiry, xattrs FROM documents WHERE key = ?");
    this.#insert = query(
      `INSERT INTO documents (seq, cas, state, expiry, xattrs, body, key, vb)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#update = query(
      `UPDATE documents SET seq = ?, cas = ?, state = ?, expiry = ?, xattrs = ?, body = ?
       WHERE id = ?`,
    );
    this.#keep = query(
      `INSERT INTO history (key, vb, seq, cas, state, expiry, xattrs, body)
       SELECT key, vb, seq, cas, state, expiry, xattrs, body FROM documents WHERE id = ?`,
    );
    this.#get = query("SELECT cas, state, expiry, xattrs, body FROM documents WHERE key = ?");
    this.#getWithoutBody = query(
      "SELECT cas, state, expiry, xattrs, NULL FROM documents WHERE key = ?",
    );
    this.#expired = query(
      "SELECT key FROM documents WHERE expiry > 0 AND expiry <= ? ORDER BY expiry LIMIT ?",
    );
    this.#expiredCount = query(
      `SELECT count(*) FROM documents WHERE expiry > 0 AND expiry <= ?
       AND NOT (key >= '${OWN_KEYS}' AND key < '${OWN_KEYS_END}')`,
    );
  }

  /**
   * The document of `key`, a tombstone too; undefined when there is none or it was purged; "expired"
   * when it must first be made a tombstone.
   */
  read(key: string, withBody: boolean, nowSeconds: number): StoredDocument | undefined | "expired" {
    const row = (withBody ? this.#get : this.#getWithoutBody).get(key);
    if (row === undefined || row[1] === RowState.purged) return undefined;
    const [cas, state, expiry, xattrs, body] = row;
    if (isExpired(expiry, nowSeconds)) return "expired";
    return {
      key,
      cas: BigInt(cas),
      body: body ?? undefined,
      deleted: state !== RowState.live,
      xattrs: splitAttributes(xattrs),
      expiry,
    };
  }

  /** Carries out one write. Call it in a transaction. */
  write(write: DocumentWrite, nowSeconds: number): DocumentWriteResult {
    const before = this.#current(write.key, nowSeconds);
    const refusal = checkCas(before, write.cas);
    if (refusal !== undefined) return { ok: false, refusal };
    const tombstone = write.body === null;
    const stored = before?.[4] ?? "";
    return this.#put(write.key, before, {
      state: tombstone ? RowState.deleted : RowState.live,
      expiry: tombstone ? 0 : (write.expiry ?? 0),
      body: write.body,
      xattrs: (seq, cas) =>
        writeAttributes(stored, write.xattrs, write.macros, { seq, cas, tombstone }),
    });
  }

  /** Removes an item with its attributes. Call it in a transaction. */
  purge(key: string, cas: bigint, nowSeconds: number): DocumentWriteResult {
    const before = this.#current(key, nowSeconds);
    if (before === undefined || before[2] === RowState.purged) {
      return { ok: false, refusal: "not_found" };
    }
    if (BigInt(before[1]) !== cas) return { ok: false, refusal: "cas_mismatch" };
    const gone = { state: RowState.purged, expiry: 0, body: null, xattrs: () => "" };
    return this.#put(key, before, gone);
  }

  /** Makes the document of `key` a tombstone when it has expired. Call it in a transaction. */
  expire(key: string, nowSeconds: number): void {
    this.#current(key, nowSeconds);
  }

  /** Keys of documents that have expired, at most `limit`. */
  expiredKeys(nowSeconds: number, limit: number): string[] {
    return this.#expired.all(nowSeconds, limit).map(([key]) => key);
  }

  /** How many documents have expired but are not tombstones yet; the gateway's own not counted. */
  expiredCount(nowSeconds: number): number {
    return this.#expiredCount.get(nowSeconds)?.[0] ?? 0;
  }

  /** The row of `key`; one that has expired becomes a tombstone first. */
  #current(key: string, nowSeconds: number): Before | undefined {
    const before = this.#find.get(key);
    if (before === undefined || !isExpired(before[3], nowSeconds)) return before;
    const xattrs = systemAttributes(before[4]);
    this.#put(key, before, {
      state: RowState.expired,
      expiry: 0,
      body: null,
      xattrs: () => xattrs,
    });
    return this.#find.get(key);
  }

  #put(key: string, before: Before | undefined, after: After): DocumentWriteResult {
    const vb = vbucketOf(key, this.#vbuckets.high.length);
    const seq = (this.#vbuckets.high[vb] as number) + 1;
    const cas = this.#cas.next();
    const xattrs = after.xattrs(seq, cas);
    if ((after.body?.length ?? 0) + Buffer.byteLength(xattrs) > MAX_VALUE_BYTES) {
      return { ok: false, refusal: "too_large" };
    }
    assert(seq === this.#vbuckets.next(vb), "seqs of a vbucket grow by one");
    const { state, expiry, body } = after;
    if (before === undefined) {
      this.#insert.run(seq, cas, state, expiry, xattrs, body, key, vb);
    } else {
      if (this.keepHistory) this.#keep.run(before[0]);
      this.#update.run(seq, cas, state, expiry, xattrs, body, before[0]);
    }
    if (!key.startsWith(OWN_KEYS)) {
      this.live += Number(state === RowState.live) - Number(before?.[2] === RowState.live);
    }
    const mutation = mutationOf([key, vb, seq, cas, state, expiry, xattrs, body]);
    this.written.push(mutation);
    const vbuuid = this.#vbuckets.vbuuid[vb] as string;
    return { ok: true, cas: mutation.cas, vb, seq, vbuuid };
  }
}

/** A version of a document, with all that the feed tells of it. */
export type MutationRow = [
  key: string,
  vb: number,
  seq: number,
  cas: number,
  state: number,
  expiry: number,
  xattrs: string,
  body: Uint8Array | null,
];

/** What the feed tells of a version. */
export function mutationOf(row: MutationRow): FeedMutation {
  const [key, vb, seq, cas, state, expiry, xattrs, body] = row;
  const live = state === RowState.live;
  return {
    kind: live ? "mutation" : state === RowState.expired ? "expiration" : "deletion",
    key,
    vb,
    seq,
    cas: BigInt(cas),
    body: body ?? undefined,
    deleted: !live,
    xattrs: splitAttributes(xattrs),
    expiry,
  };
}

function checkCas(before: Before | undefined, cas: bigint): Refusal | undefined {
  const present = before !== undefined && before[2] !== RowState.purged;
  if (cas === 0n) return present ? "exists" : undefined;
  if (!present) return "not_found";
  return BigInt(before[1]) === cas ? undefined : "cas_mismatch";
}
