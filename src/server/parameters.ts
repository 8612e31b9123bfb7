// Query parameters: strict parsers that name the parameter and what it takes. Parameters that
// nobody asks for are ignored, as CouchDB does.

import { TidegateError } from "../base/errors.ts";
import type { Json } from "../base/json.ts";
import { checkStructure } from "./body.ts";
import type { Call } from "./context.ts";

/** A wrong parameter: 400. */
export function badParameter(name: string, takes: string, came: unknown): TidegateError {
  const shown = typeof came === "string" ? came : JSON.stringify(came);
  const short = shown.length > 100 ? `${shown.slice(0, 100)}…` : shown;
  return new TidegateError("bad_request", `${name}: expected ${takes} (came: ${short})`);
}

/** `true` or `false`; undefined when it is not given. */
export function flag(call: Call, name: string): boolean | undefined {
  const text = call.req.query(name);
  return text === undefined ? undefined : flagOf(name, text);
}

/** `true` or `false`, as a query's text or as JSON. */
export function flagOf(name: string, value: Json): boolean {
  if (value === true || value === "true") return true;
  if (value === false || value === "false") return false;
  throw badParameter(name, "true or false", value);
}

/** A whole number of at least `least`; undefined when it is not given. */
export function integer(call: Call, name: string, least = 0): number | undefined {
  const text = call.req.query(name);
  return text === undefined ? undefined : integerOf(name, text, least);
}

/** A whole number of at least `least`, as a query's text or as JSON. */
export function integerOf(name: string, value: Json, least = 0): number {
  const isText = typeof value === "string" && /^\d{1,16}$/.test(value);
  const number = isText ? Number(value) : value;
  if (typeof number === "number" && Number.isSafeInteger(number) && number >= least) return number;
  throw badParameter(name, `a whole number of at least ${least}`, value);
}

/** A parameter that holds JSON; undefined when it is not given. */
export function jsonParameter(call: Call, name: string): Json | undefined {
  const text = call.req.query(name);
  if (text === undefined) return undefined;
  checkStructure(Buffer.from(text));
  try {
    return JSON.parse(text) as Json;
  } catch {
    throw badParameter(name, "JSON", text);
  }
}

/** A key as CouchDB's queries take it: a JSON string. The first of `names` that is given. */
export function keyParameter(call: Call, ...names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = jsonParameter(call, name);
    if (value === undefined) continue;
    if (typeof value === "string") return value;
    throw badParameter(name, 'a JSON string, such as "a"', value);
  }
  return undefined;
}

/** An array of strings. */
export function strings(name: string, value: Json): string[] {
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw badParameter(name, "an array of strings", value);
}

/** Takes the undefined fields out, for options with optional fields. */
export function given<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  for (const key of Object.keys(options) as (keyof T)[]) {
    if (options[key] === undefined) delete options[key];
  }
  return options as { [K in keyof T]: Exclude<T[K], undefined> };
}
