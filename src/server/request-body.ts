// Request bodies as the routes want them: JSON, a JSON object, bytes.

import { gunzipSync } from "node:zlib";
import { TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import type { Call } from "./context.ts";

/** The body's bytes, gzip undone. Throws `too_large` above `limit`. */
export async function requestBytes(call: Call, limit: number): Promise<Uint8Array> {
  const raw = new Uint8Array(await call.req.raw.arrayBuffer());
  const isGzip = call.req.header("content-encoding") === "gzip";
  const bytes = isGzip ? gunzipSync(raw, { maxOutputLength: limit + 1 }) : raw;
  if (bytes.length <= limit) return bytes;
  throw new TidegateError("too_large", `the body has more than ${limit} bytes`);
}

/**
 * The body as a JSON object.
 *
 * @param whenEmpty what an empty body stands for; without it an empty body is refused
 */
export async function requestObject(call: Call, whenEmpty?: JsonObject): Promise<JsonObject> {
  const bytes = await requestBytes(call, call.var.server.config.limits.bodyBytes);
  if (bytes.length === 0 && whenEmpty) return whenEmpty;
  let value: Json;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes)) as Json;
  } catch {
    throw new TidegateError("bad_json", "the body is not JSON");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new TidegateError("bad_json", "the body must be a JSON object");
}
