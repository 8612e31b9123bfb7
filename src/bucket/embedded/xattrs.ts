// Extended attributes as they are stored, and the macros that the bucket expands in them.
//
// Stored text, one line for each attribute:   name TAB json LF
// Names have no control characters, and JSON text as JSON.stringify writes it has none either.

import { assert } from "../../base/assert.ts";
import { TidegateError } from "../../base/errors.ts";
import type { Json, JsonObject } from "../../base/json.ts";
import type { Macro } from "../bucket.ts";
import { checkAttributeName } from "./keys.ts";

/** Splits the stored text: name -> JSON text. */
export function splitAttributes(stored: string): Record<string, string> {
  const entries: [string, string][] = [];
  let at = 0;
  while (at < stored.length) {
    const tab = stored.indexOf("\t", at);
    const end = stored.indexOf("\n", tab);
    assert(tab > at && end > tab, "stored attributes are lines of name, tab, JSON");
    entries.push([stored.slice(at, tab), stored.slice(tab + 1, end)]);
    at = end + 1;
  }
  // fromEntries, because an attribute may be called __proto__.
  return Object.fromEntries(entries);
}

/** Joins attributes to the stored text. */
export function joinAttributes(attributes: Readonly<Record<string, string>>): string {
  let stored = "";
  for (const name of Object.keys(attributes)) stored += `${name}\t${attributes[name]}\n`;
  return stored;
}

/** Only the attributes whose name starts with `_`: what a tombstone keeps. */
export function systemAttributes(stored: string): string {
  if (stored === "") return "";
  const kept = Object.entries(splitAttributes(stored)).filter(([name]) => name.startsWith("_"));
  return joinAttributes(Object.fromEntries(kept));
}

/** Seq as Couchbase expands `${Mutation.seqno}`: "0x" and 16 hex digits, big-endian. */
export function seqnoText(seq: number): string {
  return `0x${seq.toString(16).padStart(16, "0")}`;
}

/** CAS as Couchbase expands `${Mutation.CAS}`: "0x" and 16 hex digits, little-endian. */
export function casText(cas: number): string {
  const big = cas.toString(16).padStart(16, "0");
  let little = "0x";
  for (let at = 14; at >= 0; at -= 2) little += big.slice(at, at + 2);
  return little;
}

/**
 * Checks names and macros of a write before it is queued.
 *
 * @throws TidegateError `bad_request`
 */
export function checkAttributes(
  attributes: Readonly<Record<string, Json>>,
  macros: readonly Macro[],
): void {
  for (const name of Object.keys(attributes)) checkAttributeName(name);
  for (const { path } of macros) {
    let at: Json | undefined = Object.hasOwn(attributes, path[0]) ? attributes[path[0]] : undefined;
    if (at === undefined) refuseMacro(path, "the attribute is not in the same write");
    for (const key of path.slice(1)) {
      if (!isObject(at)) refuseMacro(path, `there is no object to hold ${JSON.stringify(key)}`);
      at = Object.hasOwn(at, key) ? at[key] : {};
    }
  }
}

function refuseMacro(path: readonly string[], why: string): never {
  throw new TidegateError("bad_request", `macro at ${path.join(".")}: ${why}`);
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The stored text after a write: attributes of `stored` that are not named stay, the others are
 * set, macros expanded. A tombstone keeps only those whose name starts with `_`.
 */
export function writeAttributes(
  stored: string,
  attributes: Readonly<Record<string, Json>>,
  macros: readonly Macro[],
  mutation: { seq: number; cas: number; tombstone: boolean },
): string {
  const names = Object.keys(attributes);
  const after: [string, string][] = [];
  if (stored !== "") {
    for (const entry of Object.entries(splitAttributes(stored))) {
      if (!Object.hasOwn(attributes, entry[0])) after.push(entry);
    }
  }
  for (const name of names) {
    let value = attributes[name] as Json;
    for (const macro of macros) {
      if (macro.path[0] !== name) continue;
      const text = macro.value === "seqno" ? seqnoText(mutation.seq) : casText(mutation.cas);
      value = replaceAt(value, macro.path, 1, text);
    }
    after.push([name, JSON.stringify(value)]);
  }
  let text = "";
  for (const [name, json] of after) {
    if (!mutation.tombstone || name.startsWith("_")) text += `${name}\t${json}\n`;
  }
  return text;
}

/** `value` with `text` at `path` from `depth` on: a copy along the path, the rest is shared. */
function replaceAt(value: Json, path: readonly string[], depth: number, text: string): Json {
  const key = path[depth];
  if (key === undefined) return text;
  const object = isObject(value) ? value : {};
  const below: Json = Object.hasOwn(object, key) ? (object[key] as Json) : {};
  return { ...object, [key]: replaceAt(below, path, depth + 1, text) };
}
