// Which document ids there may be, and which keys of the bucket are documents at all.

import { Buffer } from "node:buffer";
import { TidegateError } from "../base/errors.ts";
import { MAX_KEY_BYTES } from "../bucket/bucket.ts";
import type { PrincipalId } from "../index/pseudo-channel.ts";

/** What the ids of design documents start with: documents like others. */
export const DESIGN_PREFIX = "_design/";
/** What the ids of local documents start with: never replicated, stored elsewhere. */
export const LOCAL_PREFIX = "_local/";

/** URLs resolve these away: a client that removes such a document removes its database. */
const UNREACHABLE: ReadonlySet<string> = new Set([".", "..", "_design/.", "_design/.."]);

/** Whether a key of the documents collection holds a document that clients may see. */
export function isDocumentKey(key: string): boolean {
  return (
    !key.startsWith("_") || (key.startsWith(DESIGN_PREFIX) && key.length > DESIGN_PREFIX.length)
  );
}

/** The start of the keys that hold principals. */
const PRINCIPAL_KEY = /^_sync:(user|role):./;

/** The principal that a key of the documents collection holds; undefined: it holds none. */
export function principalOfKey(key: string): PrincipalId | undefined {
  if (!key.startsWith("_") || !PRINCIPAL_KEY.test(key)) return undefined;
  return key.slice(key.indexOf(":") + 1) as PrincipalId;
}

/** Whether there can be a document of this id at all, whatever the database's own limit. */
export function canBeDocumentId(id: string): boolean {
  if (id.length === 0 || !isDocumentKey(id) || !id.isWellFormed()) return false;
  return id.length * 3 <= MAX_KEY_BYTES || Buffer.byteLength(id) <= MAX_KEY_BYTES;
}

/**
 * Gives `id` back when it can name a document. Throws `bad_document_id`.
 *
 * @param limitBytes the database's limit on its UTF-8 bytes
 */
export function checkDocumentId(id: string, limitBytes: number): string {
  if (id.length === 0) refuse("A document id must not be empty.");
  if (!isDocumentKey(id)) {
    refuse(`Only "${DESIGN_PREFIX}" ids may start with "_"; ${shown(id)} does.`);
  }
  if (UNREACHABLE.has(id)) refuse(`No URL can name the document ${shown(id)}.`);
  checkLength(id, Math.min(limitBytes, MAX_KEY_BYTES));
  return id;
}

/** The id of a local document without its `_local/`. Throws `bad_document_id`. */
export function checkLocalId(id: string, limitBytes: number): string {
  const name = id.startsWith(LOCAL_PREFIX) ? id.slice(LOCAL_PREFIX.length) : id;
  if (name.length === 0) refuse("The id of a local document must not be empty.");
  if (UNREACHABLE.has(name)) refuse(`No URL can name the local document ${shown(name)}.`);
  checkLength(name, limitBytes);
  return name;
}

function checkLength(id: string, limit: number): void {
  // A character has at most 3 bytes for each unit of its length: most ids need no counting.
  if (id.length * 3 > limit) {
    const bytes = Buffer.byteLength(id);
    if (bytes > limit) refuse(`A document id has at most ${limit} bytes; this one has ${bytes}.`);
  }
  if (!id.isWellFormed()) refuse("A document id must be well-formed Unicode: no lone surrogates.");
}

function refuse(reason: string): never {
  throw new TidegateError("bad_document_id", reason);
}

function shown(id: string): string {
  return JSON.stringify(id.length > 100 ? `${id.slice(0, 100)}…` : id);
}
