// The controller over a real bucket: when ticks come, and what it does when a part of it fails.

import { expect, test } from "bun:test";
import { TidegateError } from "../../src/base/errors.ts";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import type { ControllerOptions } from "../../src/controller/controller.ts";
import type { Healer } from "../../src/controller/ports.ts";
import { MAX_PENDING } from "../../src/controller/settings.ts";
import { partitionKey } from "../../src/controller/store.ts";
import { ADMIN } from "../simulation/world.ts";
import { type ControllerBench, VBUCKETS, withControllers } from "./bench.ts";

const controllers = (name: string, task: (bench: ControllerBench) => Promise<void>) =>
  test(name, () => withControllers(task), 60_000);

const busy = () => new TidegateError("unavailable", "busy, for a test");

/** Document ids that lie in one vbucket. */
function idsIn(vb: number, count: number): string[] {
  const ids: string[] = [];
  for (let i = 0; ids.length < count; i++) {
    if (vbucketOf(`doc${i}`, VBUCKETS) === vb) ids.push(`doc${i}`);
  }
  return ids;
}

/** A healer that fails for some documents while `broken` has them. */
function breakable(healer: Healer, broken: Set<string>): Healer {
  return {
    async heal(mutations, vbuuids) {
      if (mutations.some(({ key }) => broken.has(key))) throw busy();
      return healer.heal(mutations, vbuuids);
    },
  };
}

controllers("idle, a tick comes at once", async (b) => {
  const node = await b.node();
  await b.time.advance(1000);
  const before = b.time.monotonicMs();
  await b.save(node, "x");
  await b.settle(node);
  expect(b.time.monotonicMs() - before).toBeLessThan(5);
});

controllers("under load, ticks come no closer than their interval", async (b) => {
  const node = await b.node();
  const times: number[] = [];
  node.controller.subscribe(() => times.push(b.time.monotonicMs()));
  for (let i = 0; i < 300; i++) {
    await b.save(node, `doc${i}`);
    await b.time.advance(1);
  }
  await b.settle(node);
  expect(times.length).toBeGreaterThan(8);
  expect(times.length).toBeLessThan(16);
  for (const [i, time] of times.entries()) {
    if (i > 0) expect(time - (times[i - 1] as number)).toBeGreaterThanOrEqual(25);
  }
});

controllers(
  "a heal that fails holds its own vbucket's clock, shows, and is tried again",
  async (b) => {
    const broken = new Set<string>();
    const node = await b.node(({ healer }) => ({ healer: breakable(healer, broken) }));
    const [bad, good] = [idsIn(3, 2), idsIn(5, 1)] as [string[], string[]];
    node.dropping = true;
    broken.add(bad[0] as string);
    for (const id of [...bad, ...good]) await b.save(node, id);
    node.dropping = false;
    await b.time.advance(3000);
    const { clock } = node.controller.head();
    expect([clock[3], clock[5]]).toEqual([0, 1]);
    expect(node.controller.metrics().healFailures).toBeGreaterThan(2);
    expect(node.problems.list()).toMatchObject([{ part: "heal", message: "busy, for a test" }]);

    broken.clear();
    await b.settle(node);
    expect(node.problems.list()).toEqual([]);
    expect(await b.indexed(node, "A")).toEqual([...bad, ...good].toSorted());
  },
);

/** Makes `append` of the lookup map fail while `state.failing` says so. */
function failingAppend(state: { failing: number }) {
  return ({ openLookup }: ControllerOptions): Partial<ControllerOptions> => ({
    openLookup: async (branches) => {
      const map = await openLookup(branches);
      const append = map.append.bind(map);
      return Object.assign(map, {
        append: (...parameters: Parameters<typeof append>) => {
          if (state.failing-- > 0) return Promise.reject(busy());
          return append(...parameters);
        },
      });
    },
  });
}

controllers(
  "a tick that can't be stored is announced to nobody, and then as a whole",
  async (b) => {
    const state = { failing: 0 };
    const node = await b.node(failingAppend(state));
    const told: (ReadonlySet<number> | "unknown")[] = [];
    node.controller.subscribe((_, changed) => told.push(changed));
    state.failing = 3;
    await b.save(node, "x", ["A"]);
    await b.time.advance(20);
    expect(told).toEqual([]);
    expect(node.problems.list()).toMatchObject([{ part: "tick" }]);
    await b.save(node, "y", ["B"]);
    await b.settle(node);
    expect(told.flatMap((one) => (one === "unknown" ? [] : [...one]))).toHaveLength(2);
    expect(node.controller.metrics().tickFailures).toBe(3);
    expect(node.problems.list()).toEqual([]);
  },
);

