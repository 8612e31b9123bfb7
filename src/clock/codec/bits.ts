// Streams of bits, the lowest bit of a byte first, for the payload codecs. Numbers have up to 53
// bits, so they are split by arithmetic where they do not fit 32.

import { assert } from "../../base/assert.ts";
import { MalformedBytes } from "../bytes.ts";

/** The widest number: 2^53-1. */
export const MAX_BITS = 53;

/**
 * Numbers of up to this width are read at once: four bytes always hold them, wherever they begin.
 */
const FAST_BITS = 24;

/** 2^width for each width up to 53, by doubling: exact on every machine. */
export const POWERS = new Float64Array(MAX_BITS + 1);
POWERS[0] = 1;
for (let width = 1; width <= MAX_BITS; width++) POWERS[width] = 2 * POWERS[width - 1]!;

/** The bits that `value` needs: 0 for 0. */
export function bitLength(value: number): number {
  if (value < 0x80000000) return 32 - Math.clz32(value);
  return 32 + (32 - Math.clz32(Math.floor(value / 0x100000000)));
}

/** The sign folded into the lowest bit: 0, -1, 1, -2 … become 0, 1, 2, 3 …; for up to 52 bits. */
export function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value;
}

/** Takes back {@link zigzag}. */
export function unzigzag(value: number): number {
  return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
}

/** Writes numbers bit by bit into a buffer that grows. */
export class BitWriter {
  #bytes = new Uint8Array(256);
  #bits = 0;

  /** The bits written so far. */
  get length(): number {
    return this.#bits;
  }

  /** The lowest `width` bits of `value`, which must not have more; up to 53. */
  write(value: number, width: number): void {
    assert(value >= 0 && value < POWERS[width]!, "the number fits the width");
    let rest = value;
    let left = width;
    while (left > 0) {
      const at = this.#bits >>> 3;
      const used = this.#bits & 7;
      const take = Math.min(8 - used, left);
      const low = rest % (1 << take);
      if (at === this.#bytes.length) this.#grow();
      this.#bytes[at] = this.#bytes[at]! | (low << used);
      rest = (rest - low) / (1 << take);
      this.#bits += take;
      left -= take;
    }
  }

  /** `count` one-bits and a zero. */
  unary(count: number): void {
    for (let index = 0; index < count; index++) this.write(1, 1);
    this.write(0, 1);
  }

  /** A number of any size: its bit length in six bits, and its bits without the highest. */
  sized(value: number): void {
    const width = bitLength(value);
    this.write(width, 6);
    if (width > 1) this.write(value - POWERS[width - 1]!, width - 1);
  }

  /** A sign, and the number as {@link sized}. */
  signed(value: number): void {
    this.write(value < 0 ? 1 : 0, 1);
    this.sized(Math.abs(value));
  }

  /** Elias gamma: for small numbers from 1. */
  gamma(value: number): void {
    const width = bitLength(value);
    this.unary(width - 1);
    this.write(value - POWERS[width - 1]!, width - 1);
  }

  /** The whole bytes written, the last filled up with zeros. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, (this.#bits + 7) >>> 3);
  }

  #grow(): void {
    const grown = new Uint8Array(this.#bytes.length * 2);
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

/** Reads what a {@link BitWriter} wrote. Throws {@link MalformedBytes} past the end. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #bits: number;

  /** @param at the bit to begin with */
  constructor(bytes: Uint8Array, at = 0) {
    this.#bytes = bytes;
    this.#bits = at;
  }

  /** The position of the next bit. */
  get at(): number {
    return this.#bits;
  }

  read(width: number): number {
    if (this.#bits + width > this.#bytes.length * 8) {
      throw new MalformedBytes("they end too early");
    }
    if (width <= FAST_BITS && (this.#bits >>> 3) + 4 <= this.#bytes.length) {
      const at = this.#bits >>> 3;
      const bytes = this.#bytes;
      const four =
        bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      const bits = (four >>> (this.#bits & 7)) & ((1 << width) - 1);
      this.#bits += width;
      return bits;
    }
    let value = 0;
    let done = 0;
    while (done < width) {
      const used = this.#bits & 7;
      const take = Math.min(8 - used, width - done);
      const low = (this.#bytes[this.#bits >>> 3]! >>> used) & ((1 << take) - 1);
      value += low * POWERS[done]!;
      this.#bits += take;
      done += take;
    }
    return value;
  }

  /** The one-bits before the next zero; more than `limit` are refused. */
  unary(limit: number): number {
    let count = 0;
    while (this.read(1) === 1) {
      if (++count > limit) throw new MalformedBytes("a number is too long");
    }
    return count;
  }

  sized(): number {
    const width = this.read(6);
    if (width > MAX_BITS) throw new MalformedBytes("a number is larger than 2^53-1");
    return width === 0 ? 0 : POWERS[width - 1]! + (width === 1 ? 0 : this.read(width - 1));
  }

  signed(): number {
    const negative = this.read(1) === 1;
    const value = this.sized();
    if (negative && value === 0) throw new MalformedBytes("a zero has a sign");
    return negative ? -value : value;
  }

  gamma(): number {
    const width = this.unary(MAX_BITS - 1) + 1;
    return POWERS[width - 1]! + this.read(width - 1);
  }

  /** Says that nothing but the zeros that fill up the last byte may be left. */
  end(): void {
    const left = this.#bytes.length * 8 - this.#bits;
    if (left >= 8) throw new MalformedBytes(`${left >> 3} bytes are left over`);
    if (this.read(left) !== 0) throw new MalformedBytes("the last byte is not filled with zeros");
  }
}
