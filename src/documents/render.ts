// One revision as a client gets it: its JSON text with the special members that were asked for.

import type { Access } from "../access/types.ts";
import { printStubs, printWithData } from "./attachments.ts";
import type { StoreContext } from "./context.ts";
import { printDocument, printRevisions } from "./document-json.ts";
import { leafBody, type Version } from "./load.ts";
import { generationOf } from "./revision-id.ts";
import { historyOf, indexOfRevision, leafIndexes, leavesUnder } from "./revision-tree.ts";
import { readAttachment, readOldRevision, sidePrefix } from "./side-items.ts";
import type { StoredAttachment } from "./sync-metadata.ts";
import type { DocumentView, GetOptions } from "./types.ts";
import { hidden, mayRead, mayReadLeaf, removalSeen, seesEverything } from "./visibility.ts";

/** A revision with what is stored of it. */
export interface FoundRevision {
  readonly rev: string;
  readonly deleted: boolean;
  readonly attachments: readonly StoredAttachment[];
  readonly bodyText: string;
}

/**
 * The revision `rev` when it is a leaf, or superseded a moment ago, and in a channel that is seen.
 *
 * @throws TidegateError `not_found`, `forbidden`
 */
export async function findRevision(
  ctx: StoreContext,
  access: Access,
  version: Version,
  rev: string,
): Promise<FoundRevision> {
  const found = await readableRevision(ctx, access, version, rev);
  if (found === undefined) throw hidden(access, version);
  return found;
}

async function readableRevision(
  ctx: StoreContext,
  access: Access,
  version: Version,
  rev: string,
): Promise<FoundRevision | undefined> {
  const { sync } = version;
  const leaf = sync.leaves.get(rev);
  if (leaf !== undefined) {
    if (!mayRead(access, leaf.channels)) return undefined;
    const deleted =
      rev === sync.rev ? sync.deleted : sync.tree[indexOfRevision(sync.tree, rev)]!.deleted;
    const bodyText = await leafBody(ctx, version, rev);
    return { rev, deleted, attachments: leaf.attachments, bodyText };
  }
  if (indexOfRevision(sync.tree, rev) < 0) return undefined;
  const old = await readOldRevision(ctx, version.id, rev);
  // One that was kept without its channels is in none: nobody else may read it.
  if (old === undefined || !mayRead(access, old.channels)) return undefined;
  return { rev, ...old };
}

/** The leaves that `rev` has become, winner first; itself when it is one. Empty: it is unknown. */
export function latestOf(version: Version, rev: string): string[] {
  const { tree } = version.sync;
  const index = indexOfRevision(tree, rev);
  return index < 0 ? [] : leavesUnder(tree, index).map((leaf) => tree[leaf]!.rev);
}

/**
 * The view of revision `rev` with what `options` ask for. Of a revision that took the document out
 * of the reader's channels it says only that: no body, no attachments.
 *
 * @throws TidegateError `not_found`, `forbidden`
 */
export async function renderRevision(
  ctx: StoreContext,
  access: Access,
  version: Version,
  rev: string,
  options: GetOptions | undefined,
): Promise<DocumentView> {
  const found = await readableRevision(ctx, access, version, rev);
  if (found === undefined) return renderRemoval(access, version, rev, options);
  const { id } = version;
  let members = "";
  if (options !== undefined) members = await specialMembers(ctx, access, version, rev, options);
  if (found.attachments.length > 0) {
    members += `,"_attachments":${await attachmentsText(ctx, version, found, options)}`;
  }
  const json = printDocument(id, rev, found.deleted, members, found.bodyText);
  return { id, rev, deleted: found.deleted, json };
}

/** A removal has its history, for the client to hang it on what it has. */
function renderRemoval(
  access: Access,
  version: Version,
  rev: string,
  options: GetOptions | undefined,
): DocumentView {
  const left = removalSeen(access, version, rev);
  if (left === undefined) throw hidden(access, version);
  const { tree } = version.sync;
  let members = "";
  if (options?.revs) {
    const index = indexOfRevision(tree, rev);
    members = `,"_revisions":${printRevisions(index < 0 ? [rev] : historyOf(tree, index))}`;
  }
  const { id } = version;
  const json = printDocument(id, rev, left.deleted, `${members},"_removed":true`, "{}");
  return { id, rev, deleted: left.deleted, json };
}

