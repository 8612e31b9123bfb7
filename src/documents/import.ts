// Import: a document that another program wrote to the bucket gets a revision of its own, once, by
// a CAS write, whoever comes first: the healer, a save, or a read.

import { crc32 } from "node:zlib";
import { isTidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import { type StoreContext, SYSTEM_ACTOR } from "./context.ts";
import { printJson } from "./document-json.ts";
import type { NewRevision } from "./edit.ts";
import type { Found, Version } from "./load.ts";
import { generationOf, makeRevisionId } from "./revision-id.ts";
import { addRevision, EMPTY_TREE, indexOfRevision, stem } from "./revision-tree.ts";
import { metaOf, runSyncFunction } from "./run-sync.ts";
import { winnerOf } from "./sync-metadata.ts";
import { EMPTY_SYNC_RESULT, type SyncResult } from "./sync-port.ts";
import { writeChange } from "./write-change.ts";

/** What came of an import. */
export type ImportOutcome =
  /** It has a revision now. */
  | "imported"
  /** Somebody wrote it in between: look again. */
  | "changed"
  /** Its value is not a JSON object that could be a document: it stays as it is. */
  | "not_a_document"
  /** The import filter does not want it: it stays as it is, and without `_sync`. */
  | "filtered";

type Foreign = Extract<Found, { kind: "foreign" }>;

const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Imports an item, read with its body. A changed body, or a deletion, becomes a child of the
 * winning revision; when only the item's metadata changed (its expiry, say) the revision stays, and
 * only what says "a gateway wrote this" is written anew. A sync function that refuses leaves it in
 * no channel. The import filter is asked for items that were no documents here before.
 */
export async function importItem(
  ctx: StoreContext,
  id: string,
  { item, sync }: Foreign,
): Promise<ImportOutcome> {
  const current: Version | undefined =
    sync === undefined ? undefined : { id, cas: item.cas, body: item.body, sync, item };
  if (sync !== undefined && unchanged(item.body, item.deleted, sync)) {
    const change = { tree: sync.tree, fresh: new Map() };
    return (await writeChange(ctx, id, current, item.cas, change)) ? "imported" : "changed";
  }
  const content = item.deleted ? { text: "{}", body: {} } : parseForeign(item.body);
  if (content === undefined) return "not_a_document";
  if (sync === undefined && !(await isWanted(ctx, id, content.body, item.xattrs))) {
    return "filtered";
  }
  const made = foreignRevision(content, item.deleted, current);
  const change = {
    tree: stem(made.tree, ctx.limits.revisionDepth),
    fresh: new Map([
      [
        made.rev,
        {
          bodyText: made.bodyText,
          attachments: made.attachments,
          result: await channelsFor(ctx, id, made, item.xattrs),
        },
      ],
    ]),
    bodyLost: true,
  };
  return (await writeChange(ctx, id, current, item.cas, change)) ? "imported" : "changed";
}

function unchanged(
  body: Uint8Array | undefined,
  deleted: boolean,
  sync: { readonly deleted: boolean; readonly bodyCrc: number },
): boolean {
  if (deleted !== sync.deleted) return false;
  return deleted || (body !== undefined && crc32(body) === sync.bodyCrc);
}

/** The body that another program wrote; undefined when it can't be a document's. */
function parseForeign(
  bytes: Uint8Array | undefined,
): { text: string; body: JsonObject } | undefined {
  if (bytes === undefined) return undefined;
  let text: string;
  let json: unknown;
  try {
    text = strictDecoder.decode(bytes);
    json = JSON.parse(text);
  } catch {
    // Not an error: a bucket that is shared may hold anything.
    return undefined;
  }
  if (json === null || typeof json !== "object" || Array.isArray(json)) return undefined;
  // Spliced into a document such a member would pass for ours.
  if (Object.keys(json).some((key) => key.startsWith("_"))) return undefined;
  return { text, body: json as JsonObject };
}

function foreignRevision(
  content: { text: string; body: JsonObject },
  deleted: boolean,
  current: Version | undefined,
): NewRevision {
  const before = current?.sync.tree ?? EMPTY_TREE;
  const parent = current?.sync.rev;
  const kept = current === undefined || deleted ? [] : winnerOf(current.sync).attachments;
  const rev = makeRevisionId({
    parent,
    deleted,
    bodyText: printJson(content.body),
    attachments: kept,
  });
  const parentIndex = parent === undefined ? -1 : indexOfRevision(before, parent);
  return {
    rev: unusedRevision(before, rev),
    tree: addRevision(before, parentIndex, unusedRevision(before, rev), deleted),
    parent,
    deleted,
    bodyText: content.text,
    body: content.body,
    attachments: kept.map((info) => ({ info })),
    oldParent: undefined,
  };
}

/** `rev`, or when the tree has a sibling of the same content already, one that it does not have. */
function unusedRevision(tree: NewRevision["tree"], rev: string): string {
  let unused = rev;
  for (let i = 1; indexOfRevision(tree, unused) >= 0; i++) {
    const bodyText = `import ${i}`;
    const digest = makeRevisionId({ parent: rev, deleted: false, bodyText, attachments: [] });
    unused = `${generationOf(rev)}-${digest.slice(digest.indexOf("-") + 1)}`;
  }
  return unused;
}

/** Whether the import filter takes the document; one that fails takes none, loudly. */
async function isWanted(
  ctx: StoreContext,
  id: string,
  body: JsonObject,
  xattrs: Readonly<Record<string, string>>,
): Promise<boolean> {
  const filter = ctx.importFilter();
  if (filter === undefined) return true;
  try {
    return await filter.accepts(printJson({ _id: id, ...body }), metaOf(xattrs));
  } catch (error) {
    if (!isTidegateError(error, "sync_function_failed")) throw error;
    const message = "The import filter failed for a document of another program: not imported";
    ctx.log.warn({ err: error, id }, message);
    return false;
  }
}

async function channelsFor(
  ctx: StoreContext,
  id: string,
  made: NewRevision,
  xattrs: Readonly<Record<string, string>>,
): Promise<SyncResult> {
  try {
    // The revision before is gone with its body, so the function sees a document without a past.
    const orphan = { ...made, parent: undefined };
    return await runSyncFunction(ctx, SYSTEM_ACTOR, id, orphan, undefined, xattrs);
  } catch (error) {
    const message = "The sync function refused a document of another program: it is in no channel";
    ctx.log.warn({ err: error, id }, message);
    return EMPTY_SYNC_RESULT;
  }
}
