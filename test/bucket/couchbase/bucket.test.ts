// The Couchbase bucket, SDK and all, against loopback nodes: what a bucket must do, and faults.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../../src/base/log.ts";
import type { DocumentWrite } from "../../../src/bucket/bucket.ts";
import {
  type CouchbaseBucket,
  type CouchbaseBucketOptions,
  openCouchbaseBucket,
} from "../../../src/bucket/couchbase/couchbase-bucket.ts";
import {
  type EmbeddedBucket,
  openEmbeddedBucket,
} from "../../../src/bucket/embedded/embedded-bucket.ts";
import { vbucketOf } from "../../../src/bucket/vbucket.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { systemTime } from "../../../src/runtime/time.ts";
import { LoopbackCluster } from "../../loopback/cluster.ts";
import { CA_FILE } from "../../loopback/node.ts";

const time = systemTime();
let directory: string;
let store: EmbeddedBucket;
let cluster: LoopbackCluster;
let bucket: CouchbaseBucket;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidegate-cb-"));
  store = await openEmbeddedBucket({
    directory,
    name: "places",
    time,
    random: systemRandom,
    log: silentLog,
    vbuckets: 16,
  });
  cluster = await LoopbackCluster.start(store, { nodes: 2 });
  bucket = await open();
});

afterEach(async () => {
  await bucket.close();
  await cluster.stop();
  await store.close();
  rmSync(directory, { recursive: true });
});

function open(options: Partial<CouchbaseBucketOptions> = {}): Promise<CouchbaseBucket> {
  return openCouchbaseBucket({
    connectionString: `couchbase://127.0.0.1:${cluster.address.port}/places`,
    ...cluster.user,
    operationTimeoutMs: 3000,
    connectTimeoutMs: 2000,
    time,
    random: systemRandom,
    log: silentLog,
    ...options,
  });
}

function writeOf(key: string, body: object | null, cas = 0n, rev = "1-a"): DocumentWrite {
  return {
    key,
    cas,
    body: body === null ? null : Buffer.from(JSON.stringify(body)),
    xattrs: { _sync: { rev } },
    macros: [
      { path: ["_sync", "seq"], value: "seqno" },
      { path: ["_sync", "cas"], value: "cas" },
    ],
  };
}

async function wrote(write: DocumentWrite) {
  const result = await bucket.documents.write(write);
  if (!result.ok) throw new Error(`refused: ${result.refusal}`);
  return result;
}

describe("documents", () => {
  test("a document goes through its whole life: made, changed, deleted, made again", async () => {
    const made = await wrote(writeOf("Zürich", { n: 1 }));
    expect(made).toMatchObject({ vb: vbucketOf("Zürich", 16), seq: 1 });
    expect(made.vbuuid).toMatch(/^[0-9a-f]{16}$/);
    const found = await bucket.documents.get("Zürich");
    expect(found).toMatchObject({ cas: made.cas, deleted: false });
    expect(Buffer.from(found!.body!).toString()).toBe('{"n":1}');
    expect(JSON.parse(found!.xattrs._sync!)).toMatchObject({
      rev: "1-a",
      seq: "0x0000000000000001",
    });

    const changed = await wrote(writeOf("Zürich", { n: 2 }, made.cas, "2-b"));
    const deleted = await wrote(writeOf("Zürich", null, changed.cas, "3-c"));
    const tombstone = await bucket.documents.get("Zürich");
    expect(tombstone).toMatchObject({ deleted: true, body: undefined, cas: deleted.cas });
    expect(JSON.parse(tombstone!.xattrs._sync!).rev).toBe("3-c");

    const again = await wrote(writeOf("Zürich", null, deleted.cas, "4-d"));
    const revived = await wrote(writeOf("Zürich", { n: 5 }, again.cas, "5-e"));
    expect(revived.seq).toBe(5);
    expect(await bucket.documents.get("Zürich")).toMatchObject({ deleted: false });
  });

  test("a deletion of something never seen is kept as a tombstone", async () => {
    const { cas } = await wrote(writeOf("gone", null, 0n, "7-x"));
    expect(await bucket.documents.get("gone")).toMatchObject({ deleted: true, cas });
    expect(await bucket.documents.count()).toBe(0);
  });

  test("a write onto another version than the one read is refused, live or tombstone", async () => {
    const { cas } = await wrote(writeOf("a", { n: 1 }));
    expect(await bucket.documents.write(writeOf("a", { n: 2 }))).toEqual({
      ok: false,
      refusal: "exists",
    });
    expect(await bucket.documents.write(writeOf("a", { n: 2 }, cas + 1n))).toEqual({
      ok: false,
      refusal: "cas_mismatch",
    });
    const deleted = await wrote(writeOf("a", null, cas));
    expect(await bucket.documents.write(writeOf("a", { n: 2 }, cas))).toMatchObject({ ok: false });
    expect(await bucket.documents.write(writeOf("a", null, cas))).toMatchObject({ ok: false });
    expect((await bucket.documents.get("a"))!.cas).toBe(deleted.cas);
    // For the server nothing is there, for a gateway a history is.
    for (const body of [{ n: 3 }, null]) {
      expect(await bucket.documents.write(writeOf("a", body))).toEqual({
        ok: false,
        refusal: "exists",
      });
    }
  });

  test("a purged document leaves nothing of ours", async () => {
    const live = await wrote(writeOf("a", { n: 1 }));
    expect(await bucket.documents.purge("a", live.cas)).toMatchObject({ ok: true });
    const dead = await wrote(writeOf("b", null));
    expect(await bucket.documents.purge("b", dead.cas)).toMatchObject({ ok: true });
    expect(await bucket.documents.purge("c", 1n)).toEqual({ ok: false, refusal: "not_found" });
  });

  test("keys come in their order over all vbuckets, both ways, with bounds", async () => {
    const keys = Array.from({ length: 700 }, (_, n) => `k${String(n).padStart(3, "0")}`);
    await Promise.all([...keys, "_sync:own"].map((key) => wrote(writeOf(key, {}))));
    const scanned = async (range: object) => {
      const out: string[] = [];
      for await (const page of bucket.documents.scan(range, { withBody: false })) {
        out.push(...page.map(({ key }) => key));
      }
      return out;
    };
    expect(await scanned({})).toEqual(keys);
    expect(await scanned({ descending: true })).toEqual(keys.toReversed());
    expect(await scanned({ from: "k100", to: "k103", includeTo: false })).toEqual([
      "k100",
      "k101",
      "k102",
    ]);
    expect(await scanned({ from: "k103", to: "k101", descending: true })).toEqual([
      "k103",
      "k102",
      "k101",
    ]);
    expect(await bucket.documents.count()).toBe(701);
  });

  test("answers that never come: one save stays one revision", async () => {
    bucket = await reopened({ operationTimeoutMs: 700 });
    for (let round = 0; round < 3; round++) {
      for (const node of cluster.nodes) node.faults.lostAnswers = 1;
      const result = await bucket.documents.write(writeOf(`d${round}`, { round }));
      expect(result).toMatchObject({ ok: true, seq: expect.any(Number) });
      for (const node of cluster.nodes) node.faults.lostAnswers = 0;
    }
    const high = await store.feed.highSeqs();
    expect(high.reduce((sum, seq) => sum + seq, 0)).toBe(3);
  }, 20_000);
});

