// The results as SVG plots: lines over logarithmic axes.

/** A line of a plot. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly dashed?: boolean;
}

/** What a plot shows. */
export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
}

const WIDTH = 920;
const HEIGHT = 520;
const LEFT = 74;
const RIGHT = 230;
const TOP = 44;
const BOTTOM = 52;
const COLORS = [
  "#0b6e99",
  "#d9480f",
  "#5c940d",
  "#862e9c",
  "#e8590c",
  "#1098ad",
  "#a61e4d",
  "#495057",
  "#f08c00",
  "#2b8a3e",
  "#364fc7",
  "#846358",
  "#c2255c",
];

/** The SVG text of a plot. */
export function svgOf(plot: Plot): string {
  const points = plot.series.flatMap((series) => series.points);
  const [x0, x1] = bounds(points.map(([x]) => x));
  const [y0, y1] = bounds(points.map(([, y]) => y));
  const across = (x: number) =>
    LEFT + (Math.log(x / x0) / Math.log(x1 / x0)) * (WIDTH - LEFT - RIGHT);
  const up = (y: number) =>
    HEIGHT - BOTTOM - (Math.log(y / y0) / Math.log(y1 / y0)) * (HEIGHT - TOP - BOTTOM);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" ` +
      `viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(plot.title)}</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${LEFT}" y="24" font-size="15" font-weight="bold">${escaped(plot.title)}</text>`,
    ...decades(x0, x1).map((x) => {
      const at = across(x).toFixed(1);
      return (
        `<line x1="${at}" x2="${at}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" stroke="#e4e4e4"/>` +
        `<text x="${at}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${short(x)}</text>`
      );
    }),
    ...decades(y0, y1).map((y) => {
      const at = up(y).toFixed(1);
      return (
        `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}" stroke="#e4e4e4"/>` +
        `<text x="${LEFT - 6}" y="${Number(at) + 4}" text-anchor="end">${short(y)}</text>`
      );
    }),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 10}" text-anchor="middle">` +
      `${escaped(plot.x)}</text>`,
    `<text transform="translate(16 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle">` +
      `${escaped(plot.y)}</text>`,
    ...plot.series.map((series, index) => line(series, index, across, up)),
    "</svg>",
    "",
  ].join("\n");
}

function line(
  series: Series,
  index: number,
  across: (x: number) => number,
  up: (y: number) => number,
): string {
  const color = COLORS[index % COLORS.length];
  const path = series.points
    .map(([x, y]) => `${across(x).toFixed(1)},${up(y).toFixed(1)}`)
    .join(" ");
  const dash = series.dashed ? ' stroke-dasharray="5 4"' : "";
  const y = TOP + 8 + index * 18;
  const x = WIDTH - RIGHT + 16;
  return (
    `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"${dash}/>` +
    `<line x1="${x}" x2="${x + 22}" y1="${y}" y2="${y}" stroke="${color}" stroke-width="2"${dash}/>` +
    `<text x="${x + 28}" y="${y + 4}">${escaped(series.name)}</text>`
  );
}

function bounds(values: readonly number[]): [number, number] {
  const least = Math.min(...values);
  const most = Math.max(...values);
  return [least / 1.15, most * 1.15];
}

/** The powers of ten between, or of two where there are few. */
function decades(from: number, to: number): number[] {
  const base = to / from > 100 ? 10 : 2;
  const marks: number[] = [];
  const first = Math.ceil(Math.log(from) / Math.log(base));
  for (let power = first; base ** power <= to; power++) marks.push(base ** power);
  return marks;
}

function short(value: number): string {
  if (value >= 1e6) return `${value / 1e6} M`;
  if (value >= 1e4) return `${value / 1e3} k`;
  return String(Number(value.toPrecision(3)));
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
