// `_resync`: the sync function runs again over every document. What it says differently becomes a
// new mutation of the same revision.

import { isTidegateError, TidegateError } from "../base/errors.ts";
import type { FeedEvent, FeedMutation } from "../bucket/feed.ts";
import { printStubs } from "./attachments.ts";
import { mapConcurrently } from "./concurrency.ts";
import { type StoreContext, SYSTEM_ACTOR } from "./context.ts";
import { isDocumentKey } from "./document-id.ts";
import { printDocument } from "./document-json.ts";
import { BACKGROUND_CONCURRENCY, MAX_SAVE_ATTEMPTS } from "./limits.ts";
import { leafBody, type Version } from "./load.ts";
import { loadOwn } from "./load-own.ts";
import { LazyInput, metaOf } from "./run-sync.ts";
import { normalizeResult, sameGrants } from "./sync-metadata.ts";
import { EMPTY_SYNC_RESULT, type SyncResult } from "./sync-port.ts";
import { writeChange } from "./write-change.ts";

/**
 * Runs the sync function over every leaf of every document, deletions too, as the mutation feed up
 * to this moment gives them: a bounded number at a time. It runs as admin and without `oldDoc`; one
 * that it refuses leaves all channels, with a warning in the log. Documents saved meanwhile have
 * the function's word already.
 */
export async function resync(ctx: StoreContext): Promise<{ checked: number; changed: number }> {
  const total = { checked: 0, changed: 0 };
  const until = await ctx.bucket.feed.highSeqs();
  const from = Array.from(until, (_, vb) => ({
    vb,
    vbuuid: "0",
    seq: 0,
    snapshotStart: 0,
    snapshotEnd: 0,
  }));
  const positions = from.filter(({ vb }) => until[vb]! > 0);
  if (positions.length === 0) return total;
  const reader = ctx.bucket.feed.open(positions, { withBody: false, until });
  try {
    for (;;) {
      const events = await reader.read();
      if (events.length === 0) return total;
      const mutations = events.filter(isDocumentMutation);
      const changed = await mapConcurrently(mutations, BACKGROUND_CONCURRENCY, (mutation) =>
        ctx.queue.run(mutation.key, () => resyncDocument(ctx, mutation.key)),
      );
      for (const outcome of changed) {
        if (outcome === "gone") continue;
        total.checked++;
        if (outcome === "changed") total.changed++;
      }
      for (const event of events) {
        if (event.kind !== "rollback") continue;
        const { vb, seq } = event;
        reader.restart({ vb, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 });
        ctx.log.info({ vb, seq }, "Resync goes over a vbucket again after a rollback");
      }
    }
  } finally {
    reader.close();
  }
}

function isDocumentMutation(event: FeedEvent): event is FeedMutation {
  return (
    (event.kind === "mutation" || event.kind === "deletion" || event.kind === "expiration") &&
    isDocumentKey(event.key)
  );
}

async function resyncDocument(ctx: StoreContext, id: string): Promise<"same" | "changed" | "gone"> {
  try {
    for (let attempt = 0; attempt < MAX_SAVE_ATTEMPTS; attempt++) {
      const own = await loadOwn(ctx, id);
      if (own.kind !== "version") return "gone";
      const { version } = own;
      const results = await changedResults(ctx, version);
      if (results.size === 0) return "same";
      const change = { tree: version.sync.tree, fresh: new Map(), results };
      if (await writeChange(ctx, id, version, version.cas, change)) return "changed";
    }
  } catch (error) {
    if (!isTidegateError(error, "corrupt") && !isTidegateError(error, "newer_version")) throw error;
    // One document that can't be read keeps the others from nothing; reads of it say why.
    ctx.log.error({ err: error, id }, "Resync passes over a document that can't be read");
    return "gone";
  }
  throw new TidegateError("unavailable", `Others changed ${id} all the time.`);
}

/** What the sync function says now of the leaves of which it said something else before. */
async function changedResults(
  ctx: StoreContext,
  version: Version,
): Promise<Map<string, SyncResult>> {
  const results = new Map<string, SyncResult>();
  for (const [rev, leaf] of version.sync.leaves) {
    const result = await runAgain(ctx, version, rev);
    if (!sameGrants(result, leaf)) results.set(rev, result);
  }
  return results;
}

async function runAgain(ctx: StoreContext, version: Version, rev: string): Promise<SyncResult> {
  const { id, sync } = version;
  const leaf = sync.leaves.get(rev)!;
  const deleted = sync.tree.some((node) => node.rev === rev && node.deleted);
  const text = await leafBody(ctx, version, rev);
  const stubs =
    leaf.attachments.length === 0 ? "" : `,"_attachments":${printStubs(leaf.attachments)}`;
  const input = new LazyInput(
    SYSTEM_ACTOR,
    metaOf(version.item.xattrs),
    JSON.parse(text),
    () => printDocument(id, rev, deleted, stubs, text),
    undefined,
  );
  try {
    return normalizeResult(await ctx.syncFunction.run(input));
  } catch (error) {
    if (!isTidegateError(error)) throw error;
    ctx.log.warn({ err: error, id, rev }, "The sync function refused a revision: no channel");
    return EMPTY_SYNC_RESULT;
  }
}
