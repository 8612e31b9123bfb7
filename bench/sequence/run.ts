// `npm run bench:sequence`: what clocks, deltas, sequences and the lookup map take, in bytes and in time,
// beside other formats and the entropy bounds, against the project's aims.
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
import { deltaAim, oursOf, type Results, verdictsOf } from "./aims.ts";
import { measureDeltas } from "./deltas.ts";
import { type Plot, svgOf } from "./plot.ts";
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
const year = await measureYear((text) => say(`a year: ${text}`));
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
for (const [name, plot] of Object.entries(plots(results))) {
  writeFileSync(join(out, `${name}.svg`), svgOf(plot));
}
console.log(`\n${join(out, "latest.json")}, and plots beside it`);
if (process.env.BENCH_ASSERT === "1" && verdicts.some(({ reached }) => !reached)) process.exit(1);

/** The plots: bytes over writes, bytes over the size of a delta, and times. */
function plots({
  whole: clocks,
  deltas: changes,
  speed: operations,
}: Results): Record<string, Plot> {
  const poisson = clocks
    .filter(({ kind }) => kind === "poisson")
    .sort((a, b) => a.writes - b.writes);
  const formats = poisson[0]!.formats.map(({ format }) => format);
  const bytesOf = (format: string) =>
    poisson.map((result): [number, number] => {
      const { bytes, stored } = oursOf(result, format);
      return [result.writes, bytes + stored];
    });
  const timeOf = (what: "encode" | "decode") =>
    formats.map((name) => ({
      name,
      points: poisson.map((result): [number, number] => [
        result.writes,
        oursOf(result, name)[what].us,
      ]),
    }));
  const others = Object.keys(changes[0]!.others);
  return {
    "bytes-over-writes": {
      title: "A whole clock of 1,024 vbuckets, evenly spread writes",
      x: "writes",
      y: "bytes (hash pointer: with what is kept elsewhere)",
      series: [
        {
          name: "entropy bound",
          dashed: true,
          points: poisson.map(({ writes, bound }) => [writes, bound!]),
        },
        ...formats.map((name) => ({ name, points: bytesOf(name) })),
      ],
    },
    "bytes-over-delta": {
      title: "A clock as what changed since another, 1,024 vbuckets",
      x: "writes between the two",
      y: "bytes",
      series: [
        {
          name: "entropy bound",
          dashed: true,
          points: changes.map(({ writes, bound }) => [writes, bound]),
        },
        { name: "tidegate", points: changes.map(({ writes, bytes }) => [writes, bytes]) },
        {
          name: "aim",
          dashed: true,
          points: changes.map(({ writes, bound }) => [writes, deltaAim(bound)]),
        },
        ...others.map((name) => ({
          name,
          points: changes.map((delta): [number, number] => [delta.writes, delta.others[name]!]),
        })),
      ],
    },
    "time-to-encode": {
      title: "Encoding a whole clock of 1,024 vbuckets",
      x: "writes",
      y: "microseconds",
      series: timeOf("encode"),
    },
    "time-to-decode": {
      title: "Decoding a whole clock of 1,024 vbuckets",
      x: "writes",
      y: "microseconds",
      series: timeOf("decode").filter(({ name }) => name !== "hash pointer"),
    },
    "time-over-vbuckets": {
      title: "Operations on clocks of 1,000 writes a vbucket",
      x: "vbuckets",
      y: "microseconds",
      series: (["encode", "decode", "compare", "compareEqual", "join", "difference"] as const).map(
        (name) => ({
          name,
          points: operations.map((one): [number, number] => [one.vbuckets, one[name].us]),
        }),
      ),
    },
  };
}
