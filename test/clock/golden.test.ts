// What any version has stored is read by this one, on every runtime.

import { describe, expect, test } from "bun:test";
import { fileURLToPath } from "node:url";
import { check, readGolden } from "./golden/golden.ts";

const script = fileURLToPath(new URL("./golden/check.ts", import.meta.url));
const root = fileURLToPath(new URL("../..", import.meta.url));

describe("golden bytes of version 1", () => {
  const all = readGolden("v1");

  test("are there, of every form", () => {
    expect([...new Set(all.map(({ form }) => form))].sort()).toEqual([
      "delta",
      "partition",
      "payload",
      "segment",
      "sequence",
      "tables",
      "whole",
    ]);
  });

  test.each(all.map((golden) => [golden.form, golden.name, golden] as const))(
    "%s: %s",
    (_form, _name, golden) => {
      const { found, expected } = check(golden);
      expect(found).toBe(expected);
    },
  );
});

describe("on each runtime", () => {
  test.each([
    ["bun", [process.execPath, script]],
    ["deno", [`${root}/node_modules/.bin/deno`, "run", "-A", script]],
  ] as const)(
    "%s reads the golden bytes, and takes a zstd that heeds the dictionary",
    (runtime, command) => {
      const run = Bun.spawnSync([...command], { cwd: root, stderr: "pipe" });
      expect(run.stderr.toString()).not.toContain("rror");
      const answer = JSON.parse(run.stdout.toString());
      expect(answer.golden).toBeGreaterThan(60);
      expect(answer.zstd.plain).toBe("native");
      // This runtime of the two ignores the option, and so the package is used there.
      expect(answer.zstd.dictionary).toBe(runtime === "deno" ? "zstd-codec" : "native");
    },
    60_000,
  );
});
