// Loading a document of a bucket that other programs write to, too.

import { isTidegateError, TidegateError } from "../base/errors.ts";
import type { StoredDocument } from "../bucket/bucket.ts";
import type { StoreContext } from "./context.ts";
import { canBeDocumentId } from "./document-id.ts";
import { importItem } from "./import.ts";
import { MAX_SAVE_ATTEMPTS } from "./limits.ts";
import { classify, type Found, type Version } from "./load.ts";

/** What a key holds once foreign writes are imported. */
export type Own =
  | Exclude<Found, { kind: "foreign" }>
  /** Another program keeps something there that is no document here, see {@link importItem}. */
  | { readonly kind: "unusable" };

/**
 * The document as the gateway's own version, with its body; what another program wrote is imported
 * first.
 */
export async function loadOwn(ctx: StoreContext, id: string): Promise<Own> {
  for (let attempt = 0; attempt < MAX_SAVE_ATTEMPTS; attempt++) {
    const what = classify(id, await ctx.bucket.documents.get(id, { withBody: true }));
    if (what.kind !== "foreign") return what;
    const outcome = await importItem(ctx, id, what);
    if (outcome === "not_a_document" || outcome === "filtered") return { kind: "unusable" };
  }
  throw new TidegateError("unavailable", "Another program keeps changing the document.");
}

/** What {@link loadMany} finds: undefined for no document, an error for one that can't be read. */
export type Loaded = Version | TidegateError | undefined;

/**
 * As {@link loadOwn} for each of `ids`, in their order; one that can't be read spoils no other, and
 * what can't be an id is no document.
 */
export async function loadMany(
  ctx: StoreContext,
  ids: readonly string[],
  withBody: boolean,
): Promise<Loaded[]> {
  const places: number[] = [];
  for (const [i, id] of ids.entries()) if (canBeDocumentId(id)) places.push(i);
  const asked = places.length === ids.length ? ids : places.map((place) => ids[place]!);
  const items = await ctx.bucket.documents.getMany(asked, { withBody });
  const loaded = new Array<Loaded>(ids.length);
  for (const [i, item] of items.entries()) {
    loaded[places[i]!] = await ownVersion(ctx, asked[i]!, item);
  }
  return loaded;
}

/** The version that `item` is, when it was read already; a foreign one is imported first. */
export async function ownVersion(
  ctx: StoreContext,
  id: string,
  item: StoredDocument | undefined,
): Promise<Loaded> {
  try {
    const found = classify(id, item);
    const own = found.kind === "foreign" ? await loadOwn(ctx, id) : found;
    return own.kind === "version" ? own.version : undefined;
  } catch (error) {
    if (!isTidegateError(error)) throw error;
    ctx.log.error({ err: error, id }, "A document can't be read");
    return error;
  }
}
