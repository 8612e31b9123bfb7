// The codec of clocks of any other shape: a histogram of the values over bins that widen with the
// distance from a start, then the entropy-coded values. For unevenly spread writes.
//
// Layout, in bits: codec 3, zero bin? 1, log2(smallest bin) 6, log2(bins an octave) 2, fineness 2,
// k 2, start (sign, sized), first bin 9, number of bins 8, then per symbol its level as a
// difference to the one before (zigzag, exponential Golomb k), and then what rans.ts lays out.

import { MalformedBytes } from "../bytes.ts";
import { BitReader, BitWriter, bitLength, MAX_BITS, POWERS, unzigzag, zigzag } from "./bits.ts";
import { CODEC_BITS, CodecId, type Plan, type Summary } from "./plan.ts";
import { type Bins, costOf, encodeRuns } from "./rans.ts";
import { beginRuns, endRuns, readRun } from "./rans-decoder.ts";
import { MAX_SYMBOLS, type SymbolTable, shareSlots } from "./symbol-table.ts";

/** A level is about log2(count) × 2^fineness + 1, and 0 for none; counts are below 2^32. */
const MAX_LOG_COUNT = 32;

/** Up to 8 bins an octave, and levels of up to 1/8 of an octave. */
const MAX_LOG_BINS = 3;
const _MAX_FINENESS = 3;

/** Bins are numbered from 0 to this at most: 53 octaves of 8. */
const MAX_BIN = 511;

/** How the values are cut into bins. */
interface Shape {
  /** Zero is a symbol of its own, and the start is counted from the others. */
  readonly zero: boolean;
  /** log2 of the smallest bin. */
  readonly shift: number;
  /** log2 of the bins an octave. */
  readonly logBins: number;
  readonly start: number;
}

/** The bin of a distance from the start: even at first, then `2^logBins` for each octave. */
function binOf(distance: number, shift: number, logBins: number): number {
  const units = Math.floor(distance / POWERS[shift]!);
  if (units < 2 << logBins) return units;
  const octave = bitLength(units) - 1 - logBins;
  return (octave << logBins) + Math.floor(units / POWERS[octave]!);
}

/** The octave of a bin: how often it is doubled against the smallest. */
function octaveOf(bin: number, logBins: number): number {
  return bin < 2 << logBins ? 0 : (bin >> logBins) - 1;
}

/** Finds the bins that promise the fewest bits; undefined when there would be too many. */
export function planHistogram(summary: Summary): Plan | undefined {
  const { values, changed, least, most, sorted } = summary;
  if (most - least > Number.MAX_SAFE_INTEGER) return undefined;
  const found: (Histogram | undefined)[] = [];
  for (const start of least > 0 && least < most / 2 ? [least, 0] : [least]) {
    found.push(bestFrom(sorted, 0, start));
  }
  if (least === 0 && changed > 0 && changed < values.length * MOST_ZERO) {
    const zeros = values.length - changed;
    found.push(bestFrom(sorted, zeros, sorted[zeros]!));
  }
  let best: Histogram | undefined;
  for (const histogram of found) {
    if (histogram !== undefined && histogram.bits < (best?.bits ?? Number.POSITIVE_INFINITY)) {
      best = histogram;
    }
  }
  if (best === undefined) return undefined;
  const chosen = best;
  return { bits: chosen.bits, encode: () => encode(values, chosen) };
}

/** A symbol of its own for zero is tried when at least a tenth of the values is zero. */
const MOST_ZERO = 0.9;

/** The smallest bins tried: this many halvings below what is typical. */
const FINEST = 6;

/**
 * The best shape for values from `start` on, the first `zeros` of them left out as zeros. Coarser
 * bins are unions of finer ones, so the values are counted once.
 */
function bestFrom(sorted: Float64Array, zeros: number, start: number): Histogram | undefined {
  const middle = sorted[zeros + ((sorted.length - zeros) >>> 1)]!;
  const typical = bitLength(Math.max(1, middle - start));
  const least = Math.max(0, typical - FINEST);
  const finest = countBins(sorted, zeros, start, least);
  if (finest === undefined) return undefined;
  let best: { shape: Shape; bits: number } | undefined;
  for (let shift = least; shift <= typical; shift++) {
    for (let logBins = 0; logBins <= MAX_LOG_BINS; logBins++) {
      const shape = { zero: zeros > 0, shift, logBins, start };
      const bits = idealBits(finest, shape, sorted.length);
      if (best === undefined || bits < best.bits) best = { shape, bits };
    }
  }
  return best && measure(sorted, zeros, best.shape);
}

