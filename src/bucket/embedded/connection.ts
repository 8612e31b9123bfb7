// One SQLite file, open: settings, statements, transactions. What does not live here: any table.

import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { MAX_IDLE_LOG_BYTES, PAGE_BYTES, PAGE_CACHE_KIB } from "./limits.ts";

/** A value in a row as SQLite gives it here: integers are JavaScript numbers. */
export type SqlValue = null | number | string | Uint8Array;

/** A prepared statement whose rows are arrays: the columns in the order of the SQL text. */
export interface Query<Row extends readonly SqlValue[]> {
  get(...parameters: SQLInputValue[]): Row | undefined;
  all(...parameters: SQLInputValue[]): Row[];
  iterate(...parameters: SQLInputValue[]): IterableIterator<Row>;
  /** Runs it for its effect; gives the number of rows changed. */
  run(...parameters: SQLInputValue[]): number;
}

/** How durable a commit is: `full` survives a power cut, `normal` a crash of the process. */
export type Durability = "full" | "normal";

/** A connection to one file in WAL mode. Everything it throws is SQLite's own error. */
export class Connection {
  /** The file's path, for messages. */
  readonly file: string;
  readonly #database: DatabaseSync;
  readonly #begin: Query<[]>;
  readonly #beginRead: Query<[]>;
  readonly #commit: Query<[]>;
  readonly #rollback: Query<[]>;
  readonly #dataVersion: Query<[number]>;
  readonly #log: Query<[busy: number, frames: number, moved: number]>;
  readonly #checkpoint: Query<[busy: number, frames: number, moved: number]>;

  /** Opens or creates the file; it is changed by nothing before {@link useLog}. */
  constructor(file: string, durability: Durability) {
    this.file = file;
    this.#database = new DatabaseSync(file);
    try {
      // The page size counts only while the file is empty, and must come before WAL.
      this.exec(`PRAGMA page_size = ${PAGE_BYTES}`);
      this.exec(`PRAGMA synchronous = ${durability === "full" ? "FULL" : "NORMAL"}`);
      this.exec(`PRAGMA cache_size = -${PAGE_CACHE_KIB}`);
      // Checkpoints are made by checkpoints.ts, and a log that was long once is cut after them.
      this.exec("PRAGMA wal_autocheckpoint = 0");
      this.exec(`PRAGMA journal_size_limit = ${MAX_IDLE_LOG_BYTES}`);
      this.#begin = this.query("BEGIN IMMEDIATE");
      this.#beginRead = this.query("BEGIN");
      this.#commit = this.query("COMMIT");
      this.#rollback = this.query("ROLLBACK");
      this.#dataVersion = this.query("PRAGMA data_version");
      this.#log = this.query("PRAGMA wal_checkpoint(NOOP)");
      this.#checkpoint = this.query("PRAGMA wal_checkpoint(PASSIVE)");
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Switches to the write-ahead log, for this and every later connection. */
  useLog(): void {
    this.query("PRAGMA journal_mode = WAL").get();
  }

  /** Prepares a statement. */
  query<Row extends readonly SqlValue[]>(sql: string): Query<Row> {
    const statement = this.#database.prepare(sql);
    statement.setReturnArrays(true);
    // With setReturnArrays rows are arrays, which the types of node:sqlite do not say.
    return {
      get: (...parameters) => statement.get(...parameters) as unknown as Row | undefined,
      all: (...parameters) => statement.all(...parameters) as unknown as Row[],
      iterate: (...parameters) =>
        statement.iterate(...parameters) as unknown as IterableIterator<Row>,
      run: (...parameters) => Number(statement.run(...parameters).changes),
    };
  }

  /** Runs SQL text of several statements without parameters. */
  exec(sql: string): void {
    this.#database.exec(sql);
  }

  /** Begins a writing transaction; throws SQLite's `busy` at once when another process writes. */
  begin(): void {
    this.#begin.run();
  }

  commit(): void {
    this.#commit.run();
  }

  /** Ends the transaction without effect; nothing happens when SQLite has ended it by itself. */
  rollback(): void {
    if (this.#database.isTransaction) this.#rollback.run();
  }

  /** Runs several reads that must see the same state of the file. */
  snapshot<T>(read: () => T): T {
    if (this.#database.isTransaction) return read();
    this.#beginRead.run();
    try {
      return read();
    } finally {
      this.#commit.run();
    }
  }

  /** A number that changes when another connection has committed, never by own commits. */
  dataVersion(): number {
    return (this.#dataVersion.get() as [number])[0];
  }

  /** Pages in the write-ahead log that are not yet in the file. */
  logFrames(): number {
    const [, frames, moved] = this.#log.get() ?? [0, 0, 0];
    return Math.max(0, frames - moved);
  }

  /** Makes a checkpoint here and now; see {@link Checkpoints} for one that does not block. */
  checkpoint(): void {
    this.#checkpoint.get();
  }

  close(): void {
    this.#database.close();
  }
}
