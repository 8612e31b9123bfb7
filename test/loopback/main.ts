// A loopback cluster as a process of its own, for end-to-end tests and benchmarks:
//   bun test/loopback/main.ts --data DIR [--bucket NAME] [--nodes N] [--replicas N] [--vbuckets V]
//   [--documents N]: saves so many small documents before it listens
//   [--faults SEED]: things go wrong all the time, chosen by the seed
//   [--preload]: encodes the feed before it listens, so that sending it costs next to nothing
// Prints one JSON line when it listens, and stops on SIGTERM.

import { parseArgs } from "node:util";
import { silentLog } from "../../src/base/log.ts";
import { openEmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { LoopbackCluster } from "./cluster.ts";
import { preload } from "./preload.ts";
import { makeTrouble } from "./trouble.ts";

const { values } = parseArgs({
  options: {
    data: { type: "string" },
    bucket: { type: "string", default: "places" },
    nodes: { type: "string", default: "2" },
    replicas: { type: "string", default: "0" },
    vbuckets: { type: "string", default: "1024" },
    documents: { type: "string", default: "0" },
    faults: { type: "string" },
    preload: { type: "boolean", default: false },
  },
});

const bucket = await openEmbeddedBucket({
  directory: values.data ?? "loopback-data",
  name: values.bucket,
  time: systemTime(),
  random: systemRandom,
  log: silentLog,
  vbuckets: Number(values.vbuckets),
});
await fill(Number(values.documents));
const cluster = await LoopbackCluster.start(bucket, {
  nodes: Number(values.nodes),
  replicas: Number(values.replicas),
});
if (values.preload) {
  cluster.backfills = {
    withBody: await preload(bucket, true),
    withoutBody: await preload(bucket, false),
  };
}
const { host, port } = cluster.address;
console.log(
  JSON.stringify({
    connectionString: `couchbase://${host}:${port}/${values.bucket}`,
    ...cluster.user,
  }),
);

if (values.faults !== undefined) makeTrouble(cluster, Number(values.faults));
process.on("SIGTERM", async () => {
  await cluster.stop();
  await bucket.close();
  process.exit(0);
});

/** Saves `count` documents of some 100 bytes with a `_sync` attribute. */
async function fill(count: number): Promise<void> {
  for (let n = 0; n < count; n += 1000) {
    const writes = Array.from({ length: Math.min(1000, count - n) }, (_, i) =>
      bucket.documents.write({
        key: `doc-${n + i}`,
        cas: 0n,
        body: Buffer.from(JSON.stringify({ n: n + i, text: "a document of the benchmark" })),
        xattrs: { _sync: { rev: "1-0123456789abcdef0123456789abcdef" } },
        macros: [],
      }),
    );
    await Promise.all(writes);
  }
}
