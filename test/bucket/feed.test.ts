// The feed of the embedded bucket: backfill, live, deduplication, ends.

import { describe, expect, test } from "bun:test";
import { fromZero, put, readUntil, summary, withBucket } from "./support.ts";

describe("feed", () => {
  test("a reader from zero gets what is there, and then what comes", () =>
    withBucket(
      async (bucket) => {
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
      },
      { vbuckets: 1 },
    ));
});
