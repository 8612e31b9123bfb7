// The feed of the embedded bucket: backfill, live, snapshots, deduplication, ends, flow.

import { describe, expect, test } from "bun:test";
import { isTidegateError } from "../../src/base/errors.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { MAX_RECENT_MUTATIONS } from "../../src/bucket/embedded/limits.ts";
import type { FeedEvent, FeedMutation, StreamPosition } from "../../src/bucket/feed.ts";
import {
  bytes,
  done,
  fromZero,
  newDirectory,
  nowSeconds,
  open,
  put,
  readToEnd,
  readUntil,
  removeDirectory,
  shiftedTime,
  summary,
  text,
  withBucket,
  write,
} from "./support.ts";

const ONE = { vbuckets: 1 };
const isMutation = (event: FeedEvent): event is FeedMutation => "key" in event;
const mutations = (events: readonly FeedEvent[]) => events.filter(isMutation);

/** A complete position at `seq` of vbucket 0 on its newest branch. */
async function at(bucket: EmbeddedBucket, seq: number): Promise<StreamPosition> {
  const logs = await bucket.feed.failoverLogs();
  const vbuuid = logs[0]?.[0]?.vbuuid as string;
  return { vb: 0, vbuuid, seq, snapshotStart: seq, snapshotEnd: seq };
}

