// Resuming after the history of a vbucket was cut: the rules, and what open feeds are told.

import { describe, expect, test } from "bun:test";
import { rollbackOf } from "../../src/bucket/embedded/rollback.ts";
import { loseTail } from "../../src/bucket/embedded/testing.ts";
import type { FailoverEntry, StreamPosition } from "../../src/bucket/feed.ts";
import { fromZero, open, put, readToEnd, readUntil, summary, text, withBucket } from "./support.ts";

const CUTTABLE = { vbuckets: 1, keepHistory: true };

/** The branches: "a" up to 10, "b" up to 20, "c" since then. */
const LOG: FailoverEntry[] = [
  { vbuuid: "c", seq: 20 },
  { vbuuid: "b", seq: 10 },
  { vbuuid: "a", seq: 0 },
];
const HIGH = 30;

describe("resuming", () => {
  test.each<
    [name: string, position: [string, number, number, number], rollback: number | undefined]
  >([
    ["from nothing", ["0", 0, 0, 0], undefined],
    ["from nothing on an unknown branch", ["x", 0, 0, 0], undefined],
    ["on the newest branch", ["c", 25, 25, 25], undefined],
    ["at the highest seq", ["c", 30, 30, 30], undefined],
    ["inside a snapshot of the newest branch", ["c", 25, 22, 30], undefined],
    ["on an unknown branch", ["x", 25, 25, 25], 0],
    ["on no branch, but not from nothing", ["0", 25, 25, 25], 0],
    ["beyond the highest seq", ["c", 9999, 9999, 9999], 30],
    ["in a snapshot that ends beyond the highest seq", ["c", 28, 26, 40], 26],
    ["on an older branch before its end", ["b", 15, 15, 15], undefined],
    ["on an older branch at its end", ["b", 20, 20, 20], undefined],
    ["on an older branch beyond its end", ["b", 25, 25, 25], 20],
    ["on the oldest branch beyond its end", ["a", 15, 15, 15], 10],
    ["in a snapshot within an older branch", ["b", 15, 12, 20], undefined],
    ["in a snapshot across an older branch's end", ["b", 15, 12, 25], 12],
    ["in a snapshot across a branch's end, past it", ["b", 22, 12, 25], 12],
    ["in a snapshot wholly beyond a branch's end", ["b", 25, 22, 28], 20],
    ["at the start of a snapshot across a branch's end", ["b", 15, 15, 25], undefined],
    ["at the end of a snapshot across a branch's end", ["b", 25, 12, 25], 20],
  ])("%s", (_name, [vbuuid, seq, snapshotStart, snapshotEnd], rollback) => {
    const position = { vb: 0, vbuuid, seq, snapshotStart, snapshotEnd };
    expect(rollbackOf(position, LOG, HIGH)).toBe(rollback);
  });

  test("is answered as the recorded server answered", () => {
    const log = [{ vbuuid: "0000efef1357c8b3", seq: 0 }];
    const at = (vbuuid: string, seq: number): StreamPosition => ({
      vb: 3,
      vbuuid,
      seq,
      snapshotStart: seq,
      snapshotEnd: seq,
    });
    expect(rollbackOf(at("0000efef1357c8b3", 6), log, 15)).toBeUndefined();
    expect(rollbackOf(at("1234567890abcdef", 6), log, 15)).toBe(0);
    expect(rollbackOf(at("0000efef1357c8b3", 9999), log, 15)).toBe(15);
    expect(rollbackOf(at("0000000000000000", 0), log, 15)).toBeUndefined();
  });
});

