// Opening the files of a bucket: the directory, the tables, and what can be wrong with them.

import { closeSync, existsSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TidegateError } from "../../base/errors.ts";
import type { Random } from "../../runtime/random.ts";
import { sleep, type Time } from "../../runtime/time.ts";
import { DEFAULT_VBUCKETS, MAX_VBUCKETS } from "../vbucket.ts";
import { Connection, type Durability } from "./connection.ts";
import { bucketError, isBusy } from "./failures.ts";
import { busyPauseMs } from "./groups.ts";
import { BUSY_LIMIT_MS } from "./limits.ts";
import { checkFile, createTables, type FileKind } from "./schema.ts";
import { VbucketTable } from "./vbucket-table.ts";

/** The files of a bucket in its directory. */
const DOCUMENTS_FILE = "documents.sqlite";
const INDEX_FILE = "index.sqlite";
/** What SQLite puts beside a file. */
const SIDE_FILES = ["-wal", "-shm", "-journal"];

/** The two files, open, with their tables. */
export interface OpenFiles {
  readonly documents: Connection;
  readonly index: Connection;
  readonly vbuckets: number;
}

/**
 * Opens the files of a bucket, and makes what is missing of them.
 *
 * @throws TidegateError `corrupt`, `newer_version`, `unavailable`, `bad_config`
 */
export async function openFiles(
  directory: string,
  wanted: number | undefined,
  time: Time,
  random: Random,
): Promise<OpenFiles> {
  const vbuckets = wanted ?? DEFAULT_VBUCKETS;
  if (!Number.isInteger(Math.log2(vbuckets)) || vbuckets > MAX_VBUCKETS) {
    throw new TidegateError(
      "bad_config",
      `vbuckets: expected a power of two up to ${MAX_VBUCKETS}, got ${vbuckets}`,
    );
  }
  makeDirectory(directory);
  const documentsFile = join(directory, DOCUMENTS_FILE);
  const indexFile = join(directory, INDEX_FILE);
  if (!existsSync(documentsFile) && existsSync(indexFile)) {
    throw new TidegateError(
      "corrupt",
      `${documentsFile} is missing beside ${INDEX_FILE}; restore it, nothing was changed`,
    );
  }
  const open = (file: string, kind: FileKind, durability: Durability, id: number) =>
    patiently(time, random, file, () => openFile(file, kind, durability, vbuckets, id, random));
  const newId = Buffer.from(random.bytes(6)).readUIntBE(0, 6);
  const documents = await open(documentsFile, "documents", "full", newId);
  let index: Connection | undefined;
  try {
    const id = state(documents, "bucket_id");
    index = await open(indexFile, "index", "normal", id);
    if (state(index, "bucket_id") !== id) {
      throw new TidegateError(
        "corrupt",
        `${indexFile} belongs to another bucket than ${DOCUMENTS_FILE} beside it; move it away, ` +
          "then it is made again from the documents",
      );
    }
    const stored = state(documents, "vbuckets");
    if (wanted !== undefined && wanted !== stored) {
      throw new TidegateError(
        "bad_config",
        `vbuckets: ${directory} was made with ${stored}, it can't be opened with ${wanted}`,
      );
    }
    syncDirectory(directory);
    return { documents, index, vbuckets: stored };
  } catch (error) {
    index?.close();
    documents.close();
    throw bucketError(error, directory, "opening");
  }
}

/**
 * Removes the files of a bucket that no process has open, and its directory when nothing else is in
 * it. Removing what is not there is no error.
 *
 * @throws TidegateError `unavailable` when the machine does not let go of them
 */
export async function removeEmbeddedBucket(directory: string): Promise<void> {
  try {
    // The index goes first: without documents beside it, it would not be opened again.
    for (const name of [INDEX_FILE, DOCUMENTS_FILE]) {
      for (const side of [...SIDE_FILES, ""])
        await rm(join(directory, name + side), { force: true });
    }
    if (existsSync(directory) && (await readdir(directory)).length === 0) await rmdir(directory);
    if (existsSync(dirname(directory))) syncDirectory(dirname(directory));
  } catch (error) {
    throw directoryError(directory, "removed", error);
  }
}

function openFile(
  file: string,
  kind: FileKind,
  durability: Durability,
  vbuckets: number,
  bucketId: number,
  random: Random,
): Connection {
  const connection = new Connection(file, durability);
  try {
    checkFile(connection);
    connection.useLog();
    connection.begin();
    // Another process may have made the tables meanwhile.
    if (checkFile(connection) === "empty") {
      createTables(connection, kind);
      const insert = connection.query("INSERT INTO state VALUES (?, ?)");
      insert.run("bucket_id", bucketId);
      if (kind === "documents") {
        insert.run("vbuckets", vbuckets);
        VbucketTable.fill(connection, vbuckets, random);
      }
    }
    connection.commit();
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Opens a file; waits and tries again while another process holds it. */
async function patiently<T>(time: Time, random: Random, file: string, open: () => T): Promise<T> {
  const started = time.monotonicMs();
  for (let tries = 0; ; tries++) {
    try {
      return open();
    } catch (error) {
      if (!isBusy(error) || time.monotonicMs() - started > BUSY_LIMIT_MS) {
        throw bucketError(error, file, "opening");
      }
    }
    await sleep(time, busyPauseMs(tries, random));
  }
}

function state(connection: Connection, name: string): number {
  const row = connection.query<[number]>("SELECT value FROM state WHERE name = ?").get(name);
  if (row !== undefined) return row[0];
  throw new TidegateError("corrupt", `${connection.file} has no ${name}; it was left as it is`);
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
    syncDirectory(directory);
    syncDirectory(dirname(directory));
  } catch (error) {
    throw directoryError(directory, "made", error);
  }
}

/** Makes names in a directory durable: syncing a file does not. Windows has no such call. */
function syncDirectory(directory: string): void {
  if (process.platform === "win32") return;
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function directoryError(directory: string, done: string, cause: unknown): TidegateError {
  const text = cause instanceof Error ? cause.message : String(cause);
  return new TidegateError(
    "unavailable",
    `the data directory ${directory} can't be ${done}: ${text}; check its owner and mode`,
    { cause },
  );
}
