// Request bodies: bytes with a limit, gzip undone, JSON of bounded depth. What is in a multipart
// body is the business of `multipart/`.

import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import type { Call } from "./context.ts";

/** Objects and arrays inside each other, at most: what recursion over a document can bear. */
export const MAX_JSON_DEPTH = 500;

const unzip = promisify(gunzip);

/**
 * The body's bytes, gzip undone.
 *
 * @param limit the most bytes, before and after
 * @throws TidegateError `too_large`, `unsupported_media_type`, `bad_request` when the gzip is none
 */
export async function requestBytes(call: Call, limit: number): Promise<Uint8Array> {
  const encoding = call.req.header("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (!["identity", "gzip", "x-gzip"].includes(encoding)) {
    const reason = `Content-Encoding: expected gzip or none (came: ${encoding})`;
    throw new TidegateError("unsupported_media_type", reason);
  }
  const bytes = await rawBytes(call, limit);
  return encoding === "identity" ? bytes : gunzipped(bytes, limit);
}

async function rawBytes(call: Call, limit: number): Promise<Uint8Array> {
  const { raw } = call.req;
  const said = call.req.header("content-length");
  if (said !== undefined) {
    // The runtime gives no more bytes than the client said.
    if (Number(said) > limit) throw tooLarge(limit);
    return new Uint8Array(await raw.arrayBuffer());
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of raw.body ?? []) {
    length += part.length;
    if (length > limit) throw tooLarge(limit);
    parts.push(part);
  }
  return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts, length);
}

/** Undoes gzip. Throws `too_large` as soon as more than `limit` bytes come out, else `bad_request`. */
export async function gunzipped(bytes: Uint8Array, limit: number): Promise<Uint8Array> {
  try {
    return await unzip(bytes, { maxOutputLength: limit });
  } catch (error) {
    if ((error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(limit);
    throw new TidegateError("bad_request", "the body says that it is gzip, but it is not", {
      cause: error,
    });
  }
}

function tooLarge(limit: number): TidegateError {
  return new TidegateError("too_large", `the body has more than ${limit} bytes`);
}

/**
 * The body as a JSON object.
 *
 * @param whenEmpty what an empty body stands for; without it an empty body is refused
 * @throws TidegateError `bad_json` and what {@link requestBytes} throws
 */
export async function requestObject(call: Call, whenEmpty?: JsonObject): Promise<JsonObject> {
  const bytes = await requestBytes(call, call.var.server.config.limits.bodyBytes);
  if (bytes.length === 0 && whenEmpty) return whenEmpty;
  return parseObject(bytes);
}

/** Parses a JSON object. Throws `bad_json` for anything else, and for what is nested too deep. */
export function parseObject(bytes: Uint8Array): JsonObject {
  const value = parseJson(bytes);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new TidegateError("bad_json", "the body must be a JSON object");
}

const decoder = new TextDecoder("utf-8", { fatal: true });

function parseJson(bytes: Uint8Array): Json {
  if (isDeeper(bytes, MAX_JSON_DEPTH)) {
    const reason = `objects and arrays may be nested ${MAX_JSON_DEPTH} deep, not more`;
    throw new TidegateError("bad_json", reason);
  }
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch (error) {
    throw new TidegateError("bad_json", "the body is not UTF-8", { cause: error });
  }
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    const where = error instanceof Error ? error.message : String(error);
    throw new TidegateError("bad_json", `the body is not JSON: ${where}`, { cause: error });
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** `[` and `{` differ in this bit alone, and so do `]` and `}`. */
const BRACE_BIT = 0x20;
const OPEN = 0x5b | BRACE_BIT;
const CLOSE = 0x5d | BRACE_BIT;

/** Whether JSON text opens more than `limit` brackets inside each other. */
export function isDeeper(bytes: Uint8Array, limit: number): boolean {
  // Each level takes two bytes.
  if (bytes.length <= 2 * limit) return false;
  let depth = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      for (at++; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if ((byte | BRACE_BIT) === OPEN) {
      if (++depth > limit) return true;
    } else if ((byte | BRACE_BIT) === CLOSE) depth--;
  }
  return false;
}
