// The results as text for a person.

import { deltaAim, oursOf, type Results, type Verdict } from "./aims.ts";
import type { UserResult } from "./user.ts";
import type { WholeResult } from "./whole.ts";

/** Columns of text: the first to the left, the others to the right. */
export function tableOf(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
        )
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** A number in about four digits. */
export function figure(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString("en");
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

/** The whole report, but for the aims. */
export function reportOf(results: Results, user: UserResult | undefined): string {
  return [
    heading("Whole clocks: bytes sent, on average (hash pointer: sent + kept elsewhere)"),
    tableOf(bytesRows(results.whole)),
    "",
    "bound: the entropy of independent Poisson numbers with the trace's own means, summed over its",
    "vbuckets. For evenly spread writes it is what no code can beat. For Zipf traces and the others it",
    "takes each vbucket's rate as known to the reader, as only who knows every document's rate could:",
    "there it is a floor and not within reach. ratio: of tidegate's bytes to it.",
    heading("Whole clocks: microseconds to encode / decode"),
    tableOf(timeRows(results.whole)),
    heading("Deltas of k evenly spread writes: bytes on average"),
    tableOf(deltaRows(results)),
    "",
    "bound: the entropy of the multinomial distribution of k writes over 1,024 vbuckets. tidegate: with",
    "its version and its checksum; in a protobuf field of its own it takes two or three bytes more",
    "(enveloped). The others have neither version nor checksum.",
    heading("Sequences on rows: bytes a row (JSON: the text; its two quotation marks come on top)"),
    tableOf(rowRows(results)),
    heading("Operations by number of vbuckets: microseconds"),
    tableOf(speedRows(results)),
    heading("The lookup map after a year of 10,000 writes and 40 ticks a second"),
    tableOf(yearRows(results)),
    yearText(results),
    ...(user === undefined ? [] : [heading("Your trace"), tableOf(userRows(user))]),
  ].join("\n");
}

/** The aims, each with what was found. */
export function verdictText(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ what, aim, found, reached }) => [
    `${reached ? "pass" : "FAIL"}  ${what}`,
    aim,
    found,
  ]);
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map(
      ([what, aim, found]) => `${what!.padEnd(widths[0]!)}  ${aim!.padEnd(widths[1]!)}  ${found}`,
    )
    .join("\n");
}

function heading(text: string): string {
  return `\n${text}\n${"-".repeat(text.length)}`;
}

function bytesRows(whole: readonly WholeResult[]): string[][] {
  const formats = whole[0]!.formats.map(({ format }) => format);
  return [
    ["trace", "bound", "ratio", ...formats],
    ...whole.map((result) => [
      result.trace,
      result.bound === undefined ? "-" : figure(result.bound),
      oursOf(result).ratio?.toFixed(3) ?? "-",
      ...result.formats.map(({ bytes, stored }) =>
        stored > 0 ? `${figure(bytes)}+${figure(stored)}` : figure(bytes),
      ),
    ]),
  ];
}

function timeRows(whole: readonly WholeResult[]): string[][] {
  const formats = whole[0]!.formats.filter(({ stored }) => stored === 0);
  return [
    ["trace", ...formats.map(({ format }) => format)],
    ...whole.map((result) => [
      result.trace,
      ...result.formats
        .filter(({ stored }) => stored === 0)
        .map(({ encode, decode }) => `${figure(encode.us)}/${figure(decode.us)}`),
    ]),
  ];
}

function deltaRows({ deltas }: Results): string[][] {
  const others = Object.keys(deltas[0]!.others);
  return [
    [
      "k",
      "bound",
      "allowed",
      "tidegate",
      "ratio",
      "enveloped",
      "enc us",
      "dec us",
      "codecs",
      ...others,
    ],
    ...deltas.map((delta) => [
      String(delta.writes),
      figure(delta.bound),
      figure(deltaAim(delta.bound)),
      figure(delta.bytes),
      (delta.bytes / delta.bound).toFixed(3),
      figure(delta.enveloped),
      figure(delta.encode.us),
      figure(delta.decode.us),
      Object.keys(delta.chosen).join(" "),
      ...others.map((name) => figure(delta.others[name] ?? 0)),
    ]),
  ];
}

function rowRows({ rows }: Results): string[][] {
  return [
    ["feed", "rows", "B a row", "positions"],
    ...[...rows.json, ...rows.binary].map((one, index) => [
      `${index < rows.json.length ? "JSON" : "binary"}: ${one.feed}`,
      figure(one.rows),
      figure(one.bytes),
      figure(one.positions),
      one.example,
    ]),
  ];
}

function speedRows({ speed }: Results): string[][] {
  return [
    ["V", "bytes", "encode", "decode", "compare", "compare equal", "join", "difference"],
    ...speed.map((one) => [
      String(one.vbuckets),
      figure(one.bytes),
      figure(one.encode.us),
      figure(one.decode.us),
      figure(one.compare.us),
      figure(one.compareEqual.us),
      figure(one.join.us),
      figure(one.difference.us),
    ]),
  ];
}

function yearRows({ year }: Results): string[][] {
  return [
    ["a tick every", "ticks", "segments", "MB", "B a tick"],
    ...year.levels.map(({ keepEveryMs, ticks, segments, bytes }) => [
      keepEveryMs < 1000 ? `${keepEveryMs} ms` : `${keepEveryMs / 1000} s`,
      figure(ticks),
      figure(segments),
      figure(bytes / 1e6),
      figure(bytes / ticks),
    ]),
  ];
}

function yearText({ year }: Results): string {
  const lived = year.lived.map(
    (one) =>
      `${one.keepEveryMs} ms: ${figure(one.lived)} B a tick lived through, ${figure(one.made)} made`,
  );
  return [
    `opened in ${year.openMs.toFixed(0)} ms; made directly as thinning leaves it, and compared with`,
    `ten minutes lived through tick by tick: ${lived.join("; ")}`,
  ].join("\n");
}

function userRows(user: UserResult): string[][] {
  return [
    ["what", "bytes"],
    ["ticks", figure(user.ticks)],
    ["writes between two ticks, on average", figure(user.writesBetween)],
    ["delta between two ticks, on average", figure(user.deltaBytes)],
    ["a tick in the lookup map, not thinned", figure(user.bytesInSegments)],
    ["the same as gap and varint pairs", figure(user.pairsBytes)],
  ];
}
