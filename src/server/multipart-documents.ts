// Documents with their attachments as multipart bodies, both ways.

import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { BulkGetResult, GetOptions } from "../documents/types.ts";
import type { Call } from "./context.ts";

/** Whether the client names the multipart type in `Accept`. `*\/*` alone means JSON here. */
export function wantsMultipart(call: Call, type: "multipart/mixed" | "multipart/related"): boolean {
  return (call.req.header("accept") ?? "").toLowerCase().includes(type);
}

/** Whether the body is a document followed by its attachments. */
export function isMultipartRelated(call: Call): boolean {
  return /^multipart\/related\s*(;|$)/i.test(call.req.header("content-type") ?? "");
}

function notYet(): never {
  throw new TidegateError("not_acceptable", "multipart is not spoken here");
}

export async function readMultipartDocument(
  _call: Call,
): Promise<{ document: JsonObject; followed: ReadonlyMap<string, Uint8Array> }> {
  return notYet();
}

export async function documentAsMultipart(
  _call: Call,
  _id: string,
  _options: GetOptions,
): Promise<Response> {
  return notYet();
}

export async function openRevisionsAsMultipart(
  _call: Call,
  _id: string,
  _revs: readonly string[] | "all",
  _options: GetOptions,
): Promise<Response> {
  return notYet();
}

export function bulkGetAsMultipart(
  _call: Call,
  _results: AsyncIterable<BulkGetResult>,
  _options: GetOptions,
): Response {
  return notYet();
}
