// Which family and which parameters describe a block of values best. For encoding only: what is
// found is written into the block's header.

import { bitLength, POWERS } from "./bits.ts";
import { coderOf, Family, headerBits, type Parameters } from "./families.ts";
import {
  GAUSSIAN_STEPS,
  gaussianMiddle,
  MEAN_STEPS,
  meanStep,
  SHAPE_STEPS,
  shapeStep,
} from "./model.ts";
import { costOf, type Run } from "./rans.ts";
import { MAX_SYMBOLS } from "./symbol-table.ts";

/** The largest mean of the tables that count from 0. */
const MAX_TABLE_MEAN = (MEAN_STEPS / 16) ** 2;

/** Bins are made so that the mean of a negative binomial lies below this. */
const BINOMIAL_MEAN = 40;

/** A block with its parameters, ready to be encoded. */
export interface Block extends Run {
  readonly parameters: Parameters;
  /** About the bits of its header and its values. */
  readonly bits: number;
}

interface Moments {
  readonly mean: number;
  readonly variance: number;
  readonly least: number;
  readonly most: number;
  readonly sorted: Float64Array;
}

type Shaped = Exclude<Parameters, { family: typeof Family.constant }>;

/**
 * Finds the parameters for the block `from`..`to` that promise the fewest bits; undefined when its
 * values lie too far apart for exact arithmetic.
 *
 * @param sorted the values of the block in ascending order
 * @param spread whether to look at families for spread out values too, whose tables cost time to
 * make
 */
export function planBlock(
  from: number,
  to: number,
  sorted: Float64Array,
  spread: boolean,
): Block | undefined {
  const moments = momentsOf(sorted);
  if (moments.least === moments.most) return constantBlock(from, to, moments.least);
  const counts = new Counts(sorted);
  let best: { readonly bits: number; readonly parameters: Shaped } | undefined;
  for (const parameters of candidates(moments, spread)) {
    if (!isExact(parameters.start, moments)) continue;
    const { table, bins } = coderOf(parameters);
    const inside = costOf(counts.of(parameters, table.count), table, bins);
    const bits = headerBits(parameters) + inside + counts.outside;
    if (best === undefined || bits < best.bits) best = { bits, parameters };
  }
  if (best === undefined) return undefined;
  const { bits, parameters } = best;
  const coder = coderOf(parameters);
  const symbolOf = symbols(parameters, coder.table.count);
  return { from, to, ...coder, plus: parameters.start, symbolOf, parameters, bits };
}

/** Whether the start, and every value's distance from it, is an integer that a double holds exactly. */
function isExact(start: number, { most }: Moments): boolean {
  return Number.isSafeInteger(start) && most - start <= Number.MAX_SAFE_INTEGER;
}

function constantBlock(from: number, to: number, value: number): Block {
  const parameters = { family: Family.constant, start: value };
  // A constant is not coded; another family's coder stands where the type wants one.
  const coder = coderOf({ family: Family.poisson, mean: 1, start: 0 });
  return {
    from,
    to,
    ...coder,
    plus: 0,
    symbolOf: () => 0,
    parameters,
    bits: headerBits(parameters),
  };
}

/** Which symbol of the family's table a value is, from which its start was taken. */
function symbols(parameters: Shaped, count: number): (value: number) => number {
  const lowest = parameters.family === Family.gaussian ? 1 : 0;
  const scale = parameters.family === Family.poisson ? 1 : POWERS[parameters.shift]!;
  return (value) => {
    const symbol = Math.floor(value / scale) + lowest;
    return symbol < 0 ? 0 : symbol >= count ? count - 1 : symbol;
  };
}

/** How often each symbol occurs. Families that cut the values into the same bins share the work. */
class Counts {
  readonly #sorted: Float64Array;
  readonly #counts = new Uint32Array(MAX_SYMBOLS);
  #key = "";
  #outside = 0;

  constructor(sorted: Float64Array) {
    this.#sorted = sorted;
  }

  /** The bits that values outside the bins counted last take besides their symbols. */
  get outside(): number {
    return this.#outside;
  }

