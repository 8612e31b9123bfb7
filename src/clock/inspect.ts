// Sequences, clocks and ticks for a person: what `tidegate inspect` and `GET /{db}/_clock` answer.
// Everything is plain JSON; `linesOf` makes text of it.

import type { Json, JsonObject } from "../base/json.ts";
import type { LookupMap } from "../controller/ports.ts";
import type { Branches } from "./branches.ts";
import { includes, total } from "./clock.ts";
import { codecNames, codecOf, encodePayload } from "./codec/payload.ts";
import type { TickHistory } from "./lookup-map.ts";
import { resolvePosition } from "./position.ts";
import { formatTick, parseSequence, type Sequence } from "./sequence.ts";
import type { Clock, Stable, Tick } from "./tick.ts";
import { encodeClock } from "./whole.ts";

/** Ticks that one answer of {@link inspectTicks} has, at most. */
export const MAX_INSPECTED_TICKS = 1000;

/** The last millisecond that has a date. */
const LAST_DATE_MS = 8.64e15;

/** A tick as a person reads it: its sequence, its number, and when it was published. */
export function inspectTick(tick: Tick): JsonObject {
  const at = tick > LAST_DATE_MS || tick === 0 ? null : new Date(tick).toISOString();
  return { sequence: formatTick(tick), tick, at };
}

/**
 * What a sequence says by itself, without a database.
 *
 * @throws TidegateError `bad_sequence`
 */
export function inspectSequence(text: string): JsonObject {
  const sequence = parseSequence(text);
  return { sequence: text, means: meaning(sequence), ...parts(sequence) };
}

function meaning(sequence: Sequence): string {
  switch (sequence.kind) {
    case "tick":
      return sequence.tick === 0 ? "nothing" : "everything in the clock of the tick";
    case "interval":
      return (
        "everything in the clock of the tick `from`, and of what the tick `to` adds to it " +
        "everything up to the mutation, by vbucket and then by seq"
      );
    case "eager":
      return "a row beyond the stable clock: counts as everything in the clock of the tick";
    case "clock":
      return "everything in this clock";
  }
}

function parts(sequence: Sequence): JsonObject {
  switch (sequence.kind) {
    case "tick":
      return { tick: inspectTick(sequence.tick) };
    case "interval": {
      const { from, to, vb, seq } = sequence;
      return { from: inspectTick(from), to: inspectTick(to), mutation: { vb, seq } };
    }
    case "eager": {
      const { tick, vb, seq } = sequence;
      return { tick: inspectTick(tick), mutation: { vb, seq } };
    }
    case "clock":
      return { clock: inspectClock(sequence.clock) };
  }
}

/** What is in a clock, and what it takes in each codec. */
export function inspectClock(clock: Clock): JsonObject {
  const sorted = clock.slice().sort();
  const bytes: JsonObject = {};
  for (const name of codecNames) {
    const payload = encodePayload(clock, "small", name);
    if (payload !== undefined) bytes[name] = payload.length;
  }
  return {
    vbuckets: clock.length,
    mutations: total(clock),
    empty: sorted.filter((seq) => seq === 0).length,
    least: sorted[0]!,
    median: sorted[sorted.length >>> 1]!,
    most: sorted[sorted.length - 1]!,
    codec: codecOf(encodePayload(clock, "small")),
    payloadBytes: bytes,
    bytes: encodeClock(clock, "small").length,
    rawBytes: clock.byteLength,
  };
}

/**
 * What a client has that says `text`, in this database: the answer of `GET /{db}/_clock?since=`.
 *
 * @throws TidegateError `bad_sequence`
 */
export async function inspectPosition(
  text: string,
  lookup: LookupMap,
  branches: Branches,
  vbuckets: number,
): Promise<JsonObject> {
  const sequence = parseSequence(text);
  const { from, within } = await resolvePosition(sequence, lookup, vbuckets, branches);
  const head = lookup.newest();
  const report: JsonObject = {
    since: text,
    means: meaning(sequence),
    from: stableReport(from),
    head: head === undefined ? null : inspectTick(head.tick),
    behind: head === undefined ? 0 : missing(from.clock, head.clock),
  };
  if (within !== undefined) {
    const { to, vb, seq } = within;
    report.within = {
      to: stableReport(to),
      mutation: { vb, seq, in: includes(to.clock, vb, seq) },
    };
  }
  return report;
}

function stableReport({ tick, clock }: Stable): JsonObject {
  return { ...inspectTick(tick), mutations: total(clock), clock: [...clock] };
}

/** How many sequence numbers are in `head` and not in `clock`. */
function missing(clock: Clock, head: Clock): number {
  let count = 0;
  for (let vb = 0; vb < head.length; vb++) count += Math.max(0, head[vb]! - clock[vb]!);
  return count;
}

/** The ticks that the lookup map has, from `from` on, with the bytes that each takes. */
export async function inspectTicks(
  history: TickHistory,
  options: { from?: Tick; limit?: number } = {},
): Promise<JsonObject> {
  const limit = Math.min(options.limit ?? MAX_INSPECTED_TICKS, MAX_INSPECTED_TICKS);
  const ticks = await history.ticks(options.from ?? (1 as Tick), limit + 1);
  const rows: Json[] = [];
  for (const { tick, bytes, kind } of ticks.slice(0, limit)) {
    const { clock } = await history.resolve(tick);
    rows.push({ ...inspectTick(tick), mutations: total(clock), bytes, kind });
  }
  const next = ticks[limit];
  return {
    newest: stableTick(history.newest()),
    ticks: rows,
    next: next === undefined ? null : formatTick(next.tick),
  };
}

function stableTick(stable: Stable | undefined): JsonObject | null {
  return stable === undefined
    ? null
    : { ...inspectTick(stable.tick), mutations: total(stable.clock) };
}

/** Numbers of a list that are printed on one line. */
const NUMBERS_A_LINE = 16;

/** A report as lines of text: a name and a value each, deeper ones indented. */
export function linesOf(report: Json, indent = ""): string[] {
  if (report === null || typeof report !== "object") return [`${indent}${plain(report)}`];
  if (Array.isArray(report)) return listLines(report, indent);
  const lines: string[] = [];
  const width = Math.max(0, ...Object.keys(report).map((name) => name.length));
  for (const [name, value] of Object.entries(report)) {
    if (value !== null && typeof value === "object") {
      lines.push(`${indent}${name}:`, ...linesOf(value, `${indent}  `));
    } else {
      lines.push(`${indent}${`${name}:`.padEnd(width + 2)}${plain(value)}`);
    }
  }
  return lines;
}

function listLines(list: readonly Json[], indent: string): string[] {
  const lines: string[] = [];
  if (list.every((item) => typeof item === "number")) {
    for (let at = 0; at < list.length; at += NUMBERS_A_LINE) {
      lines.push(`${indent}${at}: ${list.slice(at, at + NUMBERS_A_LINE).join(" ")}`);
    }
    return lines;
  }
  for (const item of list) {
    if (item !== null && typeof item === "object" && !Array.isArray(item)) {
      const fields = Object.entries(item).map(([name, value]) => `${name} ${plain(value)}`);
      lines.push(`${indent}${fields.join("  ")}`);
    } else {
      lines.push(...linesOf(item, indent));
    }
  }
  return lines;
}

function plain(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
