// Random numbers that a seed repeats, and the distributions that the traces are drawn from.

/** Numbers in [0, 1). */
export type Next = () => number;

/** The numbers of a seed. */
export function random(seed: number): Next {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Means from here on are drawn by the transformed rejection of Hörmann (PTRS), exactly Poisson. */
const LARGE_MEAN = 30;

/** A Poisson number. */
export function poisson(next: Next, mean: number): number {
  if (mean >= LARGE_MEAN) return poissonLarge(next, mean);
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = next(); product > limit; product *= next()) count++;
  return count;
}

function poissonLarge(next: Next, mean: number): number {
  const b = 0.931 + 2.53 * Math.sqrt(mean);
  const a = -0.059 + 0.02483 * b;
  const inverseAlpha = 1.1239 + 1.1328 / (b - 3.4);
  const vr = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    const u = next() - 0.5;
    const v = next();
    const us = 0.5 - Math.abs(u);
    const k = Math.floor(((2 * a) / us + b) * u + mean + 0.43);
    if (us >= 0.07 && v <= vr) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    const left = Math.log((v * inverseAlpha) / (a / (us * us) + b));
    if (left <= k * Math.log(mean) - mean - lnFactorial(k)) return k;
  }
}

const small = [0];

/** ln(n!), exact for small n, by Stirling's series for large. */
export function lnFactorial(n: number): number {
  if (n < 256) {
    for (let k = small.length; k <= n; k++) small[k] = small[k - 1]! + Math.log(k);
    return small[n]!;
  }
  return n * Math.log(n) - n + 0.5 * Math.log(2 * Math.PI * n) + 1 / (12 * n) - 1 / (360 * n ** 3);
}
