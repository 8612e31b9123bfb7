// `_purge`: revisions, or whole documents, go without a trace. Not to be confused with a deletion.
//
// A whole document goes in two mutations. The first takes it out of its channels and withdraws what
// it granted; only when the stable clock has passed that one, so that the index is known to have it,
// the second removes the item: afterwards nobody could say any more what there was to withdraw.

import { TidegateError } from "../base/errors.ts";
import { sleep } from "../runtime/time.ts";
import type { StoreContext } from "./context.ts";
import { checkDocumentId } from "./document-id.ts";
import { MAX_SAVE_ATTEMPTS } from "./limits.ts";
import { tokenOf, type Version, vbucketOfDocument } from "./load.ts";
import { loadOwn } from "./load-own.ts";
import { indexOfRevision, type RevisionTree, removeBranch } from "./revision-tree.ts";
import { itemMadeAtMs, readOldRevision, sidePrefix, writeItems } from "./side-items.ts";
import { unversionedMutationOf } from "./sync-metadata.ts";
import { EMPTY_SYNC_RESULT } from "./sync-port.ts";
import { writeChange } from "./write-change.ts";

/** Stands for every leaf revision, as in Couchbase Sync Gateway. */
const ALL_REVISIONS = "*";

/** Side items that nothing refers to are garbage of a crash when they are older than this. */
const GARBAGE_AFTER_MS = 10 * 60 * 1000;

/** How long a purge waits until the index is known to have what the document left. */
const STABLE_LIMIT_MS = 10_000;
const STABLE_LOOK_MS = 5;

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

/** One step towards a document that is gone; false: look at it again, there is another to take. */
async function purgeWhole(ctx: StoreContext, version: Version): Promise<boolean> {
  const { id } = version;
  if (isIndexed(version)) {
    const { tree, leaves } = version.sync;
    const results = new Map(Array.from(leaves.keys(), (rev) => [rev, EMPTY_SYNC_RESULT]));
    await writeChange(ctx, id, version, version.cas, { tree, fresh: new Map(), results });
    return false;
  }
  await untilStable(ctx, version);
  // What the version refers to is found before it goes: afterwards a new document of this id may
  // have items of its own. Those have other names.
  const keys = await ownItems(ctx, id, version);
  const result = await ctx.bucket.documents.purge(id, version.cas);
  if (!result.ok) return false;
  ctx.onSaved(unversionedMutationOf(id, tokenOf(result)));
  await removeItems(ctx, keys);
  return true;
}

/** Whether the document is in a channel, or grants something. */
function isIndexed({ sync }: Version): boolean {
  if (sync.grants.some(({ until }) => until === undefined)) return true;
  for (const leaf of sync.leaves.values()) if (leaf.channels.length > 0) return true;
  return false;
}

/**
 * Waits until the stable clock has passed the version.
 *
 * @throws TidegateError `unavailable` when it takes too long; the purge may be repeated
 */
async function untilStable(ctx: StoreContext, { id, sync }: Version): Promise<void> {
  const { stableSeq, time } = ctx;
  if (stableSeq === undefined) return;
  const vb = vbucketOfDocument(ctx, id);
  const deadlineMs = time.monotonicMs() + STABLE_LIMIT_MS;
  while (stableSeq(vb) < sync.seq) {
    if (time.monotonicMs() > deadlineMs) {
      throw new TidegateError(
        "unavailable",
        "The document left its channels, but the index is behind: repeat the purge in a while.",
      );
    }
    await sleep(time, STABLE_LOOK_MS);
  }
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
