// One revision as a client gets it: its JSON text with the special members that were asked for.

import { TidegateError } from "../base/errors.ts";
import { printStubs, printWithData } from "./attachments.ts";
import type { StoreContext } from "./context.ts";
import { printDocument, printRevisions } from "./document-json.ts";
import { leafBody, type Version } from "./load.ts";
import { generationOf } from "./revision-id.ts";
import { historyOf, indexOfRevision, leafIndexes, leavesUnder } from "./revision-tree.ts";
import { readAttachment, readOldRevision, sidePrefix } from "./side-items.ts";
import type { StoredAttachment } from "./sync-metadata.ts";
import type { DocumentView, GetOptions } from "./types.ts";

/** A revision with what is stored of it. */
export interface FoundRevision {
  readonly rev: string;
  readonly deleted: boolean;
  readonly attachments: readonly StoredAttachment[];
  readonly bodyText: string;
}

/** The error for a revision or document that is not there. */
export function missing(): TidegateError {
  return new TidegateError("not_found", "missing");
}

/** The revision `rev` when it is a leaf, or superseded a moment ago. Throws `not_found`. */
export async function findRevision(
  ctx: StoreContext,
  version: Version,
  rev: string,
): Promise<FoundRevision> {
  const { sync } = version;
  const leaf = sync.leaves.get(rev);
  if (leaf !== undefined) {
    const deleted =
      rev === sync.rev ? sync.deleted : sync.tree[indexOfRevision(sync.tree, rev)]!.deleted;
    const bodyText = await leafBody(ctx, version, rev);
    return { rev, deleted, attachments: leaf.attachments, bodyText };
  }
  if (indexOfRevision(sync.tree, rev) < 0) throw missing();
  const old = await readOldRevision(ctx, version.id, rev);
  if (old === undefined) throw missing();
  return { rev, ...old };
}

/** The leaves that `rev` has become, winner first; itself when it is one. Empty: it is unknown. */
export function latestOf(version: Version, rev: string): string[] {
  const { tree } = version.sync;
  const index = indexOfRevision(tree, rev);
  return index < 0 ? [] : leavesUnder(tree, index).map((leaf) => tree[leaf]!.rev);
}

/** The view of revision `rev` with what `options` ask for. Throws `not_found`. */
export async function renderRevision(
  ctx: StoreContext,
  version: Version,
  rev: string,
  options: GetOptions | undefined,
): Promise<DocumentView> {
  const found = await findRevision(ctx, version, rev);
  const { id } = version;
  let members = "";
  if (options !== undefined) members = await specialMembers(ctx, version, rev, options);
  if (found.attachments.length > 0) {
    members += `,"_attachments":${await attachmentsText(ctx, version, found, options)}`;
  }
  const json = printDocument(id, rev, found.deleted, members, found.bodyText);
  return { id, rev, deleted: found.deleted, json };
}

async function specialMembers(
  ctx: StoreContext,
  version: Version,
  rev: string,
  options: GetOptions,
): Promise<string> {
  const { tree } = version.sync;
  let members = "";
  if (options.revs || options.revsInfo) {
    const history = historyOf(tree, indexOfRevision(tree, rev));
    if (options.revs) members += `,"_revisions":${printRevisions(history)}`;
    if (options.revsInfo) members += `,"_revs_info":${await revsInfo(ctx, version, history)}`;
  }
  if (options.conflicts) members += otherLeaves(version, "_conflicts", false);
  if (options.deletedConflicts) members += otherLeaves(version, "_deleted_conflicts", true);
  if (options.localSeq) members += `,"_local_seq":${version.sync.seq}`;
  return members;
}

/** The leaves beside the winner, live or deleted, as a member; "" when there are none. */
function otherLeaves(version: Version, name: string, deleted: boolean): string {
  const { tree } = version.sync;
  const others = leafIndexes(tree)
    .slice(1)
    .filter((index) => tree[index]!.deleted === deleted)
    .map((index) => `"${tree[index]!.rev}"`);
  return others.length === 0 ? "" : `,"${name}":[${others.join(",")}]`;
}

async function revsInfo(
  ctx: StoreContext,
  version: Version,
  history: readonly string[],
): Promise<string> {
  const { sync, id } = version;
  const prefix = `${sidePrefix(id)}o`;
  const kept = await ctx.bucket.metadata.keys(prefix, { limit: sync.tree.length });
  const readable = new Set(kept.map((key) => key.slice(prefix.length)));
  const rows = history.map((rev) => {
    const available = sync.leaves.has(rev) || readable.has(rev);
    const deleted = sync.tree[indexOfRevision(sync.tree, rev)]!.deleted;
    const status = !available ? "missing" : deleted ? "deleted" : "available";
    return `{"rev":"${rev}","status":"${status}"}`;
  });
  return `[${rows.join(",")}]`;
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
  const data = new Map<string, Uint8Array>();
  for (const attachment of found.attachments) {
    if (attachment.revpos <= known) continue;
    data.set(attachment.name, await readAttachment(ctx, version.id, attachment));
  }
  return printWithData(found.attachments, data);
}

/** The generation of the newest of `since` among the ancestors of `rev`; 0 when none is. */
function newestKnown(version: Version, rev: string, since: readonly string[]): number {
  const { tree } = version.sync;
  const wanted = new Set(since);
  const known = historyOf(tree, indexOfRevision(tree, rev)).find((r) => wanted.has(r));
  return known === undefined ? 0 : generationOf(known);
}
