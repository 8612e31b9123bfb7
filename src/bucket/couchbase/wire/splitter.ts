// Cuts a received byte stream into frames, without copying a frame that arrived in one piece.

import { TidegateError } from "../../../base/errors.ts";
import { Frame, HEADER_BYTES, MAX_BODY_BYTES } from "./frame.ts";
import { Magic } from "./opcodes.ts";

const MAGICS: ReadonlySet<number> = new Set(Object.values(Magic));

/**
 * Collects chunks and gives out the frames that are complete. What is held is at most one frame
 * plus the last chunk: pieces of a long frame are joined once, when its last byte is there.
 */
export class FrameSplitter {
  #pieces: Buffer[] = [];
  #heldBytes = 0;
  /** Bytes that must be held before looking again is worth it. */
  #wantedBytes = HEADER_BYTES;

  /**
   * Takes a chunk and gives back the frames that it completes, in order.
   *
   * Throws `corrupt` when the bytes are not this protocol, or a body is over
   * {@link MAX_BODY_BYTES}; the connection is of no use after that.
   */
  push(chunk: Buffer): Frame[] {
    this.#pieces.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < this.#wantedBytes) return [];
    const bytes = this.#pieces.length === 1 ? chunk : Buffer.concat(this.#pieces, this.#heldBytes);
    const frames: Frame[] = [];
    let at = 0;
    this.#wantedBytes = HEADER_BYTES;
    while (bytes.length - at >= HEADER_BYTES) {
      const frameBytes = frameLength(bytes, at);
      if (bytes.length - at < frameBytes) {
        this.#wantedBytes = frameBytes;
        break;
      }
      frames.push(new Frame(bytes.subarray(at, at + frameBytes)));
      at += frameBytes;
    }
    this.#heldBytes = bytes.length - at;
    this.#pieces = this.#heldBytes === 0 ? [] : [bytes.subarray(at)];
    return frames;
  }

  /** Bytes of an unfinished frame. */
  get heldBytes(): number {
    return this.#heldBytes;
  }
}

function frameLength(bytes: Buffer, at: number): number {
  const magic = bytes[at] as number;
  if (!MAGICS.has(magic)) {
    throw new TidegateError(
      "corrupt",
      `The peer does not speak Couchbase's key-value protocol: a frame starts with 0x${magic
        .toString(16)
        .padStart(2, "0")}.`,
    );
  }
  const bodyBytes = bytes.readUInt32BE(at + 8);
  if (bodyBytes > MAX_BODY_BYTES) {
    throw new TidegateError(
      "corrupt",
      `A frame of ${bodyBytes} bytes came; the limit is ${MAX_BODY_BYTES}.`,
    );
  }
  return HEADER_BYTES + bodyBytes;
}
