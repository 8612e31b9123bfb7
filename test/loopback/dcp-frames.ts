// The frames of the server's half of DCP: what a mutation, a snapshot, a collection's making look
// like on the wire. When they are sent is `dcp-producer.ts`.

import { compress } from "snappyjs";
import type { FrameParts } from "../../src/bucket/couchbase/wire/frame.ts";
import { DataType, Opcode, SnapshotFlag } from "../../src/bucket/couchbase/wire/opcodes.ts";
import { encodeCollectionKey, joinValue } from "../../src/bucket/couchbase/wire/values.ts";
import type { FeedMutation } from "../../src/bucket/feed.ts";

/** How a stream's mutations travel. */
export interface MutationStyle {
  readonly withBody: boolean;
  readonly collectionId: number;
  /** Whether values are compressed when that makes them smaller. */
  readonly snappy: boolean;
}

/** The frame of a mutation, but for vbucket and opaque. An expiration comes as a deletion. */
export function mutationFrame(mutation: FeedMutation, style: MutationStyle): FrameParts {
  const isMutation = mutation.kind === "mutation";
  const extras = Buffer.alloc(isMutation ? 31 : 18);
  extras.writeBigUInt64BE(BigInt(mutation.seq), 0);
  extras.writeBigUInt64BE(BigInt(mutation.seq), 8);
  if (isMutation) extras.writeUInt32BE(mutation.expiry, 20);
  const sent = isMutation && style.withBody;
  const body = sent ? (mutation.body ?? new Uint8Array(0)) : new Uint8Array(0);
  const hasAttributes = Object.keys(mutation.xattrs).length > 0;
  const json = sent && isJson(body) ? DataType.json : 0;
  const value = hasAttributes ? joinValue(mutation.xattrs, body) : body;
  const small = style.snappy && value.length > 0 ? compress(value) : value;
  const smaller = small.length < value.length;
  return {
    opcode: isMutation ? Opcode.dcpMutation : Opcode.dcpDeletion,
    dataType: json | (hasAttributes ? DataType.xattr : 0) | (smaller ? DataType.snappy : 0),
    cas: mutation.cas,
    extras,
    key: encodeCollectionKey(style.collectionId, mutation.key),
    value: smaller ? small : value,
  };
}

/** The frame of a snapshot marker. */
export function markerFrame(start: number, end: number, flags: number): FrameParts {
  const extras = Buffer.alloc(20);
  extras.writeBigUInt64BE(BigInt(start), 0);
  extras.writeBigUInt64BE(BigInt(end), 8);
  extras.writeUInt32BE(flags, 16);
  return { opcode: Opcode.dcpSnapshotMarker, extras };
}

/** The flags of a stream's first marker: of what comes from memory, or from the disk. */
export function firstMarkerFlags(fromDisk: boolean): number {
  return (fromDisk ? SnapshotFlag.disk : SnapshotFlag.memory) | SnapshotFlag.checkpoint;
}

/** The frame of a sequence number that moves on without a mutation. */
export function advancedFrame(seq: number): FrameParts {
  const extras = Buffer.alloc(8);
  extras.writeBigUInt64BE(BigInt(seq), 0);
  return { opcode: Opcode.dcpSeqnoAdvanced, extras };
}

/** Where a collection was made: as what, in which scope, at which seq of a vbucket. */
export interface CollectionMade {
  readonly vb: number;
  readonly seq: number;
  readonly name: string;
  readonly scopeId: number;
}

/** The system event that says that a collection was made. */
export function collectionMadeFrame(
  { seq, name, scopeId }: CollectionMade,
  id: number,
): FrameParts {
  const extras = Buffer.alloc(13);
  extras.writeBigUInt64BE(BigInt(seq), 0);
  const value = Buffer.alloc(16);
  // The manifest's id (0, as with the recorded server), the scope's, the collection's.
  value.writeUInt32BE(scopeId, 8);
  value.writeUInt32BE(id, 12);
  return { opcode: Opcode.dcpSystemEvent, extras, key: Buffer.from(name), value };
}

/** The frame of a stream's end. */
export function streamEndFrame(reason: number): FrameParts {
  const extras = Buffer.alloc(4);
  extras.writeUInt32BE(reason, 0);
  return { opcode: Opcode.dcpStreamEnd, extras };
}

/** The bytes of a frame without its header. */
export function bodyBytes(parts: FrameParts): number {
  return (parts.extras?.length ?? 0) + (parts.key?.length ?? 0) + (parts.value?.length ?? 0);
}

/** Whether a server would call the body JSON. */
function isJson(body: Uint8Array): boolean {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
    return true;
  } catch {
    return false;
  }
}
