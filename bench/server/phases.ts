// The phases of the benchmark: each does the same work on every target, one target at a time, with
// the load coming from a process of its own. The order is phase by phase, so that what the machine
// does meanwhile falls on all targets alike.

import path from "node:path";
import { startGuarded } from "../../test/harness/process.ts";
import { root, startTarget, type Target, type TargetKind } from "../../test/harness/target.ts";
import { SYNC_FUNCTION } from "./documents.ts";
import {
  type BulkResult,
  type ChangesResult,
  type Job,
  type LatencyResult,
  RESULT_MARK,
  type ResultOf,
  type SavesResult,
} from "./jobs.ts";
import { usageOf } from "./machine.ts";

/** How much is done. */
export interface Scale {
  /** Seconds of each measurement that runs for a time. */
  readonly seconds: number;
  /** Documents written in bulk, and so rows of the whole `_changes`. */
  readonly rows: number;
}

/** Connections of the saves and of the latency measurements. */
export const CONNECTIONS = 64;
/** Connections of the bulk saves. */
export const BULK_CONNECTIONS = 4;
/** The loads at which latency is measured, in saves per second; 0: one at a time. */
export const LATENCY_RATES = [0, 250, 1000] as const;
const CHANGES_RUNS = 3;
/** A bulk measurement that takes longer than this many times `seconds` is cut off. */
const BULK_PATIENCE = 12;

/** Everything measured of one target. */
export interface Measured {
  readonly kind: TargetKind;
  startMs: number;
  saves?: SavesResult;
  bulk100?: BulkResult;
  bulk500?: BulkResult;
  changes?: ChangesResult;
  /** By rate. */
  latency: Record<string, LatencyResult>;
  /** The highest memory in use so far after each phase, MiB. */
  peakMiB: Record<string, number>;
  /** Processor time of the server in each phase, microseconds for each document or row. */
  cpuMicros: Record<string, number>;
}

/** Runs every phase on each of `kinds`. `say` is told what goes on. */
export async function runPhases(
  kinds: readonly TargetKind[],
  scale: Scale,
  parentDirectory: string,
  say: (text: string) => void,
): Promise<Measured[]> {
  const targets: Target[] = [];
  try {
    for (const kind of kinds) targets.push(await startTarget(kind, { parentDirectory }));
    const measured = targets.map((target): Measured => {
      return {
        kind: target.kind,
        startMs: target.startMs,
        latency: {},
        peakMiB: {},
        cpuMicros: {},
      };
    });
    for (const phase of phases(scale)) {
      for (const [index, target] of targets.entries()) {
        say(`${phase.name}: ${target.kind}`);
        await measurePhase(phase, target, measured[index] as Measured);
      }
    }
    return measured;
  } finally {
    for (const target of targets) await target.dispose();
  }
}

/** One phase: gives how many documents or rows it was about. */
interface Phase {
  readonly name: string;
  readonly database: string;
  run(target: Target, into: Measured): Promise<number>;
}

async function measurePhase(phase: Phase, target: Target, into: Measured): Promise<void> {
  const exists = await fetch(`${target.adminUrl}/${phase.database}`);
  await exists.arrayBuffer();
  if (exists.status === 404) {
    await target.createDatabase(phase.database, { syncFunction: SYNC_FUNCTION });
  }
  const before = usageOf(target.pid);
  const count = await phase.run(target, into);
  const after = usageOf(target.pid);
  if (!before || !after) return;
  into.peakMiB[phase.name] = Math.round(after.peakMiB);
  into.cpuMicros[phase.name] = ((after.cpuSeconds - before.cpuSeconds) * 1e6) / count;
}

function phases(scale: Scale): Phase[] {
  const { seconds, rows } = scale;
  const warmUpSeconds = Math.min(2, seconds / 2);
  const bulk = (batch: 100 | 500): Phase => ({
    name: `bulk ${batch}`,
    database: "bulk",
    async run(target, into) {
      const result = await generate(target, {
        job: "bulk",
        port: target.port,
        database: "bulk",
        connections: BULK_CONNECTIONS,
        batch,
        documents: rows / 2,
        seconds: seconds * BULK_PATIENCE,
        first: batch === 100 ? 0 : rows / 2,
      });
      into[batch === 100 ? "bulk100" : "bulk500"] = result;
      return result.saved;
    },
  });
  const saves: Phase = {
    name: "saves",
    database: "saves",
    async run(target, into) {
      const { port } = target;
      const timing = { connections: CONNECTIONS, warmUpSeconds, seconds };
      into.saves = await generate(target, { job: "saves", port, database: "saves", ...timing });
      // The warm-up's saves took processor time too.
      return into.saves.perSecond * (seconds + warmUpSeconds);
    },
  };
  const changes: Phase = {
    name: "changes",
    database: "bulk",
    async run(target, into) {
      const { port } = target;
      const query = "since=0";
      const job = { job: "changes", port, database: "bulk", query, runs: CHANGES_RUNS } as const;
      into.changes = await generate(target, job);
      return into.changes.rows * CHANGES_RUNS;
    },
  };
  return [
    saves,
    bulk(100),
    bulk(500),
    changes,
    ...LATENCY_RATES.map((rate) => latency(rate, scale)),
  ];
}

function latency(rate: number, scale: Scale): Phase {
  return {
    name: rate === 0 ? "row, idle" : `row at ${rate}/s`,
    database: `latency${rate}`,
    async run(target, into) {
      const result = await generate(target, {
        job: "latency",
        port: target.port,
        database: `latency${rate}`,
        feed: target.kind === "tidegate" ? "websocket" : "continuous",
        rate,
        connections: CONNECTIONS,
        warmUpSeconds: Math.min(1, scale.seconds / 2),
        seconds: scale.seconds,
      });
      into.latency[rate] = result;
      return result.sent;
    },
  };
}

/** Runs the generator with `job` and gives its result. */
export async function generate<J extends Job>(target: Target, job: J): Promise<ResultOf<J>> {
  const program = path.join(root, "bench/server/generator.ts");
  const generator = await startGuarded([process.execPath, program, JSON.stringify(job)]);
  let result: string | undefined;
  generator.onLine((line) => {
    if (line.startsWith(RESULT_MARK)) result = line.slice(RESULT_MARK.length);
  });
  const status = await generator.exited;
  if (status === 0 && result !== undefined) return JSON.parse(result) as ResultOf<J>;
  throw new Error(
    `the generator ended with ${status}:\n${generator.log()}\n${target.kind} printed:\n${target.log()}`,
  );
}
