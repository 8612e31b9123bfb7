// Rollback mitigation: what is not on the disks of all copies of a vbucket is not told.

import { afterEach, describe, expect, test } from "bun:test";
import { HeldEvents } from "../../src/bucket/couchbase/dcp/held-events.ts";
import { loseTail } from "../../src/bucket/embedded/testing.ts";
import type { FeedEvent, FeedMutation } from "../../src/bucket/feed.ts";
import { DcpWorld, Told, until } from "./dcp-world.ts";

/** The vbucket of these tests: active at node 0, its replica at node 1. */
const VB = 4;
const ACTIVE = 0;
const REPLICA = 1;

let world: DcpWorld;
afterEach(() => world?.close());

/** Waits until the copies of the vbucket were asked again, `times` times each. */
async function askedAgain(times: number): Promise<void> {
  const { asked } = world.cluster.disks;
  const before = asked.get(VB) ?? 0;
  await until("the disks are asked", () => (asked.get(VB) ?? 0) >= before + 2 * times);
}

describe("on the feed", () => {
  test("a mutation is told when the disks of the active node and of the replica have it", async () => {
    world = await DcpWorld.start({ replicas: 1 });
    const { disks } = world.cluster;
    const reader = await world.openFeed({ mitigation: true });
    const told = new Told(reader);
    const first = await world.save(VB, 2, "first");
    await until("the first are told", () => told.keys.length === 2);
    disks.stop(ACTIVE, VB, 2);
    disks.stop(REPLICA, VB, 2);
    const second = await world.save(VB, 3, "second");
    await askedAgain(3);
    expect(told.keys).toEqual(first);
    expect(reader.held.events).toBeGreaterThanOrEqual(3);
    disks.go(ACTIVE, VB);
    await askedAgain(3);
    expect(told.keys).toEqual(first);
    disks.stop(REPLICA, VB, 4);
    await until("two more are told", () => told.keys.length === 4);
    await askedAgain(2);
    expect(told.keys).toEqual([...first, ...second.slice(0, 2)]);
    disks.go(REPLICA, VB);
    await until("all are told", () => told.keys.length === 5);
    expect(told.keys).toEqual([...first, ...second]);
    expect(reader.held).toEqual({ events: 0, bytes: 0 });
  });

  test("a failover that loses a tail which was on no disk never reached the consumer", async () => {
    world = await DcpWorld.start({ replicas: 1 });
    const { cluster } = world;
    const reader = await world.openFeed({ mitigation: true });
    const told = new Told(reader);
    const kept = await world.save(VB, 5, "kept");
    await until("what is on the disks is told", () => told.keys.length === 5);
    for (let round = 0; round < 3; round++) {
      const high = (await world.bucket.feed.highSeqs())[VB]!;
      const active = cluster.active[VB]!;
      const other = active === ACTIVE ? REPLICA : ACTIVE;
      cluster.replicate([VB], [other]);
      cluster.disks.stop(other, VB, high);
      await world.save(VB, 4, `lost-${round}`);
      await until("the tail is held", () => reader.held.events >= 4);
      await askedAgain(2);
      expect(told.keys).toEqual(kept);
      await loseTail(world.bucket, VB, high);
      cluster.failOver(VB, other);
      if (round === 1) for (const node of cluster.nodes) node.dropConnections();
      cluster.disks.go(other, VB);
      kept.push(...(await world.save(VB, 3, `after-${round}`)));
      await until("what came after it is told", () => told.keys.length >= kept.length);
      expect(told.keys).toEqual(kept);
    }
    expect(told.of("rollback")).toEqual([]);
    // Each branch was told with its log.
    expect(told.of("failover").filter(({ vb }) => vb === VB).length).toBe(4);
    expect(reader.held.events).toBe(0);
  });

  test("without it the tail is told, and taken back", async () => {
    world = await DcpWorld.start({ replicas: 1 });
    const told = new Told(await world.openFeed());
    await world.save(VB, 5, "kept");
    world.cluster.disks.stop(REPLICA, VB, 5);
    await world.save(VB, 4, "lost");
    await until("all is told", () => told.keys.length === 9);
    await loseTail(world.bucket, VB, 5);
    world.cluster.failOver(VB, REPLICA);
    await until("the tail is taken back", () => told.of("rollback").length > 0);
  });

  test("a replica that is not reached holds back, until the cluster fails it over", async () => {
    world = await DcpWorld.start({ nodes: 3, replicas: 1 });
    const { cluster } = world;
    const vb = 3;
    const reader = await world.openFeed({ mitigation: true });
    const told = new Told(reader);
    cluster.nodes[1]!.faults.refuseConnections = true;
    cluster.nodes[1]!.dropConnections();
    const keys = await world.save(vb, 3, "waiting");
    await until("they are held", () => reader.held.events >= 3);
    expect(told.keys).toEqual([]);
    cluster.replicate([vb], []);
    await until("they are told", () => told.keys.length === 3);
    expect(told.keys).toEqual(keys);
  });

  test("what is held is bounded by the feed's buffer: the server stops", async () => {
    world = await DcpWorld.start({ replicas: 1 });
    const bufferBytes = 64 * 1024;
    const { disks, nodes } = world.cluster;
    disks.stop(REPLICA, VB, 0);
    const reader = await world.openFeed({ mitigation: true, settings: { bufferBytes } });
    const told = new Told(reader);
    const keys = await world.save(VB, 400, "large", 1000);
    await until("the buffer is full", () => nodes[0]!.unacknowledgedBytes >= bufferBytes);
    await askedAgain(3);
    expect(reader.held.bytes).toBeLessThan(bufferBytes + 4096);
    expect(told.keys).toEqual([]);
    disks.go(REPLICA, VB);
    await until("everything is told", () => told.keys.length === keys.length);
    expect(told.keys).toEqual(keys);
  });

  test("the end that was asked for comes after what is held", async () => {
    world = await DcpWorld.start({ replicas: 1 });
    const keys = await world.save(VB, 4, "doc");
    world.cluster.disks.stop(REPLICA, VB, 1);
    const high = await world.bucket.feed.highSeqs();
    const told = new Told(await world.openFeed({ mitigation: true, until: high }));
    await until("the others are at their end", () => told.of("end").length === high.length - 1);
    await askedAgain(2);
    expect(told.over).toBe(false);
    expect(told.keys).toEqual(keys.slice(0, 1));
    world.cluster.disks.go(REPLICA, VB);
    await until("the feed is over", () => told.over);
    expect(told.keys).toEqual(keys);
    expect(told.events.at(-1)).toMatchObject({ kind: "end", vb: VB, reason: "ended" });
  });

  test("a failover after a stream's end takes back what was held, and the stream goes on", async () => {
    world = await DcpWorld.start({ replicas: 1 });
    const { cluster } = world;
    const kept = await world.save(VB, 1, "kept");
    await world.save(VB, 3, "lost");
    cluster.disks.stop(REPLICA, VB, 1);
    const high = await world.bucket.feed.highSeqs();
    const reader = await world.openFeed({ mitigation: true, until: high });
    const told = new Told(reader);
    await until("the others are at their end", () => told.of("end").length === high.length - 1);
    await until("the end is held", () => reader.held.events > 3);
    await loseTail(world.bucket, VB, 1);
    cluster.failOver(VB, REPLICA);
    cluster.disks.go(REPLICA, VB);
    kept.push(...(await world.save(VB, 3, "after")));
    await until("the feed is over", () => told.over);
    expect(told.keys).toEqual(kept);
    expect(told.of("rollback")).toEqual([]);
  });

  test("slow disks delay the feed, and lose nothing of it under load", async () => {
    world = await DcpWorld.start({ replicas: 1, vbuckets: 8 });
    world.cluster.disks.delayMs = 150;
    const reader = await world.openFeed({ mitigation: true });
    const told = new Told(reader);
    const keys = new Set<string>();
    for (let round = 0; round < 4; round++) {
      for (let vb = 0; vb < 8; vb++) {
        for (const key of await world.save(vb, 20, `round-${round}-${vb}`)) keys.add(key);
      }
      world.cluster.nodes[round % 2]!.dropConnections();
    }
    await until("all are told", () => told.keys.length >= keys.size);
    expect(new Set(told.keys)).toEqual(keys);
    expect(told.keys.length).toBe(keys.size);
  });

  test("where the bucket has no replicas nothing waits", async () => {
    world = await DcpWorld.start({ replicas: 0 });
    world.cluster.disks.stop(ACTIVE, VB, 0);
    const told = new Told(await world.openFeed({ mitigation: true }));
    const keys = await world.save(VB, 5, "doc");
    await until("all are told", () => told.keys.length === 5);
    expect(told.keys).toEqual(keys);
  });
});

