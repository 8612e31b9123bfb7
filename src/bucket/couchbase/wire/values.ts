// What stands inside a frame's key and value: the collection's prefix of a key (unsigned LEB128),
// snappy compression, and extended attributes before the body.

import { uncompress } from "snappyjs";
import { TidegateError } from "../../../base/errors.ts";
import { MAX_BODY_BYTES } from "./frame.ts";
import { DataType } from "./opcodes.ts";

/** A key as it travels when collections are agreed. */
export interface CollectionKey {
  readonly collectionId: number;
  readonly key: string;
}

/** The unsigned LEB128 form of `value` (at most 32 bits, as collection ids are). */
export function leb128(value: number): Uint8Array {
  const out: number[] = [];
  let rest = value >>> 0;
  do {
    const more = rest > 0x7f;
    out.push((rest & 0x7f) | (more ? 0x80 : 0));
    rest >>>= 7;
  } while (rest > 0);
  return Uint8Array.from(out);
}

/** `key` with the prefix of its collection. */
export function encodeCollectionKey(collectionId: number, key: string): Buffer {
  const prefix = leb128(collectionId);
  const out = Buffer.allocUnsafe(prefix.length + Buffer.byteLength(key));
  out.set(prefix, 0);
  out.write(key, prefix.length, "utf8");
  return out;
}

/** Splits a travelling key. Throws `corrupt` when the prefix does not end within five bytes. */
export function decodeCollectionKey(bytes: Buffer): CollectionKey {
  let collectionId = 0;
  for (let at = 0; at < Math.min(bytes.length, 5); at++) {
    const byte = bytes[at] as number;
    collectionId += (byte & 0x7f) * 2 ** (7 * at);
    if (byte < 0x80) return { collectionId, key: bytes.toString("utf8", at + 1) };
  }
  throw new TidegateError("corrupt", "A key's collection prefix has no end.");
}

/** A value taken apart: the attributes' JSON texts, and the body. */
export interface SplitValue {
  readonly xattrs: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** The body is JSON, by the server's word. */
  readonly json: boolean;
}

/**
 * Takes a value apart by its data type. With attributes the value is
 *
 *   u32 length of all pairs, then for each pair: u32 length, name, 0, JSON text, 0; then the body.
 *
 * Throws `corrupt` when lengths do not fit, or the inflated size is over the limit of a frame.
 */
export function splitValue(value: Buffer, dataType: number): SplitValue {
  const plain = (dataType & DataType.snappy) !== 0 ? inflate(value) : value;
  const json = (dataType & DataType.json) !== 0;
  if ((dataType & DataType.xattr) === 0) return { xattrs: {}, body: plain, json };
  const pairsBytes = plain.length >= 4 ? plain.readUInt32BE(0) : -1;
  const end = 4 + pairsBytes;
  if (pairsBytes < 0 || end > plain.length) throw badAttributes();
  const xattrs: Record<string, string> = Object.create(null);
  let at = 4;
  while (at < end) {
    if (at + 4 > end) throw badAttributes();
    const pairEnd = at + 4 + plain.readUInt32BE(at);
    const nameEnd = plain.indexOf(0, at + 4);
    if (pairEnd > end || nameEnd < 0 || nameEnd >= pairEnd - 1 || plain[pairEnd - 1] !== 0) {
      throw badAttributes();
    }
    xattrs[plain.toString("utf8", at + 4, nameEnd)] = plain.toString(
      "utf8",
      nameEnd + 1,
      pairEnd - 1,
    );
    at = pairEnd;
  }
  return { xattrs, body: plain.subarray(end), json };
}

/** Puts attributes (JSON texts) before a body: the inverse of {@link splitValue}. */
export function joinValue(xattrs: Readonly<Record<string, string>>, body: Uint8Array): Buffer {
  const pairs = Object.keys(xattrs).map((name) => {
    const pair = Buffer.from(`\0\0\0\0${name}\0${xattrs[name]}\0`, "utf8");
    pair.writeUInt32BE(pair.length - 4, 0);
    return pair;
  });
  const head = Buffer.allocUnsafe(4);
  head.writeUInt32BE(
    pairs.reduce((sum, pair) => sum + pair.length, 0),
    0,
  );
  return Buffer.concat([head, ...pairs, body]);
}

function inflate(value: Buffer): Buffer {
  try {
    return Buffer.from(uncompress(value, MAX_BODY_BYTES));
  } catch (cause) {
    throw new TidegateError("corrupt", "A snappy value does not inflate.", { cause });
  }
}

function badAttributes(): TidegateError {
  return new TidegateError("corrupt", "A value's extended attributes do not fit their lengths.");
}
