// What the clocks' tests share: clocks of every shape, and a generator of random numbers by seed.

import fc from "fast-check";
import { MAX_SEQ } from "../../src/bucket/vbucket.ts";
import type { Clock } from "../../src/clock/tick.ts";

/** Numbers in [0, 1) that a seed repeats. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function gauss(next: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/** A Poisson number of mean `mean`. */
export function poisson(next: () => number, mean: number): number {
  if (mean > 30) return Math.max(0, Math.round(mean + Math.sqrt(mean) * gauss(next)));
  const limit = Math.exp(-mean);
  let count = 0;
  for (let product = next(); product > limit; product *= next()) count++;
  return count;
}

/** The shapes of clocks that the codecs are made for, and some that they are not. */
export const shapes: Readonly<Record<string, (vbuckets: number, next: () => number) => Clock>> = {
  empty: (vbuckets) => new Float64Array(vbuckets),
  constant: (vbuckets, next) => new Float64Array(vbuckets).fill(Math.floor(next() * 1e9)),
  "a few": (vbuckets, next) =>
    Float64Array.from({ length: vbuckets }, () => (next() < 0.01 ? Math.ceil(next() * 3) : 0)),
  "thin Poisson": (vbuckets, next) => poissons(vbuckets, next, next()),
  Poisson: (vbuckets, next) => poissons(vbuckets, next, 10 ** (next() * 7)),
  "huge Poisson": (vbuckets, next) => poissons(vbuckets, next, 10 ** (7 + next() * 8)),
  "long tail": (vbuckets, next) =>
    Float64Array.from({ length: vbuckets }, () => Math.floor(2 ** (next() * next() * 52))),
  uniform: (vbuckets, next) => {
    const most = 2 ** Math.floor(next() * 53);
    return Float64Array.from({ length: vbuckets }, () => Math.floor(next() * most));
  },
  "up to the end": (vbuckets, next) =>
    Float64Array.from({ length: vbuckets }, () => MAX_SEQ - Math.floor(next() * 100)),
  extremes: (vbuckets, next) =>
    Float64Array.from({ length: vbuckets }, () => (next() < 0.5 ? 0 : MAX_SEQ)),
  "blocks of different age": (vbuckets, next) => {
    const means = Array.from({ length: 8 }, () => 10 ** (next() * 6));
    return Float64Array.from({ length: vbuckets }, (_, vb) =>
      poisson(next, means[Math.floor((vb * 8) / vbuckets)]!),
    );
  },
  "mostly empty": (vbuckets, next) =>
    Float64Array.from({ length: vbuckets }, () =>
      next() < 0.8 ? 0 : 1_000_000 + Math.floor(next() * 1000),
    ),
  "far outliers": (vbuckets, next) =>
    Float64Array.from({ length: vbuckets }, () =>
      next() < 0.01 ? Math.floor(next() * MAX_SEQ) : poisson(next, 1e6),
    ),
  repeating: (vbuckets, next) => {
    const part = Float64Array.from({ length: 16 }, () => Math.floor(next() * 1e12));
    return Float64Array.from({ length: vbuckets }, (_, vb) => part[vb % 16]!);
  },
};

function poissons(vbuckets: number, next: () => number, mean: number): Clock {
  return Float64Array.from({ length: vbuckets }, () => poisson(next, mean));
}

/** A clock of any shape and size. */
export const anyClock: fc.Arbitrary<Clock> = fc
  .tuple(
    fc.constantFrom(...Object.values(shapes)),
    fc.oneof(fc.constantFrom(1, 2, 3, 64, 1024), fc.integer({ min: 1, max: 300 })),
    fc.nat(),
  )
  .map(([shape, vbuckets, seed]) => shape(vbuckets, random(seed)));

/** A clock and a later one: few writes or many, evenly spread or not. */
export const clockAndLater: fc.Arbitrary<[Clock, Clock]> = fc
  .tuple(anyClock, fc.constantFrom(0, 1, 2, 10, 100, 1000, 100_000), fc.boolean(), fc.nat())
  .map(([clock, writes, skewed, seed]) => {
    const next = random(seed);
    const later = clock.slice();
    for (let write = 0; write < writes; write++) {
      const vb = Math.floor((skewed ? next() ** 8 : next()) * clock.length);
      later[vb] = Math.min(MAX_SEQ, later[vb]! + 1);
    }
    return [clock, later];
  });

/**
 * Everything that a byte string may become on its way: cut short, lengthened, one bit or byte
 * wrong.
 */
export function* damaged(bytes: Uint8Array, next: () => number, most = 200): Generator<Uint8Array> {
  for (let index = 0; index < Math.min(bytes.length, most); index++) {
    const at = bytes.length <= most ? index : Math.floor(next() * bytes.length);
    yield bytes.subarray(0, at);
    for (const bit of bytes.length * 8 <= most ? [0, 1, 2, 3, 4, 5, 6, 7] : [index & 7]) {
      const flipped = bytes.slice();
      flipped[at] = flipped[at]! ^ (1 << bit);
      yield flipped;
    }
    const other = bytes.slice();
    other[at] = (other[at]! + 1 + Math.floor(next() * 255)) & 0xff;
    yield other;
  }
  yield Uint8Array.of(...bytes, 0);
  yield Uint8Array.of(0, ...bytes);
  yield Uint8Array.of(...bytes, ...bytes);
}

/** From the one to the other, and back. */
export function bothWays(a: Clock, b: Clock): [from: Clock, to: Clock][] {
  return [
    [a, b],
    [b, a],
  ];
}
