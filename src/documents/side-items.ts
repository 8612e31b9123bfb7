// A document's items in `metadata`: bodies of leaves that are not the winner, bodies of superseded
// revisions, attachments. Keys: "d:" + 22 characters of the id's SHA-256 + ":" + name. A name is
// never used twice: it is written before the version that refers to it, and removed or given an
// expiry after a version that does not. So a crash leaves garbage at the worst, never a reference
// to nothing.
//   b<unique>  body of a leaf
//   a<unique>  attachment; chunks after the first have ".1", ".2" … behind
//   o<rev>     superseded revision, see OldRevision

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import type { Json } from "../base/json.ts";
import { type KeyValueOperation, MAX_VALUE_BYTES } from "../bucket/bucket.ts";
import type { StoreContext } from "./context.ts";
import { bytesOf, textOf } from "./document-json.ts";
import { ATTACHMENT_CHUNK_BYTES } from "./limits.ts";
import { corrupt, decodeAttachment, encodeAttachment } from "./sync-codec.ts";
import type { StoredAttachment } from "./sync-metadata.ts";

/** What the keys of all side items of document `id` start with. */
export function sidePrefix(id: string): string {
  return `d:${createHash("sha256").update(id).digest("base64url").slice(0, 22)}:`;
}

/** A new name for a side item; it begins with when it was made, so that garbage can be told. */
export function newItemName(ctx: StoreContext, kind: "b" | "a"): string {
  const random = Buffer.from(ctx.random.bytes(9)).toString("base64url");
  return `${kind}${ctx.time.nowMs().toString(36).padStart(9, "0")}${random}`;
}

/** When the item of this name was made, in milliseconds; undefined for a superseded revision. */
export function itemMadeAtMs(name: string): number | undefined {
  return name.startsWith("o") ? undefined : Number.parseInt(name.slice(1, 10), 36);
}

/** The names of the values that an attachment's item is stored in. */
export function chunkNames(item: string, length: number): string[] {
  if (item === "") return [];
  const chunks = Math.max(1, Math.ceil(length / ATTACHMENT_CHUNK_BYTES));
  return Array.from({ length: chunks }, (_, i) => (i === 0 ? item : `${item}.${i}`));
}

/** The writes that store an attachment's bytes under `item`. */
export function attachmentWrites(
  prefix: string,
  item: string,
  data: Uint8Array,
): KeyValueOperation[] {
  return chunkNames(item, data.length).map((name, i) => ({
    op: "upsert",
    key: prefix + name,
    value: data.subarray(i * ATTACHMENT_CHUNK_BYTES, (i + 1) * ATTACHMENT_CHUNK_BYTES),
  }));
}

/** The bytes of an attachment. Throws `corrupt` when they are not all there. */
export async function readAttachment(
  ctx: StoreContext,
  id: string,
  attachment: StoredAttachment,
): Promise<Uint8Array> {
  if (attachment.item === "") return new Uint8Array(0);
  const prefix = sidePrefix(id);
  const names = chunkNames(attachment.item, attachment.length);
  const chunks = await ctx.bucket.metadata.getMany(names.map((name) => prefix + name));
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const chunk of chunks) {
    if (chunk === undefined) break;
    parts.push(chunk.value);
    length += chunk.value.length;
  }
  if (length !== attachment.length) {
    throw corrupt(id, `of the attachment ${attachment.name} ${length} bytes are there`);
  }
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}

/** The text of a leaf's body. Throws `corrupt` when it is not there. */
export async function readBodyItem(ctx: StoreContext, id: string, name: string): Promise<string> {
  const stored = await ctx.bucket.metadata.get(sidePrefix(id) + name);
  if (stored === undefined) throw corrupt(id, `the body ${name} of a revision is not there`);
  return textOf(stored.value);
}

/** A revision that was superseded a moment ago. */
export interface OldRevision {
  readonly deleted: boolean;
  readonly channels: readonly string[];
  readonly attachments: readonly StoredAttachment[];
  readonly bodyText: string;
}

/**
 * The write that keeps a superseded revision for a while: a line of JSON with what is not the body,
 * then the body. Undefined when it is too large for one value: it is then not kept.
 */
export function oldRevisionWrite(
  ctx: StoreContext,
  prefix: string,
  rev: string,
  old: Omit<OldRevision, "bodyText">,
  body: Uint8Array,
): KeyValueOperation | undefined {
  const members: { [key: string]: Json } = { v: 1 };
  if (old.deleted) members.d = 1;
  if (old.channels.length > 0) members.ch = [...old.channels];
  if (old.attachments.length > 0) members.att = old.attachments.map(encodeAttachment);
  const head = bytesOf(`${JSON.stringify(members)}\n`);
  if (head.length + body.length > MAX_VALUE_BYTES) return undefined;
  const value = new Uint8Array(head.length + body.length);
  value.set(head);
  value.set(body, head.length);
  return { op: "upsert", key: `${prefix}o${rev}`, value, expiry: oldExpiry(ctx) };
}

/** The expiry of what is superseded now: unix seconds. */
export function oldExpiry(ctx: StoreContext): number {
  return Math.ceil(ctx.time.nowMs() / 1000) + ctx.oldRevisionSeconds;
}

/** A superseded revision, while it is kept; undefined after that. */
export async function readOldRevision(
  ctx: StoreContext,
  id: string,
  rev: string,
): Promise<OldRevision | undefined> {
  const stored = await ctx.bucket.metadata.get(`${sidePrefix(id)}o${rev}`);
  if (stored === undefined) return undefined;
  const end = stored.value.indexOf(0x0a);
  if (end < 0) throw corrupt(id, `the superseded revision ${rev} has no head`);
  const head = JSON.parse(textOf(stored.value.subarray(0, end))) as {
    d?: number;
    ch?: string[];
    att?: unknown[];
  };
  return {
    deleted: head.d === 1,
    channels: head.ch ?? [],
    attachments: (head.att ?? []).map((a) => decodeAttachment(a, id)),
    bodyText: textOf(stored.value.subarray(end + 1)),
  };
}

/** Carries out writes of side items and waits. Throws `unavailable` when one was refused. */
export async function writeItems(
  ctx: StoreContext,
  operations: readonly KeyValueOperation[],
): Promise<void> {
  if (operations.length === 0) return;
  const results = await ctx.bucket.metadata.batch(operations);
  for (const [i, result] of results.entries()) {
    const { op, key } = operations[i]!;
    // What is to go may be gone already.
    if (result.ok || op === "remove" || op === "touch") continue;
    throw new TidegateError("unavailable", `${key} could not be stored: ${result.refusal}.`);
  }
}

/** The operations that let go of an attachment's bytes: now, or when old revisions go. */
export function releaseAttachment(
  ctx: StoreContext,
  prefix: string,
  attachment: StoredAttachment,
  now: boolean,
): KeyValueOperation[] {
  const expiry = oldExpiry(ctx);
  return chunkNames(attachment.item, attachment.length).map((name) =>
    now || ctx.oldRevisionSeconds === 0
      ? { op: "remove", key: prefix + name }
      : { op: "touch", key: prefix + name, expiry },
  );
}
