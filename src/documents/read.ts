// Reading single documents: get, open_revs, attachments, and the admin's views.

import type { Access } from "../access/types.ts";
import { isTidegateError, TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import type { StoreContext } from "./context.ts";
import { checkDocumentId } from "./document-id.ts";
import { textOf } from "./document-json.ts";
import { MAX_OPEN_REVS_CHARS, MAX_SAVE_ATTEMPTS } from "./limits.ts";
import type { Version } from "./load.ts";
import { type Loaded, loadMany, loadOwn } from "./load-own.ts";
import { findRevision, latestOf, renderRevision } from "./render.ts";
import { checkRevisionId } from "./revision-id.ts";
import { indexOfRevision, leavesOf } from "./revision-tree.ts";
import { readAttachment } from "./side-items.ts";
import { SYNC_ATTRIBUTE } from "./sync-codec.ts";
import { channelsOf, type StoredAttachment } from "./sync-metadata.ts";
import type { AttachmentView, DocumentView, GetOptions, OpenRevision, Winner } from "./types.ts";
import {
  hidden,
  knownRevisions,
  mayReadLeaf,
  missing,
  noAccess,
  removalSeen,
} from "./visibility.ts";

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

/**
 * One revision of a document.
 *
 * @throws TidegateError `not_found`, `deleted`, `forbidden`, `bad_revision`, `bad_document_id`
 */
export async function getDocument(
  ctx: StoreContext,
  access: Access,
  id: string,
  options: GetOptions | undefined,
): Promise<DocumentView> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  if (options?.rev !== undefined) checkRevisionId(options.rev);
  return withVersion(ctx, id, (version) =>
    renderRevision(ctx, access, version, chooseRevision(access, version, options), options),
  );
}

/**
 * The revision that is meant by `rev` and `latest`. A document without a revision named is its
 * winner, and only for who may read that.
 *
 * @throws TidegateError `deleted`, `not_found`, `forbidden`
 */
export function chooseRevision(
  access: Access,
  version: Version,
  options: GetOptions | undefined,
): string {
  const rev = options?.rev;
  if (rev === undefined) {
    const { sync } = version;
    const readable = mayReadLeaf(access, version, sync.rev);
    if (!sync.deleted && readable) return sync.rev;
    if (!sync.deleted) throw noAccess();
    const known = readable || removalSeen(access, version, sync.rev) !== undefined;
    throw known ? new TidegateError("deleted", "deleted") : missing();
  }
  if (!options?.latest) return rev;
  return newestOf(access, version, rev)[0] ?? rev;
}

/** The leaves that `rev` has become and that may be read, winner first. */
function newestOf(access: Access, version: Version, rev: string): string[] {
  return latestOf(version, rev).filter((leaf) => mayReadLeaf(access, version, leaf));
}

/**
 * The revisions asked for, in their order; "all": every leaf, winner first, that may be read, or is
 * known to have left.
 */
export async function openRevisions(
  ctx: StoreContext,
  access: Access,
  id: string,
  revs: readonly string[] | "all",
  options: GetOptions | undefined,
): Promise<OpenRevision[]> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  if (revs !== "all") for (const rev of revs) checkRevisionId(rev);
  try {
    return await withVersion(ctx, id, async (version) => {
      const answer: OpenRevision[] = [];
      let chars = 0;
      for (const rev of wantedRevisions(access, version, revs, options)) {
        if (chars > MAX_OPEN_REVS_CHARS) {
          const reason = "These revisions are too large for one answer: ask for fewer of them.";
          throw new TidegateError("too_large", reason);
        }
        const one = await openRevision(ctx, access, version, rev, options);
        if ("ok" in one) chars += one.ok.json.length;
        answer.push(one);
      }
      return answer;
    });
  } catch (error) {
    if (revs === "all" || !isTidegateError(error, "not_found")) throw error;
    return revs.map((rev) => ({ missing: rev }));
  }
}

function wantedRevisions(
  access: Access,
  version: Version,
  revs: readonly string[] | "all",
  options: GetOptions | undefined,
): Iterable<string> {
  if (revs === "all") {
    const shown = leavesOf(version.sync.tree)
      .map((leaf) => leaf.rev)
      .filter(
        (rev) =>
          mayReadLeaf(access, version, rev) || removalSeen(access, version, rev) !== undefined,
      );
    if (shown.length === 0) throw hidden(access, version);
    return shown;
  }
  if (!options?.latest) return new Set(revs);
  const wanted = new Set<string>();
  for (const rev of revs) {
    const latest = newestOf(access, version, rev);
    for (const leaf of latest.length === 0 ? [rev] : latest) wanted.add(leaf);
  }
  return wanted;
}

