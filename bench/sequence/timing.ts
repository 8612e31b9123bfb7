// Time of a short piece of work: many batches, of which the middle one counts.

/** A batch takes at least this long, so that the clock's grain does not matter. */
const BATCH_MS = 1;
const BATCHES = 15;
const WARM_UP_MS = 15;

/** Microseconds that `work` takes: the median over the batches, and the fastest. */
export interface Timing {
  readonly us: number;
  readonly fastestUs: number;
}

/** Times `work`, which is told how often it ran, after warming up. */
export function time(work: (run: number) => unknown): Timing {
  let run = 0;
  let sink: unknown;
  const warm = performance.now() + WARM_UP_MS;
  while (performance.now() < warm) sink = work(run++);
  let size = 1;
  for (;;) {
    const begun = performance.now();
    for (let count = 0; count < size; count++) sink = work(run++);
    if (performance.now() - begun >= BATCH_MS) break;
    size *= 2;
  }
  const batches = Array.from({ length: BATCHES }, () => {
    const begun = performance.now();
    for (let count = 0; count < size; count++) sink = work(run++);
    return ((performance.now() - begun) / size) * 1000;
  }).sort((a, b) => a - b);
  if (sink === neverMade) throw new Error("the work was optimised away");
  return { us: batches[BATCHES >>> 1]!, fastestUs: batches[0]! };
}

const neverMade = Symbol("never");

/** The value below which a share of the sorted numbers lies. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
