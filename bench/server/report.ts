// The benchmark's lines: what was measured of each target, the ratios to the peer, and the aims.

import type { LatencyResult } from "./jobs.ts";
import type { Measured } from "./phases.ts";

/** One line of the report. */
export interface Line {
  readonly name: string;
  readonly unit: "/s" | "ms" | "µs" | "MiB";
  /** Target's kind -> value; not there when it was not measured. */
  readonly values: Readonly<Record<string, number | undefined>>;
  /** A remark on a value: target's kind -> text. */
  readonly remarks: Readonly<Record<string, string>>;
  /** What tidegate's value is to be at least (per second) or at most (milliseconds). */
  readonly aim?: number;
  /** How many times the peer's value tidegate's is to be. */
  readonly aimRatio?: number;
}

/** The aims of the project. */
export const AIMS = {
  savesPerSecond: 5000,
  rowsPerSecond: 100_000,
  rowP50Ms: 30,
  ratio: 5,
} as const;

/** A rate counts as held when at least this share of it was answered while it was sent. */
const HELD_SHARE = 0.97;

type Pick = (measured: Measured) => number | undefined;

/** The lines of a run. */
export function linesOf(all: readonly Measured[]): Line[] {
  const line = (name: string, unit: Line["unit"], pick: Pick, aims: Partial<Line> = {}): Line => ({
    name,
    unit,
    values: Object.fromEntries(all.map((measured) => [measured.kind, pick(measured)])),
    remarks: {},
    ...aims,
  });
  const { savesPerSecond, rowsPerSecond, rowP50Ms, ratio } = AIMS;
  const lines = [
    line("saves, 64 connections", "/s", (m) => m.saves?.perSecond, {
      aim: savesPerSecond,
      aimRatio: ratio,
    }),
    line("  PUT to answer, p50", "ms", (m) => m.saves?.answer.p50),
    line("  PUT to answer, p99", "ms", (m) => m.saves?.answer.p99),
    line("bulk saves of 100", "/s", (m) => m.bulk100?.perSecond, { aimRatio: ratio }),
    line("bulk saves of 500", "/s", (m) => m.bulk500?.perSecond, { aimRatio: ratio }),
    line("  until all rows were read", "ms", (m) => m.bulk500?.settledMs),
    line("rows of _changes from 0", "/s", (m) => m.changes?.perSecond, {
      aim: rowsPerSecond,
      aimRatio: ratio,
    }),
    line("  its first read", "/s", (m) => m.changes?.firstPerSecond),
  ];
  for (const rate of new Set(all.flatMap((m) => Object.keys(m.latency)))) {
    const when = rate === "0" ? "idle" : `at ${rate}/s`;
    const remarks = Object.fromEntries(
      all.flatMap((m) => {
        const text = remarkOn(m.latency[rate], Number(rate));
        return text === undefined ? [] : [[m.kind, text]];
      }),
    );
    const aim = rate === "250" ? {} : { aim: rowP50Ms };
    lines.push(
      line(`PUT to row, ${when}, p50`, "ms", (m) => m.latency[rate]?.row.p50, { ...aim, remarks }),
      line(`PUT to row, ${when}, p99`, "ms", (m) => m.latency[rate]?.row.p99, { remarks }),
    );
  }
  for (const phase of ["saves", "bulk 500", "changes"]) {
    const what = phase === "changes" ? "a row" : phase === "saves" ? "a save" : "a bulk save";
    lines.push(line(`processor time of ${what}`, "µs", (m) => m.cpuMicros[phase]));
  }
  lines.push(line("memory, most in use", "MiB", (m) => Math.max(...Object.values(m.peakMiB))));
  return lines;
}

function remarkOn(result: LatencyResult | undefined, rate: number): string | undefined {
  if (!result) return undefined;
  const missing = result.sent - result.received;
  if (missing > 0) return `${missing} of ${result.sent} rows never came`;
  if (rate > 0 && result.achievedPerSecond < rate * HELD_SHARE) {
    return `not held: ${Math.round(result.achievedPerSecond)}/s`;
  }
  return undefined;
}

/** Whether tidegate's value meets the aim of `line`, for each aim that it has. */
export function verdicts(line: Line): { text: string; ok: boolean }[] {
  const { values, aim, aimRatio, unit } = line;
  const own = values.tidegate;
  if (own === undefined) return [];
  const found: { text: string; ok: boolean }[] = [];
  const held = line.remarks.tidegate === undefined;
  if (aim !== undefined) {
    const ok = held && (unit === "ms" ? own <= aim : own >= aim);
    found.push({ text: `${unit === "ms" ? "at most" : "at least"} ${figure(aim)}`, ok });
  }
  const peer = values.peer;
  if (aimRatio !== undefined && peer !== undefined) {
    found.push({ text: `${aimRatio} × the peer`, ok: own >= aimRatio * peer });
  }
  return found;
}

/** A number as a person reads it: three digits that mean something, thousands apart. */
export function figure(value: number): string {
  if (value >= 100) return Math.round(value).toLocaleString("en-US");
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** The table, in the form that the documentation uses too. */
export function tableOf(lines: readonly Line[], kinds: readonly string[]): string {
  const peers = kinds.filter((kind) => kind !== "tidegate");
  const head = ["", ...kinds, ...peers.map((peer) => `÷ ${peer}`), "aim"];
  const rows = lines.map((line) => {
    const own = line.values.tidegate;
    const cell = (kind: string) => {
      const value = line.values[kind];
      const remark = line.remarks[kind];
      if (value === undefined || Number.isNaN(value)) return "–";
      return `${figure(value)} ${line.unit}${remark ? ` (${remark})` : ""}`;
    };
    const ratios = peers.map((peer) => {
      const value = line.values[peer];
      return own === undefined || value === undefined ? "–" : `${figure(own / value)} ×`;
    });
    const aims = verdicts(line).map(({ text, ok }) => `${text}: ${ok ? "yes" : "NO"}`);
    return [line.name, ...kinds.map(cell), ...ratios, aims.join("; ")];
  });
  const all = [head, ...rows];
  const widths = head.map((_, column) =>
    Math.max(...all.map((row) => [...(row[column] ?? "")].length)),
  );
  const print = (row: string[]) =>
    `| ${row.map((cell, column) => cell + " ".repeat((widths[column] ?? 0) - [...cell].length)).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [print(head), rule, ...rows.map(print)].join("\n");
}
