// The entropy coder: an rANS coder for symbols, with the values' low bits stored raw beside it. It
// is read by rans-decoder.ts. Which tables and which bins: the codecs that use it.
//
// Layout: [bits: header of the codec, then per value its low bits, filled up to a byte]
//         [16-bit words of the coder, little-endian, to be read from the end: first its state].
// The two parts must meet exactly, and the coder must end in the state in which it began: bytes
// that do not are refused.

import { assert } from "../../base/assert.ts";
import { type BitWriter, MAX_BITS, POWERS } from "./bits.ts";
import { MAX_SYMBOLS, SLOT_BITS, SLOTS, type SymbolTable } from "./symbol-table.ts";

/** The state stays in [2^15, 2^31), so that all of its arithmetic fits 32-bit integers. */
export const STATE_MIN = 1 << 15;

/**
 * Mark of an `extra` for values below the lowest bin, or above the highest: the distance follows.
 */
export const BELOW = 254;
export const ABOVE = 255;

/** What a table's symbols stand for: `base[symbol]` plus `extra[symbol]` raw bits. */
export interface Bins {
  /** The smallest value of the symbol; of {@link BELOW}, one more than its largest. */
  readonly base: Float64Array;
  /** The raw bits that follow the symbol, up to 53; or one of the two marks. */
  readonly extra: Uint8Array;
  /** Set when all bins are of one width, which is faster to decode. */
  readonly even: EvenBins | undefined;
}

/** Bins of one width: symbol `lowest` is the values from 0 on. */
export interface EvenBins {
  /** log2 of the width. */
  readonly shift: number;
  readonly lowest: number;
  /** The symbols of what lies outside; -1 where there is none. */
  readonly below: number;
  readonly above: number;
}

/** Values `from`..`to` of a vector, and how they are coded. */
export interface Run {
  readonly from: number;
  readonly to: number;
  readonly table: SymbolTable;
  readonly bins: Bins;
  /** What the bins count from: added to each value of theirs. */
  readonly plus: number;
  /** The symbol of a value from which `plus` was taken. */
  symbolOf(value: number): number;
}

/** Codes `values` in the runs given, after what `bits` has already. Gives the whole payload. */
export function encodeRuns(
  bits: BitWriter,
  values: Float64Array,
  runs: readonly Run[],
): Uint8Array<ArrayBuffer> {
  const symbols = new Uint8Array(values.length);
  for (const run of runs) {
    for (let at = run.from; at < run.to; at++) {
      const value = values[at]!;
      const symbol = run.symbolOf(value - run.plus);
      symbols[at] = symbol;
      writeRest(bits, run.plus + run.bins.base[symbol]!, run.bins.extra[symbol]!, value);
    }
  }
  const head = bits.bytes();
  const words = encodeSymbols(symbols, runs);
  const bytes = new Uint8Array(head.length + words.length * 2);
  bytes.set(head);
  for (let index = 0; index < words.length; index++) {
    bytes[head.length + index * 2] = words[index]! & 0xff;
    bytes[head.length + index * 2 + 1] = words[index]! >>> 8;
  }
  return bytes;
}

function writeRest(bits: BitWriter, base: number, extra: number, value: number): void {
  if (extra === ABOVE) bits.sized(value - base);
  else if (extra === BELOW) bits.sized(base - 1 - value);
  else bits.write(value - base, extra);
}

/** The last value first, so that decoding meets them in their order. */
function encodeSymbols(symbols: Uint8Array, runs: readonly Run[]): number[] {
  const words: number[] = [];
  let state = STATE_MIN;
  for (let index = runs.length - 1; index >= 0; index--) {
    const { from, to, table } = runs[index]!;
    for (let at = to - 1; at >= from; at--) {
      const symbol = symbols[at]!;
      const slots = table.slots[symbol]!;
      assert(slots > 0, "a symbol that is coded has slots");
      if (state >= slots * (2 ** 31 / SLOTS)) {
        words.push(state & 0xffff);
        state >>>= 16;
      }
      state = (Math.floor(state / slots) << SLOT_BITS) + (state % slots) + table.first[symbol]!;
    }
  }
  words.push(state & 0xffff, state >>> 16);
  return words;
}

/** What a symbol with so many slots costs, in bits. */
const BITS_OF_SLOTS = Float64Array.from({ length: SLOTS + 1 }, (_, slots) =>
  Math.log2(SLOTS / slots),
);

/**
 * The bits that `counts[symbol]` symbols of each kind cost in `table`, low bits included, but not the
 * distances of values outside the bins.
 */
export function costOf(counts: ArrayLike<number>, table: SymbolTable, bins: Bins): number {
  let bits = 0;
  for (let symbol = 0; symbol < table.count; symbol++) {
    const count = counts[symbol]!;
    if (count === 0) continue;
    const extra = bins.extra[symbol]!;
    bits += count * BITS_OF_SLOTS[table.slots[symbol]!]!;
    if (extra <= MAX_BITS) bits += count * extra;
  }
  return bits;
}

/** Bins of one width, `2^shift`, counted from 0: symbol `first` is the lowest of `count`. */
export function evenBins(count: number, shift: number, first: number): Bins {
  const base = new Float64Array(MAX_SYMBOLS);
  const extra = new Uint8Array(MAX_SYMBOLS);
  const width = POWERS[shift]!;
  for (let bin = 0; bin < count; bin++) {
    base[first + bin] = bin * width;
    extra[first + bin] = shift;
  }
  if (first > 0) extra[0] = BELOW;
  base[first + count] = count * width;
  extra[first + count] = ABOVE;
  const even = { shift, lowest: first, below: first > 0 ? 0 : -1, above: first + count };
  return { base, extra, even };
}