describe("a stream", () => {
  test("from zero gets what is there, and then what comes", () =>
    withBucket(async (bucket) => {
      await put(bucket, "a", "1");
      await put(bucket, "b", "1");
      await put(bucket, "a", "2");
      const reader = bucket.feed.open(fromZero(0));
      const old = await readUntil(reader, (events) => events.length >= 4);
      expect(summary(old)).toBe("failover(0) snapshot(0,3) mutation(b@2) mutation(a@3)");
      const waiting = readUntil(reader, (events) => events.length >= 2);
      await put(bucket, "b", null);
      expect(summary(await waiting)).toBe("snapshot(3,4) deletion(b@4)");
      reader.close();
      expect(await reader.read()).toEqual([]);
    }, ONE));

  test("carries whole documents; tombstones keep their system attributes", async () => {
    const time = shiftedTime();
    await withBucket(
      async (bucket) => {
        const xattrs = { _sync: { rev: "1-a" }, user: 1 };
        const live = await put(bucket, "live", "body", { xattrs, expiry: 4e9 });
        await put(bucket, "deleted", "x", { xattrs });
        await put(bucket, "deleted", null);
        await put(bucket, "expired", "x", { xattrs, expiry: nowSeconds() + 60 });
        const purged = await put(bucket, "purged", "x", { xattrs });
        done(await bucket.documents.purge("purged", purged.cas));
        time.shiftMs = 61_000;
        await bucket.documents.get("expired");
        const directory = bucket.files.documents.connection.file.replace(/[^/]+$/, "");
        const elsewhere = await open(directory);
        // From the memory of the process that wrote, and from the file in another.
        for (const from of [bucket, elsewhere]) {
          const until = await from.feed.highSeqs();
          const events = await readToEnd(from.feed.open(fromZero(0), { until }));
          const found = new Map(mutations(events).map((mutation) => [mutation.key, mutation]));
          expect(found.get("live")).toEqual({
            kind: "mutation",
            key: "live",
            vb: 0,
            seq: live.seq,
            cas: live.cas,
            body: Buffer.from("body"),
            deleted: false,
            xattrs: { _sync: '{"rev":"1-a"}', user: "1" },
            expiry: 4e9,
          });
          const kept = { body: undefined, deleted: true, xattrs: { _sync: '{"rev":"1-a"}' } };
          expect(found.get("deleted")).toMatchObject({ kind: "deletion", ...kept });
          expect(found.get("expired")).toMatchObject({ kind: "expiration", ...kept });
          expect(found.get("purged")).toMatchObject({
            kind: "deletion",
            deleted: true,
            xattrs: {},
          });
          expect(found.size).toBe(4);
        }
        await elsewhere.close();
      },
      { ...ONE, time },
    );
  });

  test("without bodies has none, from memory and from the file", () =>
    withBucket(async (bucket, directory) => {
      await put(bucket, "a", "body");
      const elsewhere = await open(directory);
      for (const from of [bucket, elsewhere]) {
        const until = await from.feed.highSeqs();
        const reader = from.feed.open(fromZero(0), { until, withBody: false });
        const found = mutations(await readToEnd(reader));
        expect(found.map(({ key, body }) => [key, body])).toEqual([["a", undefined]]);
      }
      await elsewhere.close();
    }, ONE));

  test("resumed in the middle gets what came after, and no more", () =>
    withBucket(async (bucket) => {
      for (const key of ["a", "b", "c", "d"]) await put(bucket, key, "1");
      const reader = bucket.feed.open([await at(bucket, 2)]);
      const events = await readUntil(reader, (all) => all.length >= 3);
      expect(summary(events)).toBe("snapshot(2,4) mutation(c@3) mutation(d@4)");
      reader.close();
    }, ONE));

  test("that asks for an end stops there, also when its last document has moved on", () =>
    withBucket(async (bucket) => {
      for (const key of ["a", "b", "c"]) await put(bucket, key, "1");
      const until = new Float64Array([2]);
      const read = async () => summary(await readToEnd(bucket.feed.open(fromZero(0), { until })));
      expect(await read()).toBe("failover(0) snapshot(0,3) mutation(a@1) mutation(b@2) end(ended)");
      await put(bucket, "b", "2");
      await bucket.close();
    }, ONE).then(() =>
      withBucket(async (bucket, directory) => {
        for (const key of ["a", "b", "c", "b"]) await put(bucket, key, "1");
        const elsewhere = await open(directory);
        const until = new Float64Array([2]);
        const reader = elsewhere.feed.open(fromZero(0), { until });
        expect(summary(await readToEnd(reader))).toBe(
          "failover(0) snapshot(0,4) mutation(a@1) advanced(2) end(ended)",
        );
        const beyond = elsewhere.feed.open(fromZero(0), { until: new Float64Array([5]) });
        const early = await readUntil(beyond, (all) => mutations(all).length === 3);
        expect(early.at(-1)).toMatchObject({ key: "b", seq: 4 });
        await put(bucket, "e", "1");
        expect(summary(await readToEnd(beyond))).toBe("snapshot(4,5) mutation(e@5) end(ended)");
        await elsewhere.close();
      }, ONE),
    ));

  test("at its end from the start, or of nothing at all, is over at once", () =>
    withBucket(async (bucket) => {
      await put(bucket, "a", "1");
      const until = new Float64Array([1]);
      const reader = bucket.feed.open([await at(bucket, 1)], { until });
      expect(summary(await readToEnd(reader))).toBe("end(ended)");
      expect(await bucket.feed.open([]).read()).toEqual([]);
    }, ONE));

  test("of an ended vbucket can be opened again", () =>
    withBucket(async (bucket) => {
      await put(bucket, "a", "1");
      const reader = bucket.feed.open(fromZero(0), { until: new Float64Array([1]) });
      expect(summary(await readToEnd(reader))).toContain("end(ended)");
      reader.restart(fromZero(0)[0] as StreamPosition);
      expect(summary(await readToEnd(reader))).toContain("mutation(a@1) end(ended)");
    }, ONE));

  test("with a position that can't be is refused at once", () =>
    withBucket(async (bucket) => {
      const refused = (position: Partial<StreamPosition>) => {
        try {
          bucket.feed.open([{ ...(fromZero(0)[0] as StreamPosition), ...position }]);
        } catch (error) {
          return isTidegateError(error, "bad_request");
        }
        return false;
      };
      expect(refused({ vb: 1 })).toBe(true);
      expect(refused({ vb: -1 })).toBe(true);
      expect(refused({ seq: 5, snapshotStart: 6, snapshotEnd: 9 })).toBe(true);
      expect(refused({ seq: 5, snapshotStart: 3, snapshotEnd: 4 })).toBe(true);
      expect(refused({ seq: 1.5, snapshotStart: 1, snapshotEnd: 2 })).toBe(true);
      expect(refused({ seq: 5, snapshotStart: 5, snapshotEnd: 9 })).toBe(false);
    }, ONE));

  test("gives only the newest version of a key in a live snapshot", () =>
    withBucket(async (bucket) => {
      const reader = bucket.feed.open(fromZero(0));
      expect(summary(await reader.read())).toBe("failover(0)");
      // Three writes of one turn share a commit, so the reader is woken once.
      let cas = 0n;
      const file = bucket.files.documents;
      await file.groups.run(3, 0, (index) => {
        const key = index === 1 ? "b" : "a";
        const result = file.table.write(write(key, { cas: key === "a" ? cas : 0n }), 0);
        if (key === "a") cas = done(result).cas;
      });
      const events = await readUntil(reader, (all) => all.length >= 3);
      expect(summary(events)).toBe("snapshot(0,3) mutation(b@2) mutation(a@3)");
      reader.close();
    }, ONE));
});

