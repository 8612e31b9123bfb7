// The project's own files: a lock file that installs anywhere, pinned versions, no addresses.

import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const root = new URL("..", import.meta.url).pathname;
const text = (path: string) => readFileSync(join(root, path), "utf8");

interface Package {
  readonly version?: string;
  readonly resolved?: string;
  readonly optionalDependencies?: Record<string, string>;
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
  readonly scripts?: Record<string, string>;
}

const project = JSON.parse(text("package.json")) as Required<Package>;
const lock = JSON.parse(text("package-lock.json")) as { packages: Record<string, Package> };

describe("package.json", () => {
  test("pins every version exactly", () => {
    const all = { ...project.dependencies, ...project.devDependencies };
    const loose = Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
    expect(loose).toEqual([]);
  });

  test("has scripts whose files exist", () => {
    for (const script of Object.values(project.scripts)) {
      for (const [path] of script.matchAll(/\S+\.(ts|mjs)\b/g)) {
        expect(`${path} ${existsSync(join(root, path))}`).toBe(`${path} true`);
      }
    }
  });
});

describe("package-lock.json", () => {
  test("says what package.json says", () => {
    const { dependencies, devDependencies } = lock.packages[""] ?? {};
    expect(dependencies).toEqual(project.dependencies);
    expect(devDependencies).toEqual(project.devDependencies);
  });

  test("names the packages of every platform: otherwise run `npm run lock`", () => {
    const missing = Object.entries(lock.packages).flatMap(([place, { optionalDependencies }]) =>
      Object.keys(optionalDependencies ?? {}).filter(
        (name) =>
          !lock.packages[`node_modules/${name}`] && !lock.packages[`${place}/node_modules/${name}`],
      ),
    );
    expect(missing).toEqual([]);
  });

  test("has no addresses of registries", () => {
    expect(Object.values(lock.packages).filter(({ resolved }) => resolved)).toEqual([]);
    expect(text(".npmrc")).not.toMatch(/registry\s*=|_auth/i);
  });
});

test(".ci/run may be run, and runs the tests", () => {
  expect(statSync(join(root, ".ci/run")).mode & 0o111).not.toBe(0);
  expect(text(".ci/run")).toContain("exec npm test");
});
