// A plot of a benchmark's lines as SVG: a panel for each line, a bar for each target, the aim as a
// dashed line. Latencies are drawn on a logarithmic scale, because a server that does not hold the
// rate is thousands of times slower than one that does.

import { figure, type Line } from "./report.ts";

const WIDTH = 860;
const LEFT = 210;
const RIGHT = 150;
const BAR = 16;
const GAP = 26;
const TOP = 54;
const COLORS = ["#0b6e99", "#d98c2b", "#b9b2a6", "#8a6d9e"];

/** The SVG text. `title` says what ran where. */
export function plotOf(lines: readonly Line[], kinds: readonly string[], title: string): string {
  const drawn = lines.filter(
    (line) => (line.unit === "/s" || line.unit === "ms") && !line.name.startsWith("  "),
  );
  const parts: string[] = [];
  let y = TOP;
  for (const line of drawn) {
    const shown = kinds.filter((kind) => line.values[kind] !== undefined);
    parts.push(panel(line, shown, kinds, y));
    y += shown.length * BAR + GAP;
  }
  const legend = kinds.map((kind, index) => {
    const x = LEFT + index * 150;
    return (
      `<rect x="${x}" y="30" width="11" height="11" fill="${COLORS[index % COLORS.length]}"/>` +
      `<text x="${x + 16}" y="40">${escaped(kind)}</text>`
    );
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" ` +
      `viewBox="0 0 ${WIDTH} ${y}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${y}" fill="white"/>`,
    `<text x="10" y="18" font-weight="bold">${escaped(title)}</text>`,
    ...legend,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

function panel(line: Line, shown: readonly string[], kinds: readonly string[], y: number): string {
  const values = shown.map((kind) => line.values[kind] ?? 0);
  const most = Math.max(...values, line.aim ?? 0);
  const logarithmic = line.unit === "ms";
  const least = logarithmic ? Math.min(...values, line.aim ?? most) / 2 : 0;
  const scale = (value: number) => {
    const share = logarithmic
      ? Math.log(value / least) / Math.log(most / least)
      : value / (most || 1);
    return Math.max(1, share * (WIDTH - LEFT - RIGHT));
  };
  const bars = shown.map((kind, index) => {
    const value = line.values[kind] ?? 0;
    const color = COLORS[kinds.indexOf(kind) % COLORS.length];
    const top = y + index * BAR;
    const remark = line.remarks[kind];
    const text = `${figure(value)} ${line.unit}${remark ? ` (${remark})` : ""}`;
    return (
      `<rect x="${LEFT}" y="${top}" width="${scale(value).toFixed(1)}" height="${BAR - 3}" ` +
      `fill="${color}"/><text x="${(LEFT + scale(value) + 5).toFixed(1)}" y="${top + 11}">` +
      `${escaped(text)}</text>`
    );
  });
  const bottom = y + shown.length * BAR;
  const aimX = line.aim === undefined ? 0 : LEFT + scale(line.aim);
  const aim =
    line.aim === undefined
      ? ""
      : `<line x1="${aimX}" x2="${aimX}" y1="${y - 3}" y2="${bottom}" stroke="#333" ` +
        `stroke-dasharray="3 3"/><text x="${aimX + 3}" y="${bottom + 9}" font-size="9">aim</text>`;
  return `<text x="${LEFT - 10}" y="${y + 11}" text-anchor="end">${escaped(line.name)}</text>\n${bars.join("\n")}\n${aim}`;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
