// From a document's current version and a change of its tree to the writes of the next version:
// where each leaf's body goes, what is stored before the document and what is let go after it.

import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { KeyValueOperation } from "../bucket/bucket.ts";
import type { NewAttachment } from "./attachments.ts";
import type { StoreContext } from "./context.ts";
import { bytesOf } from "./document-json.ts";
import { INLINE_BODY_BYTES, MAX_SYNC_BYTES } from "./limits.ts";
import { leafBodyText, type Version, vbucketOfDocument } from "./load.ts";
import { leafIndexes, type RevisionNode, type RevisionTree } from "./revision-tree.ts";
import {
  attachmentWrites,
  newItemName,
  oldRevisionWrite,
  releaseAttachment,
  sidePrefix,
} from "./side-items.ts";
import { encodeSync } from "./sync-codec.ts";
import {
  type BodyPlace,
  type Leaf,
  nextSync,
  type StoredAttachment,
  type SyncMetadata,
} from "./sync-metadata.ts";
import type { SyncResult } from "./sync-port.ts";

/** A leaf revision that the current version does not have. */
export interface FreshLeaf {
  readonly bodyText: string;
  readonly attachments: readonly NewAttachment[];
  readonly result: SyncResult;
}

/** What is to change. */
export interface Change {
  readonly tree: RevisionTree;
  /** The records of the leaves that are new, by revision. */
  readonly fresh: ReadonlyMap<string, FreshLeaf>;
  /** New results of the sync function for leaves that stay. */
  readonly results?: ReadonlyMap<string, SyncResult>;
  /** Keep no trace of the leaves that go: no superseded revisions, no attachments. */
  readonly purge?: boolean;
  /** Another program wrote over the winner's body: it can't be kept as a superseded revision. */
  readonly bodyLost?: boolean;
}

/** The next version, ready to be written. */
export interface Composed {
  readonly sync: SyncMetadata;
  readonly attribute: JsonObject;
  readonly body: Uint8Array | null;
  /** To be durable before the document is written: it refers to them. */
  readonly before: readonly KeyValueOperation[];
  /** May be written at the same time: bodies of revisions superseded now. They go by themselves. */
  readonly beside: readonly KeyValueOperation[];
  /** To be done when the document is durable. */
  readonly after: readonly KeyValueOperation[];
}

/** The work of one {@link compose}. */
interface Work {
  readonly ctx: StoreContext;
  readonly id: string;
  readonly current: Version | undefined;
  readonly change: Change;
  readonly before: KeyValueOperation[];
  readonly beside: KeyValueOperation[];
  readonly after: KeyValueOperation[];
  prefix: string | undefined;
  body: Uint8Array | null;
}

/**
 * Makes the next version of document `id`.
 *
 * @param current the version it follows, read with its body; undefined when there is none
 * @throws TidegateError `too_large`, `unavailable`, `corrupt`
 */
export async function compose(
  ctx: StoreContext,
  id: string,
  current: Version | undefined,
  change: Change,
): Promise<Composed> {
  const work: Work = {
    ctx,
    id,
    current,
    change,
    before: [],
    beside: [],
    after: [],
    prefix: undefined,
    body: null,
  };
  const leaves = new Map<string, Leaf>();
  const order = leafIndexes(change.tree);
  for (const [rank, index] of order.entries()) {
    const node = change.tree[index]!;
    const inDocument = rank === 0 && !node.deleted;
    const fresh = change.fresh.get(node.rev);
    const leaf =
      fresh !== undefined
        ? freshLeaf(work, node, fresh, inDocument)
        : await keptLeaf(work, node, inDocument);
    leaves.set(node.rev, leaf);
  }
  if (current !== undefined) await letGo(work, current, leaves);
  const bodyCrc = work.body === null ? 0 : crc32(work.body);
  const stableSeq = () => ctx.stableSeq?.(vbucketOfDocument(ctx, id)) ?? 0;
  const sync = nextSync(current?.sync, { tree: change.tree, leaves, bodyCrc }, stableSeq);
  const attribute = encodeSync(sync);
  checkSyncSize(sync, attribute);
  const { before, beside, after, body } = work;
  return { sync, attribute, body, before, beside, after };
}

function prefixOf(work: Work): string {
  work.prefix ??= sidePrefix(work.id);
  return work.prefix;
}

function freshLeaf(work: Work, node: RevisionNode, fresh: FreshLeaf, inDocument: boolean): Leaf {
  const { channels, access, roles, requires } = fresh.result;
  return {
    channels,
    access,
    roles,
    requires,
    attachments: fresh.attachments.length === 0 ? [] : storeAttachments(work, fresh.attachments),
    body: placeBody(work, fresh.bodyText, inDocument, node.deleted),
  };
}

