// The text of the `_sync` attribute, written and read. Layout, version 1 (JSON, members left out
// when empty):
//
//   v      1
//   seq    "0x" + 16 hex digits, big-endian: filled in by the bucket
//   cas    "0x" + 16 hex digits, little-endian: filled in by the bucket
//   prev   the seq of the gateway's mutation before this one
//   crc    CRC-32 of the document's body
//   tree   [[parent, generation, "digest,digest,…", leaf], …]: a branch each. Nodes are numbered
//          over all branches in order; `parent` is the number that the first node hangs on, -1
//          none; the generations go up by one; the last node is the leaf. The first branch is the
//          winner's.
//     leaf: d 1 deleted · ch channels · acc [[principal, channel…]…] · rol [[user, role…]…]
//           req [[kind, name…]…] · s side item of the body · t body text
//           att [[name, type, length, digest, revpos, item, encoding?, decoded length?]…]
//   del    numbers of the deleted nodes that are no leaves
//   left   [[channel, seq, rev, 1 when deleted], …]; seq 0: this version's own
//   gr     [[principal, [kind 0 channel 1 role, name, from, until?], …], …]: what it grants; `from`
//          and `until` 0: this version's own; without `until`: it holds
//   gone   left channels and withdrawn grants of this seq and below may have been forgotten

import { Buffer } from "node:buffer";
import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import type { Macro } from "../bucket/bucket.ts";
import type { PrincipalId } from "../index/pseudo-channel.ts";
import type { KeptGrant } from "./grants.ts";
import { digestOf, generationOf } from "./revision-id.ts";
import { leafIndexes, type RevisionNode, type RevisionTree } from "./revision-tree.ts";
import type {
  BodyPlace,
  Leaf,
  StoredAttachment,
  StoredSync,
  SyncMetadata,
} from "./sync-metadata.ts";

/** The name of the attribute. */
export const SYNC_ATTRIBUTE = "_sync";

const VERSION = 1;

/** What the bucket fills in as it writes. One seqno macro only: Couchbase expands no more. */
export const SYNC_MACROS: readonly Macro[] = [
  { path: [SYNC_ATTRIBUTE, "seq"], value: "seqno" },
  { path: [SYNC_ATTRIBUTE, "cas"], value: "cas" },
];

const HEX_PLACE = "0x0000000000000000";
const EMPTY_BODY = "{}";

// ---------------------------------------------------------------------------------------------
// writing

/** The attribute's JSON for `sync`, with places for what the bucket fills in. */
export function encodeSync(sync: SyncMetadata): JsonObject {
  const out: JsonObject = { v: VERSION, seq: HEX_PLACE, cas: HEX_PLACE };
  if (sync.supersedes > 0) out.prev = sync.supersedes;
  if (sync.bodyCrc !== 0) out.crc = sync.bodyCrc;
  const tree = sync.tree;
  if (sync.leaves.size === 1) {
    // One straight line of revisions, by far the most frequent: the nodes are in order already.
    out.tree = [[-1, generationOf(tree[0]!.rev), digests(tree), encodeLeaf(sync, tree.at(-1)!)]];
    const deleted = deletedNumbers(tree, null);
    if (deleted.length > 0) out.del = deleted;
  } else {
    encodeBranches(sync, out);
  }
  if (sync.left.length > 0) {
    out.left = sync.left.map((l) => [l.channel, l.seq, l.rev, l.deleted ? 1 : 0]);
  }
  if (sync.grants.length > 0) out.gr = encodeGrants(sync.grants);
  if (sync.forgottenUpTo > 0) out.gone = sync.forgottenUpTo;
  return out;
}

function encodeBranches(sync: SyncMetadata, out: JsonObject): void {
  const tree = sync.tree;
  const numbers = new Int32Array(tree.length).fill(-1);
  let count = 0;
  const branches: Json[] = [];
  for (const leaf of leafIndexes(tree)) {
    const line: number[] = [];
    let at = leaf;
    for (; at >= 0 && numbers[at] === -1; at = tree[at]!.parent) line.push(at);
    line.reverse();
    for (const index of line) numbers[index] = count++;
    const nodes = line.map((index) => tree[index]!);
    const parent = at < 0 ? -1 : numbers[at]!;
    const record = encodeLeaf(sync, tree[leaf]!);
    branches.push([parent, generationOf(nodes[0]!.rev), digests(nodes), record]);
  }
  assert(count === tree.length, "every node is on the way to a leaf");
  out.tree = branches;
  const deleted = deletedNumbers(tree, numbers);
  if (deleted.length > 0) out.del = deleted;
}

function digests(nodes: readonly RevisionNode[]): string {
  if (nodes.length === 1) return digestOf(nodes[0]!.rev);
  return nodes.map((node) => digestOf(node.rev)).join(",");
}

