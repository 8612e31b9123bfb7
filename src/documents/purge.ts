// `_purge`: revisions, or whole documents, go without a trace. Not to be confused with a deletion.

import { TidegateError } from "../base/errors.ts";
import type { StoreContext } from "./context.ts";
import { checkDocumentId } from "./document-id.ts";
import { MAX_SAVE_ATTEMPTS } from "./limits.ts";
import { tokenOf, type Version } from "./load.ts";
import { loadOwn } from "./load-own.ts";
import { indexOfRevision, type RevisionTree, removeBranch } from "./revision-tree.ts";
import { itemMadeAtMs, readOldRevision, sidePrefix, writeItems } from "./side-items.ts";
import { unversionedMutationOf } from "./sync-metadata.ts";
import { writeChange } from "./write-change.ts";

/** Stands for every leaf revision, as in Couchbase Sync Gateway. */
const ALL_REVISIONS = "*";

/** Side items that nothing refers to are garbage of a crash when they are older than this. */
const GARBAGE_AFTER_MS = 10 * 60 * 1000;

/** The side items that a purge lists at once. */
const KEYS_PAGE = 1000;

/** Purges documents one after the other. Gives the leaf revisions purged; none: no entry. */
export async function purge(
  ctx: StoreContext,
  ids: ReadonlyMap<string, readonly string[]>,
): Promise<Map<string, string[]>> {
  for (const id of ids.keys()) checkDocumentId(id, ctx.limits.documentIdBytes);
  const purged = new Map<string, string[]>();
  for (const [id, revs] of ids) {
    const gone = await ctx.queue.run(id, () => purgeDocument(ctx, id, revs));
    if (gone.length > 0) purged.set(id, gone);
  }
  return purged;
}

async function purgeDocument(
  ctx: StoreContext,
  id: string,
  revs: readonly string[],
): Promise<string[]> {
  for (let attempt = 0; attempt < MAX_SAVE_ATTEMPTS; attempt++) {
    const found = await loadOwn(ctx, id);
    if (found.kind !== "version") {
      // A purge that was cut off may have left side items behind.
      await removeItems(ctx, await ownItems(ctx, id, undefined));
      return [];
    }
    const { version } = found;
    const leaves = [...version.sync.leaves.keys()];
    const gone = revs.includes(ALL_REVISIONS) ? leaves : leaves.filter((rev) => revs.includes(rev));
    if (gone.length === 0) return [];
    const done =
      gone.length === leaves.length
        ? await purgeWhole(ctx, version)
        : await purgeBranches(ctx, version, gone);
    if (done) return gone;
  }
  throw new TidegateError("unavailable", "Others changed the document all the time.");
}

/** Removes some leaves with their branches; what remains is the document's next version. */
async function purgeBranches(
  ctx: StoreContext,
  version: Version,
  gone: readonly string[],
): Promise<boolean> {
  let tree: RevisionTree = version.sync.tree;
  for (const rev of gone) tree = removeBranch(tree, indexOfRevision(tree, rev));
  const change = { tree, fresh: new Map(), purge: true };
  return (await writeChange(ctx, version.id, version, version.cas, change)) !== undefined;
}

async function purgeWhole(ctx: StoreContext, version: Version): Promise<boolean> {
  const { id } = version;
  // What the version refers to is found before it goes: afterwards a new document of this id may
  // have items of its own. Those have other names.
  const keys = await ownItems(ctx, id, version);
  const result = await ctx.bucket.documents.purge(id, version.cas);
  if (!result.ok) return false;
  ctx.onSaved(unversionedMutationOf(id, tokenOf(result)));
  await removeItems(ctx, keys);
  return true;
}

function removeItems(ctx: StoreContext, keys: readonly string[]): Promise<void> {
  const removals = keys.map((key) => ({ op: "remove" as const, key }));
  return writeItems(ctx, removals);
}

/** The keys of the document's side items: referred to, superseded, and garbage of crashes. */
async function ownItems(
  ctx: StoreContext,
  id: string,
  version: Version | undefined,
): Promise<string[]> {
  const prefix = sidePrefix(id);
  const names = await itemNames(ctx, prefix);
  const referred = new Set<string>();
  for (const leaf of version?.sync.leaves.values() ?? []) {
    if (leaf.body.in === "metadata") referred.add(leaf.body.name);
    for (const attachment of leaf.attachments) referred.add(attachment.item);
  }
  for (const name of names) {
    if (!name.startsWith("o")) continue;
    const old = await readOldRevision(ctx, id, name.slice(1));
    for (const attachment of old?.attachments ?? []) referred.add(attachment.item);
  }
  const garbageBefore = ctx.time.nowMs() - GARBAGE_AFTER_MS;
  return names
    .filter((name) => {
      const madeAt = itemMadeAtMs(name);
      return madeAt === undefined || madeAt < garbageBefore || referred.has(name.split(".", 1)[0]!);
    })
    .map((name) => prefix + name);
}

/** The names of a document's side items. */
async function itemNames(ctx: StoreContext, prefix: string): Promise<string[]> {
  const names: string[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await ctx.bucket.metadata.keys(prefix, {
      limit: KEYS_PAGE,
      ...(after !== undefined && { after }),
    });
    for (const key of page) names.push(key.slice(prefix.length));
    after = page.at(-1);
    if (page.length < KEYS_PAGE) return names;
  }
}
