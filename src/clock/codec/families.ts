// The families of distributions that a block of vbuckets may follow, with their parameters: how
// these are written into a block's header, and which table and bins of the entropy coder they stand
// for.

import { MalformedBytes } from "../bytes.ts";
import { type BitReader, type BitWriter, bitLength, MAX_BITS } from "./bits.ts";
import { binomialTable, gaussianMiddle, gaussianTable, MEAN_STEPS, poissonTable } from "./model.ts";
import { type Bins, evenBins } from "./rans.ts";
import type { SymbolTable } from "./symbol-table.ts";

/** The numbers of the families in a block's header. */
export const Family = { constant: 0, gaussian: 1, poisson: 2, binomial: 3 } as const;

/** Parameters of a block, as its header has them. */
export type Parameters =
  | { readonly family: typeof Family.constant; readonly start: number }
  | {
      readonly family: typeof Family.gaussian;
      readonly start: number;
      readonly step: number;
      readonly shift: number;
    }
  | { readonly family: typeof Family.poisson; readonly start: number; readonly mean: number }
  | {
      readonly family: typeof Family.binomial;
      readonly start: number;
      readonly mean: number;
      readonly shape: number;
      readonly shift: number;
    };

/** Bins by number of symbols, offset and shift; there are few, and they are small. */
const binsCache = new Map<number, Bins>();
const MAX_KEPT_BINS = 256;

function binsOf(count: number, shift: number, first: number): Bins {
  const key = (count * 64 + shift) * 2 + first;
  let bins = binsCache.get(key);
  if (bins === undefined) {
    if (binsCache.size >= MAX_KEPT_BINS) binsCache.clear();
    bins = evenBins(count, shift, first);
    binsCache.set(key, bins);
  }
  return bins;
}

/** The table and the bins of a family with parameters. */
export function coderOf(parameters: Exclude<Parameters, { family: typeof Family.constant }>): {
  table: SymbolTable;
  bins: Bins;
} {
  switch (parameters.family) {
    case Family.gaussian: {
      const count = 2 * gaussianMiddle(parameters.step) + 1;
      const table = gaussianTable(parameters.step);
      return { table, bins: binsOf(count, parameters.shift, 1) };
    }
    case Family.poisson: {
      const table = poissonTable(parameters.mean);
      return { table, bins: binsOf(table.count - 1, 0, 0) };
    }
    case Family.binomial: {
      const table = binomialTable(parameters.mean, parameters.shape);
      return { table, bins: binsOf(table.count - 1, parameters.shift, 0) };
    }
  }
}

/** The bits that {@link writeParameters} takes. */
export function headerBits(parameters: Parameters): number {
  const { family, start } = parameters;
  const signed = 7 + Math.max(0, bitLength(Math.abs(start)) - 1);
  if (family === Family.constant) return 2 + signed;
  if (family === Family.gaussian) return 2 + 10 + signed;
  return 2 + 8 + (family === Family.binomial ? 11 : 0) + 1 + (start === 0 ? 0 : signed);
}

/** Writes a block's header. */
export function writeParameters(writer: BitWriter, parameters: Parameters): void {
  writer.write(parameters.family, 2);
  if (parameters.family === Family.constant) {
    writer.signed(parameters.start);
  } else if (parameters.family === Family.gaussian) {
    writer.write(parameters.step, 4);
    writer.write(parameters.shift, 6);
    writer.signed(parameters.start);
  } else {
    writer.write(parameters.mean, 8);
    if (parameters.family === Family.binomial) {
      writer.write(parameters.shape, 5);
      writer.write(parameters.shift, 6);
    }
    writeStart(writer, parameters.start);
  }
}

function writeStart(writer: BitWriter, start: number): void {
  writer.write(start === 0 ? 0 : 1, 1);
  if (start !== 0) writer.signed(start);
}

/** Reads what {@link writeParameters} wrote. */
export function readParameters(reader: BitReader): Parameters {
  const family = reader.read(2);
  if (family === Family.constant) return { family, start: reader.signed() };
  if (family === Family.gaussian) {
    const step = reader.read(4);
    const shift = readShift(reader);
    return { family, step, shift, start: reader.signed() };
  }
  const mean = reader.read(8);
  if (mean < 1 || mean > MEAN_STEPS) throw new MalformedBytes("a mean is out of range");
  if (family === Family.poisson) return { family, mean, start: readStart(reader) };
  const shape = reader.read(5);
  const shift = readShift(reader);
  return { family: Family.binomial, mean, shape, shift, start: readStart(reader) };
}

function readShift(reader: BitReader): number {
  const shift = reader.read(6);
  if (shift > MAX_BITS) throw new MalformedBytes("a width is out of range");
  return shift;
}

function readStart(reader: BitReader): number {
  return reader.read(1) === 0 ? 0 : reader.signed();
}
