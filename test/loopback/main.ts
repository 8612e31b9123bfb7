// A loopback cluster as a process of its own, for end-to-end tests and benchmarks:
//   bun test/loopback/main.ts --data DIR [--bucket NAME] [--nodes N] [--vbuckets V]
// Prints one JSON line when it listens, and stops when its standard input ends.

import { parseArgs } from "node:util";
import { silentLog } from "../../src/base/log.ts";
import { openEmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { LoopbackCluster } from "./cluster.ts";

const { values } = parseArgs({
  options: {
    data: { type: "string" },
    bucket: { type: "string", default: "places" },
    nodes: { type: "string", default: "2" },
    vbuckets: { type: "string", default: "1024" },
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
const cluster = await LoopbackCluster.start(bucket, { nodes: Number(values.nodes) });
const { host, port } = cluster.address;
console.log(
  JSON.stringify({
    connectionString: `couchbase://${host}:${port}/${values.bucket}`,
    ...cluster.user,
  }),
);

process.stdin.resume();
process.stdin.on("end", async () => {
  await cluster.stop();
  await bucket.close();
  process.exit(0);
});
