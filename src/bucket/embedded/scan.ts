// Scans of the documents by key. No statement stays open while the reader waits.

import type { KeyRange, StoredDocument } from "../bucket.ts";
import type { Connection, Query } from "./connection.ts";
import { MAX_SCAN_PAGE_BYTES, MAX_SCAN_PAGE_ROWS } from "./limits.ts";
import { RowState } from "./schema.ts";
import { isExpired } from "./value-table.ts";
import { splitAttributes } from "./xattrs.ts";

type Row = [
  key: string,
  cas: number,
  state: number,
  expiry: number,
  xattrs: string,
  body: Uint8Array | null,
];

/** Every text is smaller than every blob in SQLite's order: the bound that bounds nothing. */
const NO_UPPER_BOUND = new Uint8Array(0);

/** One page of a scan; `next` is the range that remains, undefined after the last page. */
export interface ScanPage {
  readonly documents: StoredDocument[];
  readonly next: ScanPosition | undefined;
}

/** What remains of a scan. It goes from `from` to `to`: descending, `from` is the greater key. */
export interface ScanPosition {
  /** undefined: from the very first (descending: the very last) key. */
  readonly from: string | undefined;
  readonly includeFrom: boolean;
  /** undefined: to the end. */
  readonly to: string | undefined;
  readonly includeTo: boolean;
  readonly descending: boolean;
}

/** Where the scan of `range` begins. */
export function scanStart(range: KeyRange): ScanPosition {
  return {
    from: range.from,
    includeFrom: true,
    to: range.to,
    includeTo: range.includeTo ?? true,
    descending: range.descending ?? false,
  };
}

/** Reads pages of live documents. */
export class Scanner {
  readonly #connection: Connection;
  readonly #queries = new Map<string, Query<Row>>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The next page from `position` on: bounded in rows looked at, and in bytes. */
  page(position: ScanPosition, withBody: boolean, nowSeconds: number): ScanPage {
    const { from, to, descending } = position;
    const lower = (descending ? to : from) ?? "";
    const upper = (descending ? from : to) ?? NO_UPPER_BOUND;
    const rows = this.#query(position, withBody).iterate(lower, upper, MAX_SCAN_PAGE_ROWS);
    const documents: StoredDocument[] = [];
    let bytes = 0;
    let seen = 0;
    let last: string | undefined;
    for (const [key, cas, state, expiry, xattrs, body] of rows) {
      seen++;
      last = key;
      if (state !== RowState.live || isExpired(expiry, nowSeconds)) continue;
      documents.push({
        key,
        cas: BigInt(cas),
        body: body ?? undefined,
        deleted: false,
        xattrs: splitAttributes(xattrs),
        expiry,
      });
      bytes += key.length + xattrs.length + (body?.length ?? 0);
      if (bytes >= MAX_SCAN_PAGE_BYTES) break;
    }
    const over = last === undefined || (seen < MAX_SCAN_PAGE_ROWS && bytes < MAX_SCAN_PAGE_BYTES);
    return { documents, next: over ? undefined : { ...position, from: last, includeFrom: false } };
  }

  #query(position: ScanPosition, withBody: boolean): Query<Row> {
    const { descending, includeFrom, includeTo } = position;
    const lower = (descending ? includeTo : includeFrom) ? ">=" : ">";
    const upper = (descending ? includeFrom : includeTo) ? "<=" : "<";
    const order = descending ? "DESC" : "ASC";
    const sql = `SELECT key, cas, state, expiry, xattrs, ${withBody ? "body" : "NULL"}
      FROM documents WHERE key ${lower} ? AND key ${upper} ? ORDER BY key ${order} LIMIT ?`;
    let query = this.#queries.get(sql);
    if (query === undefined) {
      query = this.#connection.query<Row>(sql);
      this.#queries.set(sql, query);
    }
    return query;
  }
}