  of(parameters: Shaped, count: number): Uint32Array {
    const gaussian = parameters.family === Family.gaussian;
    const shift = parameters.family === Family.poisson ? 0 : parameters.shift;
    const key = `${count} ${shift} ${parameters.start} ${gaussian}`;
    if (key === this.#key) return this.#counts;
    this.#key = key;
    this.#counts.fill(0);
    this.#outside = 0;
    const symbolOf = symbols(parameters, count);
    const end = (count - (gaussian ? 2 : 1)) * POWERS[shift]!;
    for (let at = 0; at < this.#sorted.length; at++) {
      const value = this.#sorted[at]! - parameters.start;
      const symbol = symbolOf(value);
      this.#counts[symbol] = this.#counts[symbol]! + 1;
      if (value < 0) this.#outside += sizedBits(-1 - value);
      else if (value >= end) this.#outside += sizedBits(value - end);
    }
    return this.#counts;
  }
}

function* candidates(moments: Moments, spread: boolean): Generator<Shaped> {
  const { mean, variance, least, most, sorted } = moments;
  const width = Math.sqrt(variance);
  yield gaussian(mean, width);
  if (most - least > 12 * width) {
    // A few far values should not widen the bins of all others.
    const quarter = sorted.length >>> 2;
    const middle = sorted[sorted.length - 1 - quarter]! - sorted[quarter]!;
    yield gaussian(sorted[sorted.length >>> 1]!, Math.max(1, middle / MIDDLE_HALF));
  }
  for (const start of least > 0 && least < mean ? [0, least] : [Math.min(0, least)]) {
    const above = mean - start;
    // Of numbers near 2^53 the mean may round to below the least.
    if (!(above > 0)) continue;
    // How far the variance of a Poisson's values may lie from its mean by chance.
    const chance = 1 + 3 * Math.sqrt(2 / sorted.length);
    const poissonLike = variance > above / 2 && variance < above * chance;
    if (above <= MAX_TABLE_MEAN && (start === 0 || poissonLike)) yield* poissons(above, start);
    if (spread && variance > above * chance) yield* binomials(above, variance, start);
  }
}

/** The middle half of a Gaussian is this many standard deviations wide. */
const MIDDLE_HALF = 1.349;

function gaussian(mean: number, width: number): Shaped {
  const shift = Math.max(0, Math.floor(Math.log2(width / 4)));
  const steps = Math.round(GAUSSIAN_STEPS * Math.log2(width / POWERS[shift]! / 4));
  const step = Math.min(GAUSSIAN_STEPS - 1, Math.max(0, steps));
  const bin = POWERS[shift]!;
  // The middle of the middle bin comes to lie on the mean.
  const start = Math.round(mean - gaussianMiddle(step) * bin - (bin - 1) / 2);
  return { family: Family.gaussian, step, shift, start };
}

function* poissons(above: number, start: number): Generator<Shaped> {
  const step = meanStep(above);
  for (const mean of [step - 1, step, step + 1]) {
    if (mean >= 1 && mean <= MEAN_STEPS) yield { family: Family.poisson, mean, start };
  }
}

function* binomials(above: number, variance: number, start: number): Generator<Shaped> {
  const shift = Math.max(0, Math.ceil(Math.log2(above / BINOMIAL_MEAN)));
  const scale = POWERS[shift]!;
  // A bin holds `scale` values: their mean is lower by the half of what is rounded down.
  const center = Math.max(0.01, (above - (scale - 1) / 2) / scale);
  const spread = variance / (scale * scale);
  const step = meanStep(center);
  const near = shapeStep(spread > center ? (center * center) / (spread - center) : 1e9);
  if (step > MEAN_STEPS) return;
  for (const shape of [near - 1, near, near + 1, near + 2]) {
    if (shape < 0 || shape >= SHAPE_STEPS) continue;
    yield { family: Family.binomial, mean: step, shape, shift, start };
  }
}

function momentsOf(sorted: Float64Array): Moments {
  let sum = 0;
  for (let at = 0; at < sorted.length; at++) sum += sorted[at]!;
  const mean = sum / sorted.length;
  let squares = 0;
  for (let at = 0; at < sorted.length; at++) {
    const distance = sorted[at]! - mean;
    squares += distance * distance;
  }
  const variance = squares / sorted.length;
  return { mean, variance, least: sorted[0]!, most: sorted[sorted.length - 1]!, sorted };
}

/** The bits that the distance of a value outside the bins takes. */
function sizedBits(value: number): number {
  return 6 + Math.max(0, bitLength(value) - 1);
}
