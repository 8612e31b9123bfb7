// Who moves the clock: owners, followers, stale owners, take-overs.

import { expect, test } from "bun:test";
import type { ControllerOptions } from "../../src/controller/controller.ts";
import { ControllerStore } from "../../src/controller/store.ts";
import { takeTerm } from "../../src/controller/term.ts";
import { channelHash } from "../../src/index/shape.ts";
import { type ControllerBench, VBUCKETS, withControllers } from "./bench.ts";

const controllers = (name: string, task: (bench: ControllerBench) => Promise<void>) =>
  test(name, () => withControllers(task));

/** Takes the partitions as another node would that believes the owner to be dead. */
async function steal(b: ControllerBench, node: { bucket: ControllerOptions["bucket"] }) {
  const store = new ControllerStore(node.bucket.index);
  const cluster = await b.run(store.cluster());
  const instance = { id: "thief", host: "elsewhere", pid: 1 };
  const floor = new Float64Array(VBUCKETS);
  const term = await b.run(
    takeTerm({ store, instance, partitions: 4, vbuckets: VBUCKETS, floor }, cluster?.cas ?? 0n),
  );
  if (term === undefined) throw new Error("nothing was taken");
  return { store, term };
}

controllers("one node owns, another follows, and each sees what the other saves", async (b) => {
  const one = await b.node();
  const two = await b.node();
  expect([one.controller.role, two.controller.role]).toEqual(["owner", "follower"]);
  const changed: unknown[] = [];
  two.controller.subscribe((_, channels) => changed.push(channels));
  await b.save(one, "x", ["A"]);
  await b.settle(two);
  expect(changed).toContainEqual(new Set([channelHash("A")]));
  await b.save(two, "y", ["B"]);
  await b.settle(one);
  await b.settle(two);
  for (const node of [one, two]) {
    expect(await b.indexed(node, "*")).toEqual(["x", "y"]);
    expect(await b.indexed(node, "B")).toEqual(["y"]);
  }
  expect(one.controller.metrics()).toMatchObject({ healed: 0, validated: 2 });
  await b.close(two);
  await b.close(one);
});

controllers("a follower's save is stable soon, not only after the grace period", async (b) => {
  const one = await b.node();
  const two = await b.node();
  await b.save(two, "x");
  const before = b.time.monotonicMs();
  await b.settle(one);
  expect(b.time.monotonicMs() - before).toBeLessThan(200);
});

controllers("a stale owner cannot move the clock: it steps down and says so", async (b) => {
  const one = await b.node();
  await b.save(one, "x");
  await b.settle(one);
  const before = one.controller.head();
  const { store, term } = await steal(b, one);

  await b.save(one, "y");
  await b.time.until(() => one.controller.role === "follower", 5000);
  expect(one.controller.head().tick).toBe(before.tick);
  expect(one.controller.metrics().casLosses).toBe(1);
  expect(one.problems.list().map(({ part }) => part)).toContain("ownership");
  const partitions = await b.run(store.partitions(4));
  expect(partitions.map((found) => found?.record.epoch)).toEqual(Array(4).fill(term.epoch));
  const stored = partitions.flatMap((found) => found?.record.vbuckets ?? []);
  expect(stored.map(({ clock }) => clock)).toEqual([...before.clock]);
});

controllers("an owner that was robbed while idle notices by its heartbeat", async (b) => {
  const one = await b.node();
  await steal(b, one);
  await b.time.until(() => one.controller.role === "follower", 5000);
});

controllers(
  "when the new owner shows no heartbeat, the clock goes on under a new epoch",
  async (b) => {
    const one = await b.node();
    await b.save(one, "x");
    await b.settle(one);
    const { term } = await steal(b, one);
    await b.save(one, "y");
    await b.time.until(() => one.controller.role === "follower", 5000);
    const since = b.time.monotonicMs();
    await b.time.until(() => one.controller.role === "owner", 20_000);
    expect(b.time.monotonicMs() - since).toBeGreaterThan(9_000);
    await b.settle(one);
    expect(await b.indexed(one, "*")).toEqual(["x", "y"]);
    const cluster = await b.run(new ControllerStore(one.bucket.index).cluster());
    expect(cluster?.record.epoch).toBe(term.epoch + 1);
    expect(one.problems.list()).toEqual([]);
  },
);

controllers(
  "who lets go is followed at once; who crashes, after its heartbeat stands still",
  async (b) => {
    const one = await b.node();
    await b.save(one, "x");
    await b.settle(one);
    const two = await b.node();
    await b.close(one);
    await b.time.until(() => two.controller.role === "owner", 2000);
    const three = await b.node();
    await b.crash(two);
    await b.save(three, "y");
    await b.time.advance(5000);
    expect(three.controller.role).toBe("follower");
    await b.time.until(() => three.controller.role === "owner", 10_000);
    await b.settle(three);
    expect(await b.indexed(three, "*")).toEqual(["x", "y"]);
  },
);

controllers("an owner whose process is known to be gone is not waited for", async (b) => {
  const one = await b.node();
  await b.crash(one);
  const two = await b.node(() => ({ gone: ({ id }) => id === "node1" }));
  expect(two.controller.role).toBe("owner");
});

controllers("ticks grow from owner to owner, and clocks do not go back", async (b) => {
  let node = await b.node();
  const heads = [node.controller.head()];
  for (let round = 0; round < 4; round++) {
    await b.save(node, `doc${round}`);
    await b.settle(node);
    heads.push(node.controller.head());
    if (round % 2 === 0) await b.close(node);
    else await b.crash(node);
    node = await b.node(() => ({ gone: () => true }));
    heads.push(node.controller.head());
  }
  for (const [i, head] of heads.entries()) {
    const before = heads[i - 1];
    if (before === undefined) continue;
    expect(head.tick).toBeGreaterThanOrEqual(before.tick);
    for (const [vb, seq] of head.clock.entries()) {
      expect(seq).toBeGreaterThanOrEqual(before.clock[vb] as number);
    }
  }
});

controllers("two that take over at the same moment: one of them does", async (b) => {
  const one = await b.node();
  await b.save(one, "x");
  await b.settle(one);
  await b.crash(one);
  const [two, three] = [await b.node(), await b.node()];
  await b.time.advance(15_000);
  const roles = [two.controller.role, three.controller.role];
  expect(roles.toSorted()).toEqual(["follower", "owner"]);
  await b.save(two, "y");
  await b.save(three, "z");
  await b.settle(two);
  await b.settle(three);
  expect(await b.indexed(two, "*")).toEqual(["x", "y", "z"]);
});

controllers("a database keeps the number of partitions that it was made with", async (b) => {
  const one = await b.node();
  await b.save(one, "x");
  await b.settle(one);
  await b.close(one);
  const other = b.node(() => ({ settings: { partitions: 2 } }));
  await expect(other).rejects.toMatchObject({ code: "bad_config" });
});
