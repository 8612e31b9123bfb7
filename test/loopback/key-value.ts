// Key-value requests of a loopback node, carried out on the embedded bucket's collections.

import type { KeyValueCollection, KeyValueOperation, Refusal } from "../../src/bucket/bucket.ts";
import type { Frame } from "../../src/bucket/couchbase/wire/frame.ts";
import { Feature, Opcode, Status } from "../../src/bucket/couchbase/wire/opcodes.ts";
import { decodeCollectionKey } from "../../src/bucket/couchbase/wire/values.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { COLLECTIONS } from "./cluster.ts";
import { wholeDocument } from "./documents.ts";
import type { Answer } from "./session.ts";
import { isSubdocument, subdocument } from "./subdocument.ts";

const KEY_VALUE: ReadonlySet<number> = new Set([
  Opcode.get,
  Opcode.set,
  Opcode.add,
  Opcode.replace,
  Opcode.delete,
  Opcode.increment,
  Opcode.append,
  Opcode.touch,
]);

/** Whether `opcode` is a request on one key that this file knows. */
export function isKeyValue(opcode: number): boolean {
  return KEY_VALUE.has(opcode) || isSubdocument(opcode);
}

/** Carries out a request on one key of a collection. */
export async function carryOut(
  bucket: EmbeddedBucket,
  frame: Frame,
  features: ReadonlySet<number>,
): Promise<Answer> {
  const { collectionId, key } = features.has(Feature.collections)
    ? decodeCollectionKey(frame.key)
    : { collectionId: 0, key: frame.key.toString("utf8") };
  if (collectionId === COLLECTIONS._default) {
    return isSubdocument(frame.opcode)
      ? subdocument(bucket, frame, key)
      : wholeDocument(bucket, frame, key);
  }
  const collection = collectionOf(bucket, collectionId);
  if (collection === undefined) return { vbOrStatus: Status.unknownCollection };
  if (frame.opcode === Opcode.get) {
    const found = await collection.get(key);
    if (found === undefined) return { vbOrStatus: Status.keyNotFound };
    return { cas: found.cas, extras: Buffer.from([3, 0, 0, 0]), value: found.value };
  }
  const [result] = await collection.batch([operationOf(frame, key)]);
  if (!result!.ok) return { vbOrStatus: statusOf(result!.refusal, frame.opcode) };
  if (result!.counter === undefined) return { cas: result!.cas };
  const value = Buffer.alloc(8);
  value.writeBigUInt64BE(BigInt(result!.counter), 0);
  return { cas: result!.cas, value };
}

/** The collection with this id, documents aside. */
export function collectionOf(bucket: EmbeddedBucket, id: number): KeyValueCollection | undefined {
  if (id === COLLECTIONS.tidegate_metadata) return bucket.metadata;
  return id === COLLECTIONS.tidegate_index ? bucket.index : undefined;
}

function operationOf(frame: Frame, key: string): KeyValueOperation {
  const value = Uint8Array.from(frame.value);
  const cas = frame.cas === 0n ? {} : { cas: frame.cas };
  switch (frame.opcode) {
    case Opcode.set:
    case Opcode.add: {
      const op = frame.opcode === Opcode.add ? "insert" : "upsert";
      return { op, key, value, expiry: frame.extras.readUInt32BE(4) };
    }
    case Opcode.replace:
      return { op: "replace", key, value, ...cas, expiry: frame.extras.readUInt32BE(4) };
    case Opcode.delete:
      return { op: "remove", key, ...cas };
    case Opcode.append:
      return { op: "append", key, value, ...cas };
    case Opcode.touch:
      return { op: "touch", key, expiry: frame.extras.readUInt32BE(0) };
    default:
      return {
        op: "counter",
        key,
        delta: Number(frame.extras.readBigUInt64BE(0)),
        initial: Number(frame.extras.readBigUInt64BE(8)),
      };
  }
}

function statusOf(refusal: Refusal, opcode: number): number {
  switch (refusal) {
    case "not_found":
      return opcode === Opcode.append ? Status.notStored : Status.keyNotFound;
    case "exists":
    case "cas_mismatch":
      return Status.keyExists;
    case "too_large":
      return Status.valueTooLarge;
    case "not_a_counter":
      return Status.badDelta;
  }
}
