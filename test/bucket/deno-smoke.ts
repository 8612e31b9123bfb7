// The embedded bucket on another runtime: everything once, with nothing but node:assert.
// Run: deno run -A test/bucket/deno-smoke.ts

import assert from "node:assert/strict";
import { MAX_VALUE_BYTES } from "../../src/bucket/bucket.ts";
import { Connection } from "../../src/bucket/embedded/connection.ts";
import { removeEmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { loseTail } from "../../src/bucket/embedded/testing.ts";
import {
  bytes,
  done,
  fromZero,
  newDirectory,
  open,
  put,
  readToEnd,
  readUntil,
  summary,
  text,
  until,
  write,
} from "./support.ts";

const directory = newDirectory();
let bucket = await open(directory, { vbuckets: 1, keepHistory: true });

// Documents: attributes, macros, refusals, tombstones, scan, count.
const xattrs = { _sync: { rev: "1-a" }, user: 1 };
const macros = [{ path: ["_sync", "seq"] as const, value: "seqno" as const }];
const first = done(await bucket.documents.write(write("a", { body: bytes("1"), xattrs, macros })));
assert.deepEqual((await bucket.documents.get("a"))?.xattrs, {
  _sync: '{"rev":"1-a","seq":"0x0000000000000001"}',
  user: "1",
});
assert.deepEqual(await bucket.documents.write(write("a")), { ok: false, refusal: "exists" });
await put(bucket, "b", "1");
await put(bucket, "b", null);
await put(bucket, "\u{10000}", "1");
await put(bucket, "\uffff", "1");
const keys: string[] = [];
for await (const page of bucket.documents.scan({})) keys.push(...page.map(({ key }) => key));
assert.deepEqual(keys, ["a", "\uffff", "\u{10000}"]);
assert.equal(await bucket.documents.count(), 3);

// Values: append over all ways of storing, counter, keys, limits.
const piece = new Uint8Array(100).map((_, index) => index * 3);
await bucket.index.batch([{ op: "insert", key: "k", value: piece }]);
for (let round = 0; round < 5; round++) {
  const appends = Array.from({ length: 20 }, () => ({
    op: "append" as const,
    key: "k",
    value: piece,
  }));
  await bucket.index.batch(appends);
}
const whole = Buffer.concat(new Array<Uint8Array>(101).fill(piece));
assert.equal(Buffer.compare((await bucket.index.get("k"))?.value ?? bytes(""), whole), 0);
const big = new Uint8Array(MAX_VALUE_BYTES);
assert.equal(
  (await bucket.metadata.batch([{ op: "insert", key: "big", value: big }]))[0]?.ok,
  true,
);
assert.equal((await bucket.metadata.get("big"))?.value.length, MAX_VALUE_BYTES);
const counted = await bucket.index.batch([{ op: "counter", key: "c", delta: 1, initial: 7 }]);
assert.equal(counted[0]?.ok && counted[0].counter, 7);
assert.deepEqual(await bucket.index.keys("", { limit: 9 }), ["c", "k"]);

// The feed: backfill, live, a cut tail.
const reader = bucket.feed.open(fromZero(0));
const backfill = await readUntil(reader, (events) => events.some((e) => "seq" in e && e.seq === 5));
assert.equal(
  summary(backfill),
  "failover(0) snapshot(0,5) mutation(a@1) deletion(b@3) mutation(\u{10000}@4) mutation(\uffff@5)",
);
const waiting = readUntil(reader, (events) => events.length >= 2);
await put(bucket, "a", "2");
assert.equal(summary(await waiting), "snapshot(5,6) mutation(a@6)");
const rollback = reader.read();
await loseTail(bucket, 0, 5);
assert.equal(summary(await rollback), "failover(5,0) rollback(5)");
assert.equal(text((await bucket.documents.get("a"))?.body), "1");
reader.close();

// Another connection: a writer queues behind it, the feed sees its writes.
const other = await open(directory);
const live = bucket.feed.open(fromZero(0), { until: new Float64Array([6]) });
const seen = readToEnd(live);
await put(other, "theirs", "1");
assert.match(summary(await seen), /mutation\(theirs@6\) end\(ended\)$/);
const holder = new Connection(bucket.files.documents.connection.file, "full");
holder.begin();
const queued = put(bucket, "queued", "1");
await until(() => (bucket.stats().documents_busy_retries as number) > 2);
holder.rollback();
holder.close();
assert.equal((await queued).seq, 7);
await other.close();

// Checkpoints by the thread.
const body = bytes("x".repeat(20_000));
for (let round = 0; round < 20; round++) {
  await Promise.all(
    Array.from({ length: 50 }, (_, n) => bucket.documents.write(write(`${round}:${n}`, { body }))),
  );
}
assert.ok((bucket.stats().documents_checkpoints as number) > 1);
assert.equal(bucket.stats().documents_failed_checkpoints, 0);

// Reopened; a garbled file; removed.
await bucket.close();
bucket = await open(directory);
assert.equal((await bucket.documents.get("a"))?.cas, first.cas);
assert.equal(await bucket.documents.count(), 1005);
await bucket.close();
const newer = new Connection(`${directory}/index.sqlite`, "full");
newer.exec("PRAGMA user_version = 99");
newer.close();
await assert.rejects(open(directory), { code: "newer_version" });
await removeEmbeddedBucket(directory);
console.log("the embedded bucket works here");
