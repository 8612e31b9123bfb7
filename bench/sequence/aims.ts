// The aims of the project for clocks and sequences, each with what was measured.

import type { DeltaResult } from "./deltas.ts";
import type { RowResult } from "./rows.ts";
import type { SpeedResult } from "./speed.ts";
import type { FormatResult, WholeResult } from "./whole.ts";
import { OURS, OURS_SMALL } from "./whole.ts";
import type { YearResult } from "./year.ts";

/** Everything that one run measured. */
export interface Results {
  readonly whole: readonly WholeResult[];
  readonly deltas: readonly DeltaResult[];
  readonly rows: { readonly json: readonly RowResult[]; readonly binary: readonly RowResult[] };
  readonly speed: readonly SpeedResult[];
  readonly year: YearResult;
}

/** An aim and whether it is reached. */
export interface Verdict {
  readonly what: string;
  readonly aim: string;
  readonly found: string;
  readonly reached: boolean;
}

/** Ratio to the bound for clocks of evenly spread writes. */
export const POISSON_RATIO = 1.03;
/** A delta may take this ratio to its bound, and some bytes. */
export const DELTA_RATIO = 1.25;
export const DELTA_BYTES = 4;
const JSON_ROW_BYTES = 16;
const BINARY_ROW_BYTES = 2;
const DECODE_US = 20;
const COMPARE_US = 1;
const YEAR_BYTES = 64e6;
const COLD_US = 100;
const WARM_US = 2;

/** Our result on a trace. */
export function oursOf(result: WholeResult, name = OURS): FormatResult {
  return result.formats.find(({ format }) => format === name)!;
}

/** The smallest of the others on a trace; what must be kept elsewhere counts. */
export function bestOther(result: WholeResult): FormatResult {
  return result.formats
    .filter(({ format }) => format !== OURS && format !== OURS_SMALL)
    .reduce((best, one) => (one.bytes + one.stored < best.bytes + best.stored ? one : best));
}

/** The bytes that a delta of this bound may take. */
export function deltaAim(bound: number): number {
  return bound * DELTA_RATIO + DELTA_BYTES;
}

/** Every aim, with what was measured. */
export function verdictsOf(results: Results): Verdict[] {
  return [
    ...wholeVerdicts(results.whole),
    deltaVerdict(results.deltas),
    ...rowVerdicts(results.rows),
    ...speedVerdicts(results.speed),
    ...yearVerdicts(results.year),
  ];
}

function wholeVerdicts(whole: readonly WholeResult[]): Verdict[] {
  const poisson = whole.filter(({ kind }) => kind === "poisson");
  const worst = poisson.reduce((a, b) => (oursOf(a).ratio! > oursOf(b).ratio! ? a : b));
  const zipf = whole.filter(({ kind }) => kind === "zipf");
  const share = (result: WholeResult) => {
    const other = bestOther(result);
    return oursOf(result).bytes / (other.bytes + other.stored);
  };
  const closest = zipf.reduce((a, b) => (share(a) > share(b) ? a : b));
  return [
    {
      what: "whole clock, Poisson traces",
      aim: `<= ${POISSON_RATIO} x the bound on each`,
      found: `worst ${oursOf(worst).ratio!.toFixed(4)} (${worst.trace})`,
      reached: oursOf(worst).ratio! <= POISSON_RATIO,
    },
    {
      what: "whole clock, Zipf traces",
      aim: "smaller than every baseline on each",
      found:
        `${zipf.filter((result) => share(result) < 1).length} of ${zipf.length}; the closest is ` +
        `${bestOther(closest).format} on ${closest.trace}: ${share(closest).toFixed(3)} of it`,
      reached: zipf.every((result) => share(result) < 1),
    },
  ];
}