/** Decides where a body goes that is not stored yet, and notes the write. */
function placeBody(work: Work, text: string, inDocument: boolean, deleted: boolean): BodyPlace {
  if (inDocument) {
    work.body = bytesOf(text);
    return { in: "document" };
  }
  if (text === "{}") return { in: "attribute", text };
  const bytes = bytesOf(text);
  if (deleted && bytes.length <= INLINE_BODY_BYTES) return { in: "attribute", text };
  const name = newItemName(work.ctx, "b");
  work.before.push({ op: "upsert", key: prefixOf(work) + name, value: bytes });
  return { in: "metadata", name };
}

function storeAttachments(work: Work, attachments: readonly NewAttachment[]): StoredAttachment[] {
  return attachments.map(({ info, data }) => {
    if (data === undefined) return info;
    if (data.length === 0) return { ...info, item: "" };
    const item = newItemName(work.ctx, "a");
    work.before.push(...attachmentWrites(prefixOf(work), item, data));
    return { ...info, item };
  });
}

/** The record of a leaf that was one before; its body moves when it wins or loses. */
async function keptLeaf(work: Work, node: RevisionNode, inDocument: boolean): Promise<Leaf> {
  const { current, change } = work;
  const leaf = current?.sync.leaves.get(node.rev);
  assert(current !== undefined && leaf !== undefined, "a leaf is new or was one before");
  const result = change.results?.get(node.rev);
  const kept: Leaf = result === undefined ? leaf : { ...leaf, ...result };
  if (inDocument && leaf.body.in === "document") {
    assert(current.body !== undefined, "a live winner's body was read");
    work.body = current.body;
    return kept;
  }
  if (!inDocument && leaf.body.in !== "document") return kept;
  const text = await leafBodyText(work.ctx, current, leaf);
  if (leaf.body.in === "metadata") {
    work.after.push({ op: "remove", key: prefixOf(work) + leaf.body.name });
  }
  return { ...kept, body: placeBody(work, text, inDocument, node.deleted) };
}

/** Lets go of the leaves that are none any more, and of what only they referred to. */
async function letGo(
  work: Work,
  current: Version,
  leaves: ReadonlyMap<string, Leaf>,
): Promise<void> {
  const { ctx, change, after } = work;
  const purge = change.purge === true;
  let attachments = false;
  for (const [rev, leaf] of current.sync.leaves) {
    if (leaf.attachments.length > 0) attachments = true;
    if (leaves.has(rev)) continue;
    if (leaf.body.in === "metadata") {
      after.push({ op: "remove", key: prefixOf(work) + leaf.body.name });
    }
    if (!purge && ctx.oldRevisionSeconds > 0) await keepOld(work, current, rev, leaf);
  }
  if (!attachments) return;
  const used = new Set<string>();
  for (const leaf of leaves.values()) for (const a of leaf.attachments) used.add(a.item);
  for (const leaf of current.sync.leaves.values()) {
    for (const a of leaf.attachments) {
      if (used.has(a.item)) continue;
      used.add(a.item);
      after.push(...releaseAttachment(ctx, prefixOf(work), a, purge));
    }
  }
}

/** Notes the write that keeps a superseded revision for a while. */
async function keepOld(work: Work, current: Version, rev: string, leaf: Leaf): Promise<void> {
  if (leaf.body.in === "document" && work.change.bodyLost === true) return;
  const body =
    leaf.body.in === "document" && current.body !== undefined
      ? current.body
      : bytesOf(await leafBodyText(work.ctx, current, leaf));
  const old = {
    deleted: current.sync.tree.some((node) => node.rev === rev && node.deleted),
    channels: leaf.channels,
    attachments: leaf.attachments,
  };
  const write = oldRevisionWrite(work.ctx, prefixOf(work), rev, old, body);
  if (write !== undefined) work.beside.push(write);
}

/** Throws `too_large` when the attribute is over its limit. Most can't be, and are not measured. */
function checkSyncSize(sync: SyncMetadata, attribute: JsonObject): void {
  const winner = sync.leaves.get(sync.rev)!;
  const small =
    sync.leaves.size === 1 &&
    sync.tree.length <= 1000 &&
    sync.left.length <= 200 &&
    winner.channels.length <= 200 &&
    winner.attachments.length <= 100;
  if (small) return;
  const bytes = JSON.stringify(attribute).length * 3;
  if (bytes <= MAX_SYNC_BYTES) return;
  const exact = bytesOf(JSON.stringify(attribute)).length;
  if (exact <= MAX_SYNC_BYTES) return;
  throw new TidegateError(
    "too_large",
    `The document's history, conflicts, attachments and channels take ${exact} bytes; ` +
      `at most ${MAX_SYNC_BYTES} are allowed. Resolve conflicts or purge revisions.`,
  );
}