/**
 * The bins of the finest shape that are not empty: where they begin, and how many values they hold.
 */
interface FinestBins {
  readonly distances: number[];
  readonly counts: number[];
}

function countBins(
  sorted: Float64Array,
  zeros: number,
  start: number,
  shift: number,
): FinestBins | undefined {
  const distances: number[] = [];
  const counts: number[] = [];
  let last = -1;
  for (let at = zeros; at < sorted.length; at++) {
    const bin = binOf(sorted[at]! - start, shift, MAX_LOG_BINS);
    if (bin > MAX_BIN) return undefined;
    if (bin === last) counts[counts.length - 1]!++;
    else {
      distances.push(sorted[at]! - start);
      counts.push(1);
      last = bin;
    }
  }
  return { distances, counts };
}

/** The bits with the exact frequencies, and a guess at what these cost in the header. */
function idealBits(finest: FinestBins, shape: Shape, total: number): number {
  const { shift, logBins } = shape;
  let bits = 0;
  let first = -1;
  let last = -1;
  let count = 0;
  const close = () => {
    if (count === 0) return;
    bits += count * (shift + octaveOf(last, logBins) + Math.log2(total / count));
  };
  for (let at = 0; at < finest.counts.length; at++) {
    const bin = binOf(finest.distances[at]!, shift, logBins);
    if (bin !== last) {
      close();
      count = 0;
      last = bin;
      if (first < 0) first = bin;
    }
    count += finest.counts[at]!;
  }
  close();
  return last - first > MAX_SYMBOLS - 3 ? Number.POSITIVE_INFINITY : bits + 3 * (last - first + 1);
}

/** A shape with its counts: everything that the header says. */
interface Histogram extends Shape {
  readonly first: number;
  readonly count: number;
  readonly fineness: number;
  readonly k: number;
  readonly levels: readonly number[];
  readonly table: SymbolTable;
  readonly bins: Bins;
  readonly bits: number;
}

function symbolIn(shape: Shape, first: number, value: number): number {
  if (shape.zero && value === 0) return 0;
  const bin = binOf(value - shape.start, shape.shift, shape.logBins);
  return bin - first + (shape.zero ? 1 : 0);
}

/**
 * Counts the values, and finds the levels that say it best; undefined when there are too many bins.
 */
function measure(sorted: Float64Array, zeros: number, shape: Shape): Histogram | undefined {
  const { start, shift, logBins } = shape;
  const first = binOf(sorted[zeros]! - start, shift, logBins);
  const last = binOf(sorted[sorted.length - 1]! - start, shift, logBins);
  const count = last - first + 1;
  if (last > MAX_BIN || count > MAX_SYMBOLS - 2) return undefined;
  const counts = new Array<number>(count + (shape.zero ? 1 : 0)).fill(0);
  if (shape.zero) counts[0] = zeros;
  for (let at = zeros; at < sorted.length; at++) {
    const symbol = symbolIn(shape, first, sorted[at]!);
    counts[symbol] = counts[symbol]! + 1;
  }
  const bins = binsOf(shape, first, count);
  let best: Histogram | undefined;
  for (const fineness of sorted.length > 8192 ? [1, 2, 3] : [0, 1]) {
    const levels = counts.map((each) => levelOf(each, fineness));
    const table = shareSlots(levels.map((level) => weightOf(level, fineness)));
    const { k, bits: levelBits } = bestK(levels);
    const bits = 80 + levelBits + bitLength(Math.abs(start)) + costOf(counts, table, bins);
    if (best === undefined || bits < best.bits) {
      best = { ...shape, first, count, fineness, k, levels, table, bins, bits };
    }
  }
  return best;
}

