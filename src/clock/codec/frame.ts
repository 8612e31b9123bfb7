// The frame of reference: the least value, and the distances from it in as many bits as the longest
// needs. For values without any shape; and for the case that they are all the same.
//
// Layout, in bits: codec 3, least (sign, sized), width 6, then each distance.

import { MalformedBytes } from "../bytes.ts";
import { BitReader, BitWriter, bitLength, MAX_BITS } from "./bits.ts";
import { CODEC_BITS, CodecId, type Plan, type Summary } from "./plan.ts";

/** How the values are written down; undefined when they lie more than 2^53-1 apart. */
export function planFrame({ values, least, most }: Summary): Plan | undefined {
  if (most - least > Number.MAX_SAFE_INTEGER) return undefined;
  const width = bitLength(most - least);
  const leastBits = 7 + Math.max(0, bitLength(Math.abs(least)) - 1);
  return {
    bits: CODEC_BITS + leastBits + 6 + width * values.length,
    encode() {
      const writer = new BitWriter();
      writer.write(CodecId.frame, CODEC_BITS);
      writer.signed(least);
      writer.write(width, 6);
      if (width > 0) for (const value of values) writer.write(value - least, width);
      return writer.bytes();
    },
  };
}

/** Adds what {@link planFrame} wrote to `target`. */
export function readFrame(bytes: Uint8Array, target: Float64Array): void {
  const reader = new BitReader(bytes, CODEC_BITS);
  const least = reader.signed();
  const width = reader.read(6);
  if (width > MAX_BITS) throw new MalformedBytes("a width is out of range");
  for (let vb = 0; vb < target.length; vb++) {
    target[vb] = target[vb]! + (least + (width === 0 ? 0 : reader.read(width)));
  }
  reader.end();
}
