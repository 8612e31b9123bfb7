// How long the operations on clocks take, by the number of vbuckets.

import { compare, difference, join } from "../../src/clock/clock.ts";
import { decodeClock, encodeClock } from "../../src/clock/whole.ts";
import { poisson, random } from "./chance.ts";
import { type Timing, time } from "./timing.ts";

/** The sizes of clocks. */
const SIZES = [64, 256, 1024, 4096, 16_384, 65_536];

/** Microseconds of the operations on clocks of one size, of 1,000 writes a vbucket on average. */
export interface SpeedResult {
  readonly vbuckets: number;
  readonly bytes: number;
  readonly encode: Timing;
  readonly decode: Timing;
  /** Of two clocks of which one has all of the other's and more: the whole of both is looked at. */
  readonly compare: Timing;
  readonly compareEqual: Timing;
  readonly join: Timing;
  readonly difference: Timing;
}

/** Measures the operations for each size. */
export function measureSpeed(): SpeedResult[] {
  return SIZES.map((vbuckets) => {
    const next = random(vbuckets);
    const clocks = Array.from({ length: 8 }, () =>
      Float64Array.from({ length: vbuckets }, () => poisson(next, 1000)),
    );
    const later = clocks.map((clock) => clock.map((seq) => seq + poisson(next, 0.2)));
    const same = clocks.map((clock) => clock.slice());
    const encoded = clocks.map((clock) => encodeClock(clock));
    const target = new Float64Array(vbuckets);
    return {
      vbuckets,
      bytes: encoded.reduce((sum, bytes) => sum + bytes.length, 0) / encoded.length,
      encode: time((run) => encodeClock(clocks[run & 7]!)),
      decode: time((run) => decodeClock(encoded[run & 7]!)),
      compare: time((run) => compare(clocks[run & 7]!, later[run & 7]!)),
      compareEqual: time((run) => compare(clocks[run & 7]!, same[run & 7]!)),
      join: time((run) => join(clocks[run & 7]!, same[run & 7]!)),
      difference: time((run) => difference(target, clocks[run & 7]!, later[run & 7]!)),
    };
  });
}
