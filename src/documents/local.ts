// `_local/` documents: checkpoints of replicators. They live in `metadata`, are no mutations, and
// have one revision at a time, `0-N`. Stored as JSON {"v":1,"n":N,"id":…,"body":{…}}. Each user has
// its own under the same ids; guests and administrators share theirs. Keys:
//   l:<hash of the name>               shared
//   lu:<hash of user, NUL, the name>   a user's

import { createHash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { KeyValueOperation } from "../bucket/bucket.ts";
import type { StoreContext } from "./context.ts";
import { checkLocalId, LOCAL_PREFIX } from "./document-id.ts";
import {
  bytesOf,
  checkBodySize,
  parseLocalDocument,
  printDocument,
  printJson,
  textOf,
} from "./document-json.ts";
import { MAX_SAVE_ATTEMPTS } from "./limits.ts";
import type { Actor, DocumentView, WriteOutcome } from "./types.ts";
import { missing } from "./visibility.ts";

/** The longest id of a local document in UTF-8 bytes. */
const MAX_LOCAL_ID_BYTES = 1000;

interface Stored {
  readonly n: number;
  readonly body: JsonObject;
  readonly cas: bigint;
}

/** A user's name has no NUL, so no two pairs of user and name make the same text. */
function keyOf({ name: user }: Actor, name: string): string {
  return user === null ? `l:${digest(name)}` : `lu:${digest(`${user}\0${name}`)}`;
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

async function load(ctx: StoreContext, key: string): Promise<Stored | undefined> {
  const stored = await ctx.bucket.metadata.get(key);
  if (stored === undefined) return undefined;
  const { n, body } = JSON.parse(textOf(stored.value)) as { n: number; body: JsonObject };
  return { n, body, cas: stored.cas };
}

/** A local document, `id` with or without `_local/`. Throws `not_found`. */
export async function getLocal(ctx: StoreContext, actor: Actor, id: string): Promise<DocumentView> {
  const name = checkLocalId(id, MAX_LOCAL_ID_BYTES);
  const stored = await load(ctx, keyOf(actor, name));
  if (stored === undefined) throw missing();
  const full = LOCAL_PREFIX + name;
  const rev = `0-${stored.n}`;
  const json = printDocument(full, rev, false, "", JSON.stringify(stored.body));
  return { id: full, rev, deleted: false, json };
}

/**
 * Stores a local document. Its `_rev` must be the one stored, and absent when there is none.
 *
 * @throws TidegateError `conflict`, `too_large`, `bad_document`
 */
export async function putLocal(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  document: JsonObject,
): Promise<WriteOutcome> {
  const name = checkLocalId(id, MAX_LOCAL_ID_BYTES);
  const { rev, deleted, body, bodyText } = parseLocalDocument(document);
  if (deleted) return removeLocal(ctx, actor, id, rev);
  checkBodySize(bodyText, ctx.limits.documentBytes);
  const key = keyOf(actor, name);
  return change(ctx, key, name, (stored) => {
    checkRevision(stored, rev);
    const n = (stored?.n ?? 0) + 1;
    const value = bytesOf(printJson({ v: 1, n, id: name, body }));
    const operation: KeyValueOperation =
      stored === undefined
        ? { op: "insert", key, value }
        : { op: "replace", key, value, cas: stored.cas };
    return { operation, rev: `0-${n}` };
  });
}

/** Removes a local document. Throws `not_found`, `conflict`. */
export async function removeLocal(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  rev: string | undefined,
): Promise<WriteOutcome> {
  const name = checkLocalId(id, MAX_LOCAL_ID_BYTES);
  const key = keyOf(actor, name);
  return change(ctx, key, name, (stored) => {
    if (stored === undefined) throw missing();
    checkRevision(stored, rev);
    return { operation: { op: "remove", key, cas: stored.cas }, rev: "0-0" };
  });
}

function checkRevision(stored: Stored | undefined, rev: string | undefined): void {
  const expected = stored === undefined ? undefined : `0-${stored.n}`;
  if (rev === expected) return;
  const reason = `The local document's revision is ${expected ?? "none"}, not ${rev ?? "none"}.`;
  throw new TidegateError("conflict", reason);
}

async function change(
  ctx: StoreContext,
  key: string,
  name: string,
  decide: (stored: Stored | undefined) => { operation: KeyValueOperation; rev: string },
): Promise<WriteOutcome> {
  for (let attempt = 0; attempt < MAX_SAVE_ATTEMPTS; attempt++) {
    const { operation, rev } = decide(await load(ctx, key));
    const [result] = await ctx.bucket.metadata.batch([operation]);
    if (result!.ok) return { id: LOCAL_PREFIX + name, rev };
    if (result!.refusal === "too_large") {
      throw new TidegateError("too_large", "The bucket refuses a local document of this size.");
    }
  }
  throw new TidegateError("unavailable", "Others changed the local document all the time.");
}