describe("a snapshot", () => {
  test("that takes many reads is complete at its end, whatever is written meanwhile", () =>
    withBucket(async (writer, directory) => {
      const keys = Array.from({ length: 5000 }, (_, index) => `k${index}`);
      await Promise.all(keys.map((key) => writer.documents.write(write(key))));
      const bucket = await open(directory);
      const reader = bucket.feed.open(fromZero(0));
      const state = new Map<string, number>();
      let [seq, end, snapshots, written] = [0, -1, 0, 0];
      while (seq !== end || snapshots === 0) {
        for (const event of await reader.read()) {
          if (event.kind === "snapshot") {
            // A marker before the end of the one before extends it: nobody was at that end.
            expect(event.start <= seq && seq < event.end).toBe(true);
            if (end > seq) expect(event.start).toBe(0);
            end = event.end;
            snapshots++;
          }
          if (!isMutation(event)) continue;
          expect(event.seq).toBeGreaterThan(seq);
          expect(event.seq).toBeLessThanOrEqual(end);
          seq = event.seq;
          state.set(event.key, event.seq);
        }
        // The last document of the first snapshot moves on before it is read.
        if (seq !== end && written < 4) await put(bucket, `k${4999 - written++}`, "moved");
      }
      const truth = new Map<string, number>();
      const all = bucket.feed.open(fromZero(0), { until: new Float64Array([end]) });
      for (const mutation of mutations(await readToEnd(all))) truth.set(mutation.key, mutation.seq);
      expect(state).toEqual(truth);
      expect(written).toBe(4);
      reader.close();
      await bucket.close();
    }, ONE));

  test("is never longer than it says, nor a read larger than its bounds", () =>
    withBucket(async (bucket, directory) => {
      const body = bytes("x".repeat(100_000));
      const keys = Array.from({ length: 150 }, (_, index) => `k${index}`);
      await Promise.all(keys.map((key) => bucket.documents.write(write(key, { body }))));
      const elsewhere = await open(directory);
      const reader = elsewhere.feed.open(fromZero(0));
      let total = 0;
      while (total < 150) {
        const read = mutations(await reader.read());
        // 4 MiB, and the document that passed it.
        expect(read.reduce((sum, m) => sum + (m.body?.length ?? 0), 0)).toBeLessThan(4.5e6);
        total += read.length;
      }
      expect(total).toBe(150);
      await elsewhere.close();
    }, ONE));
});

describe("a reader of many vbuckets", () => {
  test("is given a page of each in turn", () =>
    withBucket(
      async (bucket, directory) => {
        const keys = Array.from({ length: 4000 }, (_, index) => `k${index}`);
        await Promise.all(keys.map((key) => bucket.documents.write(write(key))));
        const elsewhere = await open(directory);
        const reader = elsewhere.feed.open(fromZero(0, 1, 2, 3));
        const first = mutations(await reader.read());
        expect(new Set(first.map((mutation) => mutation.vb)).size).toBe(4);
        expect(first.length).toBeLessThan(2000);
        const rest = await readUntil(
          reader,
          (all) => mutations(all).length === 4000 - first.length,
        );
        expect(new Set(mutations([...first, ...rest]).map((m) => m.key)).size).toBe(4000);
        await elsewhere.close();
      },
      { vbuckets: 4 },
    ));

  test(
    "follows 1,024 vbuckets live through more than memory keeps",
    () =>
      withBucket(async (bucket) => {
        const all = Array.from({ length: 1024 }, (_, vb) => vb);
        const reader = bucket.feed.open(fromZero(...all));
        const count = MAX_RECENT_MUTATIONS + 2000;
        const writing = (async () => {
          for (let index = 0; index < count; index += 500) {
            const some = Array.from({ length: Math.min(500, count - index) }, (_, n) => n);
            await Promise.all(some.map((n) => bucket.documents.write(write(`k${index + n}`))));
          }
        })();
        await writing;
        const next = new Float64Array(1024);
        let seen = 0;
        while (seen < count) {
          for (const mutation of mutations(await reader.read())) {
            expect(mutation.seq).toBe((next[mutation.vb] as number) + 1);
            next[mutation.vb] = mutation.seq;
            seen++;
          }
        }
        expect(Array.from(next)).toEqual(Array.from(await bucket.feed.highSeqs()));
        reader.close();
      }),
    20_000,
  );

  test("that is closed while it waits is over", () =>
    withBucket(async (bucket) => {
      const reader = bucket.feed.open(fromZero(0));
      expect(summary(await reader.read())).toBe("failover(0)");
      const waiting = reader.read();
      reader.close();
      expect(await waiting).toEqual([]);
      const other = bucket.feed.open(fromZero(0));
      await other.read();
      const last = other.read();
      await bucket.close();
      expect(await last).toEqual([]);
    }, ONE));
});

test("a waiting reader hears of the writes of another connection", async () => {
  const directory = newDirectory();
  const writer = await open(directory, ONE);
  const bucket = await open(directory);
  const reader = bucket.feed.open(fromZero(0));
  await reader.read();
  for (let round = 1; round <= 5; round++) {
    const waiting = readUntil(reader, (all) => mutations(all).length > 0);
    await put(writer, "theirs", `${round}`);
    const theirs = mutations(await waiting);
    expect(theirs.map((mutation) => text(mutation.body))).toEqual([`${round}`]);
    await put(bucket, "own", `${round}`);
    const own = mutations(await readUntil(reader, (all) => mutations(all).length > 0));
    expect(own.map(({ key, seq }) => [key, seq])).toEqual([["own", 2 * round]]);
  }
  reader.close();
  await bucket.close();
  await writer.close();
  removeDirectory(directory);
});