async function openRevision(
  ctx: StoreContext,
  access: Access,
  version: Version,
  rev: string,
  options: GetOptions | undefined,
): Promise<OpenRevision> {
  try {
    return { ok: await renderRevision(ctx, access, version, rev, options) };
  } catch (error) {
    const absent = isTidegateError(error, "not_found") || isTidegateError(error, "forbidden");
    if (absent) return { missing: rev };
    throw error;
  }
}

/**
 * The revisions of `wanted` that are not here, with the leaves that they may descend from. What the
 * asker may not know of counts as not here: it then sends what is here already, which changes
 * nothing.
 */
export async function revsDiff(
  ctx: StoreContext,
  access: Access,
  wanted: ReadonlyMap<string, readonly string[]>,
): Promise<Map<string, { missing: string[]; possibleAncestors: string[] }>> {
  const answer = new Map<string, { missing: string[]; possibleAncestors: string[] }>();
  const ids = [...wanted.keys()];
  for (let at = 0; at < ids.length; at += DIFF_PAGE) {
    const page = ids.slice(at, at + DIFF_PAGE);
    const items = await loadMany(ctx, page, false);
    for (const [i, id] of page.entries()) {
      const row = missingOf(access, items[i], wanted.get(id)!);
      if (row !== undefined) answer.set(id, row);
    }
  }
  return answer;
}

/** The documents whose metadata is read at once: no bodies, so there may be many. */
const DIFF_PAGE = 500;

function missingOf(
  access: Access,
  version: Loaded,
  revs: readonly string[],
): { missing: string[]; possibleAncestors: string[] } | undefined {
  if (version === undefined || version instanceof TidegateError) {
    // Of one that can't be read everything is missing: the client's push then hears the reason.
    return { missing: [...revs], possibleAncestors: [] };
  }
  const { tree } = version.sync;
  const here = hereFor(access, version, revs.length);
  const missingRevs = revs.filter((rev) => !here(rev));
  if (missingRevs.length === 0) return undefined;
  let highest = 0;
  for (const rev of missingRevs) highest = Math.max(highest, Number.parseInt(rev, 10) || 0);
  const possibleAncestors = leavesOf(tree)
    .filter((leaf) => Number.parseInt(leaf.rev, 10) < highest && here(leaf.rev))
    .map((leaf) => leaf.rev);
  return { missing: missingRevs, possibleAncestors };
}

/** From so many revisions asked for on, a set of those here is made before. */
const MANY_REVISIONS = 8;

function hereFor(access: Access, version: Version, asked: number): (rev: string) => boolean {
  const { tree } = version.sync;
  let known = knownRevisions(access, version);
  if (known === undefined && asked < MANY_REVISIONS) {
    return (rev) => indexOfRevision(tree, rev) >= 0;
  }
  known ??= new Set(tree.map((node) => node.rev));
  return (rev) => known.has(rev);
}

/** What each document is now, by its winning revision; undefined: gone, or it can't be read. */
export async function winnersOfMany(
  ctx: StoreContext,
  ids: readonly string[],
): Promise<(Winner | undefined)[]> {
  const versions = await loadMany(ctx, ids, false);
  return versions.map((version) => {
    if (version === undefined || version instanceof TidegateError) return undefined;
    const { rev, seq, deleted } = version.sync;
    return { rev, seq, deleted, channels: channelsOf(version.sync) };
  });
}

/** The leaves of each document that may be read, winner first; undefined: there is no document. */
export async function leavesOfMany(
  ctx: StoreContext,
  access: Access,
  ids: readonly string[],
): Promise<({ rev: string; deleted: boolean }[] | undefined)[]> {
  const versions = await loadMany(ctx, ids, false);
  return versions.map((version) => {
    if (version === undefined || version instanceof TidegateError) return undefined;
    return leavesOf(version.sync.tree)
      .filter(({ rev }) => mayReadLeaf(access, version, rev))
      .map(({ rev, deleted }) => ({ rev, deleted }));
  });
}

/** An attachment with its bytes. Throws `not_found`, `deleted`, `forbidden`. */
export async function getAttachment(
  ctx: StoreContext,
  access: Access,
  id: string,
  name: string,
  rev: string | undefined,
): Promise<AttachmentView> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  return withVersion(ctx, id, async (version) => {
    const options = rev === undefined ? undefined : { rev: checkRevisionId(rev) };
    const found = await findRevision(
      ctx,
      access,
      version,
      chooseRevision(access, version, options),
    );
    const attachment = found.attachments.find((a) => a.name === name);
    if (attachment === undefined) {
      throw new TidegateError("not_found", "Document is missing attachment");
    }
    return attachmentView(ctx, id, found.rev, attachment);
  });
}

/** The attachments of a revision with their bytes. Throws `not_found`, `forbidden`. */
export async function attachmentsOf(
  ctx: StoreContext,
  access: Access,
  id: string,
  rev: string,
): Promise<AttachmentView[]> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  checkRevisionId(rev);
  return withVersion(ctx, id, async (version) => {
    const found = await findRevision(ctx, access, version, rev);
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
