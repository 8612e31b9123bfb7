// What is remembered of the last ticks: never less than what they changed.

import { expect, test } from "bun:test";
import type { Tick } from "../../src/clock/tick.ts";
import { MAX_RECENT_HASHES, MAX_RECENT_TICKS } from "../../src/replication/limits.ts";
import { RecentTicks } from "../../src/replication/recent-ticks.ts";

const tick = (n: number) => n as Tick;

test("the changes between two ticks are put together", () => {
  const recent = new RecentTicks(tick(10));
  recent.add(tick(11), new Set([1]));
  recent.add(tick(13), new Set([2, 3]));
  recent.add(tick(14), new Set([3, 4]));
  const between = (from: number, to: number) => {
    const changed = recent.changed(tick(from), tick(to));
    return changed === "unknown" ? changed : [...changed].sort();
  };
  expect(between(10, 14)).toEqual([1, 2, 3, 4]);
  expect(between(11, 13)).toEqual([2, 3]);
  expect(between(12, 14)).toEqual([2, 3, 4]);
  expect(between(14, 14)).toEqual([]);
  expect(between(9, 14)).toBe("unknown");
});

test("after a tick that does not say what it changed, nothing before it is known", () => {
  const recent = new RecentTicks(tick(0));
  recent.add(tick(1), new Set([1]));
  recent.add(tick(2), "unknown");
  recent.add(tick(3), new Set([3]));
  expect(recent.changed(tick(1), tick(3))).toBe("unknown");
  expect(recent.changed(tick(2), tick(3))).toEqual(new Set([3]));
});

test("what is too much to remember is unknown", () => {
  const recent = new RecentTicks(tick(0));
  for (let n = 1; n <= MAX_RECENT_TICKS + 5; n++) recent.add(tick(n), new Set([n]));
  expect(recent.changed(tick(4), tick(9))).toBe("unknown");
  expect(recent.changed(tick(5), tick(7))).toEqual(new Set([6, 7]));
  const many = new Set(Array.from({ length: MAX_RECENT_HASHES - 1 }, (_, i) => i));
  recent.add(tick(10_000), many);
  expect(recent.changed(tick(500), tick(10_000))).toBe("unknown");
  recent.add(tick(10_001), new Set([...many, -1, -2]));
  expect(recent.changed(tick(10_000), tick(10_001))).toBe("unknown");
});
