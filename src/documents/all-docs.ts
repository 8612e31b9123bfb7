// `_all_docs`: rows as JSON texts, page by page. The envelope around them is the server's.

import { TidegateError } from "../base/errors.ts";
import type { KeyRange } from "../bucket/bucket.ts";
import { PageSize } from "./bulk-get.ts";
import type { StoreContext } from "./context.ts";
import { isDocumentKey } from "./document-id.ts";
import type { Version } from "./load.ts";
import { type Loaded, loadMany, ownVersion } from "./load-own.ts";
import { withVersion } from "./read.ts";
import { renderRevision } from "./render.ts";
import type { AllDocsOptions, GetOptions } from "./types.ts";

/** The rows of `_all_docs`, in pages of bounded size. */
export function allDocs(ctx: StoreContext, options: AllDocsOptions): AsyncIterable<string[]> {
  return options.keys === undefined ? rangeRows(ctx, options) : keyRows(ctx, options, options.keys);
}

/** The rows of a range of ids: live documents only, in the order of their UTF-8 bytes. */
async function* rangeRows(ctx: StoreContext, options: AllDocsOptions): AsyncGenerator<string[]> {
  let skip = options.skip ?? 0;
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  if (left <= 0) return;
  const range: KeyRange = {
    ...(options.startKey !== undefined && { from: options.startKey }),
    ...(options.endKey !== undefined && { to: options.endKey }),
    includeTo: options.inclusiveEnd ?? true,
    descending: options.descending ?? false,
  };
  const withBody = options.includeDocs ?? false;
  for await (const page of ctx.bucket.documents.scan(range, { withBody })) {
    const rows: string[] = [];
    for (const item of page) {
      if (left <= 0) break;
      if (!isDocumentKey(item.key)) continue;
      const version = await ownVersion(ctx, item.key, item);
      if (version === undefined) continue;
      if (!(version instanceof TidegateError) && version.sync.deleted) continue;
      if (skip > 0) {
        skip--;
        continue;
      }
      rows.push(await rowOf(ctx, item.key, version, options));
      left--;
    }
    if (rows.length > 0) yield rows;
    if (left <= 0) return;
  }
}

/** One row for each key, in their order: an error, a deletion or a document. */
async function* keyRows(
  ctx: StoreContext,
  options: AllDocsOptions,
  keys: readonly string[],
): AsyncGenerator<string[]> {
  const ordered = options.descending ? keys.toReversed() : keys;
  const skip = options.skip ?? 0;
  const wanted = ordered.slice(
    skip,
    options.limit === undefined ? undefined : skip + options.limit,
  );
  const pages = new PageSize();
  for (let at = 0; at < wanted.length; ) {
    const page = wanted.slice(at, at + pages.size);
    at += page.length;
    const unique = [...new Set(page)];
    const versions = await loadMany(ctx, unique, options.includeDocs ?? false);
    pages.learn(versions);
    const byId = new Map(unique.map((id, i) => [id, versions[i]]));
    const rows: string[] = [];
    for (const key of page) rows.push(await rowOf(ctx, key, byId.get(key), options));
    yield rows;
  }
}

async function rowOf(
  ctx: StoreContext,
  key: string,
  version: Loaded,
  options: AllDocsOptions,
): Promise<string> {
  const text = JSON.stringify(key);
  if (version === undefined) return `{"key":${text},"error":"not_found"}`;
  if (version instanceof TidegateError) {
    return `{"key":${text},"error":${JSON.stringify(version.toJSON().error)}}`;
  }
  const { rev, deleted } = version.sync;
  const head = `{"id":${text},"key":${text},"value":{"rev":"${rev}"`;
  if (deleted) return `${head},"deleted":true},"doc":null}`;
  if (!options.includeDocs) return `${head}}}`;
  return `${head}},"doc":${await docOf(ctx, version, options)}}`;
}

async function docOf(
  ctx: StoreContext,
  version: Version,
  options: AllDocsOptions,
): Promise<string> {
  const wanted: GetOptions = {
    ...(options.conflicts && { conflicts: true }),
    ...(options.attachments && { attachments: true }),
  };
  try {
    return (await renderRevision(ctx, version, version.sync.rev, wanted)).json;
  } catch (error) {
    if (!(error instanceof TidegateError) || error.code !== "corrupt") throw error;
    // A newer version was written since the page was read: show that one.
    const newest = await withVersion(ctx, version.id, (current) =>
      renderRevision(ctx, current, current.sync.rev, wanted),
    );
    return newest.json;
  }
}
