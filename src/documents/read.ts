// Reading single documents: get, open_revs, attachments, and the admin's views.

import { isTidegateError, TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import type { StoreContext } from "./context.ts";
import { checkDocumentId } from "./document-id.ts";
import { textOf } from "./document-json.ts";
import { MAX_SAVE_ATTEMPTS } from "./limits.ts";
import type { Version } from "./load.ts";
import { type Loaded, loadMany, loadOwn } from "./load-own.ts";
import { findRevision, latestOf, missing, renderRevision } from "./render.ts";
import { checkRevisionId } from "./revision-id.ts";
import { indexOfRevision, leafIndexes, leavesOf } from "./revision-tree.ts";
import { readAttachment } from "./side-items.ts";
import { SYNC_ATTRIBUTE } from "./sync-codec.ts";
import type { StoredAttachment } from "./sync-metadata.ts";
import type { AttachmentView, DocumentView, GetOptions, OpenRevision } from "./types.ts";

/**
 * Reads the newest version and hands it to `use`. When something that it refers to is gone since
 * somebody wrote a newer version meanwhile, it is read again.
 */
export async function withVersion<T>(
  ctx: StoreContext,
  id: string,
  use: (version: Version) => Promise<T>,
): Promise<T> {
  let seen = -1n;
  for (let attempt = 0; attempt < MAX_SAVE_ATTEMPTS; attempt++) {
    const found = await loadOwn(ctx, id);
    if (found.kind !== "version") throw missing();
    try {
      return await use(found.version);
    } catch (error) {
      if (!isTidegateError(error, "corrupt") || found.version.cas === seen) throw error;
      seen = found.version.cas;
    }
  }
  throw new TidegateError("unavailable", "The document changes faster than it can be read.");
}

/** One revision of a document. Throws `not_found`, `deleted`, `bad_revision`, `bad_document_id`. */
export async function getDocument(
  ctx: StoreContext,
  id: string,
  options: GetOptions | undefined,
): Promise<DocumentView> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  if (options?.rev !== undefined) checkRevisionId(options.rev);
  return withVersion(ctx, id, (version) =>
    renderRevision(ctx, version, chooseRevision(version, options), options),
  );
}

/** The revision that is meant by `rev` and `latest`. Throws `deleted`, `not_found`. */
export function chooseRevision(version: Version, options: GetOptions | undefined): string {
  const rev = options?.rev;
  if (rev === undefined) {
    if (version.sync.deleted) throw new TidegateError("deleted", "deleted");
    return version.sync.rev;
  }
  if (!options?.latest) return rev;
  const [newest] = latestOf(version, rev);
  if (newest === undefined) throw missing();
  return newest;
}

/** The revisions asked for, in their order; "all": every leaf, winner first. */
export async function openRevisions(
  ctx: StoreContext,
  id: string,
  revs: readonly string[] | "all",
  options: GetOptions | undefined,
): Promise<OpenRevision[]> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  if (revs !== "all") for (const rev of revs) checkRevisionId(rev);
  try {
    return await withVersion(ctx, id, async (version) => {
      const answer: OpenRevision[] = [];
      for (const rev of wantedRevisions(version, revs, options)) {
        answer.push(await openRevision(ctx, version, rev, options));
      }
      return answer;
    });
  } catch (error) {
    if (revs === "all" || !isTidegateError(error, "not_found")) throw error;
    return revs.map((rev) => ({ missing: rev }));
  }
}

function wantedRevisions(
  version: Version,
  revs: readonly string[] | "all",
  options: GetOptions | undefined,
): Iterable<string> {
  if (revs === "all") return leavesOf(version.sync.tree).map((leaf) => leaf.rev);
  if (!options?.latest) return revs;
  const wanted = new Set<string>();
  for (const rev of revs) {
    const latest = latestOf(version, rev);
    for (const leaf of latest.length === 0 ? [rev] : latest) wanted.add(leaf);
  }
  return wanted;
}

async function openRevision(
  ctx: StoreContext,
  version: Version,
  rev: string,
  options: GetOptions | undefined,
): Promise<OpenRevision> {
  try {
    return { ok: await renderRevision(ctx, version, rev, options) };
  } catch (error) {
    if (isTidegateError(error, "not_found")) return { missing: rev };
    throw error;
  }
}

/** The revisions of `wanted` that are not here, with the leaves that they may descend from. */
export async function revsDiff(
  ctx: StoreContext,
  wanted: ReadonlyMap<string, readonly string[]>,
): Promise<Map<string, { missing: string[]; possibleAncestors: string[] }>> {
  const answer = new Map<string, { missing: string[]; possibleAncestors: string[] }>();
  const ids = [...wanted.keys()];
  for (let at = 0; at < ids.length; at += DIFF_PAGE) {
    const page = ids.slice(at, at + DIFF_PAGE);
    const items = await loadMany(ctx, page, false);
    for (const [i, id] of page.entries()) {
      const row = missingOf(items[i], wanted.get(id)!);
      if (row !== undefined) answer.set(id, row);
    }
  }
  return answer;
}

