// Which plots are drawn of the results. How a plot is drawn: plot.ts.

import { deltaAim, oursOf, type Results } from "./aims.ts";
import type { Plot, Series } from "./plot.ts";

type Point = [x: number, y: number];

/** The plots by name: bytes over writes, bytes over the size of a delta, and times. */
export function plotsOf(results: Results): Record<string, Plot> {
  return {
    "bytes-over-writes": bytesOverWrites(results),
    "bytes-over-delta": bytesOverDelta(results),
    "time-to-encode": {
      title: "Encoding a whole clock of 1,024 vbuckets",
      x: "writes",
      y: "microseconds",
      series: timesOf(results, "encode"),
    },
    "time-to-decode": {
      title: "Decoding a whole clock of 1,024 vbuckets",
      x: "writes",
      y: "microseconds",
      series: timesOf(results, "decode").filter(({ name }) => name !== "hash pointer"),
    },
    "time-over-vbuckets": timeOverVbuckets(results),
  };
}

function poissonOf({ whole }: Results) {
  return whole.filter(({ kind }) => kind === "poisson").sort((a, b) => a.writes - b.writes);
}

function bytesOverWrites(results: Results): Plot {
  const poisson = poissonOf(results);
  const bound = poisson.map(({ writes, bound: bytes }): Point => [writes, bytes!]);
  const formats = poisson[0]!.formats.map(
    ({ format }): Series => ({
      name: format,
      points: poisson.map((result): Point => {
        const { bytes, stored } = oursOf(result, format);
        return [result.writes, bytes + stored];
      }),
    }),
  );
  return {
    title: "A whole clock of 1,024 vbuckets, evenly spread writes",
    x: "writes",
    y: "bytes (hash pointer: with what is kept elsewhere)",
    series: [{ name: "entropy bound", dashed: true, points: bound }, ...formats],
  };
}

function timesOf(results: Results, what: "encode" | "decode"): Series[] {
  const poisson = poissonOf(results);
  return poisson[0]!.formats.map(({ format }) => ({
    name: format,
    points: poisson.map((result): Point => [result.writes, oursOf(result, format)[what].us]),
  }));
}

function bytesOverDelta({ deltas }: Results): Plot {
  const line = (name: string, y: (delta: Results["deltas"][number]) => number, dashed = false) => ({
    name,
    dashed,
    points: deltas.map((delta): Point => [delta.writes, y(delta)]),
  });
  return {
    title: "A clock as what changed since another, 1,024 vbuckets",
    x: "writes between the two",
    y: "bytes",
    series: [
      line("entropy bound", ({ bound }) => bound, true),
      line("tidegate", ({ bytes }) => bytes),
      line("aim", ({ bound }) => deltaAim(bound), true),
      ...Object.keys(deltas[0]!.others).map((name) => line(name, ({ others }) => others[name]!)),
    ],
  };
}

function timeOverVbuckets({ speed }: Results): Plot {
  const names = ["encode", "decode", "compare", "compareEqual", "join", "difference"] as const;
  return {
    title: "Operations on clocks of 1,000 writes a vbucket",
    x: "vbuckets",
    y: "microseconds",
    series: names.map((name) => ({
      name,
      points: speed.map((one): Point => [one.vbuckets, one[name].us]),
    })),
  };
}