describe("what is held", () => {
  const beginning = { vb: 1, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 };
  const failover: FeedEvent = { kind: "failover", vb: 1, log: [{ vbuuid: "aa", seq: 0 }] };
  const mutation = (seq: number): FeedMutation => ({
    kind: "mutation",
    vb: 1,
    seq,
    key: `k${seq}`,
    cas: 1n,
    body: undefined,
    deleted: false,
    xattrs: {},
    expiry: 0,
  });

  test("keeps its order: a marker waits behind a mutation", () => {
    const held = new HeldEvents<string>([beginning]);
    expect(held.admit(failover, 0, "node")).toBe(true);
    expect(held.admit({ kind: "snapshot", vb: 1, start: 0, end: 2 }, 40, "node")).toBe(true);
    expect(held.admit(mutation(1), 60, "node")).toBe(false);
    expect(held.admit({ kind: "snapshot", vb: 1, start: 1, end: 2 }, 40, "node")).toBe(false);
    expect(held.admit(mutation(2), 70, "node")).toBe(false);
    expect([held.count, held.bytes]).toEqual([3, 170]);
    expect(held.persisted(1, "aa", 1).map(({ bytes }) => bytes)).toEqual([60, 40]);
    expect([held.count, held.bytes]).toEqual([1, 70]);
  });

  test("is not released by another branch's disks", () => {
    const held = new HeldEvents<string>([beginning]);
    held.admit(failover, 0, "node");
    held.admit(mutation(1), 60, "node");
    expect(held.persisted(1, "bb", 9)).toEqual([]);
    expect(held.persisted(1, "aa", 9).length).toBe(1);
    expect(held.admit({ ...failover, log: [{ vbuuid: "bb", seq: 1 }] }, 0, "node")).toBe(true);
    expect(held.admit(mutation(2), 60, "node")).toBe(false);
  });

  test("is forgotten with its stream, which goes on where the consumer stands", () => {
    const held = new HeldEvents<string>([beginning]);
    held.admit(failover, 0, "node");
    held.admit({ kind: "snapshot", vb: 1, start: 0, end: 9 }, 0, "node");
    held.admit(mutation(3), 10, "node");
    held.admit(mutation(5), 10, "node");
    held.persisted(1, "aa", 4);
    const { position, dropped } = held.drop(1);
    expect(position).toEqual({ vb: 1, vbuuid: "aa", seq: 3, snapshotStart: 0, snapshotEnd: 9 });
    expect(dropped.length).toBe(1);
    expect([held.count, held.bytes]).toEqual([0, 0]);
    // What was on the disks before is asked for again.
    expect(held.admit(mutation(4), 10, "node")).toBe(false);
  });
});
