// `_bulk_get`: many documents, read in pages, printed one at a time.

import type { Access } from "../access/types.ts";
import { TidegateError } from "../base/errors.ts";
import type { StoreContext } from "./context.ts";
import { checkDocumentId } from "./document-id.ts";
import { READ_PAGE, READ_PAGE_BYTES } from "./limits.ts";
import type { Version } from "./load.ts";
import { type Loaded, loadMany } from "./load-own.ts";
import { chooseRevision, withVersion } from "./read.ts";
import { renderRevision } from "./render.ts";
import { checkRevisionId } from "./revision-id.ts";
import type { BulkGetItem, BulkGetResult, DocumentView, GetOptions } from "./types.ts";
import { missing } from "./visibility.ts";

/** How many documents the next page has, so that pages of large documents stay bounded. */
export class PageSize {
  #size = 16;

  /** The documents to ask for now. */
  get size(): number {
    return this.#size;
  }

  /** Learns from a page that was read. */
  learn(page: readonly Loaded[]): void {
    let largest = 1;
    for (const version of page) {
      if (version === undefined || version instanceof TidegateError) continue;
      largest = Math.max(largest, version.body?.length ?? 0);
    }
    const fitting = Math.floor(READ_PAGE_BYTES / largest);
    this.#size = Math.max(1, Math.min(READ_PAGE, this.#size * 2, fitting));
  }
}

/** The documents of a page that fit into memory together: of the first `count` ids of it. */
interface LoadedPage {
  readonly count: number;
  readonly byId: ReadonlyMap<string, Loaded>;
}

/**
 * Loads the documents of `page`, which may name one more than once. What is beyond
 * {@link READ_PAGE_BYTES} is let go of again, but for the first: whoever takes the page slowly holds
 * no more than that.
 */
export async function loadPage(
  ctx: StoreContext,
  page: readonly string[],
  withBody: boolean,
  pages: PageSize,
): Promise<LoadedPage> {
  const ids = [...new Set(page)];
  const versions = await loadMany(ctx, ids, withBody);
  pages.learn(versions);
  const byId = new Map<string, Loaded>();
  let bytes = 0;
  for (const [i, id] of ids.entries()) {
    const version = versions[i];
    const isVersion = version !== undefined && !(version instanceof TidegateError);
    bytes += isVersion ? (version.body?.length ?? 0) : 0;
    if (i > 0 && bytes > READ_PAGE_BYTES) break;
    byId.set(id, version);
  }
  const end = page.findIndex((id) => !byId.has(id));
  return { count: end < 0 ? page.length : end, byId };
}

/** One result for each item, in their order. An item that fails has an error and stops nothing. */
export async function* bulkGet(
  ctx: StoreContext,
  access: Access,
  items: readonly BulkGetItem[],
  options: GetOptions | undefined,
): AsyncGenerator<BulkGetResult> {
  const pages = new PageSize();
  for (let at = 0; at < items.length; ) {
    const page = items.slice(at, at + pages.size);
    const ids = page.map((item) => item.id);
    const { count, byId } = await loadPage(ctx, ids, true, pages);
    at += count;
    for (const item of page.slice(0, count)) {
      yield await readItem(ctx, access, item, byId.get(item.id), options);
    }
  }
}

async function readItem(
  ctx: StoreContext,
  access: Access,
  item: BulkGetItem,
  version: Loaded,
  options: GetOptions | undefined,
): Promise<BulkGetResult> {
  try {
    checkDocumentId(item.id, ctx.limits.documentIdBytes);
    if (item.rev !== undefined) checkRevisionId(item.rev);
    if (version === undefined) throw missing();
    if (version instanceof TidegateError) throw version;
    return { id: item.id, ok: await render(ctx, access, version, item, options) };
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    return { id: item.id, rev: item.rev ?? "undefined", ...error.toJSON() };
  }
}

async function render(
  ctx: StoreContext,
  access: Access,
  version: Version,
  item: BulkGetItem,
  options: GetOptions | undefined,
): Promise<DocumentView> {
  const wanted: GetOptions = {
    ...options,
    ...(item.rev !== undefined && { rev: item.rev }),
    ...(item.attsSince !== undefined && { attsSince: item.attsSince }),
  };
  const rev = chooseRevision(access, version, wanted);
  try {
    return await renderRevision(ctx, access, version, rev, wanted);
  } catch (error) {
    if (!(error instanceof TidegateError) || error.code !== "corrupt") throw error;
    // A newer version was written since the page was read: read this document again.
    return withVersion(ctx, item.id, (newest) =>
      renderRevision(ctx, access, newest, chooseRevision(access, newest, wanted), wanted),
    );
  }
}