/** The documents whose metadata is read at once: no bodies, so there may be many. */
const DIFF_PAGE = 500;

function missingOf(
  version: Loaded,
  revs: readonly string[],
): { missing: string[]; possibleAncestors: string[] } | undefined {
  if (version === undefined || version instanceof TidegateError) {
    // Of one that can't be read everything is missing: the client's push then hears the reason.
    return { missing: [...revs], possibleAncestors: [] };
  }
  const { tree } = version.sync;
  const missingRevs = revs.filter((rev) => indexOfRevision(tree, rev) < 0);
  if (missingRevs.length === 0) return undefined;
  const highest = Math.max(...missingRevs.map((rev) => Number.parseInt(rev, 10) || 0));
  const possibleAncestors = leavesOf(tree)
    .filter((leaf) => Number.parseInt(leaf.rev, 10) < highest)
    .map((leaf) => leaf.rev);
  return { missing: missingRevs, possibleAncestors };
}

/** The leaves of each document, winner first; undefined: there is none. */
export async function leavesOfMany(
  ctx: StoreContext,
  ids: readonly string[],
): Promise<({ rev: string; deleted: boolean }[] | undefined)[]> {
  const versions = await loadMany(ctx, ids, false);
  return versions.map((version) => {
    if (version === undefined || version instanceof TidegateError) return undefined;
    const { tree } = version.sync;
    return leafIndexes(tree).map((i) => ({ rev: tree[i]!.rev, deleted: tree[i]!.deleted }));
  });
}

/** An attachment with its bytes. Throws `not_found`, `deleted`. */
export async function getAttachment(
  ctx: StoreContext,
  id: string,
  name: string,
  rev: string | undefined,
): Promise<AttachmentView> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  return withVersion(ctx, id, async (version) => {
    const options = rev === undefined ? undefined : { rev: checkRevisionId(rev) };
    const found = await findRevision(ctx, version, chooseRevision(version, options));
    const attachment = found.attachments.find((a) => a.name === name);
    if (attachment === undefined) {
      throw new TidegateError("not_found", "Document is missing attachment");
    }
    return attachmentView(ctx, id, found.rev, attachment);
  });
}

/** The attachments of a revision with their bytes. Throws `not_found`. */
export async function attachmentsOf(
  ctx: StoreContext,
  id: string,
  rev: string,
): Promise<AttachmentView[]> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  checkRevisionId(rev);
  return withVersion(ctx, id, async (version) => {
    const found = await findRevision(ctx, version, rev);
    const views: AttachmentView[] = [];
    for (const a of found.attachments) views.push(await attachmentView(ctx, id, rev, a));
    return views;
  });
}

async function attachmentView(
  ctx: StoreContext,
  id: string,
  rev: string,
  a: StoredAttachment,
): Promise<AttachmentView> {
  return {
    name: a.name,
    contentType: a.contentType,
    length: a.length,
    digest: a.digest,
    revpos: a.revpos,
    ...(a.encoding !== undefined && { encoding: a.encoding }),
    rev,
    data: await readAttachment(ctx, id, a),
  };
}

/** The stored body with the `_sync` attribute as it is. Throws `not_found`. */
export async function rawDocument(ctx: StoreContext, id: string): Promise<JsonObject> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  const item = await ctx.bucket.documents.get(id, { withBody: true });
  if (item === undefined) throw missing();
  const sync = item.xattrs[SYNC_ATTRIBUTE];
  const body = item.body === undefined ? {} : (JSON.parse(textOf(item.body)) as JsonObject);
  return {
    _id: id,
    ...(item.deleted && { _deleted: true }),
    ...body,
    _cas: item.cas.toString(),
    _sync: sync === undefined ? null : (JSON.parse(sync) as Json),
  };
}

/** The revision tree for a person: every revision that is remembered, winner's branch first. */
export async function revisionTreeOf(ctx: StoreContext, id: string): Promise<Json> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  const found = await loadOwn(ctx, id);
  if (found.kind !== "version") throw missing();
  const { sync } = found.version;
  return {
    id,
    winner: sync.rev,
    leaves: [...sync.leaves.keys()],
    revisions: sync.tree.map((node) => {
      const leaf = sync.leaves.get(node.rev);
      return {
        rev: node.rev,
        parent: node.parent < 0 ? null : sync.tree[node.parent]!.rev,
        deleted: node.deleted,
        leaf: leaf !== undefined,
        ...(leaf !== undefined && { channels: [...leaf.channels] }),
      };
    }),
  };
}
