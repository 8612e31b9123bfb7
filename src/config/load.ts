// Puts the settings together: defaults, then the file, then the environment, then the command line.
// What is wrong is said all at once, each with its path and its source.

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { type ParseError, parse, printParseErrorCode } from "jsonc-parser";
import { TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import { isLoopback, parseAddress } from "./address.ts";
import { fromEnvironment } from "./environment.ts";
import { type Problem, pathsOf, problemsOf } from "./problems.ts";
import {
  type Config,
  configSchema,
  databaseSchema,
  databaseSettings,
  type ParsedDatabase,
} from "./schema.ts";

/** The largest settings file that is read. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

/** Where settings come from. */
export interface ConfigSources {
  /** The settings file; undefined: none. */
  readonly file?: string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What the command line said, in the file's shape. */
  readonly commandLine: JsonObject;
}

/** Reads, joins and checks the settings. Throws `bad_config` naming every wrong key. */
export function loadConfig(sources: ConfigSources): Config {
  const file = sources.file === undefined ? {} : readConfigFile(sources.file);
  const environment = fromEnvironment(sources.environment);
  const given = merge(merge(file, environment.settings), sources.commandLine);
  const result = configSchema.safeParse(given);
  const wrong = result.success ? [] : problemsOf(result.error, pathsOf(configSchema));
  const problems = [...environment.problems, ...wrong];
  if (!result.success || problems.length > 0) throw badConfig(problems);
  return checked(withSyncFunctions(result.data, sources.file));
}

/** Checks the settings of one database, given as JSON. Throws `bad_config`. */
export function parseDatabaseSettings(given: Json): ParsedDatabase {
  const result = databaseSchema.safeParse(given);
  if (!result.success) throw badConfig(problemsOf(result.error, pathsOf(databaseSchema)));
  return databaseSettings(result.data);
}

function badConfig(problems: readonly Problem[]): TidegateError {
  const lines = problems.map(({ path, message }) => `${path || "settings"}: ${message}`);
  return new TidegateError("bad_config", lines.join("\n"));
}

function readConfigFile(path: string): JsonObject {
  const errors: ParseError[] = [];
  const text = readText(path, "the settings file");
  const value: Json = parse(text, errors, { allowTrailingComma: true });
  const first = errors[0];
  if (first) {
    const before = text.slice(0, first.offset).split("\n");
    const column = (before.at(-1) ?? "").length + 1;
    const what = printParseErrorCode(first.error);
    throw new TidegateError(
      "bad_config",
      `${path}:${before.length}:${column}: not JSON with comments (${what})`,
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TidegateError("bad_config", `${path}: expected an object, { ... }`);
  }
  return value;
}

function readText(path: string, what: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const { code } = error as { code?: string };
    throw new TidegateError("bad_config", `cannot read ${what} ${path} (${code ?? error})`, {
      cause: error,
    });
  }
  if (bytes.length > MAX_FILE_BYTES) {
    throw new TidegateError("bad_config", `${path} is larger than ${MAX_FILE_BYTES} bytes`);
  }
  return new TextDecoder().decode(bytes);
}

/** `over` on top of `base`: objects are joined, anything else is replaced. */
function merge(base: JsonObject, over: JsonObject): JsonObject {
  const merged: JsonObject = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = Object.hasOwn(merged, key) ? merged[key] : undefined;
    merged[key] = isObject(below) && isObject(value) ? merge(below, value) : value;
  }
  return merged;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads the sync functions that are in files of their own, named from the settings file. */
function withSyncFunctions(config: Config, file: string | undefined): Config {
  const databases = { ...config.databases };
  for (const [name, { syncFunctionFile, ...settings }] of Object.entries(databases)) {
    if (syncFunctionFile === undefined) continue;
    const path = `databases.${name}`;
    if (settings.syncFunction !== undefined) {
      const message = "give the sync function or its file, not both";
      throw badConfig([{ path, message }]);
    }
    const place = resolve(file === undefined ? "." : dirname(file), syncFunctionFile);
    databases[name] = { ...settings, syncFunction: readText(place, `${path}.syncFunctionFile`) };
  }
  return { ...config, databases };
}

/** Rules between settings. */
function checked(config: Config): Config {
  const admin = parseAddress(config.admin);
  const administrators = Object.entries(config.adminAuth.users);
  if ("host" in admin && !isLoopback(admin.host) && administrators.length === 0) {
    const message =
      `without adminAuth.users the admin listener asks for no credentials, so it listens on this ` +
      `machine only, not on ${admin.host}. Give it users, or take 127.0.0.1 and reach it through ` +
      `a tunnel, for example ssh -L`;
    throw badConfig([{ path: "admin", message }]);
  }
  for (const [name, { passwordHash, token }] of administrators) {
    if (passwordHash !== undefined || token !== undefined) continue;
    const message = "expected passwordHash, or token, or both";
    throw badConfig([{ path: `adminAuth.users.${name}`, message }]);
  }
  if (config.cors.origins.includes("*") && config.cors.origins.length > 1) {
    throw badConfig([{ path: "cors.origins", message: "expected * alone, or a list without *" }]);
  }
  return config;
}