async function specialMembers(
  ctx: StoreContext,
  access: Access,
  version: Version,
  rev: string,
  options: GetOptions,
): Promise<string> {
  const { tree } = version.sync;
  let members = "";
  if (options.revs || options.revsInfo) {
    const history = historyOf(tree, indexOfRevision(tree, rev));
    if (options.revs) members += `,"_revisions":${printRevisions(history)}`;
    if (options.revsInfo)
      members += `,"_revs_info":${await revsInfo(ctx, access, version, history)}`;
  }
  if (options.conflicts) members += otherLeaves(access, version, "_conflicts", false);
  if (options.deletedConflicts) members += otherLeaves(access, version, "_deleted_conflicts", true);
  if (options.localSeq) members += `,"_local_seq":${version.sync.seq}`;
  return members;
}

/** The leaves beside the winner, live or deleted, as a member; "" when there are none to be seen. */
function otherLeaves(access: Access, version: Version, name: string, deleted: boolean): string {
  const { tree } = version.sync;
  const others = leafIndexes(tree)
    .slice(1)
    .filter((index) => tree[index]!.deleted === deleted)
    .filter((index) => mayReadLeaf(access, version, tree[index]!.rev))
    .map((index) => `"${tree[index]!.rev}"`);
  return others.length === 0 ? "" : `,"${name}":[${others.join(",")}]`;
}

/**
 * Which of `history` can be read. The channels of superseded revisions are with their bodies, and
 * bodies are not read for this: to who does not see everything they count as missing.
 */
async function revsInfo(
  ctx: StoreContext,
  access: Access,
  version: Version,
  history: readonly string[],
): Promise<string> {
  const { sync } = version;
  const readable = seesEverything(access) ? await keptRevisions(ctx, version) : new Set();
  const rows = history.map((rev) => {
    const available = sync.leaves.has(rev) || readable.has(rev);
    const deleted = sync.tree[indexOfRevision(sync.tree, rev)]!.deleted;
    const status = !available ? "missing" : deleted ? "deleted" : "available";
    return `{"rev":"${rev}","status":"${status}"}`;
  });
  return `[${rows.join(",")}]`;
}

/** The superseded revisions whose bodies are still kept. */
async function keptRevisions(ctx: StoreContext, { id, sync }: Version): Promise<Set<string>> {
  const prefix = `${sidePrefix(id)}o`;
  const kept = await ctx.bucket.metadata.keys(prefix, { limit: sync.tree.length });
  return new Set(kept.map((key) => key.slice(prefix.length)));
}

async function attachmentsText(
  ctx: StoreContext,
  version: Version,
  found: FoundRevision,
  options: GetOptions | undefined,
): Promise<string> {
  const since = options?.attsSince;
  if (!options?.attachments && since === undefined) return printStubs(found.attachments);
  const known = since === undefined ? 0 : newestKnown(version, found.rev, since);
  const wanted = found.attachments.filter(({ revpos }) => revpos > known);
  const bytes = wanted.reduce((sum, { length }) => sum + length, 0);
  return ctx.inline.run(bytes, async () => {
    const data = new Map<string, Uint8Array>();
    for (const attachment of wanted) {
      data.set(attachment.name, await readAttachment(ctx, version.id, attachment));
    }
    return printWithData(found.attachments, data);
  });
}

/** The generation of the newest of `since` among the ancestors of `rev`; 0 when none is. */
function newestKnown(version: Version, rev: string, since: readonly string[]): number {
  const { tree } = version.sync;
  const wanted = new Set(since);
  const known = historyOf(tree, indexOfRevision(tree, rev)).find((r) => wanted.has(r));
  return known === undefined ? 0 : generationOf(known);
}
