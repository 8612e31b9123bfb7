// The outside of every document of the index: a header, then frames, each appended as one piece and
// checked by itself. What is inside a frame is the business of the codecs beside this file.
//
//   document = header | frames
//   header   = version 1 | kind 1 | generation varint | length varint | body | crc32 4
//   frame    = mark 1 | length varint | crc32 of mark and payload 4 | payload
//   mark     = 0xE1 plain | 0xE2 zstd

import { crc32, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { TidegateError } from "../base/errors.ts";
import { MalformedBytes } from "../clock/bytes.ts";
import { MIN_COMPRESSED_BYTES } from "./limits.ts";
import { PackReader, PackWriter } from "./pack.ts";

/** The version of all layouts of the index. */
export const INDEX_VERSION = 1;

/** What a document of the index is. */
export const Kind = { layout: 1, branches: 2, root: 3, list: 4, block: 5, sequence: 6 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

const PLAIN = 0xe1;
const ZSTD = 0xe2;

/** The largest payload that a compressed frame may unfold to. */
const MAX_UNFOLDED_BYTES = 64 * 1024 * 1024;

/** A document's header. */
export interface Header {
  readonly kind: number;
  /**
   * The milliseconds since the Unix epoch when the document was made, plus the times that it was
   * rewritten as a whole: as long as it stays the same, bytes were only added.
   */
  readonly generation: number;
  /** The header's body, as its kind has it. */
  readonly body: Uint8Array;
  /** Where the frames begin. */
  readonly end: number;
}

/** A frame whose checksum is right. */
export interface Frame {
  readonly payload: Uint8Array;
  /** Where the frame begins in the document, and where the next one does. */
  readonly at: number;
  readonly next: number;
  readonly compressed: boolean;
}

/** A part of a document that can't be read. It was skipped. */
export interface Damage {
  readonly at: number;
  readonly length: number;
  readonly reason: string;
}

const scratch = new PackWriter(256);

/** The bytes of a header. */
export function encodeHeader(kind: Kind, body: Uint8Array, generation = 0): Uint8Array {
  scratch.length = 0;
  scratch.byte(INDEX_VERSION);
  scratch.byte(kind);
  scratch.varint(generation);
  scratch.varint(body.length);
  scratch.raw(body);
  scratch.uint32(crc32(scratch.bytes.subarray(0, scratch.length)));
  return scratch.slice();
}

/**
 * Reads a document's header.
 *
 * @throws MalformedBytes when it is truncated or fails its checksum
 * @throws TidegateError `newer_version`
 */
export function decodeHeader(document: Uint8Array): Header {
  const reader = new PackReader(document);
  const version = reader.byte();
  if (version > INDEX_VERSION && version < 0x20) {
    throw new TidegateError(
      "newer_version",
      `the index was written by a newer Tidegate (layout ${version}, this program knows ` +
        `${INDEX_VERSION}); use that version`,
    );
  }
  const kind = reader.byte();
  const generation = reader.varint();
  const length = reader.varint();
  const at = reader.skip(length);
  const sum = crc32(document.subarray(0, reader.at));
  if (version !== INDEX_VERSION || reader.uint32() !== sum) {
    throw new MalformedBytes("the header fails its checksum");
  }
  return { kind, generation, body: document.subarray(at, at + length), end: reader.at };
}

/** The bytes of one frame, compressed where that pays. */
export function encodeFrame(payload: Uint8Array, compress = false): Uint8Array<ArrayBuffer> {
  const packed =
    compress && payload.length >= MIN_COMPRESSED_BYTES ? zstdCompressSync(payload) : payload;
  const smaller = packed.length < payload.length;
  const stored = smaller ? packed : payload;
  scratch.length = 0;
  const mark = smaller ? ZSTD : PLAIN;
  scratch.byte(mark);
  scratch.varint(stored.length);
  scratch.uint32(crc32(stored, mark));
  const frame = new Uint8Array(scratch.length + stored.length);
  frame.set(scratch.bytes.subarray(0, scratch.length));
  frame.set(stored, scratch.length);
  return frame;
}

/** Bytes that {@link framed} needs before the payload. */
export const FRAME_ROOM = 16;

/**
 * The bytes of one plain frame around the payload that `writer` holds from {@link FRAME_ROOM} on:
 * the hot path's way, without copies.
 */
export function framed(writer: PackWriter): Uint8Array<ArrayBuffer> {
  const end = writer.length;
  const sum = crc32(writer.bytes.subarray(FRAME_ROOM, end), PLAIN);
  const length = end - FRAME_ROOM;
  // The length's varint has as many bytes as fit it: what is before the payload begins so far
  // ahead.
  const from = FRAME_ROOM - 5 - varintBytes(length);
  writer.length = from;
  writer.byte(PLAIN);
  writer.varint(length);
  writer.uint32(sum);
  writer.length = end;
  return writer.slice(from);
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

/** The frame at `at`, or why there is none. */
function frameAt(document: Uint8Array, at: number): Frame | string {
  const mark = document[at];
  if (mark !== PLAIN && mark !== ZSTD) return "no frame begins here";
  try {
    const reader = new PackReader(document, at + 1);
    const length = reader.varint();
    const sum = reader.uint32();
    const from = reader.skip(length);
    const payload = document.subarray(from, from + length);
    if (crc32(payload, mark) !== sum) return "the checksum is wrong";
    return { payload, at, next: reader.at, compressed: mark === ZSTD };
  } catch (error) {
    if (error instanceof MalformedBytes) return "the frame is cut off";
    throw error;
  }
}

/**
 * The frames of `document` from `at` on. What can't be read is given to `damaged`, and skipped up
 * to the next frame that can.
 */
export function readFrames(
  document: Uint8Array,
  at: number,
  damaged: (damage: Damage) => void,
): Frame[] {
  const frames: Frame[] = [];
  let position = at;
  while (position < document.length) {
    const frame = frameAt(document, position);
    if (typeof frame !== "string") {
      frames.push(frame);
      position = frame.next;
      continue;
    }
    const start = position;
    do {
      position++;
    } while (position < document.length && typeof frameAt(document, position) === "string");
    damaged({ at: start, length: position - start, reason: frame });
  }
  return frames;
}

/** A frame's payload, unfolded. Throws `MalformedBytes` when it does not unfold. */
export function payloadOf(frame: Frame): Uint8Array {
  if (!frame.compressed) return frame.payload;
  try {
    return zstdDecompressSync(frame.payload, { maxOutputLength: MAX_UNFOLDED_BYTES });
  } catch (cause) {
    throw new MalformedBytes("a compressed frame does not unfold", { cause });
  }
}