/** The numbers of the deleted nodes that have children. */
function deletedNumbers(tree: RevisionTree, numbers: Int32Array | null): number[] {
  const deleted: number[] = [];
  let leaves: Set<number> | undefined;
  for (let i = 0; i < tree.length; i++) {
    if (!tree[i]!.deleted) continue;
    leaves ??= new Set(leafIndexes(tree));
    if (!leaves.has(i)) deleted.push(numbers === null ? i : numbers[i]!);
  }
  return deleted;
}

function encodeLeaf(sync: SyncMetadata, node: RevisionNode): JsonObject {
  const leaf = sync.leaves.get(node.rev);
  assert(leaf !== undefined, "every leaf has a record");
  const out: JsonObject = {};
  if (node.deleted) out.d = 1;
  if (leaf.channels.length > 0) out.ch = [...leaf.channels];
  if (leaf.access.length > 0) out.acc = leaf.access.map((g) => [g.principal, ...g.channels]);
  if (leaf.roles.length > 0) out.rol = leaf.roles.map((g) => [g.user, ...g.roles]);
  if (leaf.requires.length > 0) {
    out.req = leaf.requires.map((r) => (r.kind === "admin" ? [r.kind] : [r.kind, ...r.names]));
  }
  if (leaf.attachments.length > 0) out.att = leaf.attachments.map(encodeAttachment);
  const body = leaf.body;
  assert(
    (body.in === "document") === (node.rev === sync.rev && !node.deleted),
    "exactly a live winner's body is the document's",
  );
  if (body.in === "metadata") out.s = body.name;
  if (body.in === "attribute" && body.text !== EMPTY_BODY) out.t = body.text;
  return out;
}

/** An attachment as it is written in `_sync` and in the head of an old revision. */
export function encodeAttachment(a: StoredAttachment): Json {
  const out: Json[] = [a.name, a.contentType, a.length, a.digest, a.revpos, a.item];
  if (a.encoding !== undefined) out.push(a.encoding, a.decodedLength ?? a.length);
  return out;
}

function encodeGrants(grants: readonly KeptGrant[]): Json {
  const byPrincipal = new Map<string, Json[]>();
  for (const { principal, kind, name, from, until } of grants) {
    const line = byPrincipal.get(principal) ?? [principal];
    byPrincipal.set(principal, line);
    const span: Json[] = [kind === "role" ? 1 : 0, name, from];
    if (until !== undefined) span.push(until);
    line.push(span);
  }
  return [...byPrincipal.values()];
}

// ---------------------------------------------------------------------------------------------
// reading

/**
 * The metadata in the text of a `_sync` attribute.
 *
 * @param key the document's id, for the reason of an error
 * @throws TidegateError `corrupt`, `newer_version`
 */
export function decodeSync(text: string, key: string): StoredSync {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw corrupt(key, "it is not JSON", cause);
  }
  const root = object(json, key);
  if (root.v !== VERSION) {
    if (typeof root.v === "number" && root.v > VERSION) {
      const reason = `The _sync attribute of ${shown(key)} has version ${root.v}.`;
      throw new TidegateError("newer_version", `${reason} This Tidegate reads ${VERSION}.`);
    }
    throw corrupt(key, "it was not written by Tidegate");
  }
  const { tree, leaves } = decodeTree(root, key);
  const winner = tree.nodes[tree.winner]!;
  return {
    tree: tree.nodes,
    leaves,
    rev: winner.rev,
    deleted: winner.deleted,
    seq: hexNumber(root.seq, key),
    cas: hexCas(root.cas, key),
    supersedes: number(root.prev ?? 0, key),
    bodyCrc: number(root.crc ?? 0, key),
    left: list(root.left, key).map((entry) => {
      const [channel, seq, rev, deleted] = list(entry, key);
      return {
        channel: string(channel, key),
        seq: number(seq, key),
        rev: string(rev, key),
        deleted: deleted === 1,
      };
    }),
    grants: decodeGrants(root.gr, key),
    forgottenUpTo: number(root.gone ?? 0, key),
  };
}

function decodeTree(
  root: Record<string, unknown>,
  key: string,
): { tree: { nodes: RevisionNode[]; winner: number }; leaves: Map<string, Leaf> } {
  const nodes: RevisionNode[] = [];
  const leaves = new Map<string, Leaf>();
  let winner = -1;
  const deletedInside = new Set(list(root.del, key));
  for (const branch of list(root.tree, key)) {
    const [parentNumber, start, digestList, record] = list(branch, key);
    let parent = number(parentNumber, key);
    let generation = number(start, key);
    if (parent < -1 || parent >= nodes.length) throw corrupt(key, "a branch hangs on nothing");
    if (parent >= 0 && generationOf(nodes[parent]!.rev) + 1 !== generation) {
      throw corrupt(key, "a branch does not fit the revision it hangs on");
    }
    const leaf = object(record, key);
    const names = string(digestList, key).split(",");
    for (let i = 0; i < names.length; i++) {
      const last = i === names.length - 1;
      const deleted = last ? leaf.d === 1 : deletedInside.has(nodes.length);
      nodes.push({ rev: `${generation++}-${names[i]}`, parent, deleted });
      parent = nodes.length - 1;
    }
    if (winner < 0) winner = parent;
    const tip = nodes[parent]!;
    leaves.set(tip.rev, decodeLeaf(leaf, !tip.deleted && winner === parent, key));
  }
  if (winner < 0) throw corrupt(key, "it has no revision");
  return { tree: { nodes, winner }, leaves };
}

