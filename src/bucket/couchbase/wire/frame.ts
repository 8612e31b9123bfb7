// One frame of Couchbase's key-value protocol: the reader's view over received bytes, and the
// writer. Splitting a byte stream into frames is `splitter.ts`.
//
// Layout (big-endian):
//
//   0      1       2       4        5         6            8         12      16       24
//   magic  opcode  key     extras   datatype  vb (request) body      opaque  cas      framing extras,
//                  length  length             or status    length                     extras, key, value
//
// In the flex forms (magic 0x08, 0x18) byte 2 is the length of the framing extras and byte 3 the
// key's. The layout is Couchbase's published binary protocol; the recorded sessions hold us to it.

import { TidegateError } from "../../../base/errors.ts";
import { Magic } from "./opcodes.ts";

/** The bytes of a frame's header. */
export const HEADER_BYTES = 24;

/** The longest body taken from a peer: a 20 MiB value with attributes, key and room to spare. */
export const MAX_BODY_BYTES = 24 * 1024 * 1024;

/** Builds a frame. Missing parts are empty or zero. */
export interface FrameParts {
  readonly magic?: number;
  readonly opcode: number;
  /** The vbucket of a request, the status of a response. */
  readonly vbOrStatus?: number;
  readonly opaque?: number;
  readonly cas?: bigint;
  readonly dataType?: number;
  readonly framing?: Uint8Array;
  readonly extras?: Uint8Array;
  readonly key?: Uint8Array;
  readonly value?: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/** The bytes of one frame. */
export function encodeFrame(parts: FrameParts): Buffer {
  const framing = parts.framing ?? EMPTY;
  const extras = parts.extras ?? EMPTY;
  const key = parts.key ?? EMPTY;
  const value = parts.value ?? EMPTY;
  const bodyBytes = framing.length + extras.length + key.length + value.length;
  const out = Buffer.allocUnsafe(HEADER_BYTES + bodyBytes);
  const magic = parts.magic ?? (framing.length > 0 ? Magic.flexRequest : Magic.request);
  out[0] = magic;
  out[1] = parts.opcode;
  if (isFlex(magic)) {
    out[2] = framing.length;
    out[3] = key.length;
  } else {
    out.writeUInt16BE(key.length, 2);
  }
  out[4] = extras.length;
  out[5] = parts.dataType ?? 0;
  out.writeUInt16BE(parts.vbOrStatus ?? 0, 6);
  out.writeUInt32BE(bodyBytes, 8);
  out.writeUInt32BE(parts.opaque ?? 0, 12);
  out.writeBigUInt64BE(parts.cas ?? 0n, 16);
  let at = HEADER_BYTES;
  for (const part of [framing, extras, key, value]) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A received frame. Its parts are views of the received bytes: copy what must outlive them. */
export class Frame {
  readonly #bytes: Buffer;

  /** @param bytes exactly one frame, header included */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    if (this.framingBytes + this.keyBytes + this.extrasBytes > bytes.length - HEADER_BYTES) {
      throw new TidegateError(
        "corrupt",
        `A frame's parts are longer than its body (opcode 0x${this.opcode.toString(16)}).`,
      );
    }
  }

  /** The whole frame's length: what flow control counts. */
  get length(): number {
    return this.#bytes.length;
  }
  get magic(): number {
    return this.#bytes[0] as number;
  }
  get opcode(): number {
    return this.#bytes[1] as number;
  }
  get isResponse(): boolean {
    return this.magic === Magic.response || this.magic === Magic.flexResponse;
  }
  get framingBytes(): number {
    return isFlex(this.magic) ? (this.#bytes[2] as number) : 0;
  }
  get keyBytes(): number {
    return isFlex(this.magic) ? (this.#bytes[3] as number) : this.#bytes.readUInt16BE(2);
  }
  get extrasBytes(): number {
    return this.#bytes[4] as number;
  }
  get dataType(): number {
    return this.#bytes[5] as number;
  }
  /** The vbucket of a request. */
  get vb(): number {
    return this.#bytes.readUInt16BE(6);
  }
  /** The status of a response. */
  get status(): number {
    return this.#bytes.readUInt16BE(6);
  }
  get opaque(): number {
    return this.#bytes.readUInt32BE(12);
  }
  get cas(): bigint {
    return this.#bytes.readBigUInt64BE(16);
  }
  get framing(): Buffer {
    return this.#bytes.subarray(HEADER_BYTES, HEADER_BYTES + this.framingBytes);
  }
  get extras(): Buffer {
    const start = HEADER_BYTES + this.framingBytes;
    return this.#bytes.subarray(start, start + this.extrasBytes);
  }
  get key(): Buffer {
    const start = HEADER_BYTES + this.framingBytes + this.extrasBytes;
    return this.#bytes.subarray(start, start + this.keyBytes);
  }
  get value(): Buffer {
    return this.#bytes.subarray(
      HEADER_BYTES + this.framingBytes + this.extrasBytes + this.keyBytes,
    );
  }
}

function isFlex(magic: number): boolean {
  return magic === Magic.flexRequest || magic === Magic.flexResponse;
}
