// The DCP client against loopback nodes in another process: mutations per second, CPU and memory of
// the client, and what a consumer that stops for a while costs.
//   bun bench/dcp.ts [DOCUMENTS] [PAUSE_SECONDS]

import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../src/base/log.ts";
import { Topology } from "../src/bucket/couchbase/cluster/topology.ts";
import { Connector } from "../src/bucket/couchbase/connection/connector.ts";
import { parseConnectionString } from "../src/bucket/couchbase/connection-string.ts";
import { DcpFeedReader } from "../src/bucket/couchbase/dcp/feed.ts";
import { DEFAULT_DCP_SETTINGS } from "../src/bucket/couchbase/dcp/settings.ts";
import { NodePool } from "../src/bucket/couchbase/kv/node-pool.ts";
import type { StreamPosition } from "../src/bucket/feed.ts";
import { systemRandom } from "../src/runtime/random.ts";
import { systemTime } from "../src/runtime/time.ts";
import { startGuarded } from "../test/harness/process.ts";
import { root } from "../test/harness/target.ts";

const DOCUMENTS = Number(process.argv[2] ?? 1_000_000);
const PAUSE_SECONDS = Number(process.argv[3] ?? 60);
const MIB = 1024 * 1024;

const directory = mkdtempSync(join(tmpdir(), "tidegate-dcp-bench-"));
const server = await startGuarded([
  process.execPath,
  join(root, "test/loopback/main.ts"),
  ...["--data", directory, "--documents", String(DOCUMENTS), "--preload"],
  ...["--nodes", "2", "--replicas", "1"],
]);
const ready = await new Promise<{ connectionString: string; username: string; password: string }>(
  (resolve) => server.onLine((line) => line.startsWith("{") && resolve(JSON.parse(line))),
);

const time = systemTime();
const { nodes, bucket } = parseConnectionString(ready.connectionString);
const connector = new Connector(
  {
    login: { username: ready.username, password: ready.password, bucket },
    connectTimeoutMs: 5000,
    requestTimeoutMs: 60_000,
    agent: "tidegate bench",
  },
  time,
  systemRandom,
);

interface Run {
  readonly mutations: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMib: number;
  readonly pausedMib: number;
}

/** Reads the whole feed; stops for `pauseSeconds` after a tenth of it. */
async function run(withBody: boolean, pauseSeconds: number, mitigated = false): Promise<Run> {
  const topology = new Topology(connector, nodes, silentLog);
  const { active } = await topology.refresh();
  const positions = Array.from(active, (_, vb): StreamPosition => {
    return { vb, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 };
  });
  const settings = { ...DEFAULT_DCP_SETTINGS, connectionName: "bench" };
  const pool = new NodePool(connector, topology, silentLog);
  const common = { connector, topology, settings, time, random: systemRandom, log: silentLog };
  const parts = { ...common, ...(mitigated ? { mitigation: pool } : {}) };
  Bun.gc(true);
  const before = process.memoryUsage.rss();
  const started = performance.now();
  const cpu = process.cpuUsage();
  let peak = before;
  let pausedMib = 0;
  let pausedMs = 0;
  const reader = new DcpFeedReader(parts, positions, { withBody });
  let mutations = 0;
  while (mutations < DOCUMENTS) {
    for (const event of await reader.read()) if (event.kind === "mutation") mutations++;
    peak = Math.max(peak, process.memoryUsage.rss());
    if (pauseSeconds > 0 && pausedMs === 0 && mutations > DOCUMENTS / 10) {
      const stopped = performance.now();
      await Bun.sleep(pauseSeconds * 1000);
      pausedMs = performance.now() - stopped;
      pausedMib = (process.memoryUsage.rss() - before) / MIB;
    }
  }
  const used = process.cpuUsage(cpu);
  reader.close();
  pool.close();
  return {
    mutations,
    seconds: (performance.now() - started - pausedMs) / 1000,
    cpuSeconds: (used.user + used.system) / 1e6,
    peakMib: (peak - before) / MIB,
    pausedMib,
  };
}

function print(what: string, { mutations, seconds, cpuSeconds, peakMib, pausedMib }: Run): void {
  const rate = Math.round(mutations / seconds).toLocaleString("en");
  const perCore = Math.round(mutations / cpuSeconds).toLocaleString("en");
  const paused = pausedMib > 0 ? `, ${pausedMib.toFixed(0)} MiB while stopped` : "";
  console.log(
    `${what.padEnd(28)} ${rate.padStart(9)} mutations/s  ${perCore.padStart(9)} per CPU second ` +
      `of the client  +${peakMib.toFixed(0)} MiB at the peak${paused}`,
  );
}

console.log(`${cpus().length} × ${cpus()[0]?.model}; Bun ${Bun.version}`);
console.log(
  `${DOCUMENTS.toLocaleString("en")} mutations in ${1024} vbuckets, two loopback nodes in one process`,
);
print("without bodies", await run(false, 0));
print("with bodies", await run(true, 0));
print("with rollback mitigation", await run(false, 0, true));
print(`stopped for ${PAUSE_SECONDS} s`, await run(false, PAUSE_SECONDS));
server.signal("SIGTERM");
await server.exited;
rmSync(directory, { recursive: true, force: true });
