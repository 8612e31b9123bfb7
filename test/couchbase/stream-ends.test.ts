// What the feed makes of the reasons for which a server ends streams.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { StreamEndReason } from "../../src/bucket/couchbase/dcp/stream.ts";
import { loseTail } from "../../src/bucket/embedded/testing.ts";
import { DcpWorld, Told, until } from "./dcp-world.ts";

const VB = 6;
/** The node that is active for it. */
const NODE = 0;

let world: DcpWorld;
beforeEach(async () => {
  world = await DcpWorld.start({ replicas: 1 });
});
afterEach(() => world.close());

const PASSING = [
  ["ok", "without an end that was asked for"],
  ["closed", "by nobody here"],
  ["stateChanged", "the vbucket is not active for a moment"],
  ["disconnected", "of the node's own connections"],
  ["tooSlow", "the consumer does not keep up"],
  ["backfillFailed", "a disk could not be read"],
  ["rollback", "the vbucket was cut"],
] as const;

describe("a stream that ends goes on where it was, with nothing lost and nothing twice", () => {
  for (const mitigation of [false, true]) {
    for (const [reason, why] of PASSING) {
      test(`${reason}: ${why}${mitigation ? ", with rollback mitigation" : ""}`, async () => {
        const told = new Told(await world.openFeed({ mitigation }));
        const keys = await world.save(VB, 3, "first");
        await until("the first are told", () => told.keys.length === 3);
        for (let round = 0; round < 3; round++) {
          keys.push(...(await world.save(VB, 2, `before-${round}`)));
          world.cluster.nodes[NODE]!.endStreams(VB, StreamEndReason[reason]);
          keys.push(...(await world.save(VB, 2, `after-${round}`)));
          await until(`round ${round} is told`, () => told.keys.length >= keys.length);
        }
        expect(told.keys).toEqual(keys);
        expect(told.of("end")).toEqual([]);
        expect(told.of("rollback")).toEqual([]);
      });
    }
  }
});

describe("a stream that can't go on says so, and goes on when the consumer asks for it", () => {
  for (const reason of ["filterEmpty", "lostPrivileges"] as const) {
    test(reason, async () => {
      const reader = await world.openFeed();
      const told = new Told(reader);
      const keys = await world.save(VB, 3, "first");
      await until("the first are told", () => told.keys.length === 3);
      world.cluster.nodes[NODE]!.endStreams(VB, StreamEndReason[reason]);
      await until("the end is told", () => told.of("end").length === 1);
      expect(told.of("end")).toEqual([{ kind: "end", vb: VB, reason: "closed" }]);
      // The other vbuckets' streams are not touched by it.
      const others = await world.save(VB + 1, 2, "other");
      keys.push(...(await world.save(VB, 2, "later")));
      await until("the others are told", () => told.keys.length === 5);
      expect(told.keys.slice(3)).toEqual(others);
      const vbuuid = (await world.bucket.feed.failoverLogs())[VB]![0]!.vbuuid;
      reader.restart({ vb: VB, vbuuid, seq: 3, snapshotStart: 3, snapshotEnd: 3 });
      await until("the rest is told", () => told.keys.length === 7);
      expect(told.keys.filter((key) => !others.includes(key))).toEqual(keys);
    });
  }
});

test("a stream with an end is over there, though the vbucket went on", async () => {
  const keys = await world.save(VB, 5, "kept");
  const high = await world.bucket.feed.highSeqs();
  await world.save(VB, 5, "later");
  const told = new Told(await world.openFeed({ until: high }));
  await until("the feed is over", () => told.over);
  expect(told.keys).toEqual(keys);
  expect(told.of("end").length).toBe(high.length);
});

test("the consumer's rollback is told once, and the stream waits for its restart", async () => {
  const reader = await world.openFeed();
  const told = new Told(reader);
  const keys = await world.save(VB, 6, "doc");
  await until("all are told", () => told.keys.length === 6);
  await loseTail(world.bucket, VB, 2);
  await until("the rollback is told", () => told.of("rollback").length === 1);
  const later = await world.save(VB, 3, "later");
  const [rollback] = told.of("rollback");
  expect(rollback).toMatchObject({ vb: VB, seq: 2 });
  const vbuuid = (await world.bucket.feed.failoverLogs())[VB]![0]!.vbuuid;
  reader.restart({ vb: VB, vbuuid, seq: 2, snapshotStart: 2, snapshotEnd: 2 });
  await until("what came later is told", () => told.keys.length === 9);
  expect(told.keys).toEqual([...keys, ...later]);
});