function deltaVerdict(deltas: readonly DeltaResult[]): Verdict {
  const over = (delta: DeltaResult) => delta.bytes / deltaAim(delta.bound);
  const worst = deltas.reduce((a, b) => (over(a) > over(b) ? a : b));
  return {
    what: "delta of 1 to 10,000 writes",
    aim: `<= ${DELTA_RATIO} x the bound + ${DELTA_BYTES} B for each`,
    found:
      `tightest at ${worst.writes} writes: ${worst.bytes.toFixed(1)} B, ` +
      `${deltaAim(worst.bound).toFixed(1)} B allowed`,
    reached: deltas.every((delta) => over(delta) <= 1),
  };
}

function rowVerdicts({ json, binary }: Results["rows"]): Verdict[] {
  const rows = json.reduce((sum, one) => sum + one.rows, 0);
  const average = json.reduce((sum, one) => sum + one.bytes * one.rows, 0) / rows;
  const most = json.reduce((a, b) => (a.bytes > b.bytes ? a : b));
  const aimed = binary.filter(({ feed }) => !feed.includes("each with its own"));
  const worst = aimed.reduce((a, b) => (a.bytes > b.bytes ? a : b));
  return [
    {
      what: "sequence a row, JSON feeds",
      aim: `<= ${JSON_ROW_BYTES} B on average`,
      found:
        `${average.toFixed(1)} B over all feeds (${(average + 2).toFixed(1)} with quotation marks); ` +
        `most ${most.bytes.toFixed(1)} B (${most.feed})`,
      reached: average <= JSON_ROW_BYTES,
    },
    {
      what: "sequence a row, binary form",
      aim: `<= ${BINARY_ROW_BYTES} B on each feed`,
      found: `most ${worst.bytes.toFixed(2)} B (${worst.feed})`,
      reached: worst.bytes <= BINARY_ROW_BYTES,
    },
  ];
}

function speedVerdicts(speed: readonly SpeedResult[]): Verdict[] {
  const { decode, compare, compareEqual } = speed.find(({ vbuckets }) => vbuckets === 1024)!;
  const slowest = Math.max(compare.us, compareEqual.us);
  return [
    {
      what: "decode a whole clock, V = 1024",
      aim: `<= ${DECODE_US} us`,
      found: `${decode.us.toFixed(1)} us (fastest batch ${decode.fastestUs.toFixed(1)})`,
      reached: decode.us <= DECODE_US,
    },
    {
      what: "compare two clocks, V = 1024",
      aim: `<= ${COMPARE_US} us`,
      found:
        `${compare.us.toFixed(2)} us, equal ones ${compareEqual.us.toFixed(2)} us ` +
        `(fastest batches ${compare.fastestUs.toFixed(2)}, ${compareEqual.fastestUs.toFixed(2)})`,
      reached: slowest <= COMPARE_US,
    },
  ];
}

function yearVerdicts(year: YearResult): Verdict[] {
  const { cold } = year;
  return [
    {
      what: "lookup map of a year, stored",
      aim: `<= ${YEAR_BYTES / 1e6} MB`,
      found:
        `${(year.bytes / 1e6).toFixed(1)} MB of values, ` +
        `${(year.diskBytes / 1e6).toFixed(1)} MB of file`,
      reached: Math.max(year.bytes, year.diskBytes) <= YEAR_BYTES,
    },
    {
      what: "lookup map of a year, cold resolve",
      aim: `<= 1 read, <= ${COLD_US} us`,
      found:
        `${year.mostReads} read at most, p50 ${cold.p50.toFixed(0)} us, ` +
        `${cold.cpu.toFixed(0)} us of processor on average (wall: mean ${cold.mean.toFixed(0)}, ` +
        `p99 ${cold.p99.toFixed(0)}; the bucket's read is ${year.readUs.toFixed(0)} of them)`,
      reached: year.mostReads <= 1 && cold.p50 <= COLD_US && cold.cpu <= COLD_US,
    },
    {
      what: "lookup map of a year, warm resolve",
      aim: `<= ${WARM_US} us`,
      found: `${year.warmUs.toFixed(2)} us`,
      reached: year.warmUs <= WARM_US,
    },
  ];
}
