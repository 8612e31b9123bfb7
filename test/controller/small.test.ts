// The controller's small parts: changed channels, the head's ring, rollbacks, elections, partitions.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Tick } from "../../src/clock/tick.ts";
import { ChangedSet } from "../../src/controller/changed-set.ts";
import { Election } from "../../src/controller/election.ts";
import { changedSince, HeadRing } from "../../src/controller/head-ring.ts";
import { Rollbacks } from "../../src/controller/rollbacks.ts";
import { MAX_HEAD_HASHES, MAX_HEAD_TICKS } from "../../src/controller/settings.ts";
import { firstVbucket, partitionOf } from "../../src/controller/term.ts";

const tick = (value: number) => value as Tick;

describe("changed channels", () => {
  test("are collected, and unknown once they are too many", () => {
    const set = new ChangedSet(3);
    expect(set.empty).toBe(true);
    set.add([1, 2]);
    set.add([2, 3]);
    expect(set.value).toEqual(new Set([1, 2, 3]));
    set.add([4]);
    expect(set.take()).toBe("unknown");
    expect(set.empty).toBe(true);
    set.add("unknown");
    set.add([1]);
    expect(set.value).toBe("unknown");
  });

  test("what was taken does not change with what comes later", () => {
    const set = new ChangedSet();
    set.add([1]);
    const taken = set.take();
    set.add([2]);
    expect(taken).toEqual(new Set([1]));
  });
});

describe("the ring of the head", () => {
  test("tells what changed since a tick that it reaches back to, and else that it is unknown", () => {
    const ring = new HeadRing(tick(10));
    for (let i = 1; i <= MAX_HEAD_TICKS + 5; i++) ring.add(tick(10 + i), new Set([i]));
    const head = ring.record();
    const newest = 10 + MAX_HEAD_TICKS + 5;
    expect(changedSince(head, tick(newest - 2))).toEqual(
      new Set([MAX_HEAD_TICKS + 4, MAX_HEAD_TICKS + 5]),
    );
    expect(changedSince(head, tick(newest))).toEqual(new Set());
    expect(changedSince(head, tick(15))).not.toBe("unknown");
    expect(changedSince(head, tick(14))).toBe("unknown");
  });

  test("is bounded in hashes, too", () => {
    const ring = new HeadRing(tick(0));
    const many = new Set(Array.from({ length: MAX_HEAD_HASHES - 1 }, (_, i) => i));
    ring.add(tick(1), many);
    ring.add(tick(2), new Set([1, 2, 3]));
    expect(ring.record().recent).toHaveLength(1);
    ring.add(tick(3), new Set(Array.from({ length: MAX_HEAD_HASHES + 1 }, (_, i) => i)));
    expect(changedSince(ring.record(), tick(2))).toBe("unknown");
  });
});

describe("rollbacks", () => {
  test("clamp the ticks before them, and no later ones", () => {
    const rollbacks = new Rollbacks().with([{ vb: 3, seq: 7, tick: tick(100) }]);
    expect(rollbacks.limit(3, tick(100))).toBe(7);
    expect(rollbacks.limit(3, tick(101))).toBe(Number.POSITIVE_INFINITY);
    expect(rollbacks.limit(4, tick(1))).toBe(Number.POSITIVE_INFINITY);
  });

  test("leaving out what later ones make superfluous changes no limit", () => {
    const cut = fc.record({ vb: fc.nat(2), seq: fc.nat(20), step: fc.nat(3) });
    fc.assert(
      fc.property(fc.array(cut, { maxLength: 30 }), (cuts) => {
        let now = 1;
        let rollbacks = new Rollbacks();
        const all: { vb: number; seq: number; tick: Tick }[] = [];
        for (const { vb, seq, step } of cuts) {
          now += step;
          all.push({ vb, seq, tick: tick(now) });
          rollbacks = rollbacks.with([{ vb, seq, tick: tick(now) }]);
        }
        for (let vb = 0; vb < 3; vb++) {
          for (let at = 0; at <= now + 1; at++) {
            const limits = all.filter((one) => one.vb === vb && at <= one.tick);
            const limit = Math.min(...limits.map(({ seq }) => seq));
            expect(rollbacks.limit(vb, tick(at))).toBe(limit);
          }
        }
        expect(rollbacks.version).toBe(cuts.length);
        expect(rollbacks.rollbacks().length).toBeLessThanOrEqual(cuts.length);
      }),
    );
  });

  test("never go back to fewer", () => {
    const known = new Rollbacks().with([{ vb: 1, seq: 1, tick: tick(1) }]);
    known.replace(new Rollbacks());
    expect(known.version).toBe(1);
  });
});

describe("an election", () => {
  const found = (cas: bigint, more: object = {}) => ({
    cas,
    record: { epoch: 1, owner: "other", host: "h", pid: 1, beat: 0, released: false, ...more },
  });

  test("waits for an owner whose heartbeat moves, and not for one whose does not", () => {
    const election = new Election("me", 1000, () => false);
    expect(election.mayTake(found(1n), 0)).toBe(false);
    expect(election.mayTake(found(2n), 900)).toBe(false);
    expect(election.mayTake(found(2n), 1800)).toBe(false);
    expect(election.mayTake(found(2n), 1900)).toBe(true);
  });

  test("does not wait for nobody, for who let go, who is gone, or for itself", () => {
    const none = new Election("me", 1000, () => false);
    expect(none.mayTake(undefined, 0)).toBe(true);
    expect(none.mayTake(found(1n, { released: true }), 0)).toBe(true);
    expect(none.mayTake(found(1n, { owner: "me" }), 0)).toBe(true);
    expect(new Election("me", 1000, ({ pid }) => pid === 1).mayTake(found(1n), 0)).toBe(true);
  });
});

test("partitions hold every vbucket once, in order, about evenly", () => {
  for (const [partitions, vbuckets] of [
    [16, 1024],
    [4, 8],
    [3, 8],
    [1, 64],
    [7, 1024],
  ] as const) {
    const sizes: number[] = [];
    for (let partition = 0; partition < partitions; partition++) {
      const first = firstVbucket(partition, partitions, vbuckets);
      const end = firstVbucket(partition + 1, partitions, vbuckets);
      sizes.push(end - first);
      for (let vb = first; vb < end; vb++) {
        expect(partitionOf(vb, partitions, vbuckets)).toBe(partition);
      }
    }
    expect(sizes.reduce((sum, size) => sum + size)).toBe(vbuckets);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
  }
});
