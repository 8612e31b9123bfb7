// `npm run bench`: the gateway over HTTP beside a peer, in the same run, against the project's aims.
//
//   BENCH_SECONDS  seconds of each measurement (10; 2 or less is the short mode with fewer rows)
//   BENCH_ROWS     rows of the whole `_changes` (100,000; 10,000 in the short mode)
//   BENCH_TARGETS  what to measure, of tidegate, peer, peer-node, peer-durable (all; the first two
//                  in the short mode)
//   BENCH_DIR      where the servers keep their data (the system's temporary directory)
//   BENCH_ASSERT   1: exit with 1 when an aim is missed

import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { root, type TargetKind } from "../test/harness/target.ts";
import { describeMachine } from "./server/machine.ts";
import { runPhases } from "./server/phases.ts";
import { plotOf } from "./server/plot.ts";
import { linesOf, tableOf, verdicts } from "./server/report.ts";

const seconds = Number(process.env.BENCH_SECONDS ?? 10);
const short = seconds <= 2;
const rows = Number(process.env.BENCH_ROWS ?? (short ? 10_000 : 100_000));
const kinds = (
  process.env.BENCH_TARGETS ?? (short ? "tidegate,peer" : "tidegate,peer,peer-node,peer-durable")
).split(",") as TargetKind[];
const directory = process.env.BENCH_DIR ?? tmpdir();

const machine = describeMachine(directory, root);
console.log(`Tidegate ${machine.commit} beside express-pouchdb on LevelDB`);
console.log(
  `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}; ` +
    `Bun ${machine.bun}, Node ${machine.node}`,
);
console.log(
  `data on ${machine.fileSystem}, a synced 4 KB write takes ${machine.syncMs.p50} ms (p50), ` +
    `${machine.syncMs.p99} ms (p99); load average before: ${machine.loadBefore}`,
);
console.log(
  `${seconds} s for each measurement, ${rows} rows, documents of 1 KB, two channels each`,
);

const measured = await runPhases(kinds, { seconds, rows }, directory, (text) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
});
if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");

const lines = linesOf(measured);
console.log(`\n${tableOf(lines, kinds)}\n`);
console.log("tidegate and peer-durable: a save is answered when it is on the disk (fdatasync).");
console.log(
  "peer, peer-node: as shipped; a power cut loses the last saves, a killed process none.",
);
const failures = measured.flatMap((one) =>
  [one.saves, one.bulk100, one.bulk500, ...Object.values(one.latency)].flatMap((result) =>
    Object.entries(result?.failures ?? {}).map(
      ([what, count]) => `${one.kind}: ${count} × ${what}`,
    ),
  ),
);
for (const failure of failures) console.log(`FAILED requests: ${failure}`);

const results = path.join(root, "bench/results");
mkdirSync(results, { recursive: true });
const stamp = new Date().toISOString().replaceAll(/[:.]/g, "-");
const report = { at: new Date().toISOString(), machine, seconds, rows, measured, lines };
const title = `Tidegate beside express-pouchdb: ${machine.cores} cores, ${machine.cpu}`;
for (const name of [stamp, "latest"]) {
  writeFileSync(path.join(results, `${name}.json`), `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(path.join(results, `${name}.svg`), plotOf(lines, kinds, title));
}
console.log(`written: ${path.relative(process.cwd(), path.join(results, "latest.json"))} and .svg`);

const missed = lines.some((line) => verdicts(line).some(({ ok }) => !ok));
process.exit(process.env.BENCH_ASSERT === "1" && (missed || failures.length > 0) ? 1 : 0);
