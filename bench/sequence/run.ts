// `npm run bench:sequence`: what clocks, deltas, sequences and the lookup map take, in bytes and in
// time, beside other formats and the entropy bounds, against the project's aims.
//
//   --trace FILE   a trace recorded by `tidegate trace`, measured beside the built-in ones
//   --out DIR      where JSON and plots go (bench/results/sequence)
//   BENCH_ASSERT=1 exit with 1 when an aim is missed

import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeMachine } from "../server/machine.ts";
import { type Results, verdictsOf } from "./aims.ts";
import { measureDeltas } from "./deltas.ts";
import { svgOf } from "./plot.ts";
import { plotsOf } from "./plots.ts";
import { reportOf, verdictText } from "./report.ts";
import { measureRows } from "./rows.ts";
import { measureSpeed } from "./speed.ts";
import { builtInTraces, userTrace } from "./traces.ts";
import { measureUser } from "./user.ts";
import { measureWhole } from "./whole.ts";
import { measureYear } from "./year.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { values: flags } = parseArgs({
  options: { trace: { type: "string" }, out: { type: "string" } },
});

function say(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

const machine = describeMachine(tmpdir(), root);
console.log(
  `Tidegate ${machine.commit}: clocks and sequences\n${machine.cpu}, ${machine.cores} cores, ` +
    `${machine.memoryGiB} GiB, ${machine.system}; Bun ${machine.bun}; ` +
    `load average before: ${machine.loadBefore}`,
);

const user = flags.trace === undefined ? undefined : userTrace(flags.trace);
const traces = [...builtInTraces(), ...(user === undefined ? [] : [user.trace])];
const year = await measureYear((text) => say(`a year: ${text}`));
const whole = traces.map((trace) => {
  say(`whole clocks: ${trace.name}`);
  return measureWhole(trace);
});
say("operations");
const speed = measureSpeed();
say("deltas");
const deltas = await measureDeltas();
say("rows");
const rows = await measureRows();
say("");
const results: Results = { whole, speed, deltas, rows, year };
const own = user && measureUser(user.clocks);
const verdicts = verdictsOf(results);

console.log(reportOf(results, own));
console.log(`\nAims\n----\n${verdictText(verdicts)}`);

const out = flags.out ?? join(root, "bench/results/sequence");
mkdirSync(out, { recursive: true });
const json = { machine, results, user: own, verdicts };
writeFileSync(join(out, "latest.json"), `${JSON.stringify(json, null, 2)}\n`);
for (const [name, plot] of Object.entries(plotsOf(results))) {
  writeFileSync(join(out, `${name}.svg`), svgOf(plot));
}
console.log(`\n${join(out, "latest.json")}, and plots beside it`);
if (process.env.BENCH_ASSERT === "1" && verdicts.some(({ reached }) => !reached)) process.exit(1);
