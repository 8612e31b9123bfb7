// What a benchmark ran on, and what a process used of it.

import { execFileSync } from "node:child_process";
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";

/** The machine and the software, for the head of a report. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  readonly bun: string;
  readonly node: string;
  readonly commit: string;
  readonly directory: string;
  readonly fileSystem: string;
  /** Milliseconds of a 4 KB write with fdatasync, in the directory of the data: median and p99. */
  readonly syncMs: { readonly p50: number; readonly p99: number };
  /** The load average over one minute before the run: others were at work when it is above 0.5. */
  readonly loadBefore: number;
}

const SYNCS = 200;

/** Looks at the machine; `directory` is where the servers will keep their data. */
export function describeMachine(directory: string, root: string): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? "unknown",
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    bun: process.versions.bun ?? "none",
    node: printed("node", ["--version"]),
    commit: printed("git", ["-C", root, "describe", "--always", "--dirty"]),
    directory,
    fileSystem: printed("stat", ["-f", "-c", "%T", directory]),
    syncMs: measureSync(directory),
    loadBefore: Math.round((os.loadavg()[0] ?? 0) * 100) / 100,
  };
}

function printed(program: string, args: string[]): string {
  try {
    return execFileSync(program, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown";
  }
}

function measureSync(parent: string): { p50: number; p99: number } {
  const directory = mkdtempSync(path.join(parent, "sync-"));
  const file = openSync(path.join(directory, "file"), "w");
  const page = Buffer.alloc(4096, 7);
  const samples: number[] = [];
  for (let k = 0; k < SYNCS; k++) {
    const begin = performance.now();
    writeSync(file, page);
    fdatasyncSync(file);
    samples.push(performance.now() - begin);
  }
  closeSync(file);
  rmSync(directory, { recursive: true });
  samples.sort((a, b) => a - b);
  const at = (share: number) => Math.round((samples[Math.floor(SYNCS * share)] ?? 0) * 1000) / 1000;
  return { p50: at(0.5), p99: at(0.99) };
}

/** What a process has used since it started; undefined where the system does not say (not Linux). */
export interface Usage {
  readonly peakMiB: number;
  readonly cpuSeconds: number;
}

/** The hundredths of a second in which Linux counts processor time. */
const TICKS_PER_SECOND = 100;

/** Reads the usage of `pid`, all its threads together. */
export function usageOf(pid: number): Usage | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name, in brackets, may hold spaces: count the fields after it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const peak = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]);
    const ticks = Number(fields[11]) + Number(fields[12]);
    return { peakMiB: peak / 1024, cpuSeconds: ticks / TICKS_PER_SECOND };
  } catch {
    return undefined;
  }
}