controllers(
  "what was validated before a crash and not published is published at the start",
  async (b) => {
    const state = { failing: 0 };
    const node = await b.node(failingAppend(state));
    await b.save(node, "x");
    await b.settle(node);
    state.failing = 1_000_000;
    await b.save(node, "y");
    await b.time.advance(50);
    const before = node.controller.head();
    await b.crash(node);

    const again = await b.node(() => ({ gone: () => true }));
    await b.settle(again);
    expect(again.controller.head().tick).toBeGreaterThan(before.tick);
    expect(await b.indexed(again, "*")).toEqual(["x", "y"]);
  },
);

controllers("a journal that can't be read delays the clock, and shows", async (b) => {
  let failing = false;
  const node = await b.node(({ journal }) => ({
    journal: {
      recorded: (mutations, where) =>
        failing ? Promise.reject(busy()) : journal.recorded(mutations, where),
      onRecorded: (listener) => journal.onRecorded(listener),
      passed: (clock) => journal.passed(clock),
      branched: (...parameters) => journal.branched(...parameters),
    },
  }));
  failing = true;
  await b.save(node, "x");
  await b.time.advance(2000);
  expect(node.controller.head().clock.some((seq) => seq > 0)).toBe(false);
  expect(node.problems.list()).toMatchObject([{ part: "journal" }]);
  failing = false;
  await b.settle(node);
  expect(node.problems.list()).toEqual([]);
});

controllers("the feed is not read on while too much waits for its records", async (b) => {
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const node = await b.node(({ healer }) => ({
    healer: { heal: async (...parameters) => released.then(() => healer.heal(...parameters)) },
  }));
  node.dropping = true;
  const count = MAX_PENDING + 4000;
  const documents = Array.from({ length: count }, (_, i) => ({
    _id: `doc${i}`,
    channels: ["A"],
  }));
  for (let at = 0; at < count; at += 1000) {
    await b.run(node.documents.bulk(ADMIN, documents.slice(at, at + 1000)));
  }
  await b.time.advance(5000);
  // One more read of the feed may have been under way.
  expect(node.controller.metrics().pending).toBeGreaterThanOrEqual(MAX_PENDING);
  expect(node.controller.metrics().pending).toBeLessThan(MAX_PENDING + 2048);
  release();
  await b.settle(node);
  expect(await b.indexed(node, "A")).toHaveLength(count);
});

controllers("what another program writes is imported without a grace period", async (b) => {
  const node = await b.node();
  await b.time.advance(1000);
  const before = b.time.monotonicMs();
  const body = new TextEncoder().encode(JSON.stringify({ channels: ["A"], by: "another" }));
  await b.run(node.bucket.documents.write({ key: "x", cas: 0n, body, xattrs: {}, macros: [] }));
  await b.settle(node);
  await b.settle(node);
  expect(b.time.monotonicMs() - before).toBeLessThan(200);
  expect(node.controller.metrics().imported).toBe(1);
  expect(await b.indexed(node, "A")).toEqual(["x"]);
});

controllers("with index.writer feed, the controller writes what nobody else does", async (b) => {
  const node = await b.node(() => ({ settings: { partitions: 4, graceMs: 0 } }));
  node.dropping = true;
  const before = b.time.monotonicMs();
  for (let i = 0; i < 20; i++) await b.save(node, `doc${i}`);
  await b.settle(node);
  expect(b.time.monotonicMs() - before).toBeLessThan(200);
  expect(node.controller.metrics()).toMatchObject({ healed: 20, validated: 0 });
  await b.crash(node);
  // What was indexed before is found in the journal, and not written again.
  const again = await b.node(() => ({ gone: () => true, settings: { partitions: 4, graceMs: 0 } }));
  await b.settle(again);
  expect(again.controller.metrics().healed).toBe(0);
  expect(await b.indexed(again, "A")).toHaveLength(20);
});

controllers(
  "a damaged partition clock is made again, no lower than what is published",
  async (b) => {
    const node = await b.node();
    for (let i = 0; i < 30; i++) await b.save(node, `doc${i}`);
    await b.settle(node);
    const before = node.controller.head();
    await b.close(node);

    await damage(b, partitionKey(1));
    const again = await b.node(() => ({ gone: () => true }));
    await b.save(again, "new");
    await b.settle(again);
    for (const [vb, seq] of again.controller.head().clock.entries()) {
      expect(seq).toBeGreaterThanOrEqual(before.clock[vb] as number);
    }
    expect(await b.indexed(again, "*")).toHaveLength(31);
  },
);

/** Overwrites a document of the index with bytes that make no sense. */
async function damage(b: ControllerBench, key: string): Promise<void> {
  const { openEmbeddedBucket } = await import("../../src/bucket/embedded/embedded-bucket.ts");
  const { silentLog } = await import("../../src/base/log.ts");
  const { time, random, directory } = b;
  const parts = { time, random, directory, name: "test", log: silentLog };
  const bucket = await b.run(openEmbeddedBucket({ ...parts, inlineCheckpoints: true }));
  const value = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
  await b.run(bucket.index.batch([{ op: "upsert", key, value }]));
  await b.run(bucket.close());
}
