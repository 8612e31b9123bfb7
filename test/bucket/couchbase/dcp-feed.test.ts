// The DCP client against loopback nodes over an embedded bucket: real sockets, faults on demand.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../../src/base/log.ts";
import { Topology } from "../../../src/bucket/couchbase/cluster/topology.ts";
import { Connector } from "../../../src/bucket/couchbase/connection/connector.ts";
import { DcpFeedReader } from "../../../src/bucket/couchbase/dcp/feed.ts";
import {
  type DcpSettings,
  DEFAULT_DCP_SETTINGS,
} from "../../../src/bucket/couchbase/dcp/settings.ts";
import {
  type EmbeddedBucket,
  openEmbeddedBucket,
} from "../../../src/bucket/embedded/embedded-bucket.ts";
import type { FeedEvent, StreamPosition } from "../../../src/bucket/feed.ts";
import { systemRandom } from "../../../src/runtime/random.ts";
import { systemTime } from "../../../src/runtime/time.ts";
import { LoopbackCluster } from "../../loopback/cluster.ts";

const VBUCKETS = 16;
const time = systemTime();
let directory: string;
let bucket: EmbeddedBucket;
let cluster: LoopbackCluster;
let reader: DcpFeedReader | undefined;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidegate-dcp-"));
  bucket = await openEmbeddedBucket({
    directory,
    name: "places",
    time,
    random: systemRandom,
    log: silentLog,
    vbuckets: VBUCKETS,
  });
  cluster = await LoopbackCluster.start(bucket, { nodes: 2 });
});

afterEach(async () => {
  reader?.close();
  await cluster.stop();
  await bucket.close();
  rmSync(directory, { recursive: true });
});

async function openFeed(settings: Partial<DcpSettings> = {}, password?: string) {
  const connector = new Connector(
    {
      login: { ...cluster.user, bucket: "places", ...(password ? { password } : {}) },
      connectTimeoutMs: 1000,
      requestTimeoutMs: 2000,
      agent: "tidegate test",
    },
    time,
    systemRandom,
  );
  const topology = new Topology(connector, [cluster.address], silentLog);
  await topology.refresh();
  const positions = Array.from({ length: VBUCKETS }, (_, vb): StreamPosition => {
    return { vb, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 };
  });
  reader = new DcpFeedReader(
    {
      connector,
      topology,
      settings: { ...DEFAULT_DCP_SETTINGS, connectionName: "test", ...settings },
      time,
      random: systemRandom,
      log: silentLog,
    },
    positions,
    {},
  );
  return reader;
}

async function save(from: number, to: number, size = 10): Promise<void> {
  const writes = [];
  for (let n = from; n < to; n++) {
    writes.push(
      bucket.documents.write({
        key: `doc-${n}`,
        cas: 0n,
        body: Buffer.from(JSON.stringify({ n, pad: "x".repeat(size) })),
        xattrs: { _sync: { rev: "1-a" } },
        macros: [],
      }),
    );
  }
  expect((await Promise.all(writes)).every((result) => result.ok)).toBe(true);
}

/** Reads until `count` different documents were delivered; fails on a repeat within a branch. */
async function collect(from: DcpFeedReader, count: number, into = new Map<string, FeedEvent>()) {
  while (into.size < count) {
    const events = await from.read();
    expect(events.length).toBeGreaterThan(0);
    for (const event of events) {
      if (event.kind !== "mutation") continue;
      expect(into.has(event.key)).toBe(false);
      into.set(event.key, event);
    }
  }
  return into;
}

test("a backfill and what is saved after it arrive whole, from both nodes", async () => {
  await save(0, 500);
  const feed = await openFeed();
  const got = await collect(feed, 500);
  await save(500, 700);
  await collect(feed, 700, got);
  const one = got.get("doc-600");
  expect(one).toMatchObject({ xattrs: { _sync: '{"rev":"1-a"}' }, deleted: false });
  if (one?.kind !== "mutation") throw new Error("not a mutation");
  expect(JSON.parse(Buffer.from(one.body!).toString())).toMatchObject({ n: 600 });
  expect(cluster.nodes.map((node) => node.connections > 0)).toEqual([true, true]);
});

test("connections that drop, again and again, lose nothing and repeat nothing", async () => {
  await save(0, 300);
  const feed = await openFeed();
  const got = new Map<string, FeedEvent>();
  for (let round = 1; round <= 10; round++) {
    for (const node of cluster.nodes) {
      if (round % 2 === 0) node.faults.cutAfterBytes = 997 * round;
      else node.dropConnections();
    }
    await save(300 * round, 300 * (round + 1));
    await collect(feed, 300 * (round + 1), got);
  }
  expect(got.size).toBe(3300);
});

test("streams follow their vbuckets when these move to another node", async () => {
  await save(0, 200);
  const feed = await openFeed();
  const got = await collect(feed, 200);
  const all = Array.from({ length: VBUCKETS }, (_, vb) => vb);
  for (let round = 1; round <= 6; round++) {
    cluster.move(all, round % 2);
    await save(200 * round, 200 * (round + 1));
    await collect(feed, 200 * (round + 1), got);
  }
});

test("a consumer that does not read stops the server, and its memory", async () => {
  const bufferBytes = 64 * 1024;
  const feed = await openFeed({ bufferBytes });
  await save(0, 2000, 2000);
  const full = () => cluster.nodes.every((node) => node.unacknowledgedBytes >= bufferBytes);
  for (let turn = 0; turn < 5000 && !full(); turn++) await new Promise(setImmediate);
  for (const node of cluster.nodes) {
    expect(node.unacknowledgedBytes).toBeGreaterThanOrEqual(bufferBytes);
    expect(node.unacknowledgedBytes).toBeLessThan(bufferBytes + 8 * 1024);
  }
  expect((await collect(feed, 2000)).size).toBe(2000);
});

describe("logging in", () => {
  test("a wrong password is said plainly", async () => {
    expect(openFeed({}, "wrong")).rejects.toThrow('refused the password of user "gateway"');
  });
});
