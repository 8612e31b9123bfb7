// `_all_docs`: rows as JSON texts, page by page. The envelope around them is the server's.

import { type Access, FULL_ACCESS } from "../access/types.ts";
import { TidegateError } from "../base/errors.ts";
import type { KeyRange } from "../bucket/bucket.ts";
import { loadPage, PageSize } from "./bulk-get.ts";
import type { StoreContext } from "./context.ts";
import { isDocumentKey } from "./document-id.ts";
import { READ_PAGE_BYTES } from "./limits.ts";
import type { Version } from "./load.ts";
import { type Loaded, ownVersion } from "./load-own.ts";
import { withVersion } from "./read.ts";
import { renderRevision } from "./render.ts";
import type { AllDocsOptions, GetOptions } from "./types.ts";
import { mayReadLeaf, removalSeen, seesEverything } from "./visibility.ts";

/** A scan of a part of the documents: who reads, and what is shown of what it may read. */
interface Reader {
  readonly ctx: StoreContext;
  readonly access: Access;
  readonly options: AllDocsOptions;
}

/**
 * The rows of `_all_docs`, in pages of bounded size, some of which may be empty. Documents whose
 * winner may not be read are left out of a range, also of what `skip` and `limit` count, and are not
 * found under their keys.
 */
export function allDocs(
  ctx: StoreContext,
  access: Access,
  options: AllDocsOptions,
): AsyncIterable<string[]> {
  const all = seesEverything(access);
  const reader: Reader = { ctx, access: all ? FULL_ACCESS : access, options };
  if (options.keys !== undefined) return keyRows(reader, options.keys);
  return rangeRows(reader);
}

/** Rows that are given together: as many as there are, or until they are large. */
class Page {
  #rows: string[] = [];
  #chars = 0;

  get length(): number {
    return this.#rows.length;
  }

  /** Adds a row; true: there are enough. */
  add(row: string): boolean {
    this.#rows.push(row);
    this.#chars += row.length;
    return this.#chars >= READ_PAGE_BYTES;
  }

  /** The rows; none are left. */
  taken(): string[] {
    const rows = this.#rows;
    this.#rows = [];
    this.#chars = 0;
    return rows;
  }
}

function rangeOf(options: AllDocsOptions): KeyRange {
  return {
    ...(options.startKey !== undefined && { from: options.startKey }),
    ...(options.endKey !== undefined && { to: options.endKey }),
    includeTo: options.inclusiveEnd ?? true,
    descending: options.descending ?? false,
  };
}

/**
 * The rows of a range of ids: live documents only, in the order of their UTF-8 bytes. For who sees a
 * part, bodies are read of what is shown alone, and each page of the scan gives a page, so that a
 * reader of few documents can go away in between.
 */
async function* rangeRows(reader: Reader): AsyncGenerator<string[]> {
  const { ctx, access, options } = reader;
  let skip = options.skip ?? 0;
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  if (left <= 0) return;
  const all = access.everything;
  const includeDocs = options.includeDocs ?? false;
  const scan = ctx.bucket.documents.scan(rangeOf(options), { withBody: all && includeDocs });
  for await (const page of scan) {
    const rows = new Page();
    const withDocs: string[] = [];
    for (const item of page) {
      if (left <= 0) break;
      if (!isDocumentKey(item.key)) continue;
      const version = shownTo(access, await ownVersion(ctx, item.key, item));
      if (version === undefined || isDeleted(version)) continue;
      if (skip > 0) {
        skip--;
        continue;
      }
      left--;
      if (includeDocs && !all) withDocs.push(item.key);
      else if (rows.add(await rowOf(reader, item.key, version))) yield rows.taken();
    }
    if (rows.length > 0 || !all) yield rows.taken();
    if (withDocs.length > 0) yield* pagesOf(reader, withDocs, false);
    if (left <= 0) return;
  }
}

/** One row for each key, in their order: an error, a deletion or a document. */
function keyRows(reader: Reader, keys: readonly string[]): AsyncGenerator<string[]> {
  const { options } = reader;
  const ordered = options.descending ? keys.toReversed() : keys;
  const skip = options.skip ?? 0;
  const end = options.limit === undefined ? undefined : skip + options.limit;
  return pagesOf(reader, ordered.slice(skip, end), true);
}

/**
 * The rows of `keys`.
 *
 * @param everyKey whether a key has a row also when there is no live document for this reader
 */
async function* pagesOf(
  reader: Reader,
  keys: readonly string[],
  everyKey: boolean,
): AsyncGenerator<string[]> {
  const { ctx, access, options } = reader;
  const pages = new PageSize();
  for (let at = 0; at < keys.length; ) {
    const page = keys.slice(at, at + pages.size);
    const { count, byId } = await loadPage(ctx, page, options.includeDocs ?? false, pages);
    at += count;
    const rows = new Page();
    for (const key of page.slice(0, count)) {
      const version = shownTo(access, byId.get(key));
      const live = version !== undefined && !isDeleted(version);
      if (!everyKey && !live) continue;
      if (rows.add(await rowOf(reader, key, version))) yield rows.taken();
    }
    yield rows.taken();
  }
}

function isDeleted(version: Version | TidegateError): boolean {
  return !(version instanceof TidegateError) && version.sync.deleted;
}

/** What there is for the reader: a document that it may read, or a deletion that it may know of. */
function shownTo(access: Access, version: Loaded): Loaded {
  if (access.everything || version === undefined) return version;
  if (version instanceof TidegateError) return undefined;
  const { rev, deleted } = version.sync;
  if (mayReadLeaf(access, version, rev)) return version;
  return deleted && removalSeen(access, version, rev) !== undefined ? version : undefined;
}

async function rowOf(reader: Reader, key: string, version: Loaded): Promise<string> {
  const text = JSON.stringify(key);
  if (version === undefined) return `{"key":${text},"error":"not_found"}`;
  if (version instanceof TidegateError) {
    return `{"key":${text},"error":${JSON.stringify(version.toJSON().error)}}`;
  }
  const { rev, deleted } = version.sync;
  const head = `{"id":${text},"key":${text},"value":{"rev":"${rev}"`;
  if (deleted) return `${head},"deleted":true},"doc":null}`;
  if (!reader.options.includeDocs) return `${head}}}`;
  return `${head}},"doc":${await docOf(reader, version)}}`;
}

async function docOf({ ctx, access, options }: Reader, version: Version): Promise<string> {
  const wanted: GetOptions = {
    ...(options.conflicts && { conflicts: true }),
    ...(options.attachments && { attachments: true }),
  };
  try {
    return (await renderRevision(ctx, access, version, version.sync.rev, wanted)).json;
  } catch (error) {
    if (!(error instanceof TidegateError) || error.code !== "corrupt") throw error;
    // A newer version was written since the page was read: show that one.
    return newestDoc({ ctx, access, options }, version.id, wanted);
  }
}

/** The newest version as a document; `null` when it left the reader's channels meanwhile. */
async function newestDoc({ ctx, access }: Reader, id: string, wanted: GetOptions): Promise<string> {
  return withVersion(ctx, id, async (version) => {
    if (!mayReadLeaf(access, version, version.sync.rev)) return "null";
    return (await renderRevision(ctx, access, version, version.sync.rev, wanted)).json;
  });
}
