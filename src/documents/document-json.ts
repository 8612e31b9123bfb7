// Documents as JSON: what a client sends is cut into its special members and its body, what a
// client gets is put together as text. A stored body is never parsed to be printed.

import { Buffer } from "node:buffer";
import { TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import { MAX_GIVEN_HISTORY } from "./limits.ts";
import { checkRevisionId, generationOf, isRevisionDigest } from "./revision-id.ts";

/** A document as a client sent it, checked. */
export interface ParsedDocument {
  /** `_id`; undefined when it has none. */
  readonly id: string | undefined;
  /** `_rev`. */
  readonly rev: string | undefined;
  readonly deleted: boolean;
  readonly attachments: JsonObject | undefined;
  /** `_revisions`: the revision first, then its ancestors. */
  readonly history: readonly string[] | undefined;
  /** The members that are the document's own. */
  readonly body: JsonObject;
  /** {@link body} as `JSON.stringify` prints it. */
  readonly bodyText: string;
}

/** Members that CouchDB sends with a document and that mean nothing when they come back. */
const IGNORED = new Set([
  "_revs_info",
  "_conflicts",
  "_deleted_conflicts",
  "_local_seq",
  "_attachments",
  "_deleted",
  "_id",
  "_rev",
  "_revisions",
]);

/**
 * Cuts a document into its parts. Throws `bad_document` for an unknown `_` member or one of the
 * wrong type, `bad_revision`, and `too_large` for a body that is too deep to be printed.
 */
export function parseDocument(document: JsonObject): ParsedDocument {
  let special = false;
  for (const key in document) {
    if (key.charCodeAt(0) !== 0x5f || !Object.hasOwn(document, key)) continue;
    if (!IGNORED.has(key)) {
      throw new TidegateError("bad_document", `A document can't have a member ${shown(key)}.`);
    }
    special = true;
  }
  const body = special ? withoutSpecials(document) : document;
  return {
    id: textMember(document, "_id"),
    rev: revisionMember(document),
    deleted: flagMember(document, "_deleted"),
    attachments: attachmentsMember(document),
    history: historyMember(document),
    body,
    bodyText: printJson(body),
  };
}

/** The members without the special ones, in their order. `__proto__` is a member like others. */
function withoutSpecials(document: JsonObject): JsonObject {
  // A spread copies `__proto__` as a plain member; an assignment would set the prototype.
  const { _id, _rev, _deleted, _attachments, _revisions, ...rest } = document;
  for (const key of ["_revs_info", "_conflicts", "_deleted_conflicts", "_local_seq"]) {
    if (Object.hasOwn(rest, key)) delete rest[key];
  }
  return rest;
}

/** `JSON.stringify`, with a clear error for what is nested deeper than the machine's stack. */
export function printJson(value: Json): string {
  try {
    return JSON.stringify(value);
  } catch (cause) {
    throw new TidegateError("too_large", "The document is nested too deeply.", { cause });
  }
}

function own(document: JsonObject, key: string): Json | undefined {
  return Object.hasOwn(document, key) ? document[key] : undefined;
}

function textMember(document: JsonObject, key: string): string | undefined {
  const value = own(document, key);
  if (value === undefined || typeof value === "string") return value;
  throw new TidegateError("bad_document", `${key} must be a string.`);
}

function revisionMember(document: JsonObject): string | undefined {
  const rev = textMember(document, "_rev");
  return rev === undefined ? undefined : checkRevisionId(rev);
}

function flagMember(document: JsonObject, key: string): boolean {
  const value = own(document, key);
  if (value === undefined) return false;
  if (typeof value === "boolean") return value;
  throw new TidegateError("bad_document", `${key} must be true or false.`);
}

function attachmentsMember(document: JsonObject): JsonObject | undefined {
  const value = own(document, "_attachments");
  if (value === undefined || value === null) return undefined;
  if (typeof value === "object" && !Array.isArray(value)) return value;
  throw new TidegateError("bad_document", "_attachments must be an object.");
}

function historyMember(document: JsonObject): readonly string[] | undefined {
  const value = own(document, "_revisions");
  if (value === undefined || value === null) return undefined;
  const form = '_revisions must be {"start": generation, "ids": [digests, newest first]}.';
  if (typeof value !== "object" || Array.isArray(value)) throw badRevision(form);
  const { start, ids } = value;
  if (typeof start !== "number" || !Number.isInteger(start) || !Array.isArray(ids)) {
    throw badRevision(form);
  }
  if (ids.length === 0 || ids.length > start) throw badRevision(form);
  if (ids.length > MAX_GIVEN_HISTORY) {
    throw new TidegateError("too_large", `_revisions has more than ${MAX_GIVEN_HISTORY} ids.`);
  }
  return ids.map((digest, i) => {
    if (typeof digest !== "string" || !isRevisionDigest(digest)) throw badRevision(form);
    return `${start - i}-${digest}`;
  });
}

/** The value of `_revisions` for a history, newest first. */
export function printRevisions(history: readonly string[]): string {
  const ids = history.map((rev) => `"${rev.slice(rev.indexOf("-") + 1)}"`);
  return `{"start":${generationOf(history[0]!)},"ids":[${ids.join(",")}]}`;
}

/**
 * A whole document's JSON text.
 *
 * @param id the document's id
 * @param rev the revision
 * @param deleted whether to say `_deleted`
 * @param members more special members: JSON text, each preceded by a comma; "" for none
 * @param bodyText the JSON text of an object
 */
export function printDocument(
  id: string,
  rev: string,
  deleted: boolean,
  members: string,
  bodyText: string,
): string {
  const head = `{"_id":${JSON.stringify(id)},"_rev":"${rev}"${deleted ? ',"_deleted":true' : ""}`;
  return head + members + tailOf(bodyText);
}

/** An object's text without its opening brace, with a comma in front when it has members. */
function tailOf(bodyText: string): string {
  if (bodyText === "{}") return "}";
  // What we wrote ourselves starts with `{"`. What another program wrote may have space around.
  if (bodyText.startsWith('{"')) return `,${bodyText.slice(1)}`;
  const inner = bodyText.trim().slice(1).trimStart();
  return inner === "}" ? inner : `,${inner}`;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/** The text of UTF-8 bytes. */
export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The UTF-8 bytes of a text. */
export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Throws `too_large` when a body is over the limit. */
export function checkBodySize(bodyText: string, limitBytes: number): void {
  if (bodyText.length * 3 <= limitBytes) return;
  const bytes = Buffer.byteLength(bodyText);
  if (bytes <= limitBytes) return;
  throw new TidegateError(
    "too_large",
    `A document has at most ${limitBytes} bytes (documentBytes); this one has ${bytes}.`,
  );
}

function badRevision(reason: string): TidegateError {
  return new TidegateError("bad_revision", reason);
}

function shown(key: string): string {
  return JSON.stringify(key.length > 100 ? `${key.slice(0, 100)}…` : key);
}

/** As {@link parseDocument} for a local document, whose revisions are `0-N`. */
export function parseLocalDocument(document: JsonObject): {
  readonly rev: string | undefined;
  readonly deleted: boolean;
  readonly body: JsonObject;
  readonly bodyText: string;
} {
  const { _id, _rev, _deleted, _revisions, ...body } = document;
  return {
    rev: textMember(document, "_rev"),
    deleted: flagMember(document, "_deleted"),
    body,
    bodyText: printJson(body),
  };
}
