// Where the gateway's time goes under load: `bun bench/profile.ts [saves|bulk|changes|row] [FILE]`.
// Starts it under Bun's sampling profiler, puts one load on it, and prints a summary. With FILE, a
// profile made before is summarised. PROFILE_SECONDS (5) and PROFILE_LINES (25) set how much.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { startTarget } from "../test/harness/target.ts";
import { SYNC_FUNCTION } from "./server/documents.ts";
import type { Job } from "./server/jobs.ts";
import { usageOf } from "./server/machine.ts";
import { CONNECTIONS, generate } from "./server/phases.ts";
import { summarise, type Times } from "./server/profile-summary.ts";

const seconds = Number(process.env.PROFILE_SECONDS ?? 5);
const lines = Number(process.env.PROFILE_LINES ?? 25);
/** Rows that are read when `changes` is profiled, and how often. */
const ROWS = 50_000;
const RUNS = 6;

function jobFor(load: string, port: number): Job {
  const common = { port, database: "profile", connections: CONNECTIONS, seconds };
  if (load === "saves") return { job: "saves", ...common, warmUpSeconds: 0 };
  if (load === "row") {
    return { job: "latency", ...common, feed: "websocket", rate: 1000, warmUpSeconds: 0 };
  }
  if (load === "changes") {
    return { job: "changes", port, database: "profile", query: "since=0", runs: RUNS };
  }
  if (load !== "bulk") throw new Error(`saves, bulk, changes or row; not ${load}`);
  return { ...bulkOf(port, 10_000_000), seconds };
}

function bulkOf(port: number, documents: number): Job & { job: "bulk" } {
  const rest = { connections: 4, batch: 250, documents, seconds: 120, first: 0 };
  return { job: "bulk", port, database: "profile", ...rest };
}

async function record(load: string, directory: string): Promise<string> {
  const runtimeArgs = ["--cpu-prof", `--cpu-prof-dir=${directory}`, "--cpu-prof-interval=500"];
  const target = await startTarget("tidegate", { runtimeArgs });
  try {
    await target.createDatabase("profile", { syncFunction: SYNC_FUNCTION });
    if (load === "changes") await generate(target, bulkOf(target.port, ROWS));
    const before = usageOf(target.pid);
    const begin = performance.now();
    const result = await generate(target, jobFor(load, target.port));
    const wall = (performance.now() - begin) / 1000;
    const after = usageOf(target.pid);
    console.log(JSON.stringify(result));
    if (before && after) {
      const cpu = after.cpuSeconds - before.cpuSeconds;
      console.log(`${cpu.toFixed(1)} s of processor time in ${wall.toFixed(1)} s, all threads`);
    }
    await target.stop();
  } finally {
    await target.dispose();
  }
  const file = readdirSync(directory).find((name) => name.endsWith(".cpuprofile"));
  if (!file) throw new Error("no profile was written");
  return path.join(directory, file);
}

function print(title: string, times: Times, totalMs: number): void {
  console.log(`\n${title}`);
  for (const [name, ms] of times.slice(0, lines)) {
    const share = ((ms / totalMs) * 100).toFixed(1).padStart(5);
    console.log(`${share} % ${ms.toFixed(0).padStart(7)} ms  ${name}`);
  }
}

const directory = mkdtempSync(path.join(tmpdir(), "profile-"));
try {
  const file = process.argv[3] ?? (await record(process.argv[2] ?? "saves", directory));
  const { totalMs, byFloor, bySelf, byTotal } = summarise(file);
  print("by floor or package", byFloor, totalMs);
  print("by function, itself", bySelf, totalMs);
  print("by function, with what it calls", byTotal, totalMs);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
