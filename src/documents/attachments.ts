// Attachments of a document that is being saved: what the client sent is checked, and stubs are
// found among the attachments of the revision that it builds on. How they are stored:
// side-items.ts.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import type { DocumentLimits } from "./limits.ts";
import {
  MAX_ATTACHMENT_NAME_BYTES,
  MAX_ATTACHMENTS,
  MAX_REVISION_ATTACHMENT_BYTES,
} from "./limits.ts";
import type { StoredAttachment } from "./sync-metadata.ts";

/** An attachment of a new revision. With `data`: its bytes are to be stored, `item` comes then. */
export interface NewAttachment {
  readonly info: StoredAttachment;
  readonly data?: Uint8Array | undefined;
}

/** What a client may send for an attachment, checked as far as that goes without the document. */
export type AttachmentInput =
  | { readonly kind: "stub"; readonly name: string; readonly digest: string | undefined }
  | {
      readonly kind: "data";
      readonly name: string;
      readonly contentType: string;
      readonly data: Uint8Array;
      readonly digest: string;
      readonly revpos: number | undefined;
      readonly encoding: string | undefined;
      readonly decodedLength: number | undefined;
    };

const DEFAULT_CONTENT_TYPE = "application/octet-stream";
const BASE64 = "base64";

/** Clients do not encode the slashes of a name, and URLs then lead to something else than it. */
const DOTS = /(?:^|\/)\.{1,2}(?:\/|$)/;

/**
 * The attachments in a document's `_attachments`.
 *
 * @param followed the bytes of those that `follows`, by name
 * @throws TidegateError `bad_document`, `too_large`, `digest_mismatch`
 */
export function parseAttachments(
  members: JsonObject | undefined,
  followed: ReadonlyMap<string, Uint8Array> | undefined,
  limits: DocumentLimits,
): AttachmentInput[] {
  if (members === undefined) return [];
  const names = Object.keys(members);
  if (names.length > MAX_ATTACHMENTS) {
    throw new TidegateError("too_large", `A document has at most ${MAX_ATTACHMENTS} attachments.`);
  }
  return names.map((name) => {
    checkName(name);
    const entry = members[name];
    if (entry === null || typeof entry !== "object" || Array.isArray(entry)) {
      throw bad(name, "must be an object");
    }
    return parseEntry(name, entry as JsonObject, followed, limits);
  });
}

function parseEntry(
  name: string,
  entry: JsonObject,
  followed: ReadonlyMap<string, Uint8Array> | undefined,
  limits: DocumentLimits,
): AttachmentInput {
  const digest = optional(entry, "digest", "string", name);
  if (entry.stub === true) return { kind: "stub", name, digest };
  let data: Uint8Array;
  if (entry.follows === true) {
    const bytes = followed?.get(name);
    if (bytes === undefined) throw bad(name, "says that its bytes follow, but they did not");
    data = bytes;
  } else {
    const text = optional(entry, "data", "string", name);
    if (text === undefined) throw bad(name, "must have data, or be a stub, or follow");
    data = decodeBase64(text, name);
  }
  const encoding = optional(entry, "encoding", "string", name);
  const encoded = encoding !== undefined && encoding !== "identity";
  const said = optional(entry, encoded ? "encoded_length" : "length", "number", name);
  if (said !== undefined && said !== data.length) {
    const reason = `said to have ${said} bytes, but ${data.length} came`;
    throw new TidegateError("digest_mismatch", `The attachment ${shown(name)} was ${reason}.`);
  }
  const contentType = optional(entry, "content_type", "string", name);
  return dataInput(name, contentType, data, limits, {
    digest,
    revpos: optional(entry, "revpos", "number", name),
    encoding: encoded ? encoding : undefined,
    decodedLength: encoded ? (optional(entry, "length", "number", name) ?? 0) : undefined,
  });
}

