// A database's settings: their defaults, their check, and where they are stored.

import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { Bucket } from "../bucket/bucket.ts";
import { problemsOf } from "../config/problems.ts";
import { databaseSchema } from "../config/schema.ts";
import type { DatabaseSettings } from "./types.ts";

/** Where the settings of a database are, in its bucket's metadata, as JSON text. */
export const SETTINGS_KEY = "_sync:database";

/** The most characters of a database's name; it is a directory's name, too. */
const MAX_NAME_CHARS = 128;

/** CouchDB's rule for names, without the slash: a database is one directory. */
const NAME = /^[a-z][a-z0-9_$()+-]*$/;

/** Throws `bad_database_name` unless `name` can be a database's name. */
export function checkDatabaseName(name: string): void {
  if (NAME.test(name) && name.length <= MAX_NAME_CHARS) return;
  throw new TidegateError(
    "bad_database_name",
    `A database's name begins with a-z and has only a-z, 0-9, _ $ ( ) + and -, ` +
      `at most ${MAX_NAME_CHARS} of them; ${JSON.stringify(name.slice(0, MAX_NAME_CHARS))} is not`,
  );
}

/** `given` with the defaults for the rest. Throws `bad_config` with the path of what is wrong. */
export function wholeSettings(given: Partial<DatabaseSettings>): DatabaseSettings {
  const parsed = databaseSchema.safeParse(given);
  if (!parsed.success) {
    const problems = problemsOf(parsed.error, []);
    const text = problems.map(({ path, message }) => `${path}: ${message}`).join("; ");
    throw new TidegateError("bad_config", text);
  }
  const { syncFunction, ...settings } = parsed.data;
  return syncFunction === undefined ? settings : { ...settings, syncFunction };
}

/** The stored settings; undefined when the database was never completely made. */
export async function readSettings(bucket: Bucket): Promise<DatabaseSettings | undefined> {
  const found = await bucket.metadata.get(SETTINGS_KEY);
  if (found === undefined) return undefined;
  let json: JsonObject;
  try {
    json = JSON.parse(new TextDecoder().decode(found.value)) as JsonObject;
  } catch (error) {
    const reason = `the settings of database ${bucket.name} (${SETTINGS_KEY}) are no JSON`;
    throw new TidegateError("corrupt", reason, { cause: error });
  }
  return wholeSettings(json as Partial<DatabaseSettings>);
}

/** Stores the settings. */
export async function writeSettings(bucket: Bucket, settings: DatabaseSettings): Promise<void> {
  const value = new TextEncoder().encode(JSON.stringify(settings));
  await bucket.metadata.batch([{ op: "upsert", key: SETTINGS_KEY, value }]);
}
