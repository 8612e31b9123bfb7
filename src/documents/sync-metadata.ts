// What the gateway knows of a document beside its body: the model of the `_sync` attribute, how it
// goes from one version to the next, and what the index has to say of it. All pure. The attribute's
// text is made and read in sync-codec.ts.

import { isChannelName, MAX_CHANNEL_BYTES } from "../access/names.ts";
import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import type { MutationToken } from "../bucket/bucket.ts";
import { EntryFlag, type IndexMutation, PUBLIC_CHANNEL } from "../index/types.ts";
import { principalOfKey } from "./document-id.ts";
import { checkGrantNames, type KeptGrant, nextGrants, principalGrantsOf } from "./grants.ts";
import { LEFT_CHANNELS_KEPT, MAX_LEAVES, MAX_LEFT_CHANNELS } from "./limits.ts";
import { leafIndexes, type RevisionTree } from "./revision-tree.ts";
import {
  type AccessGrant,
  MAX_CHANNELS_PER_REVISION,
  MAX_GRANTS_PER_REVISION,
  type Requirement,
  type RoleGrant,
  type SyncResult,
} from "./sync-port.ts";

/** Where the body of a leaf revision is. */
export type BodyPlace =
  /** In the document itself: the body of a live winner. */
  | { readonly in: "document" }
  /** In `metadata` under this name, unique among the document's side items (side-store.ts). */
  | { readonly in: "metadata"; readonly name: string }
  /** Here: small bodies of deletions. */
  | { readonly in: "attribute"; readonly text: string };

/** An attachment as a leaf names it. */
export interface StoredAttachment {
  readonly name: string;
  readonly contentType: string;
  /** The bytes stored. */
  readonly length: number;
  /** `md5-` and the base64 of the stored bytes' MD5. */
  readonly digest: string;
  /** The generation in which it came or changed last. */
  readonly revpos: number;
  /** The name of its bytes among the document's side items; "" when there are no bytes. */
  readonly item: string;
  /** `gzip` when the client sent it compressed; `decodedLength` is then what it said. */
  readonly encoding?: string | undefined;
  readonly decodedLength?: number | undefined;
}

/** What is kept of each leaf revision. */
export interface Leaf {
  readonly channels: readonly string[];
  readonly access: readonly AccessGrant[];
  readonly roles: readonly RoleGrant[];
  readonly requires: readonly Requirement[];
  readonly attachments: readonly StoredAttachment[];
  readonly body: BodyPlace;
}

/** A channel that the document is not in any more. */
export interface LeftChannel {
  readonly channel: string;
  /** The seq of the mutation with which it left; 0: this very version's. */
  readonly seq: number;
  /** The winning revision with which it left, and whether that was a deletion. */
  readonly rev: string;
  readonly deleted: boolean;
}

/** The `_sync` attribute of one version of a document. */
export interface SyncMetadata {
  readonly tree: RevisionTree;
  /** One for each leaf of the tree, by revision, winner first. */
  readonly leaves: ReadonlyMap<string, Leaf>;
  /** The winning revision. */
  readonly rev: string;
  readonly deleted: boolean;
  /** The seq of the mutation before this one that a gateway wrote; 0 when there was none. */
  readonly supersedes: number;
  /** In the order they were left. */
  readonly left: readonly LeftChannel[];
  /** What it grants and has granted. */
  readonly grants: readonly KeptGrant[];
  /**
   * Left channels and withdrawn grants of this seq and below may have been forgotten; 0: none was.
   */
  readonly forgottenUpTo: number;
  /** CRC-32 of the document's body as written, 0 for a deletion: tells a foreign change of it. */
  readonly bodyCrc: number;
}

/** A {@link SyncMetadata} as read back: with what the bucket put in. */
export interface StoredSync extends SyncMetadata {
  /** The seq that this version got. */
  readonly seq: number;
  /** The CAS that this version got: when the item's differs, another program wrote it since. */
  readonly cas: bigint;
}

/** What the next version of a document is made of. */
export interface NextVersion {
  readonly tree: RevisionTree;
  /** A record for each leaf of `tree`. */
  readonly leaves: ReadonlyMap<string, Leaf>;
  readonly bodyCrc: number;
}

