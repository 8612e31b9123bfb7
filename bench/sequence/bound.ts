// The entropy bounds that the codecs are measured against: what no code can beat on average, for a
// reader who knows the model that the trace is drawn from, with its parameters, but not the
// numbers.

import { lnFactorial } from "./chance.ts";

/** Beyond this mean the Gaussian formula is exact to a millionth of a bit. */
const LARGE_MEAN = 10_000;

/** The entropy of a Poisson number, in bits: the sum over its values. */
export function poissonBits(mean: number): number {
  if (mean === 0) return 0;
  if (mean > LARGE_MEAN) {
    return 0.5 * Math.log2(2 * Math.PI * Math.E * mean) - 1 / (12 * mean * Math.LN2);
  }
  const width = 12 * Math.sqrt(mean) + 30;
  let bits = 0;
  for (let k = Math.max(0, Math.floor(mean - width)); k <= mean + width; k++) {
    const ln = k * Math.log(mean) - mean - lnFactorial(k);
    bits -= (Math.exp(ln) * ln) / Math.LN2;
  }
  return bits;
}

/** The bound of a clock whose seqs are independent Poisson numbers of these means, in bytes. */
export function clockBound(means: Float64Array): number {
  const known = new Map<number, number>();
  let bits = 0;
  for (const mean of means) {
    let each = known.get(mean);
    if (each === undefined) {
      each = poissonBits(mean);
      known.set(mean, each);
    }
    bits += each;
  }
  return bits / 8;
}

/**
 * The bound of a delta of `writes` writes that fall on `vbuckets` vbuckets evenly, in bytes: the
 * entropy of the multinomial distribution, `k·log2 V - log2 k! + V·E[log2 x!]`.
 */
export function deltaBound(writes: number, vbuckets: number): number {
  const share = 1 / vbuckets;
  let expected = 0;
  for (let x = 2; x <= Math.min(writes, 400); x++) {
    const ln =
      lnFactorial(writes) -
      lnFactorial(x) -
      lnFactorial(writes - x) +
      x * Math.log(share) +
      (writes - x) * Math.log1p(-share);
    expected += Math.exp(ln) * lnFactorial(x);
  }
  const bits =
    writes * Math.log2(vbuckets) + (vbuckets * expected - lnFactorial(writes)) / Math.LN2;
  return bits / 8;
}
