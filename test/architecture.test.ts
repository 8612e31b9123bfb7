// The rules that keep the floors apart: imports point down, one way; only src/runtime names a
// runtime, the clock, chance or timers; files and lines keep their size.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { Glob } from "bun";

const root = new URL("..", import.meta.url).pathname;

/** The floors from the roof to the ground, as docs/architecture.md draws them. */
const FLOORS = [
  "main.ts",
  "cli",
  "server",
  "gateway",
  "replication",
  "documents",
  "access",
  "index",
  "controller",
  "clock",
  "bucket",
  "config",
  "runtime",
  "base",
];

const MAX_FILE_LINES = 450;
/** The formatter keeps code at 100 columns; a comment or a text may go a little over. */
const MAX_LINE_CHARACTERS = 120;

const files = [...new Glob("**/*.ts").scanSync(join(root, "src"))]
  .filter((path) => !path.includes(".generated."))
  .sort();

const textOf = (path: string) => readFileSync(join(root, "src", path), "utf8");

/** The source without comments and without the insides of strings. */
function bare(text: string): string {
  return text
    .replace(/`(?:\\.|[^`\\])*`|"(?:\\.|[^"\\\n])*"/g, '""')
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/\/\/.*$/gm, "");
}

function floorOf(path: string): number {
  return FLOORS.indexOf(path.split("/")[0] ?? "");
}

/** Whether `path` only names the types of a port that the floor above asks it to implement. */
function isPort(path: string, target: string): boolean {
  if (!target.endsWith("/ports.ts")) return false;
  const name = target.split("/").slice(-2).join("/");
  const lines = textOf(path).match(/^import[^;]*?from "[^"]*";/gm) ?? [];
  return lines.filter((line) => line.includes(name)).every((line) => /^import type/.test(line));
}

function importsOf(path: string): string[] {
  const found = textOf(path).matchAll(/(?:from|import\()\s*"(\.[^"]*)"/g);
  return [...found].map((match) => join(dirname(path), match[1] ?? ""));
}

test("there is something to look at", () => {
  expect(files.length).toBeGreaterThan(40);
});

describe("every file of src", () => {
  test("is on a floor that the architecture names", () => {
    expect(files.filter((path) => floorOf(path) < 0)).toEqual([]);
  });

  test("imports only from its own floor and from those below", () => {
    const up = files.flatMap((path) =>
      importsOf(path)
        .filter((target) => !target.startsWith(".."))
        .filter((target) => floorOf(target) < floorOf(path) && !isPort(path, target))
        .map((target) => `${path} -> ${target}`),
    );
    expect(up).toEqual([]);
  });

  test("imports nothing outside src but generated code and package.json", () => {
    const allowed = /^\.\.\/(package\.json$|proto\/.*\.generated\.)/;
    const out = files.flatMap((path) =>
      importsOf(path)
        .filter((target) => target.startsWith("..") && !allowed.test(target))
        .map((target) => `${path} -> ${target}`),
    );
    expect(out).toEqual([]);
  });

  test("names its imports with their ending", () => {
    const bad = files.flatMap((path) =>
      importsOf(path)
        .filter((target) => !/\.(ts|json|html|js|mjs)$/.test(target))
        .map((target) => `${path} -> ${target}`),
    );
    expect(bad).toEqual([]);
  });

  test("leaves runtime, clock, chance and timers to src/runtime", () => {
    const names =
      /\b(Bun|Deno)\.|\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bperformance\.now\b|\b(setTimeout|setInterval|setImmediate)\(/;
    const bad = files
      .filter((path) => !path.startsWith("runtime/"))
      .flatMap((path) =>
        bare(textOf(path))
          .split("\n")
          .filter((line) => names.test(line))
          .map((line) => `${path}: ${line.trim()}`),
      );
    expect(bad).toEqual([]);
  });

  test("is small: lines and file", () => {
    const long = files.flatMap((path) => {
      const lines = textOf(path).split("\n");
      const wide = lines.filter(
        (line) => line.length > MAX_LINE_CHARACTERS && !/https?:/.test(line),
      );
      const bad = wide.map((line) => `${path}: ${line.trim()}`);
      return lines.length > MAX_FILE_LINES ? [...bad, `${path}: ${lines.length} lines`] : bad;
    });
    expect(long).toEqual([]);
  });

  test("opens with what lives in it", () => {
    expect(files.filter((path) => !/^(#!.*\n)?(\/\/|\/\*)/.test(textOf(path)))).toEqual([]);
  });
});

test("docs/architecture.md names the floors in this order", () => {
  const page = readFileSync(join(root, "docs", "architecture.md"), "utf8");
  const places = FLOORS.map((floor) => page.indexOf(`| \`src/${floor}`));
  expect(places.every((place) => place >= 0)).toBe(true);
  expect([...places].sort((a, b) => a - b)).toEqual(places);
});

test("nothing of this project names a path of the machine that it was written on", () => {
  const place = relative("/", root).split("/").slice(0, 2).join("/");
  const bad = files.filter((path) => textOf(path).includes(`/${place}/`));
  expect(bad).toEqual([]);
});
