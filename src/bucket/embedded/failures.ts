// What SQLite's errors mean to a caller of the bucket. The two runtimes raise them alike, but Deno
// leaves out the number where it comes from `exec` or from opening.

import { TidegateError } from "../../base/errors.ts";

/** SQLite's primary result codes that are told apart here. */
const Sqlite = {
  internal: 2,
  permission: 3,
  busy: 5,
  locked: 6,
  noMemory: 7,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  protocol: 15,
  notADatabase: 26,
} as const;

/** The texts of the codes that can come without a number. */
const TEXTS: readonly (readonly [text: string, code: number])[] = [
  ["database is locked", Sqlite.busy],
  ["database table is locked", Sqlite.locked],
  ["readonly database", Sqlite.readOnly],
  ["disk I/O error", Sqlite.ioError],
  ["malformed", Sqlite.corrupt],
  ["disk is full", Sqlite.full],
  ["unable to open", Sqlite.cannotOpen],
  ["locking protocol", Sqlite.protocol],
  ["not a database", Sqlite.notADatabase],
];

/** SQLite's primary result code of `error`; undefined when it is not an error of SQLite. */
export function sqliteCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errcode } = error as Error & { code?: unknown; errcode?: unknown };
  if (code !== "ERR_SQLITE_ERROR") return undefined;
  if (typeof errcode === "number") return errcode & 0xff;
  const known = TEXTS.find(([text]) => error.message.includes(text));
  return known?.[1] ?? Sqlite.internal;
}

/** Whether another process or connection holds the file now: worth trying again. */
export function isBusy(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === Sqlite.busy || code === Sqlite.locked || code === Sqlite.protocol;
}

/** Whether the machine failed, not the operation: repeating it alone would not help. */
export function isEnvironmental(error: unknown): boolean {
  const code = sqliteCode(error);
  if (code === undefined) return false;
  return (
    isBusy(error) ||
    code === Sqlite.full ||
    code === Sqlite.ioError ||
    code === Sqlite.corrupt ||
    code === Sqlite.notADatabase ||
    code === Sqlite.readOnly ||
    code === Sqlite.cannotOpen ||
    code === Sqlite.permission ||
    code === Sqlite.noMemory
  );
}

/** Whether a failed commit may nevertheless be found done after a crash: its sync failed. */
export function leavesDoubt(error: unknown): boolean {
  return sqliteCode(error) === Sqlite.ioError;
}

/**
 * The error of the catalogue for `error`, which came while `doing` something with `file`. An error
 * that is already one of the catalogue is given back as it is.
 */
export function bucketError(error: unknown, file: string, doing: string): TidegateError {
  if (error instanceof TidegateError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const told = (code: "unavailable" | "corrupt" | "internal", what: string) =>
    new TidegateError(code, `${file}: ${what} (while ${doing}: ${text})`, { cause: error });
  switch (sqliteCode(error)) {
    case Sqlite.busy:
    case Sqlite.locked:
    case Sqlite.protocol:
      return told("unavailable", "another process holds the file; try again");
    case Sqlite.full:
      return told("unavailable", "the disk is full; free some space, nothing was changed");
    case Sqlite.ioError:
      return told("unavailable", "the disk failed; see the system's log, nothing was changed");
    case Sqlite.readOnly:
    case Sqlite.permission:
    case Sqlite.cannotOpen:
      return told(
        "unavailable",
        "the file cannot be opened for writing; check owner, mode and directory",
      );
    case Sqlite.noMemory:
      return told("unavailable", "out of memory, nothing was changed");
    case Sqlite.corrupt:
    case Sqlite.notADatabase:
      return told(
        "corrupt",
        "the file is damaged or no Tidegate file; restore it, it was left as it is",
      );
    default:
      return told("internal", "a defect in Tidegate");
  }
}
