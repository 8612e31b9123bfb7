// The distributions that clocks follow, as tables of the entropy coder: Gaussian, Poisson, negative
// binomial. Their parameters come in steps, so that they fit a few bits of a header, and every
// machine must make the same table of them: only + - * / and square roots are used, which are
// exactly defined.

import { assert } from "../../base/assert.ts";
import { MAX_SYMBOLS, type SymbolTable, shareSlots } from "./symbol-table.ts";

/** Steps of the width of a Gaussian: each 2^(1/16) wider than the one before. */
export const GAUSSIAN_STEPS = 16;

/** The bins of a Gaussian table reach this many standard deviations to both sides. */
const REACH = 4.25;

/** The mean of a Poisson or negative binomial is (step / 16)^2; steps go from 1 to this. */
export const MEAN_STEPS = 160;
const MEAN_STEP = 16;

/** Steps of the shape of a negative binomial: 2^((step - 8) / 2), from 1/16 to 2^11. */
export const SHAPE_STEPS = 32;
const SHAPE_OF_ONE = 8;

/** Values rarer than this have no symbol of their own. */
const RAREST = 1 / 32_768;

/** Negative binomial tables kept, the least used goes. A table takes about 5 KB. */
const MAX_KEPT_TABLES = 128;

/** How long, in bins, one standard deviation of a Gaussian table is: from 4 to 8. */
export function gaussianWidth(step: number): number {
  return 4 * exp((step / GAUSSIAN_STEPS) * LN2);
}

/** Which bin of a Gaussian table is in the middle: there are as many below it as above. */
export function gaussianMiddle(step: number): number {
  return Math.ceil(REACH * gaussianWidth(step));
}

/** The mean that a step stands for. */
export function meanOf(step: number): number {
  return (step / MEAN_STEP) * (step / MEAN_STEP);
}

/** The step whose mean is nearest to `mean`. */
export function meanStep(mean: number): number {
  return Math.min(MEAN_STEPS, Math.max(1, Math.round(Math.sqrt(mean) * MEAN_STEP)));
}

/** The shape that a step stands for: the smaller, the more spread out. */
export function shapeOf(step: number): number {
  return exp(((step - SHAPE_OF_ONE) / 2) * LN2);
}

/** The step whose shape is nearest to `shape`. */
export function shapeStep(shape: number): number {
  const step = Math.round(Math.log2(shape) * 2) + SHAPE_OF_ONE;
  return Math.min(SHAPE_STEPS - 1, Math.max(0, step));
}

const gaussians: (SymbolTable | undefined)[] = [];
const poissons: (SymbolTable | undefined)[] = [];
const binomials = new Map<number, SymbolTable>();

/** The table of a Gaussian: symbol 0 is what is below the bins, the last what is above them. */
export function gaussianTable(step: number): SymbolTable {
  assert(step >= 0 && step < GAUSSIAN_STEPS, "the width is one of the steps");
  gaussians[step] ??= shareSlots(gaussianWeights(gaussianWidth(step), gaussianMiddle(step)));
  return gaussians[step];
}

/** The table of a Poisson: symbol = value, the last symbol is all larger ones. */
export function poissonTable(step: number): SymbolTable {
  assert(step >= 1 && step <= MEAN_STEPS, "the mean is one of the steps");
  poissons[step] ??= shareSlots(poissonWeights(meanOf(step)));
  return poissons[step];
}

/** The table of a negative binomial: symbol = value, the last symbol is all larger ones. */
export function binomialTable(mean: number, shape: number): SymbolTable {
  assert(mean >= 1 && mean <= MEAN_STEPS, "the mean is one of the steps");
  assert(shape >= 0 && shape < SHAPE_STEPS, "the shape is one of the steps");
  const key = mean * SHAPE_STEPS + shape;
  const table = binomials.get(key) ?? shareSlots(binomialWeights(meanOf(mean), shapeOf(shape)));
  binomials.delete(key);
  binomials.set(key, table);
  if (binomials.size > MAX_KEPT_TABLES) binomials.delete(binomials.keys().next().value!);
  return table;
}

function gaussianWeights(width: number, middle: number): number[] {
  const density = (bins: number) => exp(-(bins * bins) / (2 * width * width));
  const weights = [0];
  for (let bin = 0; bin <= 2 * middle; bin++) {
    const from = bin - middle - 0.5;
    // Simpson's rule over the bin.
    weights.push((density(from) + 4 * density(from + 0.5) + density(from + 1)) / 6);
  }
  const tail = weights[1]!;
  weights[0] = tail;
  weights.push(tail);
  return weights;
}

function poissonWeights(mean: number): number[] {
  const weights: number[] = [];
  let chance = exp(-mean);
  for (let value = 0; value < MAX_SYMBOLS - 1; value++) {
    if (value > mean && chance < RAREST) break;
    weights.push(chance);
    chance = (chance * mean) / (value + 1);
  }
  weights.push(RAREST);
  return weights;
}

function binomialWeights(mean: number, shape: number): number[] {
  const weights: number[] = [];
  const ratio = mean / (shape + mean);
  let chance = exp(-shape * ln(1 + mean / shape));
  let rest = 1;
  for (let value = 0; value < MAX_SYMBOLS - 1; value++) {
    if (value > mean && rest < RAREST) break;
    weights.push(chance);
    rest -= chance;
    chance = (chance * (value + shape) * ratio) / (value + 1);
  }
  weights.push(Math.max(rest, RAREST));
  return weights;
}

// Math.exp and Math.log may differ in the last bit between engines, and a table that differs in one
// slot decodes to another clock. These two are the same everywhere.

const LN2 = Math.LN2;

/** e^x, by a series on x / 2^k and k squarings. */
function exp(x: number): number {
  let halvings = 0;
  let part = x;
  while (part > 0.03125 || part < -0.03125) {
    part /= 2;
    halvings++;
  }
  let sum = 1;
  let term = 1;
  for (let index = 1; index <= 9; index++) {
    term = (term * part) / index;
    sum += term;
  }
  for (; halvings > 0; halvings--) sum *= sum;
  return sum;
}

/** The natural logarithm of x >= 1, by the series of artanh on x / 2^k. */
function ln(x: number): number {
  let part = x;
  let twos = 0;
  while (part > 1.5) {
    part /= 2;
    twos++;
  }
  const ratio = (part - 1) / (part + 1);
  let power = ratio;
  let sum = 0;
  for (let index = 1; index <= 41; index += 2) {
    sum += power / index;
    power *= ratio * ratio;
  }
  return 2 * sum + twos * LN2;
}