async function reopened(options: Partial<CouchbaseBucketOptions>): Promise<CouchbaseBucket> {
  await bucket.close();
  return open(options);
}

describe.each(["pipelined", "sdk"] as const)("values by the %s path", (indexTraffic) => {
  test("operations have the outcomes of the embedded bucket", async () => {
    bucket = await reopened({ indexTraffic });
    const value = Buffer.from([1, 2]);
    const run = (key: string) => async (operation: object) =>
      (await bucket.index.batch([{ key, ...operation } as never]))[0]!;
    const a = run("a");
    expect(await a({ op: "append", value })).toEqual({ ok: false, refusal: "not_found" });
    const inserted = await a({ op: "insert", value });
    expect(inserted).toMatchObject({ ok: true });
    expect(await a({ op: "insert", value })).toEqual({ ok: false, refusal: "exists" });
    expect(await a({ op: "append", value })).toMatchObject({ ok: true });
    expect(await bucket.index.get("a")).toMatchObject({ value: new Uint8Array([1, 2, 1, 2]) });
    expect(await a({ op: "replace", value, cas: 1n })).toEqual({
      ok: false,
      refusal: "cas_mismatch",
    });
    expect(await a({ op: "replace", value })).toMatchObject({ ok: true });
    expect(await run("n")({ op: "counter", delta: 5, initial: 1 })).toMatchObject({ counter: 1 });
    expect(await run("n")({ op: "counter", delta: 5, initial: 1 })).toMatchObject({ counter: 6 });
    expect(await a({ op: "remove" })).toMatchObject({ ok: true });
    expect(await bucket.index.getMany(["a", "nothing"])).toEqual([undefined, undefined]);
    for (const key of ["p:2", "p:1", "p:3", "q"]) await run(key)({ op: "upsert", value });
    expect(await bucket.index.keys("p:", { limit: 2 })).toEqual(["p:1", "p:2"]);
    expect(await bucket.index.keys("p:", { after: "p:2", limit: 9 })).toEqual(["p:3"]);
  });
});

test("temporary failures, moves and lost connections are not the caller's affair", async () => {
  const all = Array.from({ length: 16 }, (_, vb) => vb);
  const value = Buffer.from("x");
  for (let round = 0; round < 6; round++) {
    for (const node of cluster.nodes) node.faults.temporaryFailures = 3;
    if (round % 3 === 1) cluster.move(all, round % 2);
    if (round % 3 === 2) for (const node of cluster.nodes) node.dropConnections();
    const keys = Array.from({ length: 20 }, (_, n) => `v${round}-${n}`);
    const results = await bucket.index.batch(keys.map((key) => ({ op: "upsert", key, value })));
    expect(results.every((result) => result.ok)).toBe(true);
    expect((await bucket.index.getMany(keys)).every((found) => found !== undefined)).toBe(true);
  }
  expect(bucket.stats().kv_retries).toBeGreaterThan(0);
}, 20_000);

test("over TLS everything is encrypted, and only to servers that are trusted", async () => {
  const connectionString = `couchbases://127.0.0.1:${cluster.nodes[0]!.tlsPort}/places`;
  bucket = await reopened({ connectionString, caFile: CA_FILE });
  const { cas } = await wrote(writeOf("a", { n: 1 }));
  expect(await bucket.documents.get("a")).toMatchObject({ cas });
  await bucket.index.batch([{ op: "upsert", key: "k", value: Buffer.from("v") }]);
  expect(await bucket.feed.highSeqs()).toHaveLength(16);
  expect(open({ connectionString })).rejects.toThrow(/certificate|self.signed/i);
});

describe("opening", () => {
  test.each([
    ["a wrong password", { password: "wrong" }, "refused the password"],
    ["no connection string", { connectionString: "http://x/y" }, "expected couchbase://"],
  ])("%s is said plainly", async (_what, options, message) => {
    expect(open(options)).rejects.toThrow(message);
  });

  test("an unknown bucket is said at once, not after a time-out", async () => {
    const connectionString = `couchbase://127.0.0.1:${cluster.address.port}/other`;
    expect(open({ connectionString })).rejects.toThrow('no bucket "other"');
  });
});
