// Healing: the index entries that a front-end did not write are made again from `_sync` alone, and
// what other programs wrote is imported. This is what the controller asks for
// (controller/ports.ts).

import { isTidegateError } from "../base/errors.ts";
import type { MutationToken } from "../bucket/bucket.ts";
import type { FailoverEntry, FeedMutation } from "../bucket/feed.ts";
import type { Healer } from "../controller/ports.ts";
import { channelHash } from "../index/shape.ts";
import { touchedChannels } from "../index/touched.ts";
import type { IndexMutation, IndexWriter } from "../index/types.ts";
import { mapConcurrently } from "./concurrency.ts";
import type { StoreContext } from "./context.ts";
import { isDocumentKey, principalOfKey } from "./document-id.ts";
import { BACKGROUND_CONCURRENCY } from "./limits.ts";
import { classify, type Found } from "./load.ts";
import { loadOwn } from "./load-own.ts";
import { indexMutationOf, unversionedMutationOf } from "./sync-metadata.ts";

/** What {@link createHealer} needs. */
export interface HealerParts {
  /** The store's context (`DocumentStoreHandle.context`). */
  readonly context: StoreContext;
  readonly writer: IndexWriter;
}

/**
 * Makes the healer of a database. What it does with a mutation of the feed:
 * - a gateway's own (`_sync` carries the item's CAS): everything it says is written to the index;
 * - another program's (no `_sync`, or one with another CAS): the newest version of the document is
 *   imported, which makes a mutation of its own, and the answer is "imported". When that value is
 *   no document it gets a record with no channels and no revision;
 * - a deletion without `_sync` (purged, or never known here): the same record;
 * - a key that is no document's and no principal's (`_sync:…`): nothing is written, and the answer is `[]`. Such a
 *   mutation has no record in the sequence document, ever: the answer alone validates it.
 */
export function createHealer(parts: HealerParts): Healer {
  return {
    async heal(mutations, vbuuids) {
      const branches = vbuuids ?? (await branchesOf(parts.context, mutations));
      return mapConcurrently(mutations, BACKGROUND_CONCURRENCY, (mutation, i) =>
        healOne(parts, mutation, branches[i]!),
      );
    },
  };
}

async function healOne(
  parts: HealerParts,
  mutation: FeedMutation,
  vbuuid: string,
): Promise<readonly number[] | "imported"> {
  const { context: ctx } = parts;
  const isPrincipal = principalOfKey(mutation.key) !== undefined;
  if (!isPrincipal && !isDocumentKey(mutation.key)) return [];
  const token: MutationToken = { vb: mutation.vb, seq: mutation.seq, vbuuid };
  const found = classifyReadable(ctx, mutation);
  if (found.kind === "version") {
    return write(parts, indexMutationOf(mutation.key, found.version.sync, token));
  }
  // What another program wrote over a principal's document is no principal, and not imported.
  if (isPrincipal) return [];
  if (found.kind === "foreign" && (await importNewest(ctx, mutation.key))) return "imported";
  return write(parts, unversionedMutationOf(mutation.key, token));
}

/** What the mutation is; one whose metadata makes no sense is passed over, loudly. */
function classifyReadable(ctx: StoreContext, mutation: FeedMutation): Found {
  try {
    return classify(mutation.key, mutation);
  } catch (error) {
    if (!isTidegateError(error, "corrupt")) throw error;
    // It must not stop the clock for everybody. The document itself is left as it is.
    ctx.log.error({ err: error, id: mutation.key }, "A document can't be indexed");
    return { kind: "absent", cas: mutation.cas };
  }
}

/** Imports the newest version. False when it is nothing that could be imported. */
function importNewest(ctx: StoreContext, id: string): Promise<boolean> {
  return ctx.queue.run(id, async () => {
    try {
      const own = await loadOwn(ctx, id);
      // Absent: it was deleted without a trace since, and that mutation speaks for itself.
      return own.kind === "version";
    } catch (error) {
      if (!isTidegateError(error, "corrupt")) throw error;
      ctx.log.error({ err: error, id }, "A document can't be indexed");
      return false;
    }
  });
}

async function write(parts: HealerParts, mutation: IndexMutation): Promise<readonly number[]> {
  await parts.writer.write(mutation, true);
  return [...new Set(Array.from(touchedChannels(mutation), channelHash))];
}

/** The branch that each mutation belongs to, when the caller does not say. */
async function branchesOf(
  ctx: StoreContext,
  mutations: readonly FeedMutation[],
): Promise<string[]> {
  const logs = await ctx.bucket.feed.failoverLogs();
  return mutations.map(({ vb, seq }) => branchAt(logs[vb] ?? [], seq));
}

/** The newest branch that began before `seq`. */
function branchAt(log: readonly FailoverEntry[], seq: number): string {
  for (const entry of log) if (entry.seq < seq) return entry.vbuuid;
  return log.at(-1)?.vbuuid ?? "0";
}
