// The sparse codec: which vbuckets changed, as gaps in a Golomb code, and by how much. For few
// changes.
//
// Layout, in bits: codec 3, signs? 1, gamma(number of changes), all by one? 1, otherwise k 6;
// then for each change: gap to the one before (Golomb), [sign 1], [|change| - 1, exponential Golomb
// k].

import { MalformedBytes } from "../bytes.ts";
import { BitReader, BitWriter, bitLength, POWERS } from "./bits.ts";
import { bestExponent, exponentialBits, readExponential, writeExponential } from "./exponential.ts";
import { CODEC_BITS, CodecId, type Plan, type Summary } from "./plan.ts";

/** Beyond this share of changed vbuckets another codec is always smaller. */
const MOST_CHANGED = 0.5;

/**
 * The divisor of the Golomb code for `changed` changes in `vbuckets` vbuckets: about ln 2 × mean
 * gap.
 */
function divisor(vbuckets: number, changed: number): number {
  return Math.max(1, Math.round((Math.LN2 * vbuckets) / changed));
}

/** How the changes are written down; undefined when there are none, or too many. */
export function planSparse(summary: Summary): Plan | undefined {
  const { values, changed, least, most } = summary;
  if (changed === 0) return undefined;
  const many = changed > Math.max(8, values.length * MOST_CHANGED);
  // Differences that lie more than 2^53-1 apart are written by no other codec.
  if (many && most - least <= Number.MAX_SAFE_INTEGER) return undefined;
  const gaps = new Float64Array(changed);
  const sizes = new Float64Array(changed);
  let index = 0;
  let before = -1;
  for (let vb = 0; vb < values.length; vb++) {
    if (values[vb] === 0) continue;
    gaps[index] = vb - before - 1;
    sizes[index++] = Math.abs(values[vb]!) - 1;
    before = vb;
  }
  const signed = least < 0;
  const allOnes = sizes.every((size) => size === 0);
  const k = bestExponent(sizes);
  const by = divisor(values.length, changed);
  let bits = CODEC_BITS + 2 + 2 * bitLength(changed) - 1 + (allOnes ? 0 : 6);
  for (let at = 0; at < changed; at++) {
    bits +=
      golombBits(gaps[at]!, by) + (signed ? 1 : 0) + (allOnes ? 0 : exponentialBits(sizes[at]!, k));
  }
  return {
    bits,
    encode() {
      const writer = new BitWriter();
      writer.write(CodecId.sparse, CODEC_BITS);
      writer.write(signed ? 1 : 0, 1);
      writer.gamma(changed);
      writer.write(allOnes ? 1 : 0, 1);
      if (!allOnes) writer.write(k, 6);
      let vb = -1;
      for (let at = 0; at < changed; at++) {
        vb += gaps[at]! + 1;
        writeGolomb(writer, gaps[at]!, by);
        if (signed) writer.write(values[vb]! < 0 ? 1 : 0, 1);
        if (!allOnes) writeExponential(writer, sizes[at]!, k);
      }
      return writer.bytes();
    },
  };
}

/** Adds what {@link planSparse} wrote to `target`; the codec's number has been read. */
export function readSparse(bytes: Uint8Array, target: Float64Array): void {
  const reader = new BitReader(bytes, CODEC_BITS);
  const signed = reader.read(1) === 1;
  const changed = reader.gamma();
  if (changed > target.length) throw new MalformedBytes("more changes than there are vbuckets");
  const allOnes = reader.read(1) === 1;
  const k = allOnes ? 0 : reader.read(6);
  const by = divisor(target.length, changed);
  let vb = -1;
  for (let at = 0; at < changed; at++) {
    vb += readGolomb(reader, by, target.length) + 1;
    if (vb >= target.length) throw new MalformedBytes("a vbucket is out of range");
    const negative = signed && reader.read(1) === 1;
    const size = (allOnes ? 0 : readExponential(reader, k)) + 1;
    target[vb] = target[vb]! + (negative ? -size : size);
  }
  reader.end();
}

function golombBits(value: number, by: number): number {
  const width = bitLength(by - 1);
  const short = POWERS[width]! - by;
  return Math.floor(value / by) + 1 + (value % by < short ? width - 1 : width);
}

/** The quotient in unary, the rest in as few bits as its range needs. */
function writeGolomb(writer: BitWriter, value: number, by: number): void {
  writer.unary(Math.floor(value / by));
  if (by === 1) return;
  const rest = value % by;
  const width = bitLength(by - 1);
  const short = POWERS[width]! - by;
  if (rest < short) {
    writer.write(rest, width - 1);
  } else {
    // The first bits of the longer spellings must come first.
    writer.write((rest + short) >>> 1, width - 1);
    writer.write((rest + short) & 1, 1);
  }
}

function readGolomb(reader: BitReader, by: number, limit: number): number {
  const quotient = reader.unary(limit);
  if (by === 1) return quotient;
  const width = bitLength(by - 1);
  const short = POWERS[width]! - by;
  let rest = reader.read(width - 1);
  if (rest >= short) rest = rest * 2 + reader.read(1) - short;
  return quotient * by + rest;
}
