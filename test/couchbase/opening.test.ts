// Opening a bucket while the cluster has a bad moment: patient with what may pass, up to the connect
// time-out, and quick to say what will not.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { silentLog } from "../../src/base/log.ts";
import {
  type CouchbaseBucket,
  type CouchbaseBucketOptions,
  openCouchbaseBucket,
} from "../../src/bucket/couchbase/couchbase-bucket.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { DcpWorld, until } from "./dcp-world.ts";

let world: DcpWorld;
let bucket: CouchbaseBucket | undefined;
beforeEach(async () => {
  world = await DcpWorld.start();
});
afterEach(async () => {
  await bucket?.close();
  bucket = undefined;
  await world.close();
});

async function open(options: Partial<CouchbaseBucketOptions> = {}): Promise<CouchbaseBucket> {
  bucket = await openCouchbaseBucket({
    connectionString: `couchbase://127.0.0.1:${world.cluster.address.port}/places`,
    ...world.cluster.user,
    connectTimeoutMs: 10_000,
    time: systemTime(),
    random: systemRandom,
    log: silentLog,
    ...options,
  });
  return bucket;
}

/** Whether a save through the bucket is there afterwards. */
async function works(opened: CouchbaseBucket): Promise<void> {
  const [made] = await opened.index.batch([
    { op: "upsert", key: "k", value: Uint8Array.from([1, 2, 3]) },
  ]);
  expect(made!.ok).toBe(true);
  expect(await opened.documents.count()).toBe(0);
}

test("a cluster that comes up only after the gateway is waited for", async () => {
  const { nodes } = world.cluster;
  for (const node of nodes) node.faults.refuseConnections = true;
  const opening = open();
  await until("the gateway tried", () => nodes[0]!.refused >= 3);
  for (const node of nodes) node.faults.refuseConnections = false;
  await works(await opening);
});

test("connections that are cut while it logs in, and while it looks for collections", async () => {
  for (const cut of [30, 60, 200, 500, 900, 1500]) {
    for (const node of world.cluster.nodes) node.faults.cutAfterBytes = cut;
    const opened = await open();
    await works(opened);
    await opened.close();
    bucket = undefined;
  }
}, 60_000);

test("a node that is lost while documents are counted", async () => {
  const opened = await open();
  for (const node of world.cluster.nodes) node.faults.delayMs = 50;
  for (let round = 0; round < 5; round++) {
    const counting = opened.documents.count();
    for (const node of world.cluster.nodes) node.dropConnections();
    expect(await counting).toBe(0);
  }
}, 30_000);

test("a cluster that never comes is given up after the connect time-out", async () => {
  for (const node of world.cluster.nodes) node.faults.refuseConnections = true;
  const started = performance.now();
  const failure = await open({ connectTimeoutMs: 700 }).catch((error: Error) => error);
  expect(failure).toMatchObject({
    code: "unavailable",
    message: expect.stringContaining("did not answer within 700 ms"),
  });
  expect(performance.now() - started).toBeGreaterThan(600);
  expect(world.cluster.nodes[0]!.refused).toBeGreaterThan(2);
});

test("a wrong password and an unknown bucket are said at once", async () => {
  const started = performance.now();
  const wrong = await open({ password: "wrong" }).catch((error: Error) => error);
  expect(wrong).toMatchObject({ code: "unauthorized" });
  const connectionString = `couchbase://127.0.0.1:${world.cluster.address.port}/nowhere`;
  const unknown = await open({ connectionString }).catch((error: Error) => error);
  expect(unknown).toMatchObject({ code: "not_found" });
  expect(performance.now() - started).toBeLessThan(5000);
});
