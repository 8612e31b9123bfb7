// Real clients: PouchDB on LevelDB in a directory of its own, and what such a client, or a server
// asked through one, holds altogether.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import PouchDB, { type PouchDocument, type PouchReplicationOptions } from "pouchdb";

import { until } from "./until.ts";

export type { PouchDocument } from "pouchdb";
export { PouchDB };

/** Documents read at a time when contents are compared. */
const CONTENTS_PAGE = 500;

/** A set of PouchDB databases that are closed and removed together. */
export class Clients {
  readonly #directory = mkdtempSync(path.join(tmpdir(), "clients-"));
  readonly #open: PouchDB[] = [];
  #replications: { cancel(): void }[] = [];

  /** A new empty database. */
  open(name: string): PouchDB {
    const database = new PouchDB(path.join(this.#directory, name));
    this.#open.push(database);
    return database;
  }

  /** A database on a server. It is not created when it is not there. */
  remote(url: string): PouchDB {
    const database = new PouchDB(url, { skip_setup: true });
    this.#open.push(database);
    return database;
  }

  /**
   * Live sync in both directions that goes on when the server is away for a moment. Gives a function
   * that pauses it and resolves when it is still.
   */
  sync(database: PouchDB, url: string, options: PouchReplicationOptions = {}): () => Promise<void> {
    const replication = database.sync(this.#forSync(url), {
      live: true,
      retry: true,
      batch_size: 250,
      back_off_function: () => 50,
      ...options,
    });
    // An error ends the replication and rejects its promise: remembered, to be thrown at the pause.
    const ended = replication.then(
      () => undefined,
      (error: unknown) => error,
    );
    this.#replications.push(replication);
    return async () => {
      replication.cancel();
      const error = await ended;
      if (error) throw error;
    };
  }

  /**
   * The server as PouchDB's sync sees it when given a URL. PouchDB asks for the database's info after
   * each batch, only to show progress, and lets a failure of that go unhandled, which ends a test
   * when the server is away at that moment: the failure is answered with no progress instead.
   */
  #forSync(url: string): PouchDB {
    const server = new PouchDB(url);
    const info = server.info.bind(server);
    server.info = () => info().catch(() => ({ doc_count: 0, update_seq: 0 }));
    this.#open.push(server);
    return server;
  }

  /** Ends every replication, closes every database, and removes them. */
  async dispose(): Promise<void> {
    for (const replication of this.#replications) replication.cancel();
    this.#replications = [];
    for (const database of this.#open) await database.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Everything that a client would call the contents of a database: id -> a canonical text. */
export type Contents = Map<string, string>;

/** Keys in order, at every depth. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, canonical(inner)]));
}

/** What is compared of a document: all but where an attachment first came in, which may differ. */
function comparable(document: PouchDocument): unknown {
  const { _attachments, ...rest } = document;
  const attachments = Object.fromEntries(
    Object.entries(_attachments ?? {}).map(([name, { content_type, digest, length }]) => [
      name,
      { content_type, digest, ...(length === undefined ? {} : { length }) },
    ]),
  );
  return { ...rest, _conflicts: [...(rest._conflicts ?? [])].sort(), _attachments: attachments };
}

/**
 * The contents of `database`: for every document, deleted ones too, its leaf revisions, whether the
 * winner is a deletion, and of a live one the winner's body, conflicts and attachments' digests.
 */
export async function contentsOf(database: PouchDB): Promise<Contents> {
  const { results } = await database.changes({ since: 0, style: "all_docs" });
  const contents: Contents = new Map();
  const seen = new Map<string, string>();
  for (let from = 0; from < results.length; from += CONTENTS_PAGE) {
    const page = results.slice(from, from + CONTENTS_PAGE);
    const { rows } = await database.allDocs({
      keys: page.map((change) => change.id),
      include_docs: true,
      conflicts: true,
    });
    for (const [index, change] of page.entries()) {
      const row = rows[index];
      if (!row || row.error) throw new Error(`${change.id} is in the changes, not in _all_docs`);
      const leaves = change.changes.map(({ rev }) => rev).sort();
      // Between two pages it may have changed again; the same state must not come twice.
      const before = seen.get(change.id);
      if (before === leaves.join()) throw new Error(`${change.id} came twice`);
      seen.set(change.id, leaves.join());
      const winner = row.value.deleted
        ? { deleted: row.value.rev }
        : comparable(row.doc as PouchDocument);
      contents.set(change.id, JSON.stringify(canonical({ leaves, winner })));
    }
  }
  return contents;
}

/** The bodies of all leaf revisions of `id`, attachments' bytes included, in the order of revs. */
export async function leavesOf(database: PouchDB, id: string): Promise<string[]> {
  const leaves = await database.get(id, { open_revs: "all", attachments: true });
  return leaves
    .map(({ ok }) => {
      const attachments = Object.entries(ok._attachments ?? {}).map(([name, attachment]) => [
        name,
        { type: attachment.content_type, data: String(attachment.data) },
      ]);
      const { _attachments, _revisions, ...rest } = ok;
      return JSON.stringify(canonical({ ...rest, attachments: Object.fromEntries(attachments) }));
    })
    .sort();
}

/** The ids whose contents differ between `a` and `b`, with both texts, at most `limit` of them. */
export function differences(a: Contents, b: Contents, limit = 5): string[] {
  const found: string[] = [];
  for (const id of new Set([...a.keys(), ...b.keys()])) {
    if (a.get(id) === b.get(id)) continue;
    found.push(`${id}\n  ${a.get(id) ?? "(missing)"}\n  ${b.get(id) ?? "(missing)"}`);
    if (found.length >= limit) break;
  }
  return found;
}

/** The leaf revisions of every document of `database`, as one text for each: id -> revs. */
async function leafSets(database: PouchDB): Promise<Contents> {
  const { results } = await database.changes({ since: 0, style: "all_docs" });
  return new Map(
    results.map(({ id, changes }) => [
      id,
      changes
        .map(({ rev }) => rev)
        .sort()
        .join(),
    ]),
  );
}

/**
 * Waits until all of `databases` have the same leaf revisions, then reads and compares everything.
 * Gives the contents. Throws with the first differences.
 */
export async function converged(
  databases: readonly PouchDB[],
  limitMs = 60_000,
): Promise<Contents> {
  let last: string[] = [];
  await until(
    () =>
      `${databases.length} databases to have the same revisions; they differ in\n${last.join("\n")}`,
    async () => {
      const [first, ...others] = await Promise.all(databases.map(leafSets));
      last = others.flatMap((other) => differences(first as Contents, other));
      return last.length === 0;
    },
    limitMs,
    100,
  );
  const [first, ...others] = await Promise.all(databases.map(contentsOf));
  for (const other of others) {
    const found = differences(first as Contents, other);
    if (found.length > 0) throw new Error(`the contents differ:\n${found.join("\n")}`);
  }
  return first as Contents;
}

/** Waits until the changes have `count` documents: a save is there a tick after its answer. */
export async function visible(gateway: PouchDB, count: number): Promise<void> {
  await until(`${count} rows`, async () => {
    const { results } = await gateway.changes({ since: 0 });
    return results.length === count;
  });
}
