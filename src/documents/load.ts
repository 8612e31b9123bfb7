// The newest version of a document as a save or a read finds it.

import type { MutationToken, StoredDocument } from "../bucket/bucket.ts";
import { vbucketOf } from "../bucket/vbucket.ts";
import type { StoreContext } from "./context.ts";
import { textOf } from "./document-json.ts";
import { readBodyItem } from "./side-items.ts";
import { corrupt, decodeSync, SYNC_ATTRIBUTE } from "./sync-codec.ts";
import type { Leaf, StoredSync } from "./sync-metadata.ts";

/** A document with its metadata. */
export interface Version {
  readonly id: string;
  readonly cas: bigint;
  /** The body's bytes; undefined for a deletion, and when it was not asked for. */
  readonly body: Uint8Array | undefined;
  readonly sync: StoredSync;
  /** The item as the bucket gave it. */
  readonly item: StoredDocument;
}

/** What a key holds. */
export type Found =
  | { readonly kind: "version"; readonly version: Version }
  /** An item that no gateway has written, or another program after it: to be imported. */
  | {
      readonly kind: "foreign";
      readonly item: StoredDocument;
      readonly sync: StoredSync | undefined;
    }
  /** No document: nothing at all (cas 0), or a deletion without metadata. */
  | { readonly kind: "absent"; readonly cas: bigint };

/** What `item` is. Throws `corrupt` and `newer_version` when its metadata can't be read. */
export function classify(id: string, item: StoredDocument | undefined): Found {
  if (item === undefined) return { kind: "absent", cas: 0n };
  const text = item.xattrs[SYNC_ATTRIBUTE];
  if (text === undefined) {
    if (item.deleted) return { kind: "absent", cas: item.cas };
    return { kind: "foreign", item, sync: undefined };
  }
  const sync = decodeSync(text, id);
  if (sync.cas !== item.cas) return { kind: "foreign", item, sync };
  return { kind: "version", version: { id, cas: item.cas, body: item.body, sync, item } };
}

/** The text of leaf `rev`'s body. `version` must have been read with its body. */
export async function leafBody(ctx: StoreContext, version: Version, rev: string): Promise<string> {
  return leafBodyText(ctx, version, version.sync.leaves.get(rev)!);
}

/** As {@link leafBody}, for the leaf's record. */
export async function leafBodyText(
  ctx: StoreContext,
  version: Version,
  leaf: Leaf,
): Promise<string> {
  if (leaf.body.in === "attribute") return leaf.body.text;
  if (leaf.body.in === "metadata") return readBodyItem(ctx, version.id, leaf.body.name);
  if (version.body === undefined) throw corrupt(version.id, "a live document has no body");
  return textOf(version.body);
}

/** The vbucket of a document. */
export function vbucketOfDocument(ctx: StoreContext, id: string): number {
  return vbucketOf(id, ctx.bucket.vbuckets);
}

/** A token out of a write's result. */
export function tokenOf(result: MutationToken): MutationToken {
  return { vb: result.vb, seq: result.seq, vbuuid: result.vbuuid };
}
