// Exponential Golomb codes: for numbers that are mostly small, without a largest one. The number
// without its lowest k bits is written in Elias gamma, and then those bits.

import { MalformedBytes } from "../bytes.ts";
import { type BitReader, type BitWriter, bitLength, POWERS } from "./bits.ts";

/** The largest k. */
const MAX_K = 52;

/** The bits that `value` takes. */
export function exponentialBits(value: number, k: number): number {
  return 2 * bitLength(Math.floor(value / POWERS[k]!) + 1) - 1 + k;
}

/** The k whose code is shortest for these numbers. */
export function bestExponent(values: ArrayLike<number>): number {
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let k = 0; k <= MAX_K; k++) {
    let bits = 0;
    for (let at = 0; at < values.length; at++) bits += exponentialBits(values[at]!, k);
    if (bits >= least) break;
    least = bits;
    best = k;
  }
  return best;
}

/** Writes a number from 0 to 2^53-2. */
export function writeExponential(writer: BitWriter, value: number, k: number): void {
  writer.gamma(Math.floor(value / POWERS[k]!) + 1);
  writer.write(value % POWERS[k]!, k);
}

/** Reads what {@link writeExponential} wrote. Throws {@link MalformedBytes} for an impossible k. */
export function readExponential(reader: BitReader, k: number): number {
  if (k > MAX_K) throw new MalformedBytes("a width is out of range");
  return (reader.gamma() - 1) * POWERS[k]! + reader.read(k);
}
