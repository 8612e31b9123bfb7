// Operations on clocks, against their plain definitions.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { clampToBranches } from "../../src/clock/branches.ts";
import {
  type ClockOrder,
  changedVbuckets,
  compare,
  copyClock,
  difference,
  equals,
  includes,
  includesClock,
  join,
  meet,
  total,
  zeroClock,
} from "../../src/clock/clock.ts";
import type { Clock, Tick } from "../../src/clock/tick.ts";

/** Two clocks that agree in many places, so that every order comes up. */
const pair = fc
  .array(fc.tuple(fc.nat(3), fc.nat(3), fc.boolean()), { minLength: 1, maxLength: 40 })
  .map((rows): [Clock, Clock] => [
    Float64Array.from(rows, ([a]) => a),
    Float64Array.from(rows, ([a, b, same]) => (same ? a : b)),
  ]);

function orderOf(a: Clock, b: Clock): ClockOrder {
  const less = a.some((seq, vb) => seq < b[vb]!);
  const more = a.some((seq, vb) => seq > b[vb]!);
  if (less && more) return "concurrent";
  return less ? "before" : more ? "after" : "equal";
}

describe("clocks", () => {
  test("compare as the definition says, and the other way round when turned", () => {
    const seen = new Set<ClockOrder>();
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const order = compare(a, b);
        seen.add(order);
        expect(order).toBe(orderOf(a, b));
        expect(compare(b, a)).toBe(orderOf(b, a));
        expect(equals(a, b)).toBe(order === "equal");
        expect(includesClock(b, a)).toBe(order === "equal" || order === "before");
      }),
      { numRuns: 2000 },
    );
    expect(seen.size).toBe(4);
  });

  test("join has what either has, meet what both have", () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const joined = join(copyClock(a), b);
        const met = meet(copyClock(a), b);
        for (let vb = 0; vb < a.length; vb++) {
          for (let seq = 0; seq <= 4; seq++) {
            const inA = includes(a, vb, seq);
            const inB = includes(b, vb, seq);
            expect(includes(joined, vb, seq)).toBe(inA || inB);
            expect(includes(met, vb, seq)).toBe(inA && inB);
          }
        }
        expect(total(joined) + total(met)).toBe(total(a) + total(b));
      }),
    );
  });

  test("the difference leads from one to the other, and names the changed vbuckets", () => {
    fc.assert(
      fc.property(pair, ([a, b]) => {
        const change = difference(zeroClock(a.length), a, b);
        const changed = new Uint16Array(a.length);
        const count = changedVbuckets(changed, a, b);
        const rebuilt = copyClock(a);
        for (const vb of changed.subarray(0, count)) {
          expect(change[vb]).not.toBe(0);
          rebuilt[vb] = rebuilt[vb]! + change[vb]!;
        }
        expect(rebuilt).toEqual(b);
      }),
    );
  });

  test("clocks of different buckets are not put together", () => {
    expect(() => compare(zeroClock(2), zeroClock(3))).toThrow("same number of vbuckets");
    expect(() => join(zeroClock(2), zeroClock(3))).toThrow("same number of vbuckets");
  });

  test("a clock is cut back by later rollbacks alone, however many", () => {
    const branches = {
      version: 2,
      rollbacks: () => [
        { vb: 1, seq: 50, tick: 10 as Tick },
        { vb: 1, seq: 70, tick: 20 as Tick },
        { vb: 2, seq: 5, tick: 20 as Tick },
      ],
    };
    const clampAt = (tick: number) => [
      ...clampToBranches(Float64Array.of(100, 100, 100), tick as Tick, branches),
    ];
    expect(clampAt(9)).toEqual([100, 50, 5]);
    expect(clampAt(10)).toEqual([100, 50, 5]);
    expect(clampAt(11)).toEqual([100, 70, 5]);
    expect(clampAt(20)).toEqual([100, 70, 5]);
    expect(clampAt(21)).toEqual([100, 100, 100]);
  });
});
