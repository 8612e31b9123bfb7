// Rollbacks: what becomes of the clock, of older ticks, and of what a lost mutation had superseded.

import { expect, test } from "bun:test";
import { loseTail } from "../../src/bucket/embedded/testing.ts";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import type { Clock } from "../../src/clock/tick.ts";
import { type ControllerBench, type TestNode, VBUCKETS, withControllers } from "./bench.ts";

const controllers = (name: string, task: (bench: ControllerBench) => Promise<void>) =>
  test(name, () => withControllers(task), 60_000);

const X = "doc1";
const VB = vbucketOf(X, VBUCKETS);
/** Other documents of the same vbucket. */
const others = Array.from({ length: 200 }, (_, i) => `other${i}`).filter(
  (id) => vbucketOf(id, VBUCKETS) === VB,
) as [string, string, string];

/**
 * A node whose clock has passed X at seq 2. Of X at seq 1, which that superseded, there is nothing in
 * the index: its index write got lost, and the feed skipped it.
 */
async function withSuperseded(b: ControllerBench): Promise<TestNode> {
  await b.crash(await b.node());
  // Nobody owns the partitions, so nobody reads the feed between the two saves.
  const node = await b.node();
  expect(node.controller.role).toBe("follower");
  node.dropping = true;
  await b.save(node, X, ["old"]);
  node.dropping = false;
  await b.save(node, X, ["new"]);
  await b.settle(node);
  expect(node.controller.head().clock[VB]).toBe(2);
  return node;
}

/** What the index has of X between two clocks. */
async function seqsOf(b: ControllerBench, node: TestNode, from: Clock, to: Clock) {
  const seqs: number[] = [];
  const reading = async () => {
    for await (const batch of node.index.read("old", from, to)) {
      for (const { docId, seq } of batch) if (docId === X) seqs.push(seq);
    }
  };
  await b.run(reading());
  return seqs;
}

controllers("what a lost mutation had superseded is indexed before the next tick", async (b) => {
  const node = await withSuperseded(b);
  const healed: number[] = [];
  node.controller.subscribe(() => healed.push(node.controller.metrics().healed));
  await b.run(loseTail(node.bucket, VB, 1));
  await b.time.until(() => healed.length > 0, 2000);
  expect(healed[0]).toBe(1);
  expect(node.controller.head().clock[VB]).toBe(1);
  expect(await b.indexed(node, "old")).toEqual([X]);
  expect(await b.indexed(node, "new")).toEqual([]);
});

controllers("a reader that had passed it gets it, wherever it stood", async (b) => {
  const node = await withSuperseded(b);
  const before = node.controller.head();
  await b.run(loseTail(node.bucket, VB, 1));
  await b.time.until(() => node.controller.head().tick > before.tick, 2000);
  const { tick, clock } = await b.run(node.controller.lookup.resolve(before.tick));
  expect(tick).toBe(before.tick);
  expect(clock[VB]).toBe(0);
  expect(await seqsOf(b, node, clock, node.controller.head().clock)).toEqual([1]);
});

controllers(
  "a rollback while nobody owned the partitions is known before the first tick",
  async (b) => {
    const node = await b.node();
    for (const id of [X, ...others.slice(0, 2)]) await b.save(node, id);
    await b.settle(node);
    const before = node.controller.head();
    await b.crash(node);

    const follower = await b.node();
    await b.run(loseTail(follower.bucket, VB, 1));
    const ticks: number[] = [];
    follower.controller.subscribe(({ clock }) => ticks.push(clock[VB] as number));
    await b.time.until(() => follower.controller.role === "owner", 15_000);
    await b.time.until(() => ticks.length > 0, 5000);
    await b.save(follower, "elsewhere");
    await b.settle(follower);
    expect(ticks[0]).toBe(1);
    expect((await b.run(follower.controller.lookup.resolve(before.tick))).clock[VB]).toBe(1);
    expect(await b.indexed(follower, "A")).toEqual([X, "elsewhere"].toSorted());
  },
);

controllers("a heal under way when its branch dies writes nothing that lives", async (b) => {
  let open = () => {};
  let gate: Promise<void> = Promise.resolve();
  const node = await b.node(({ healer }) => ({
    healer: {
      heal: async (...parameters) => {
        await gate;
        return healer.heal(...parameters);
      },
    },
  }));
  await b.save(node, X, ["kept"]);
  await b.settle(node);
  gate = new Promise((resolve) => {
    open = resolve;
  });
  node.dropping = true;
  const [lost, fresh] = others;
  await b.save(node, lost, ["lost"]);
  node.dropping = false;
  await b.time.advance(1000);
  await b.run(loseTail(node.bucket, VB, 1));
  await b.time.advance(100);
  open();
  await b.save(node, fresh, ["fresh"]);
  await b.settle(node);
  expect(node.controller.head().clock[VB]).toBe(2);
  expect(await b.indexed(node, "*")).toEqual([X, fresh].toSorted());
  expect(await b.indexed(node, "lost")).toEqual([]);
});

controllers("a rollback to where the clock stands, or beyond, takes nothing back", async (b) => {
  const node = await b.node();
  await b.save(node, X);
  await b.settle(node);
  const { clock } = node.controller.head();
  await b.run(loseTail(node.bucket, VB, 1));
  await b.save(node, others[0]);
  await b.settle(node);
  expect(node.controller.branches.rollbacks()).toEqual([]);
  expect(node.controller.head().clock[VB]).toBe((clock[VB] as number) + 1);
  expect(await b.indexed(node, "A")).toEqual([X, others[0]].toSorted());
});
