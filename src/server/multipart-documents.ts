// Documents with their attachments as multipart bodies, both ways: multipart/related for one
// document, multipart/mixed for several revisions, each a part of its own.

import { TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import type { BulkGetResult, GetOptions } from "../documents/types.ts";
import { etag } from "./answers.ts";
import { gunzipped, parseObject, requestBytes } from "./body.ts";
import type { Call } from "./context.ts";
import { wholeAnswer } from "./large-answer.ts";
import { boundaryOf, type Part, parseHeader, parseMultipart } from "./multipart/reader.ts";
import {
  disposition,
  lastPiece,
  makeBoundary,
  multipartPieces,
  type PartToWrite,
  partPieces,
} from "./multipart/writer.ts";
import { type PieceSource, pieceStream } from "./piece-stream.ts";

/** Random bytes in a boundary. */
const BOUNDARY_BYTES = 16;

/** Whether the client names the multipart type in `Accept`; `*` alone means JSON here. */
export function wantsMultipart(call: Call, type: "multipart/mixed" | "multipart/related"): boolean {
  const accepted = (call.req.header("accept") ?? "").split(",");
  return accepted.some((one) => parseHeader(one).value === type);
}

/** Whether the body is a document followed by its attachments. */
export function isMultipartRelated(call: Call): boolean {
  return parseHeader(call.req.header("content-type") ?? "").value === "multipart/related";
}

/** A document that came with its attachments behind it, by their names. */
export interface MultipartDocument {
  readonly document: JsonObject;
  readonly followed: ReadonlyMap<string, Uint8Array>;
}

/** Reads a multipart/related body. Throws `bad_request`, `bad_json`, `too_large`. */
export async function readMultipartDocument(call: Call): Promise<MultipartDocument> {
  const limit = call.var.server.config.limits.bodyBytes;
  const boundary = boundaryOf(call.req.header("content-type") ?? "");
  const [first, ...rest] = parseMultipart(await requestBytes(call, limit), boundary);
  if (!first) throw new TidegateError("bad_request", "the multipart body has no parts");
  const document = parseObject(await documentBytes(first, limit));
  return { document, followed: matched(document, rest) };
}

function documentBytes(part: Part, limit: number): Promise<Uint8Array> | Uint8Array {
  return part.headers.get("content-encoding") === "gzip" ? gunzipped(part.body, limit) : part.body;
}

/**
 * Which part is which attachment: by its name where it has one, else in the order in which the
 * document names those that follow, as CouchDB does.
 */
function matched(document: JsonObject, parts: readonly Part[]): Map<string, Uint8Array> {
  const waiting = new Set(followingNames(document._attachments));
  const followed = new Map<string, Uint8Array>();
  for (const part of parts) {
    const named = nameOf(part);
    const name = named !== undefined && waiting.has(named) ? named : firstOf(waiting);
    if (name === undefined) {
      const reason = `more attachments follow than the document says (${followed.size})`;
      throw new TidegateError("bad_request", reason);
    }
    waiting.delete(name);
    followed.set(name, part.body);
  }
  return followed;
}

function nameOf(part: Part): string | undefined {
  const header = part.headers.get("content-disposition");
  if (header === undefined) return undefined;
  const { parameters } = parseHeader(header);
  return parameters.get("filename*") ?? parameters.get("filename");
}

function firstOf(names: ReadonlySet<string>): string | undefined {
  for (const name of names) return name;
  return undefined;
}

function followingNames(attachments: Json | undefined): string[] {
  if (!isObject(attachments)) return [];
  return Object.entries(attachments).flatMap(([name, entry]) =>
    isObject(entry) && entry.follows === true ? [name] : [],
  );
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A document whose attachments are inline, as one part: multipart/related with the attachments
 * behind the document, or plain JSON when there are none to send.
 */
function documentPart(json: string, boundary: string): PartToWrite {
  // Only a document with attachments is worth parsing to be printed again.
  const document = json.includes('"_attachments"') ? (JSON.parse(json) as JsonObject) : {};
  const attachments: PartToWrite[] = [];
  const entries = isObject(document._attachments) ? Object.entries(document._attachments) : [];
  for (const [name, entry] of entries) {
    if (!isObject(entry) || typeof entry.data !== "string") continue;
    attachments.push(attachmentPart(name, entry, Buffer.from(entry.data, "base64")));
    delete entry.data;
    entry.follows = true;
  }
  const type = { "Content-Type": "application/json" };
  if (attachments.length === 0) return { headers: type, body: [json] };
  const parts = [{ headers: type, body: [JSON.stringify(document)] }, ...attachments];
  return {
    headers: { "Content-Type": `multipart/related; boundary="${boundary}"` },
    body: multipartPieces(boundary, parts),
  };
}

function attachmentPart(name: string, entry: JsonObject, bytes: Uint8Array): PartToWrite {
  const type = typeof entry.content_type === "string" ? entry.content_type : "";
  const { encoding } = entry;
  return {
    headers: {
      "Content-Disposition": disposition("attachment", name),
      "Content-Type": type || "application/octet-stream",
      "Content-Length": String(bytes.length),
      ...(typeof encoding === "string" ? { "Content-Encoding": encoding } : {}),
    },
    body: [bytes],
  };
}

function newBoundary(call: Call): string {
  return makeBoundary(call.var.server.random.bytes(BOUNDARY_BYTES));
}

/** `GET /{db}/{doc}?attachments=true` for a client that takes multipart/related. */
export async function documentAsMultipart(
  call: Call,
  id: string,
  options: GetOptions,
): Promise<Response> {
  const { database, actor } = call.var;
  const view = await database.documents.get(actor, id, { ...options, attachments: true });
  const { headers, body } = documentPart(view.json, newBoundary(call));
  // In memory already, so it is sent with its length rather than as a stream.
  const bytes = Buffer.concat(body.map((piece) => Buffer.from(piece)));
  return wholeAnswer(call, bytes, 200, {
    "content-type": headers["Content-Type"] ?? "",
    "content-length": String(bytes.length),
    etag: etag(view.rev),
  });
}

/** `open_revs` for a client that takes multipart/mixed. */
export async function openRevisionsAsMultipart(
  call: Call,
  id: string,
  revs: readonly string[] | "all",
  options: GetOptions,
): Promise<Response> {
  const { database, actor } = call.var;
  const all = { ...options, attachments: true };
  const found = await database.documents.openRevisions(actor, id, revs, all);
  const boundary = newBoundary(call);
  async function* source(): PieceSource {
    for (const one of found) {
      const part =
        "ok" in one ? documentPart(one.ok.json, newBoundary(call)) : errorPart({ ...one });
      yield* partPieces(boundary, part);
    }
    yield lastPiece(boundary);
  }
  return answer(call, source(), mixed(boundary));
}

/** `_bulk_get` for a client that takes multipart: sent as it is read. */
export function bulkGetAsMultipart(call: Call, results: AsyncIterable<BulkGetResult>): Response {
  const boundary = newBoundary(call);
  async function* source(): PieceSource {
    for await (const result of results) {
      if ("ok" in result) {
        const { headers, body } = documentPart(result.ok.json, newBoundary(call));
        const named = { "X-Doc-Id": encodeURIComponent(result.id), "X-Rev-Id": result.ok.rev };
        yield* partPieces(boundary, { headers: { ...named, ...headers }, body });
      } else yield* partPieces(boundary, errorPart({ ...result }));
    }
    yield lastPiece(boundary);
  }
  return answer(call, source(), mixed(boundary));
}

function mixed(boundary: string): string {
  return `multipart/mixed; boundary="${boundary}"`;
}

function errorPart(error: object): PartToWrite {
  return {
    headers: { "Content-Type": 'application/json; error="true"' },
    body: [JSON.stringify(error)],
  };
}

function answer(call: Call, source: PieceSource, type: string): Response {
  const { server } = call.var;
  const stream = pieceStream(source, {
    gone: call.env.connection.signal,
    held: server.answers,
    abort() {},
    ended() {},
    failed: (error) => server.log.error({ err: error }, "a multipart answer failed"),
  });
  return new Response(stream, { headers: { "content-type": type } });
}