function decodeLeaf(leaf: Record<string, unknown>, inDocument: boolean, key: string): Leaf {
  return {
    channels: leaf.ch === undefined ? NOTHING : strings(leaf.ch, key),
    access: list(leaf.acc, key).map((grant) => {
      const [principal, ...channels] = strings(grant, key);
      return { principal: principal!, channels };
    }),
    roles: list(leaf.rol, key).map((grant) => {
      const [user, ...roles] = strings(grant, key);
      return { user: user!, roles };
    }),
    requires: list(leaf.req, key).map((rule) => {
      const [kind, ...names] = strings(rule, key);
      if (kind === "admin") return { kind };
      if (kind === "user" || kind === "role" || kind === "access") return { kind, names };
      throw corrupt(key, `it asks for an unknown ${kind}`);
    }),
    attachments: list(leaf.att, key).map((a) => decodeAttachment(a, key)),
    body: decodePlace(leaf, inDocument, key),
  };
}

function decodeGrants(value: unknown, key: string): readonly KeptGrant[] {
  if (value === undefined) return NO_GRANTS;
  return list(value, key).flatMap((line) => {
    const [principal, ...spans] = list(line, key);
    return spans.map((span): KeptGrant => {
      const [kind, name, from, until] = list(span, key);
      return {
        principal: principalId(principal, key),
        kind: kind === 1 ? "role" : "channel",
        name: string(name, key),
        from: number(from, key),
        ...(until !== undefined && { until: number(until, key) }),
      };
    });
  });
}

function principalId(value: unknown, key: string): PrincipalId {
  const id = string(value, key);
  if (id.startsWith("user:") || id.startsWith("role:")) return id as PrincipalId;
  throw corrupt(key, `it grants to ${id}`);
}

function decodePlace(leaf: Record<string, unknown>, inDocument: boolean, key: string): BodyPlace {
  if (inDocument) return { in: "document" };
  if (leaf.s !== undefined) return { in: "metadata", name: string(leaf.s, key) };
  return { in: "attribute", text: string(leaf.t ?? EMPTY_BODY, key) };
}

/** An attachment as {@link encodeAttachment} wrote it. Throws `corrupt`. */
export function decodeAttachment(json: unknown, key: string): StoredAttachment {
  const [name, contentType, length, digest, revpos, item, encoding, decoded] = list(json, key);
  return {
    name: string(name, key),
    contentType: string(contentType, key),
    length: number(length, key),
    digest: string(digest, key),
    revpos: number(revpos, key),
    item: string(item, key),
    ...(encoding !== undefined && {
      encoding: string(encoding, key),
      decodedLength: number(decoded, key),
    }),
  };
}

const NOTHING: readonly string[] = [];
const NO_GRANTS: readonly KeptGrant[] = [];

function object(value: unknown, key: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw corrupt(key, "an object is missing");
}

function list(value: unknown, key: string): readonly unknown[] {
  if (value === undefined) return NOTHING;
  if (Array.isArray(value)) return value;
  throw corrupt(key, "a list is missing");
}

function strings(value: unknown, key: string): readonly string[] {
  const values = list(value, key);
  for (const item of values) string(item, key);
  return values as readonly string[];
}

function string(value: unknown, key: string): string {
  if (typeof value === "string") return value;
  throw corrupt(key, "a text is missing");
}

function number(value: unknown, key: string): number {
  if (typeof value === "number") return value;
  throw corrupt(key, "a number is missing");
}

const HEX = /^0x[0-9a-f]{16}$/i;

function hexNumber(value: unknown, key: string): number {
  const text = string(value, key);
  const seq = HEX.test(text) ? Number.parseInt(text.slice(2), 16) : Number.NaN;
  if (!Number.isSafeInteger(seq)) throw corrupt(key, "its seq is not a number in hex");
  return seq;
}

function hexCas(value: unknown, key: string): bigint {
  const text = string(value, key);
  if (!HEX.test(text)) throw corrupt(key, "its cas is not a number in hex");
  return Buffer.from(text.slice(2), "hex").readBigUInt64LE();
}

/** The error for a `_sync` attribute, or another item of the document, that makes no sense. */
export function corrupt(key: string, what: string, cause?: unknown): TidegateError {
  const reason = `The sync metadata of ${shown(key)} can't be read: ${what}.`;
  return new TidegateError("corrupt", reason, { cause });
}

function shown(key: string): string {
  return JSON.stringify(key);
}
