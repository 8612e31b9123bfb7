// How fast the embedded bucket is by itself: operations a second in groups of 1, 16 and 64, the cost
// of the feed for each mutation, and the longest time that the event loop stood still.
// Run: bun bench/bucket.ts [documents=50000] [syncs|writes|appends|feed …]. What it prints is also one
// line of JSON at the end.

import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../src/base/log.ts";
import type { DocumentWrite } from "../src/bucket/bucket.ts";
import { type EmbeddedBucket, openEmbeddedBucket } from "../src/bucket/embedded/embedded-bucket.ts";
import { systemRandom } from "../src/runtime/random.ts";
import { systemTime } from "../src/runtime/time.ts";

const DOCUMENTS = Number(process.argv[2] ?? 50_000);
const PARTS =
  process.argv.length > 3 ? process.argv.slice(3) : ["syncs", "writes", "appends", "feed"];
const GROUPS = [1, 16, 64];
const BODY = new TextEncoder().encode(JSON.stringify({ text: "x".repeat(1000) }));
const SYNC = {
  rev: "1-0123456789abcdef",
  seq: "",
  channels: { a: 1, b: 1 },
  history: "x".repeat(80),
};
const time = systemTime();
const results: Record<string, number> = {};

function report(name: string, count: number, ms: number, extra = ""): void {
  const each = Math.round((count / ms) * 1000);
  results[name] = each;
  console.log(`${name.padEnd(34)} ${String(each).padStart(9)} /s   ${extra}`);
}

/** Runs `operation` `count` times, `group` of them in flight; gives the latencies of groups. */
async function inGroups(
  count: number,
  group: number,
  operation: (index: number) => Promise<unknown>,
): Promise<{ ms: number; latencies: number[] }> {
  const latencies: number[] = [];
  const started = time.monotonicMs();
  for (let index = 0; index < count; index += group) {
    const at = time.monotonicMs();
    await Promise.all(Array.from({ length: group }, (_, place) => operation(index + place)));
    latencies.push(time.monotonicMs() - at);
  }
  return { ms: time.monotonicMs() - started, latencies };
}

function spread(latencies: number[]): string {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (part: number) =>
    (sorted[Math.floor((sorted.length - 1) * part)] as number).toFixed(2);
  return `group ms: p50 ${at(0.5)}  p99 ${at(0.99)}  max ${at(1)}`;
}

function insert(key: string, cas = 0n): DocumentWrite {
  return {
    key,
    cas,
    body: BODY,
    xattrs: { _sync: SYNC },
    macros: [{ path: ["_sync", "seq"], value: "seqno" }],
  };
}

/** What the disk gives at best: a write of one page and its sync. */
function syncs(directory: string): void {
  const file = openSync(join(directory, "syncs"), "w");
  const page = Buffer.alloc(4096);
  const started = time.monotonicMs();
  const count = 500;
  for (let done = 0; done < count; done++) {
    writeSync(file, page);
    fsyncSync(file);
  }
  closeSync(file);
  report("bound: 4 KiB write and sync", count, time.monotonicMs() - started);
}

async function writes(bucket: EmbeddedBucket): Promise<void> {
  const { documents } = bucket;
  const keys: string[] = [];
  const add = (index: number) => {
    const key = `doc:${(index * 2654435761) % 4294967296}:${index}`;
    keys.push(key);
    return documents.write(insert(key));
  };
  const load = await inGroups(DOCUMENTS, 500, add);
  report("insert 1 KB, groups of 500", DOCUMENTS, load.ms, spread(load.latencies));
  for (const group of GROUPS) {
    const count = group === 1 ? 2000 : 16_000;
    const inserted = await inGroups(count, group, (index) => add(keys.length + index));
    report(`insert 1 KB, groups of ${group}`, count, inserted.ms, spread(inserted.latencies));
    const updated = await inGroups(count, group, async () => {
      const key = keys[Math.floor(Math.random() * keys.length)] as string;
      const cas = (await documents.get(key))?.cas;
      return documents.write(insert(key, cas ?? 0n));
    });
    report(`get + update 1 KB, groups of ${group}`, count, updated.ms, spread(updated.latencies));
  }
  const got = await inGroups(100_000, 64, (index) =>
    documents.get(keys[(index * 7919) % keys.length] as string),
  );
  report("get 1 KB", 100_000, got.ms);
}

