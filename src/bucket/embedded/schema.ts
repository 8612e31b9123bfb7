// The tables of the two files, and the check that a file is one of ours.

import { TidegateError } from "../../base/errors.ts";
import type { Connection } from "./connection.ts";

/** The version of the tables, kept as SQLite's `user_version`. */
export const SCHEMA_VERSION = 1;

/** SQLite's `application_id` of our files: "Tide". */
const APPLICATION_ID = 0x54696465;

/** Single numbers and texts of a file: CAS, count of documents, the bucket's own id. */
const STATE = `
  CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  INSERT INTO state VALUES ('last_cas', 0);
`;

/**
 * Values of a key-value collection. A value is `items.value` and then its chunks: what was appended.
 * A chunk's id is the item's id times CHUNKS_PER_ITEM plus its place among the item's chunks, so an
 * item's chunks lie side by side. `chunked` says whether there are any.
 */
const VALUES = `
  CREATE TABLE items (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    cas INTEGER NOT NULL,
    expiry INTEGER NOT NULL,
    chunked INTEGER NOT NULL,
    value BLOB NOT NULL
  );
  CREATE INDEX items_by_expiry ON items (expiry) WHERE expiry > 0;
  CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    cas INTEGER NOT NULL,
    bytes BLOB NOT NULL
  );
`;

/** Ids of chunks between one item and the next. */
export const CHUNKS_PER_ITEM = 2 ** 16;

/** Documents, newest versions only; `history` keeps older ones where a test asks for it. */
const DOCUMENTS = `
  INSERT INTO state VALUES ('live_documents', 0);
  CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    vb INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    cas INTEGER NOT NULL,
    state INTEGER NOT NULL,
    expiry INTEGER NOT NULL,
    xattrs TEXT NOT NULL,
    body BLOB
  );
  CREATE UNIQUE INDEX documents_by_seq ON documents (vb, seq);
  CREATE INDEX documents_by_expiry ON documents (expiry) WHERE expiry > 0;
  CREATE TABLE history (
    key TEXT NOT NULL,
    vb INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    cas INTEGER NOT NULL,
    state INTEGER NOT NULL,
    expiry INTEGER NOT NULL,
    xattrs TEXT NOT NULL,
    body BLOB,
    PRIMARY KEY (vb, seq)
  );
  CREATE TABLE vbuckets (
    vb INTEGER PRIMARY KEY,
    high_seq INTEGER NOT NULL,
    vbuuid TEXT NOT NULL
  );
  CREATE TABLE failovers (
    vb INTEGER NOT NULL,
    place INTEGER NOT NULL,
    vbuuid TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (vb, place)
  ) WITHOUT ROWID;
`;

/** What a document row is. Only `live` ones have a body; `purged` ones are seen by the feed alone. */
export const RowState = { live: 0, deleted: 1, expired: 2, purged: 3 } as const;

/** Which tables a file has. */
export type FileKind = "documents" | "index";

/**
 * Checks that a file is empty or one of ours, and not newer than this program; gives whether it is
 * empty. Nothing is written.
 *
 * @throws TidegateError `newer_version`, `corrupt`
 */
export function checkFile(connection: Connection): "empty" | "ours" {
  const number = (sql: string) => connection.query<[number]>(sql).get()?.[0] ?? 0;
  const version = number("PRAGMA user_version");
  const application = number("PRAGMA application_id");
  const tables = number("SELECT count(*) FROM sqlite_schema");
  if (version === 0 && application === 0 && tables === 0) return "empty";
  if (application !== APPLICATION_ID) {
    throw new TidegateError(
      "corrupt",
      `${connection.file}: a database, but not one that Tidegate made; it was left as it is`,
    );
  }
  if (version > SCHEMA_VERSION) {
    throw new TidegateError(
      "newer_version",
      `${connection.file} was written by a newer Tidegate (its version is ${version}, this ` +
        `program knows ${SCHEMA_VERSION}); use that version, the file was left as it is`,
    );
  }
  return "ours";
}

/** Makes the tables in an empty file. Call it in a transaction. */
export function createTables(connection: Connection, kind: FileKind): void {
  connection.exec(STATE);
  connection.exec(VALUES);
  if (kind === "documents") connection.exec(DOCUMENTS);
  connection.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
  connection.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
}