/**
 * The metadata of the version that follows `current`.
 *
 * A channel that the winner is not in any more becomes a left channel; one it is in again stops
 * being one. Left channels that the stable clock has passed are forgotten, oldest first, when there
 * are more than {@link LEFT_CHANNELS_KEPT}: their removals are in the index, and nobody heals them.
 *
 * @param stableSeq gives the stable clock's seq in the document's vbucket; asked only when needed
 * @throws TidegateError `unavailable` when too many left channels are not in the stable clock yet;
 *   `too_large` when there are too many leaves
 */
export function nextSync(
  current: StoredSync | undefined,
  next: NextVersion,
  stableSeq: () => number,
): SyncMetadata {
  const order = leafIndexes(next.tree);
  if (order.length > MAX_LEAVES) {
    throw new TidegateError(
      "too_large",
      `A document has at most ${MAX_LEAVES} conflicting revisions. Purge or resolve some.`,
    );
  }
  const leaves = new Map<string, Leaf>();
  for (const index of order) {
    const leaf = next.leaves.get(next.tree[index]!.rev);
    assert(leaf !== undefined, "every leaf has a record");
    leaves.set(next.tree[index]!.rev, leaf);
  }
  const winner = next.tree[order[0]!]!;
  const record = leaves.get(winner.rev)!;
  const { left, forgotten } = nextLeft(
    current,
    record.channels,
    winner.rev,
    winner.deleted,
    stableSeq,
  );
  const { access, roles } = record;
  const granted = nextGrants(current, { access, roles, deleted: winner.deleted }, stableSeq);
  // The index's newest entry of who is not named any more is of the version before at most.
  const ungranted = granted.forgotten ? (current?.seq ?? 0) : 0;
  return {
    tree: next.tree,
    leaves,
    rev: winner.rev,
    deleted: winner.deleted,
    supersedes: current?.seq ?? 0,
    left,
    grants: granted.grants,
    forgottenUpTo: Math.max(forgotten, ungranted, current?.forgottenUpTo ?? 0),
    bodyCrc: next.bodyCrc,
  };
}

function nextLeft(
  current: StoredSync | undefined,
  channels: readonly string[],
  rev: string,
  deleted: boolean,
  stableSeq: () => number,
): { left: readonly LeftChannel[]; forgotten: number } {
  if (current === undefined) return { left: [], forgotten: 0 };
  const was = channelsOf(current);
  if (was.length === 0 && current.left.length === 0) return { left: [], forgotten: 0 };
  const now = new Set(channels);
  const left: LeftChannel[] = [];
  for (const old of current.left) {
    if (now.has(old.channel)) continue;
    left.push(old.seq === 0 ? { ...old, seq: current.seq } : old);
  }
  for (const channel of was) if (!now.has(channel)) left.push({ channel, seq: 0, rev, deleted });
  return forgetPassed(left, stableSeq);
}

/** Drops the oldest left channels that the stable clock has passed while there are too many. */
function forgetPassed(
  left: LeftChannel[],
  stableSeq: () => number,
): { left: readonly LeftChannel[]; forgotten: number } {
  let surplus = left.length - LEFT_CHANNELS_KEPT;
  if (surplus <= 0) return { left, forgotten: 0 };
  let forgotten = 0;
  const passed = stableSeq();
  const kept = left.filter((entry) => {
    if (surplus <= 0 || entry.seq === 0 || entry.seq > passed) return true;
    surplus--;
    forgotten = Math.max(forgotten, entry.seq);
    return false;
  });
  if (kept.length > MAX_LEFT_CHANNELS) {
    throw new TidegateError(
      "unavailable",
      `The document left more than ${MAX_LEFT_CHANNELS} channels in less time than the index ` +
        "needs to note it. Nothing was changed; try again in a moment.",
    );
  }
  return { left: kept, forgotten };
}

/** The winner's record. */
export function winnerOf(sync: SyncMetadata): Leaf {
  const leaf = sync.leaves.get(sync.rev);
  assert(leaf !== undefined, "the winner is a leaf");
  return leaf;
}

/**
 * The channels of the document: those of its winning revision, as in Couchbase Sync Gateway.
 * Another leaf's channels say who may read that revision.
 */
