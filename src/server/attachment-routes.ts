// Routes of one attachment: its bytes, whole or a range, and writing and removing it.

import { createHash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import type { AttachmentView } from "../documents/types.ts";
import { etag, matchesTag } from "./answers.ts";
import { gunzipped, requestBytes } from "./body.ts";
import { byteRange } from "./byte-range.ts";
import type { Call } from "./context.ts";
import { documentId, parentRevision, written } from "./document-routes.ts";
import { wholeAnswer } from "./large-answer.ts";
import { disposition } from "./multipart/writer.ts";
import { routes } from "./routes.ts";

const methods = { GET: getAttachment, PUT: putAttachment, DELETE: deleteAttachment };

/** Both listeners. An attachment's name may hold slashes. */
export const attachmentRoutes = routes({
  "/:db/_design/:design/:attachment{.+}": methods,
  "/:db/:doc/:attachment{.+}": methods,
});

/** The type of an attachment that came without one. */
const DEFAULT_TYPE = "application/octet-stream";

/** An attachment stored as gzip is not undone beyond this. */
const MAX_DECODED_BYTES = 256 * 1024 * 1024;

/** Types that a browser shows without running anything of them; the rest is offered as a file. */
const SHOWN = /^(image\/(png|jpeg|gif|webp|avif|bmp)|audio\/.+|video\/.+|text\/plain)\s*(;|$)/i;

/** A content type that fits a header. */
const PLAIN_TYPE = /^[\x20-\x7e]{1,255}$/;

function nameOf(call: Call): string {
  return call.req.param("attachment") ?? "";
}

async function getAttachment(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const rev = call.req.query("rev");
  const found = await database.documents.getAttachment(actor, documentId(call), nameOf(call), rev);
  const tag = etag(found.digest);
  const headers = headersOf(found, tag);
  if (matchesTag(call.req.header("if-none-match"), tag)) {
    return new Response(null, { status: 304, headers: { etag: tag } });
  }
  const { data, encoded } = await bytesFor(call, found);
  if (encoded) headers["content-encoding"] = found.encoding ?? "identity";
  const ifRange = call.req.header("if-range");
  const mayRange = !encoded && (ifRange === undefined || ifRange === tag);
  const range = mayRange ? byteRange(call.req.header("range"), data.length) : undefined;
  if (range === "unsatisfiable") return notSatisfiable(data.length);
  const part = range ? data.subarray(range.from, range.to + 1) : data;
  headers["content-length"] = String(part.length);
  if (range) headers["content-range"] = `bytes ${range.from}-${range.to}/${data.length}`;
  else if (data === found.data && found.digest.startsWith("md5-")) {
    headers["content-md5"] = found.digest.slice(4);
  }
  // A small part must not hold the whole while its client takes it.
  const body = part.length < data.length / 2 ? part.slice() : part;
  return wholeAnswer(call, body, range ? 206 : 200, headers);
}

/**
 * The bytes as this client can take them. An attachment that was stored as gzip by its writer goes
 * to who accepts gzip as it is, and is undone for others.
 */
async function bytesFor(
  call: Call,
  { data, encoding }: AttachmentView,
): Promise<{ data: Uint8Array; encoded: boolean }> {
  if (encoding === undefined) return { data, encoded: false };
  const accepted = call.req.header("accept-encoding")?.toLowerCase() ?? "";
  if (encoding !== "gzip" || /\bgzip\b/.test(accepted)) return { data, encoded: true };
  const { answers } = call.var.server;
  const check = () => answers.makeRoom(data.length);
  return { data: await gunzipped(data, MAX_DECODED_BYTES, check), encoded: false };
}

/**
 * Headers that keep an attachment from acting as a page of ours: whoever may write a document
 * could otherwise run scripts with the origin of the gateway.
 */
function headersOf(found: AttachmentView, tag: string): Record<string, string> {
  const type = PLAIN_TYPE.test(found.contentType) ? found.contentType : DEFAULT_TYPE;
  return {
    "content-type": type,
    etag: tag,
    "accept-ranges": "bytes",
    "cache-control": "private, must-revalidate",
    "content-disposition": disposition(
      SHOWN.test(type) ? "inline" : "attachment",
      baseName(found.name),
    ),
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-site",
  };
}

function baseName(name: string): string {
  return name.slice(name.lastIndexOf("/") + 1);
}

function notSatisfiable(length: number): Response {
  const error = new TidegateError("range_not_satisfiable", `the attachment has ${length} bytes`);
  return new Response(`${JSON.stringify(error)}\n`, {
    status: error.status,
    headers: { "content-type": "application/json", "content-range": `bytes */${length}` },
  });
}

async function putAttachment(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const type = call.req.header("content-type") ?? DEFAULT_TYPE;
  if (!PLAIN_TYPE.test(type)) {
    throw new TidegateError("bad_request", "Content-Type: expected printable ASCII");
  }
  const data = await requestBytes(call, database.settings.limits.attachmentBytes);
  checkDigest(call.req.header("content-md5"), data);
  const outcome = await database.documents.putAttachment(
    actor,
    documentId(call),
    nameOf(call),
    parentRevision(call),
    type,
    data,
  );
  return written(call, outcome, 201);
}

function checkDigest(expected: string | undefined, data: Uint8Array): void {
  if (expected === undefined) return;
  const digest = createHash("md5").update(data).digest("base64");
  if (digest === expected.trim()) return;
  const reason = `Content-MD5 says ${expected}, the bytes that came have ${digest}`;
  throw new TidegateError("digest_mismatch", reason);
}

async function deleteAttachment(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const outcome = await database.documents.removeAttachment(
    actor,
    documentId(call),
    nameOf(call),
    parentRevision(call),
  );
  return written(call, outcome, 200);
}
