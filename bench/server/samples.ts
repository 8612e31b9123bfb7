// Latency samples and what is said of them.

/** What is reported of a set of durations, in milliseconds. */
export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** The spread of `samples` (milliseconds); they are sorted in place. */
export function spreadOf(samples: number[]): Spread {
  samples.sort((a, b) => a - b);
  const at = (share: number) =>
    samples[Math.min(samples.length - 1, Math.floor(samples.length * share))];
  const round = (value: number | undefined) => Math.round((value ?? Number.NaN) * 1000) / 1000;
  return {
    count: samples.length,
    p50: round(at(0.5)),
    p90: round(at(0.9)),
    p99: round(at(0.99)),
    max: round(samples[samples.length - 1]),
  };
}
