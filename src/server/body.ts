// Request bodies: bytes with a limit, gzip undone, JSON of bounded depth. What is in a multipart
// body is the business of `multipart/`.

import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { isTidegateError, TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import { ByteGate } from "../documents/byte-gate.ts";
import type { Body } from "./bodies.ts";
import type { Call } from "./context.ts";

/** Objects and arrays inside each other, at most: what recursion over a document can bear. */
export const MAX_JSON_DEPTH = 500;

/** Bodies that say to be no larger are read in one go, and take no room of the large ones. */
const SMALL_BYTES = 16 * 1024;

/** Objects and arrays in one body, at most: each takes thirty times its bytes in memory. */
export const MAX_JSON_CONTAINERS = 1_000_000;

/** gzip makes a byte of so many, at most. */
const GZIP_RATIO = 1032;

/** What gzip may become that is undone at the same moment; the others wait. */
const UNZIPPED_AT_ONCE_BYTES = 256 * 1024 * 1024;

/** The most that wait for their turn. */
const MAX_WAITING_UNZIP = 1000;

const unzip = promisify(gunzip);

/** Of the process: its threads are shared, too. */
const unzipping = new ByteGate(
  UNZIPPED_AT_ONCE_BYTES,
  MAX_WAITING_UNZIP,
  "bodies are being unpacked",
);

/**
 * The body's bytes, gzip undone.
 *
 * @param limit the most bytes, before and after
 * @throws TidegateError `too_large`, `unsupported_media_type`, `bad_request` when the gzip is none,
 *   `too_slow`, `unavailable` when there is no room for it
 */
export async function requestBytes(call: Call, limit: number): Promise<Uint8Array> {
  const encoding = call.req.header("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (!["identity", "gzip", "x-gzip"].includes(encoding)) {
    const reason = `Content-Encoding: expected gzip or none (came: ${encoding})`;
    throw new TidegateError("unsupported_media_type", reason);
  }
  const body = call.var.server.bodies.begin();
  // The route gives it back when it has answered.
  call.set("body", body);
  const bytes = await rawBytes(call, limit, body).catch(brokenOff);
  body.arrived();
  if (encoding === "identity") return bytes;
  const unzipped = await gunzipped(bytes, limit);
  body.hold(unzipped.length);
  return unzipped;
}

/** What the runtime throws is the client's doing: it went in the middle of its own request. */
function brokenOff(cause: unknown): never {
  if (isTidegateError(cause)) throw cause;
  throw new TidegateError("bad_request", "the body broke off", { cause });
}

async function rawBytes(call: Call, limit: number, body: Body): Promise<Uint8Array> {
  const { raw } = call.req;
  const said = call.req.header("content-length");
  if (said !== undefined) {
    // The runtime gives no more bytes than the client said.
    if (Number(said) > limit) throw tooLarge(limit);
    if (Number(said) <= SMALL_BYTES) return new Uint8Array(await body.inTime(raw.arrayBuffer()));
  }
  if (!raw.body) return new Uint8Array();
  const reader = raw.body.getReader();
  try {
    return await gathered(reader, limit, body);
  } catch (error) {
    // The rest is not wanted. It is the first error that matters.
    reader.cancel().catch(() => {});
    throw error;
  }
}

async function gathered(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  limit: number,
  body: Body,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const { value, done } = await body.inTime(reader.read());
    if (done) break;
    length += value.length;
    if (length > limit) throw tooLarge(limit);
    body.hold(value.length);
    parts.push(value);
  }
  return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts, length);
}

/**
 * Undoes gzip. Throws `too_large` as soon as more than `limit` bytes come out, else `bad_request`;
 * `unavailable` when too many wait for their turn.
 *
 * @param check called when it is its turn: what it throws saves the work
 */
export function gunzipped(
  bytes: Uint8Array,
  limit: number,
  check?: () => void,
): Promise<Uint8Array> {
  const most = Math.min(limit, bytes.length * GZIP_RATIO);
  return unzipping.run(most, async () => {
    check?.();
    return unzippedBytes(bytes, limit);
  });
}

async function unzippedBytes(bytes: Uint8Array, limit: number): Promise<Uint8Array> {
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
 * @param limit the most bytes
 * @throws TidegateError `bad_json` and what {@link requestBytes} throws
 */
export async function requestObject(
  call: Call,
  whenEmpty?: JsonObject,
  limit = call.var.server.config.limits.bodyBytes,
): Promise<JsonObject> {
  const bytes = await requestBytes(call, limit);
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
  checkStructure(bytes);
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

/** Throws `bad_json` for what is nested too deep, `too_large` for what has too many parts. */
export function checkStructure(bytes: Uint8Array): void {
  // Each level takes two bytes.
  if (bytes.length <= 2 * MAX_JSON_DEPTH) return;
  const { depth, count } = structureOf(bytes, MAX_JSON_DEPTH, MAX_JSON_CONTAINERS);
  if (depth > MAX_JSON_DEPTH) {
    const reason = `objects and arrays may be nested ${MAX_JSON_DEPTH} deep, not more`;
    throw new TidegateError("bad_json", reason);
  }
  if (count > MAX_JSON_CONTAINERS) {
    const reason = `a body has at most ${MAX_JSON_CONTAINERS} objects and arrays`;
    throw new TidegateError("too_large", reason);
  }
}

/**
 * How deep the brackets of a JSON text are inside each other, and how many are opened. Ends as soon
 * as one of the limits is passed.
 */
export function structureOf(
  bytes: Uint8Array,
  maxDepth: number,
  maxCount: number,
): { depth: number; count: number } {
  let depth = 0;
  let deepest = 0;
  let count = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) {
      for (at++; at < bytes.length && bytes[at] !== QUOTE; at++) if (bytes[at] === BACKSLASH) at++;
    } else if ((byte | BRACE_BIT) === OPEN) {
      if (++depth > deepest) deepest = depth;
      if (++count > maxCount || depth > maxDepth) break;
    } else if ((byte | BRACE_BIT) === CLOSE) depth--;
  }
  return { depth: deepest, count };
}