describe("a vbucket that lost its tail", () => {
  test("shows the versions before, on a new branch", () =>
    withBucket(async (bucket, directory) => {
      const first = await put(bucket, "a", "1", { xattrs: { _sync: 1 } });
      await put(bucket, "gone", "1");
      await put(bucket, "deleted", "1");
      const kept = await bucket.feed.highSeqs();
      await put(bucket, "a", "2", { xattrs: { _sync: 2 } });
      await put(bucket, "a", "3");
      await put(bucket, "deleted", null);
      await put(bucket, "new", "1");
      expect(await bucket.documents.count()).toBe(3);
      await loseTail(bucket, 0, 3);
      expect(await bucket.feed.highSeqs()).toEqual(kept);
      expect(await bucket.documents.count()).toBe(3);
      const a = await bucket.documents.get("a");
      expect([text(a?.body), a?.cas, a?.xattrs]).toEqual(["1", first.cas, { _sync: "1" }]);
      expect(text((await bucket.documents.get("deleted"))?.body)).toBe("1");
      expect(await bucket.documents.get("new")).toBeUndefined();
      const [log] = await bucket.feed.failoverLogs();
      expect(log?.map((entry) => entry.seq)).toEqual([3, 0]);
      expect(log?.[1]?.vbuuid).toBe(first.vbuuid);
      const next = await put(bucket, "a", "other");
      expect(next).toMatchObject({ seq: 4, vbuuid: log?.[0]?.vbuuid as string });
      // The same again beyond a cut before: the history is one of versions that were.
      await loseTail(bucket, 0, 1);
      expect(text((await bucket.documents.get("a"))?.body)).toBe("1");
      expect(await bucket.documents.get("deleted")).toBeUndefined();
      const logs = await bucket.feed.failoverLogs();
      expect(logs[0]?.map((entry) => entry.seq)).toEqual([1, 0]);
      await bucket.close();
      const again = await open(directory);
      expect(await again.feed.failoverLogs()).toEqual(logs);
      expect(await again.documents.count()).toBe(1);
      await again.close();
    }, CUTTABLE));

  test("tells a live stream beyond the cut to roll back, and streams the new branch after", () =>
    withBucket(async (bucket) => {
      const old = await put(bucket, "a", "1");
      await put(bucket, "b", "1");
      const reader = bucket.feed.open(fromZero(0));
      await readUntil(reader, (events) => events.length >= 4);
      const waiting = reader.read();
      await loseTail(bucket, 0, 1);
      expect(summary(await waiting)).toBe("failover(1,0) rollback(1)");
      await put(bucket, "c", "1");
      const position = { vb: 0, vbuuid: old.vbuuid, seq: 1, snapshotStart: 1, snapshotEnd: 1 };
      reader.restart(position);
      const events = await readUntil(reader, (all) => all.length >= 3);
      expect(summary(events)).toBe("failover(1,0) snapshot(1,2) mutation(c@2)");
      reader.close();
    }, CUTTABLE));

  test("tells a live stream before the cut of the new branch, and goes on", () =>
    withBucket(async (bucket) => {
      await put(bucket, "a", "1");
      const reader = bucket.feed.open(fromZero(0));
      await readUntil(reader, (events) => events.length >= 3);
      await loseTail(bucket, 0, 1);
      expect(summary(await reader.read())).toBe("failover(1,0)");
      await put(bucket, "b", "1");
      expect(summary(await reader.read())).toBe("snapshot(1,2) mutation(b@2)");
      reader.close();
    }, CUTTABLE));

  test("never gives a stream what was lost, when it had not read it yet", () =>
    withBucket(async (bucket) => {
      await put(bucket, "a", "1");
      await put(bucket, "a", "lost");
      await put(bucket, "b", "lost");
      await loseTail(bucket, 0, 1);
      const until = await bucket.feed.highSeqs();
      const events = await readToEnd(bucket.feed.open(fromZero(0), { until }));
      expect(summary(events)).toBe("failover(1,0) snapshot(0,1) mutation(a@1) end(ended)");
    }, CUTTABLE));

  test("rolls a stream in the middle of a snapshot back to its start", () =>
    withBucket(async (bucket, directory) => {
      const keys = Array.from({ length: 3000 }, (_, index) => `k${index}`);
      for (let at = 0; at < keys.length; at += 500) {
        await Promise.all(keys.slice(at, at + 500).map((key) => put(bucket, key, "1")));
      }
      const elsewhere = await open(directory);
      const reader = elsewhere.feed.open(fromZero(0));
      await reader.read();
      await loseTail(bucket, 0, 2999);
      const events = await readUntil(reader, (all) => all.some((e) => e.kind === "rollback"));
      expect(summary(events.slice(-2))).toBe("failover(2999,0) rollback(0)");
      await elsewhere.close();
    }, CUTTABLE));

  test("keeps a log of at most 25 branches, newest first", () =>
    withBucket(async (bucket) => {
      for (let round = 1; round <= 30; round++) {
        await put(bucket, "a", `${round}`);
        await loseTail(bucket, 0, round);
      }
      const [log] = await bucket.feed.failoverLogs();
      expect(log?.map((entry) => entry.seq)).toEqual(
        Array.from({ length: 25 }, (_, index) => 30 - index),
      );
      const oldest = bucket.feed.open([
        { vb: 0, vbuuid: "0123456789abcdef", seq: 3, snapshotStart: 3, snapshotEnd: 3 },
      ]);
      expect(summary(await oldest.read())).toContain("rollback(0)");
      oldest.close();
    }, CUTTABLE));
});