/** An attachment whose bytes are at hand. Throws like {@link parseAttachments}. */
export function dataInput(
  name: string,
  contentType: string | undefined,
  data: Uint8Array,
  limits: DocumentLimits,
  said?: {
    digest: string | undefined;
    revpos: number | undefined;
    encoding: string | undefined;
    decodedLength: number | undefined;
  },
): AttachmentInput {
  checkName(name);
  const type = contentType ?? DEFAULT_CONTENT_TYPE;
  if (!/^[\x20-\x7e]{1,250}$/.test(type)) throw bad(name, "has a content type that is none");
  if (said?.encoding !== undefined && !/^[a-z0-9-]{1,20}$/.test(said.encoding)) {
    throw bad(name, "has an encoding that is none");
  }
  if (data.length > limits.attachmentBytes) {
    throw new TidegateError(
      "too_large",
      `An attachment has at most ${limits.attachmentBytes} bytes (attachmentBytes); ` +
        `${shown(name)} has ${data.length}.`,
    );
  }
  return {
    kind: "data",
    name,
    contentType: type,
    data,
    digest: checkedDigest(data, said?.digest, name),
    revpos: said?.revpos,
    encoding: said?.encoding,
    decodedLength: said?.decodedLength,
  };
}

/**
 * The attachments of the new revision.
 *
 * @param ancestor the attachments of the nearest revision known that it builds on
 * @param generation the new revision's
 * @param readStale reads the bytes of a found attachment anew when the ancestor is not a leaf any
 *   more, so that its items are about to go; undefined when it is one
 * @throws TidegateError `missing_stub`, `too_large`
 */
export async function resolveAttachments(
  inputs: readonly AttachmentInput[],
  ancestor: readonly StoredAttachment[],
  generation: number,
  readStale?: (attachment: StoredAttachment) => Promise<Uint8Array>,
): Promise<NewAttachment[]> {
  const resolved: NewAttachment[] = [];
  let bytes = 0;
  const count = (length: number) => {
    bytes += length;
    if (bytes > MAX_REVISION_ATTACHMENT_BYTES) throw tooManyBytes();
  };
  for (const input of inputs) {
    if (input.kind === "stub") {
      const found = findStub(input.name, input.digest, ancestor);
      count(found.length);
      const data = await readStale?.(found);
      resolved.push({ info: { ...found, name: input.name }, data });
      continue;
    }
    count(input.data.length);
    const same = readStale === undefined ? findSame(input, ancestor) : undefined;
    const given = input.revpos;
    const fits = given !== undefined && Number.isInteger(given) && given > 0;
    const info: StoredAttachment = {
      name: input.name,
      contentType: input.contentType,
      length: input.data.length,
      digest: input.digest,
      revpos: fits && given <= generation ? given : generation,
      item: same?.item ?? "",
      ...(input.encoding !== undefined && {
        encoding: input.encoding,
        decodedLength: input.decodedLength,
      }),
    };
    resolved.push(same === undefined ? { info, data: input.data } : { info });
  }
  return resolved;
}

function tooManyBytes(): TidegateError {
  const limit = MAX_REVISION_ATTACHMENT_BYTES;
  const reason = `The attachments of a document have at most ${limit} bytes together.`;
  return new TidegateError("too_large", reason);
}

function findStub(
  name: string,
  digest: string | undefined,
  ancestor: readonly StoredAttachment[],
): StoredAttachment {
  const wanted = digest?.startsWith("md5-") ? digest : undefined;
  const found =
    ancestor.find((a) => a.name === name && (wanted === undefined || a.digest === wanted)) ??
    ancestor.find((a) => a.digest === wanted);
  if (found !== undefined) return found;
  throw new TidegateError(
    "missing_stub",
    `The attachment ${shown(name)} is a stub, but the revision before has no such attachment: ` +
      "send its data.",
  );
}

