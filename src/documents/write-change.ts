// The write of a document's next version: what must be durable first, the CAS write, the word to
// the index, and the cleaning up.

import { TidegateError } from "../base/errors.ts";
import type { MutationToken } from "../bucket/bucket.ts";
import { type Change, type Composed, compose } from "./compose.ts";
import type { StoreContext } from "./context.ts";
import type { Version } from "./load.ts";
import { tokenOf } from "./load.ts";
import { writeItems } from "./side-items.ts";
import { SYNC_ATTRIBUTE, SYNC_MACROS } from "./sync-codec.ts";
import { indexMutationOf } from "./sync-metadata.ts";

/**
 * Writes the next version of a document and tells the index.
 *
 * @param cas of the item as it was found
 * @returns where it was written; undefined when the item was changed meanwhile: nothing was then
 */
export async function writeChange(
  ctx: StoreContext,
  id: string,
  current: Version | undefined,
  cas: bigint,
  change: Change,
): Promise<MutationToken | undefined> {
  const composed = await compose(ctx, id, current, change);
  if (composed.before.length > 0) await writeItems(ctx, composed.before);
  if (composed.beside.length > 0) {
    await ctx.background.add(writeItems(ctx, composed.beside), "Keeping a superseded revision");
  }
  const result = await ctx.bucket.documents.write({
    key: id,
    cas,
    body: composed.body,
    xattrs: { [SYNC_ATTRIBUTE]: composed.attribute },
    macros: SYNC_MACROS,
  });
  if (!result.ok) {
    await dropUnused(ctx, composed);
    if (result.refusal !== "too_large") return undefined;
    throw new TidegateError("too_large", "The bucket refuses a document of this size.");
  }
  const token = tokenOf(result);
  ctx.onSaved(indexMutationOf(id, composed.sync, token));
  if (composed.after.length > 0) {
    await ctx.background.add(writeItems(ctx, composed.after), "Removing what is not used any more");
  }
  return token;
}

/** Removes the side items of a write that was refused: nothing refers to them. */
async function dropUnused(ctx: StoreContext, composed: Composed): Promise<void> {
  if (composed.before.length === 0) return;
  const removals = composed.before.map(({ key }) => ({ op: "remove" as const, key }));
  await ctx.background.add(writeItems(ctx, removals), "Removing what a save did not use");
}
