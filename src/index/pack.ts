// The byte buffer of the index's hot path: entries are packed with it and unpacked by it. Colder
// layouts use clock/bytes.ts, which checks more.

import { Buffer } from "node:buffer";
import { MalformedBytes } from "../clock/bytes.ts";

/** Texts up to this length are copied unit by unit as long as they are ASCII. */
const SHORT_TEXT = 64;

const encoder = new TextEncoder();

/** Writes packed values into a buffer that grows and is used again. */
export class PackWriter {
  bytes: Uint8Array<ArrayBuffer>;
  length = 0;

  /** @param capacity bytes to make room for at first */
  constructor(capacity = 4096) {
    this.bytes = new Uint8Array(capacity);
  }

  /** Makes room for `more` bytes. */
  reserve(more: number): void {
    if (this.length + more <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  /** An integer from 0 to 2^53-1, seven bits a byte, the lowest first. */
  varint(value: number): void {
    this.reserve(8);
    const bytes = this.bytes;
    let rest = value;
    while (rest >= 0x80000000) {
      bytes[this.length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest >= 0x80) {
      bytes[this.length++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[this.length++] = rest;
  }

  /** Four bytes, the lowest first. */
  uint32(value: number): void {
    this.reserve(4);
    const bytes = this.bytes;
    bytes[this.length++] = value & 0xff;
    bytes[this.length++] = (value >>> 8) & 0xff;
    bytes[this.length++] = (value >>> 16) & 0xff;
    bytes[this.length++] = value >>> 24;
  }

  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  /** The text's length in bytes as a varint, then its UTF-8 bytes. */
  text(text: string): void {
    const units = text.length;
    this.reserve(units * 3 + 5);
    if (units <= SHORT_TEXT) {
      const bytes = this.bytes;
      const start = this.length;
      let at = start + 1;
      for (let i = 0; i < units; i++) {
        const unit = text.charCodeAt(i);
        if (unit >= 0x80) {
          this.#longText(text);
          return;
        }
        bytes[at++] = unit;
      }
      bytes[start] = units;
      this.length = at;
      return;
    }
    this.#longText(text);
  }

  #longText(text: string): void {
    const encoded = encoder.encode(text);
    this.varint(encoded.length);
    this.raw(encoded);
  }

  /** What was written since `from`, on its own. */
  slice(from = 0): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(from, this.length);
  }
}

/** Reads packed values. Throws `MalformedBytes` rather than read beyond `end`. */
export class PackReader {
  readonly bytes: Uint8Array;
  #buffer: Buffer | undefined;
  at: number;
  end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }

  /** The bytes as a `Buffer`: it makes texts out of parts the fastest. */
  get buffer(): Buffer {
    const { buffer, byteOffset, byteLength } = this.bytes;
    this.#buffer ??= Buffer.from(buffer, byteOffset, byteLength);
    return this.#buffer;
  }

  byte(): number {
    if (this.at >= this.end) throw new MalformedBytes("they end too early");
    return this.bytes[this.at++]!;
  }

  varint(): number {
    const first = this.byte();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let scale = 128;
    for (let index = 1; index < 8; index++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 128;
    }
    throw new MalformedBytes("a number is larger than 2^53-1");
  }

  uint32(): number {
    const bytes = this.bytes;
    const at = this.skip(4);
    return (
      (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
    );
  }

  /** Moves on by `length` bytes, and gives where they begin. */
  skip(length: number): number {
    const at = this.at;
    if (length > this.end - at) throw new MalformedBytes("they end too early");
    this.at = at + length;
    return at;
  }

  text(): string {
    const length = this.varint();
    const at = this.skip(length);
    return this.buffer.toString("utf8", at, at + length);
  }
}