/** An attachment of the ancestor with the same bytes: they need not be stored again. */
function findSame(
  input: { readonly digest: string; readonly data: Uint8Array },
  ancestor: readonly StoredAttachment[],
): StoredAttachment | undefined {
  return ancestor.find((a) => a.digest === input.digest && a.length === input.data.length);
}

/** The digest as CouchDB has it: `md5-` and base64. */
export function digestOfBytes(data: Uint8Array): string {
  return `md5-${createHash("md5").update(data).digest(BASE64)}`;
}

function checkedDigest(data: Uint8Array, given: string | undefined, name: string): string {
  const digest = digestOfBytes(data);
  if (given === undefined) return digest;
  const own = given.startsWith("sha1-")
    ? `sha1-${createHash("sha1").update(data).digest(BASE64)}`
    : digest;
  if (own === given) return digest;
  const reason = `The attachment ${shown(name)} has the digest ${own}, not ${shown(given)}.`;
  throw new TidegateError("digest_mismatch", reason);
}

/** The value of `_attachments` as stubs: JSON text. */
export function printStubs(attachments: readonly StoredAttachment[]): string {
  return `{${attachments.map((a) => `${JSON.stringify(a.name)}:${printStub(a)}`).join(",")}}`;
}

function printStub(a: StoredAttachment): string {
  return `{${printInfo(a)},"stub":true}`;
}

/** The value of `_attachments` with the bytes of those in `data`, the others as stubs. */
export function printWithData(
  attachments: readonly StoredAttachment[],
  data: ReadonlyMap<string, Uint8Array>,
): string {
  const entries = attachments.map((a) => {
    const bytes = data.get(a.name);
    if (bytes === undefined) return `${JSON.stringify(a.name)}:${printStub(a)}`;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(BASE64);
    return `${JSON.stringify(a.name)}:{${printInfo(a)},"data":"${text}"}`;
  });
  return `{${entries.join(",")}}`;
}

function printInfo(a: StoredAttachment): string {
  const type = JSON.stringify(a.contentType);
  const head = `"content_type":${type},"revpos":${a.revpos},"digest":"${a.digest}"`;
  if (a.encoding === undefined) return `${head},"length":${a.length}`;
  const encoding = `"encoding":"${a.encoding}","encoded_length":${a.length}`;
  return `${head},"length":${a.decodedLength ?? a.length},${encoding}`;
}

function decodeBase64(text: string, name: string): Uint8Array {
  const data = Buffer.from(text, BASE64);
  let length = text.length;
  while (length > 0 && text[length - 1] === "=") length--;
  // The decoder leaves out what is not base64: then fewer bytes come out than went in.
  if (length % 4 === 1 || data.length !== Math.floor((length * 3) / 4)) {
    throw bad(name, "has data that is not base64");
  }
  return data;
}

function optional<T extends "string" | "number">(
  entry: JsonObject,
  key: string,
  type: T,
  name: string,
): (T extends "string" ? string : number) | undefined {
  const value: Json | undefined = entry[key];
  if (value === undefined || value === null) return undefined;
  // The type parameter says what `typeof` checks here.
  if (typeof value === type) return value as T extends "string" ? string : number;
  throw bad(name, `has a ${key} that is no ${type}`);
}

function checkName(name: string): void {
  if (name.length === 0 || name.startsWith("_") || !name.isWellFormed()) {
    throw bad(name, 'must have a name that is well-formed Unicode and does not start with "_"');
  }
  if (DOTS.test(name)) throw bad(name, "must not have . or .. between slashes: no URL can name it");
  if (Buffer.byteLength(name) > MAX_ATTACHMENT_NAME_BYTES) {
    throw bad(name, `must have a name of at most ${MAX_ATTACHMENT_NAME_BYTES} bytes`);
  }
}

function bad(name: string, what: string): TidegateError {
  return new TidegateError("bad_document", `The attachment ${shown(name)} ${what}.`);
}

function shown(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}