function encode(values: Float64Array, histogram: Histogram): Uint8Array<ArrayBuffer> {
  const { zero, shift, logBins, fineness, k, start, first, count, levels } = histogram;
  const writer = new BitWriter();
  writer.write(CodecId.histogram, CODEC_BITS);
  writer.write(zero ? 1 : 0, 1);
  writer.write(shift, 6);
  writer.write(logBins, 2);
  writer.write(fineness, 2);
  writer.write(k, 2);
  writer.signed(start);
  writer.write(first, 9);
  writer.write(count, 8);
  let before = 0;
  for (const level of levels) {
    const change = zigzag(level - before);
    writer.gamma((change >>> k) + 1);
    writer.write(change & ((1 << k) - 1), k);
    before = level;
  }
  const { table, bins } = histogram;
  const symbolOf = (value: number) => symbolIn(histogram, first, value);
  return encodeRuns(writer, values, [
    { from: 0, to: values.length, table, bins, plus: 0, symbolOf },
  ]);
}

/** Adds what {@link planHistogram} wrote to `target`. */
export function readHistogram(bytes: Uint8Array, target: Float64Array): void {
  const reader = new BitReader(bytes, CODEC_BITS);
  const zero = reader.read(1) === 1;
  const shift = reader.read(6);
  const logBins = reader.read(2);
  const fineness = reader.read(2);
  const k = reader.read(2);
  const start = reader.signed();
  const first = reader.read(9);
  const count = reader.read(8);
  const symbols = count + (zero ? 1 : 0);
  if (count === 0 || symbols > MAX_SYMBOLS) throw new MalformedBytes("a histogram has no bins");
  if (shift + octaveOf(first + count - 1, logBins) > MAX_BITS) {
    throw new MalformedBytes("a width is out of range");
  }
  const weights = new Float64Array(symbols);
  let level = 0;
  let heaviest = 0;
  for (let symbol = 0; symbol < symbols; symbol++) {
    level += unzigzag((reader.gamma() - 1) * (1 << k) + reader.read(k));
    if (level < 0 || level - 1 > MAX_LOG_COUNT << fineness)
      throw new MalformedBytes("a level is out of range");
    weights[symbol] = weightOf(level, fineness);
    heaviest = Math.max(heaviest, level);
  }
  if (heaviest === 0) throw new MalformedBytes("a histogram is empty");
  beginRuns(bytes, reader.at);
  const bins = binsOf({ zero, shift, logBins, start }, first, count);
  readRun(target, 0, target.length, 0, shareSlots(weights), bins);
  endRuns();
}

function binsOf(shape: Shape, first: number, count: number): Bins {
  const base = new Float64Array(MAX_SYMBOLS);
  const extra = new Uint8Array(MAX_SYMBOLS);
  const offset = shape.zero ? 1 : 0;
  for (let index = 0; index < count; index++) {
    const bin = first + index;
    const octave = octaveOf(bin, shape.logBins);
    const units = (bin - (octave << shape.logBins)) * POWERS[octave]!;
    base[index + offset] = shape.start + units * POWERS[shape.shift]!;
    extra[index + offset] = shape.shift + octave;
  }
  return { base, extra, even: undefined };
}

function levelOf(count: number, fineness: number): number {
  return count === 0 ? 0 : 1 + Math.round(Math.log2(count) * (1 << fineness));
}

/** 2^(1/8), by square roots, which are exact everywhere. */
const EIGHTH = Math.sqrt(Math.sqrt(Math.sqrt(2)));

/** What a level stands for, by multiplications alone. */
function weightOf(level: number, fineness: number): number {
  if (level === 0) return 0;
  const eighths = (level - 1) * (8 >> fineness);
  let weight = POWERS[eighths >> 3]!;
  for (let index = eighths & 7; index > 0; index--) weight *= EIGHTH;
  return weight;
}

/** The k whose code is shortest for these levels. */
function bestK(levels: readonly number[]): { k: number; bits: number } {
  let best = { k: 0, bits: Number.POSITIVE_INFINITY };
  for (let k = 0; k <= 3; k++) {
    let bits = 0;
    let before = 0;
    for (const level of levels) {
      bits += 2 * bitLength((zigzag(level - before) >>> k) + 1) - 1 + k;
      before = level;
    }
    if (bits < best.bits) best = { k, bits };
  }
  return best;
}