export function channelsOf(sync: SyncMetadata): readonly string[] {
  return winnerOf(sync).channels;
}

/**
 * Everything that the index has to say of a document's newest version.
 *
 * @param key the document's id, or a principal's key: that one always has an entry in its own
 *   pseudo-channel, so that every change of it is heard of
 * @param token where that version was written
 */
export function indexMutationOf(
  key: string,
  sync: SyncMetadata,
  token: MutationToken,
): IndexMutation {
  const own = principalOfKey(key);
  let flags = 0;
  if (sync.deleted) flags |= EntryFlag.deleted;
  if (sync.leaves.size > 1) flags |= EntryFlag.conflict;
  return {
    vb: token.vb,
    seq: token.seq,
    vbuuid: token.vbuuid,
    docId: key,
    // A record without a revision makes no row: clients see nothing of principals' documents.
    revId: own === undefined ? sync.rev : "",
    flags,
    supersedes: sync.supersedes,
    channels: channelsOf(sync),
    ...((own !== undefined || sync.grants.length > 0) && {
      grants: principalGrantsOf(sync.grants, token.seq, own),
    }),
    removals: sync.left.map((left) => ({
      channel: left.channel,
      seq: left.seq === 0 ? token.seq : left.seq,
      revId: left.rev,
      flags: EntryFlag.removed | (left.deleted ? EntryFlag.deleted : 0),
    })),
  };
}

/**
 * What the index has to say of an item without a revision: a purged document, a deletion or a value
 * that is no document, written by another program. A record with no channels and an empty revision,
 * there so that the clock can pass it; a reader makes no row of it.
 */
export function unversionedMutationOf(key: string, token: MutationToken): IndexMutation {
  return {
    vb: token.vb,
    seq: token.seq,
    vbuuid: token.vbuuid,
    docId: key,
    revId: "",
    flags: EntryFlag.deleted,
    supersedes: 0,
    channels: [],
    removals: [],
  };
}

/**
 * A sync function's result in the form it is stored: channels without repetition, in their order,
 * `*` read as `!` (a document for everybody). Throws `sync_function_failed` when it is over a
 * limit.
 */
export function normalizeResult(result: SyncResult): SyncResult {
  const { access, roles, requires } = result;
  let channels = result.channels;
  if (channels.length > 1 || channels[0] === "*") {
    channels = [...new Set(channels.map((name) => (name === "*" ? PUBLIC_CHANNEL : name)))];
  }
  if (channels.length > MAX_CHANNELS_PER_REVISION) {
    throw new TidegateError(
      "sync_function_failed",
      `The sync function put the document into ${channels.length} channels; ` +
        `at most ${MAX_CHANNELS_PER_REVISION} are allowed.`,
    );
  }
  checkNames(channels);
  checkGrantNames(access, roles);
  let grants = 0;
  for (const grant of access) grants += 1 + grant.channels.length;
  for (const grant of roles) grants += 1 + grant.roles.length;
  for (const rule of requires) grants += rule.kind === "admin" ? 1 : rule.names.length;
  if (grants > MAX_GRANTS_PER_REVISION) {
    throw new TidegateError(
      "sync_function_failed",
      `The sync function's access, role and require calls name ${grants} names; ` +
        `at most ${MAX_GRANTS_PER_REVISION} are allowed.`,
    );
  }
  return { channels, access, roles, requires };
}

/** Throws `sync_function_failed` for a channel whose name no channel can have. */
function checkNames(channels: readonly string[]): void {
  for (const name of channels) {
    if (isChannelName(name)) continue;
    throw new TidegateError(
      "sync_function_failed",
      `A channel name is well-formed Unicode of 1 to ${MAX_CHANNEL_BYTES} bytes without control ` +
        `characters, not ${JSON.stringify(name.slice(0, 100))}.`,
    );
  }
}

/** Whether two leaves give the same index entries and grants. */
export function sameGrants(a: SyncResult, b: SyncResult): boolean {
  return (
    sameSet(a.channels, b.channels) &&
    JSON.stringify([a.access, a.roles, a.requires]) ===
      JSON.stringify([b.access, b.roles, b.requires])
  );
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  const names = new Set(a);
  return b.every((name) => names.has(name));
}
