// Settings from the environment: TIDEGATE_ and the path in capitals, parts joined by `_`:
// `limits.bodyBytes` is TIDEGATE_LIMITS_BODY_BYTES.

import { z } from "zod";
import type { Json, JsonObject } from "../base/json.ts";
import { nearest, type Problem, pathsOf, unwrapped } from "./problems.ts";
import { configSchema } from "./schema.ts";

const PREFIX = "TIDEGATE_";

/** Names that are no settings: where the file is, and which command the tests start. */
const OTHERS = ["TIDEGATE_CONFIG", "TIDEGATE_COMMAND"];

/** The variable of a setting's path. */
export function variableOf(path: string): string {
  const words = path.replaceAll(".", "_").replace(/[A-Z]/g, (letter) => `_${letter}`);
  return PREFIX + words.toUpperCase();
}

/** The paths that can be set by the environment, each a value; `databases` is JSON, whole. */
function settable(): string[] {
  const paths = pathsOf(configSchema).map((path) => path.replace(/\.\*.*$/, ""));
  return [...new Set(paths)];
}

/** Every variable, in the order of the settings. */
export function variables(): string[] {
  return settable().map(variableOf);
}

/**
 * The settings that the environment gives, as JSON in the file's shape, and what is wrong with
 * them. An unknown variable that starts with TIDEGATE_ is a problem: it is a slip of the pen.
 */
export function fromEnvironment(environment: Readonly<Record<string, string | undefined>>): {
  settings: JsonObject;
  problems: Problem[];
} {
  const paths = new Map(settable().map((path) => [variableOf(path), path]));
  const settings: JsonObject = {};
  const problems: Problem[] = [];
  for (const [name, text] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || text === undefined || OTHERS.includes(name)) continue;
    const path = paths.get(name);
    if (path === undefined) {
      const near = nearest(name, [...paths.keys(), ...OTHERS]);
      const hint = near ? `; did you mean ${near}?` : "";
      problems.push({ path: name, message: `there is no such setting${hint}` });
      continue;
    }
    const value = settingOf(path, text);
    if (value === undefined) problems.push({ path: name, message: `expected ${wants(path)}` });
    else place(settings, path.split("."), value);
  }
  return { settings, problems };
}

function schemaAt(path: string): z.core.$ZodType {
  let schema: z.core.$ZodType = configSchema;
  for (const key of path.split(".")) {
    const inner = unwrapped(schema);
    schema = (inner as z.ZodObject).shape[key] as z.core.$ZodType;
  }
  return unwrapped(schema);
}

/** The JSON value that `text` means for the setting; undefined when it means none. */
function settingOf(path: string, text: string): Json | undefined {
  const schema = schemaAt(path);
  if (schema instanceof z.ZodBoolean) {
    if (/^(true|yes|on|1)$/i.test(text)) return true;
    return /^(false|no|off|0)$/i.test(text) ? false : undefined;
  }
  if (schema instanceof z.ZodNumber) return /^\d+$/.test(text) ? Number(text) : undefined;
  if (schema instanceof z.ZodArray) {
    return text
      .split(",")
      .map((part) => part.trim())
      .filter((part) => part !== "");
  }
  if (schema instanceof z.ZodRecord) return parsed(text);
  return text;
}

function wants(path: string): string {
  const schema = schemaAt(path);
  if (schema instanceof z.ZodBoolean) return "true or false";
  return schema instanceof z.ZodNumber ? "a whole number" : "a JSON object";
}

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/** Puts `value` at `path` of `object`, making the objects on the way. */
export function place(object: JsonObject, path: readonly string[], value: Json): void {
  let inside = object;
  for (const key of path.slice(0, -1)) {
    const next = inside[key];
    if (typeof next === "object" && next !== null && !Array.isArray(next)) inside = next;
    else {
      const made: JsonObject = {};
      inside[key] = made;
      inside = made;
    }
  }
  inside[path.at(-1) ?? ""] = value;
}