async function appends(bucket: EmbeddedBucket): Promise<void> {
  const { index } = bucket;
  const piece = new Uint8Array(100).fill(7);
  for (const size of [100, 8000, 50_000]) {
    const keys = Array.from({ length: 500 }, (_, place) => `block:${size}:${place}`);
    const value = new Uint8Array(size).fill(1);
    await index.batch(keys.map((key) => ({ op: "upsert", key, value })));
    for (const group of GROUPS) {
      const count = group === 1 ? 3000 : 24_000;
      const { ms, latencies } = await inGroups(count / group, 1, () =>
        index.batch(
          Array.from({ length: group }, () => {
            const key = keys[Math.floor(Math.random() * keys.length)] as string;
            return { op: "append" as const, key, value: piece };
          }),
        ),
      );
      report(`append 100 B to ${size} B, ${group} a batch`, count, ms, spread(latencies));
    }
    const got = await inGroups(20_000, 64, (at) => index.get(keys[at % keys.length] as string));
    report(`get of appended ${size} B`, 20_000, got.ms);
  }
}

async function feed(bucket: EmbeddedBucket): Promise<void> {
  const until = await bucket.feed.highSeqs();
  const positions = Array.from(until, (_, vb) => ({
    vb,
    vbuuid: "0",
    seq: 0,
    snapshotStart: 0,
    snapshotEnd: 0,
  }));
  const backfill = bucket.feed.open(positions, { until });
  let count = 0;
  const started = time.monotonicMs();
  for (let events = await backfill.read(); events.length > 0; events = await backfill.read()) {
    for (const event of events) if (event.kind === "mutation") count++;
  }
  report("feed: backfill of all vbuckets", count, time.monotonicMs() - started);
  const logs = await bucket.feed.failoverLogs();
  const write = async () => {
    const run = Math.random();
    return inGroups(16_000, 64, (index) => bucket.documents.write(insert(`live:${run}:${index}`)));
  };
  const alone = await write();
  const live = bucket.feed.open(
    Array.from(await bucket.feed.highSeqs(), (seq, vb) => {
      const vbuuid = logs[vb]?.[0]?.vbuuid as string;
      return { vb, vbuuid, seq, snapshotStart: seq, snapshotEnd: seq };
    }),
  );
  let seen = 0;
  const reading = (async () => {
    for (let events = await live.read(); events.length > 0; events = await live.read()) {
      for (const event of events) if (event.kind === "mutation") seen++;
    }
  })();
  const followed = await write();
  while (seen < 16_000) await new Promise((resolve) => setTimeout(resolve, 1));
  live.close();
  await reading;
  const each = ((followed.ms - alone.ms) / 16_000) * 1000;
  report(
    "insert followed by 1,024 streams",
    16_000,
    followed.ms,
    `${each.toFixed(1)} µs a mutation`,
  );
}

const directory = mkdtempSync(join(tmpdir(), "tidegate-bench-"));
console.log(`${cpus().length} × ${cpus()[0]?.model}; ${DOCUMENTS} documents`);
try {
  if (PARTS.includes("syncs")) syncs(directory);
  const options = { directory, name: "bench", time, random: systemRandom, log: silentLog };
  const bucket = await openEmbeddedBucket(options);
  if (PARTS.includes("writes")) await writes(bucket);
  if (PARTS.includes("appends")) await appends(bucket);
  if (PARTS.includes("feed")) await feed(bucket);
  for (const [name, value] of Object.entries(bucket.stats())) results[name] = value;
  console.log(bucket.stats());
  await bucket.close();
  console.log(JSON.stringify(results));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
