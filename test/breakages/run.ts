// `npm run test:breakages [WORD]`: breaks the code on purpose, one breakage at a time, in a copy of the
// tree, and checks that the test named for it fails. Each test is first run on the unbroken copy, so
// that a test that fails anyway proves nothing. WORD picks the breakages that mention it.

import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Breakage } from "./breakage.ts";
import { breakages } from "./breakages.ts";

const root = path.resolve(import.meta.dirname, "../..");
const COPIED = ["src", "test", "proto", "bench", "package.json", "tsconfig.json", "bunfig.toml"];
/** A broken program may hang: then the test has noticed, too. */
const LIMIT_MS = 150_000;
/** For tests that set no limit of their own. */
const TEST_LIMIT = "--timeout=60000";

/** Characters of a test's output that are shown when it failed in another way than expected. */
const OUTPUT_SHOWN = 3000;

/** What came of running a test file. */
interface Outcome {
  readonly passed: boolean;
  readonly output: string;
}

function runTest(copy: string, breakage: Breakage): Outcome {
  const env = { ...process.env, ...breakage.env };
  const args = ["test", TEST_LIMIT, `./${breakage.test}`];
  const options = { cwd: copy, env, encoding: "utf8", timeout: LIMIT_MS } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
  return { passed: status === 0, output: `${stdout}${stderr}` };
}

function applyEdits(copy: string, breakage: Breakage): () => void {
  const originals = new Map<string, string>();
  for (const { file, find, replace } of breakage.edits) {
    const name = path.join(copy, file);
    const text = readFileSync(name, "utf8");
    if (!originals.has(name)) originals.set(name, text);
    const count = text.split(find).length - 1;
    if (count !== 1) throw new Error(`${file}: ${count} times, not once:\n${find}`);
    writeFileSync(
      name,
      text.replace(find, () => replace),
    );
  }
  return () => {
    for (const [name, text] of originals) writeFileSync(name, text);
  };
}

/** Undefined when the breakage was noticed by the test named, otherwise what happened instead. */
function tryBreakage(copy: string, breakage: Breakage): string | undefined {
  let restore: () => void;
  try {
    restore = applyEdits(copy, breakage);
  } catch (error) {
    return `the edit does not fit the code any more: ${(error as Error).message}`;
  }
  try {
    const { passed, output } = runTest(copy, breakage);
    if (passed) return "NOT NOTICED: the test passes";
    const failed = output.split("\n").filter((line) => line.startsWith("(fail)"));
    const says = breakage.says === undefined || breakage.says.test(output);
    if (says && failed.some((line) => line.includes(breakage.fails))) return undefined;
    return `it failed otherwise: ${failed.join("; ")}\n${output.slice(-OUTPUT_SHOWN)}`;
  } finally {
    restore();
  }
}

const word = process.argv[2]?.toLowerCase();
const picked = breakages.filter(
  (breakage) => word === undefined || JSON.stringify(breakage).toLowerCase().includes(word),
);
const copy = mkdtempSync(path.join(tmpdir(), "breakages-"));
let problems = 0;
try {
  for (const name of COPIED) {
    const skip = (source: string) => !source.includes(path.join("bench", "results"));
    cpSync(path.join(root, name), path.join(copy, name), { recursive: true, filter: skip });
  }
  symlinkSync(path.join(root, "node_modules"), path.join(copy, "node_modules"));
  const sound = new Map<string, boolean>();
  for (const breakage of picked) {
    if (!sound.has(breakage.test)) {
      const { passed, output } = runTest(copy, breakage);
      sound.set(breakage.test, passed);
      if (!passed)
        console.log(`${breakage.test} fails on the unbroken code:\n${output.slice(-3000)}`);
    }
    const begin = performance.now();
    const problem = sound.get(breakage.test)
      ? tryBreakage(copy, breakage)
      : "its test fails on the unbroken code";
    if (problem) problems++;
    const took = ((performance.now() - begin) / 1000).toFixed(1);
    console.log(
      `${problem ? "PROBLEM" : "noticed"}  ${breakage.invariant}: ${breakage.what}\n` +
        `         ${breakage.test}: "${breakage.fails}" (${took} s)` +
        `${problem ? `\n         ${problem}` : ""}`,
    );
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${picked.length} breakages, ${problems} problems`);
process.exit(problems === 0 && picked.length > 0 ? 0 : 1);
