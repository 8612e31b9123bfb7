// Runs everything that says whether Tidegate works: types, lint, build, and each test file in a
// process of its own, as many at a time as there are cores. Usage: npm test [-- WORD ...] runs only
// the jobs whose name has one of the words. The last line is exactly "N passed, N failed".

import { availableParallelism } from "node:os";
import { Glob } from "bun";

/** Something to run: a command, and how its output tells what passed. */
interface Job {
  readonly name: string;
  readonly command: readonly string[];
  /** The name of a job that must have passed before. */
  readonly after?: string;
}

interface Result {
  readonly job: Job;
  readonly passed: number;
  readonly failed: number;
  readonly seconds: number;
  readonly output: string;
}

/** A job that takes longer is killed and counts as failed. */
const JOB_LIMIT_MS = 10 * 60_000;
/** One test takes at most this long unless it says otherwise; the machine may be loaded. */
const TEST_LIMIT_MS = 30_000;
/**
 * Half of the time of the longest jobs is waiting for disks and timers, so there is one more than
 * there are cores; many more would disturb tests that measure time.
 */
const MAX_WORKERS = 4;
/** Jobs whose names have these parts are the longest: they start first, in this order. */
const LONGEST_FIRST = [
  "build",
  "bundle",
  "couchbase/unchanged",
  "crash",
  "e2e",
  "simulation",
  "pouchdb",
  "docs",
  "runtime/",
];

/** Test files that need what another job makes. */
const NEEDS: Readonly<Record<string, string>> = {
  "runtime/executable.test.ts": "build",
  "runtime/bundle.test.ts": "bundle",
  "docs.test.ts": "bundle",
};

const started = performance.now();
const root = new URL("..", import.meta.url).pathname;

function testFile(path: string): Job {
  const command = ["bun", "test", `--timeout=${TEST_LIMIT_MS}`, `./test/${path}`];
  const after = NEEDS[path];
  return { name: `test/${path}`, command, ...(after ? { after } : {}) };
}

async function jobs(words: readonly string[]): Promise<Job[]> {
  const all: Job[] = [
    { name: "build", command: ["bun", "build.ts"] },
    { name: "bundle", command: ["bun", "build.ts", "bundle"] },
    { name: "types", command: ["bun", "node_modules/typescript/bin/tsc", "--noEmit"] },
    { name: "lint", command: ["node", "node_modules/@biomejs/biome/bin/biome", "ci", "."] },
  ];
  const paths = await Array.fromAsync(new Glob("**/*.test.ts").scan(`${root}test`));
  all.push(...paths.sort().map(testFile));
  const wanted = all.filter((job) => words.length === 0 || words.some((w) => job.name.includes(w)));
  const needed = all.filter((job) => wanted.some((other) => other.after === job.name));
  const rank = (job: Job) => {
    const place = LONGEST_FIRST.findIndex((part) => job.name.includes(part));
    return place < 0 ? LONGEST_FIRST.length : place;
  };
  return [...new Set([...needed, ...wanted])].sort((a, b) => rank(a) - rank(b));
}

/** What `bun test` counted; a job that prints no counts is one check by its exit code. */
function counts(output: string, exitCode: number): { passed: number; failed: number } {
  const number = (word: string) => Number(output.match(new RegExp(`^ (\\d+) ${word}$`, "m"))?.[1]);
  const passed = number("pass");
  if (Number.isNaN(passed)) {
    return exitCode === 0 ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
  }
  const failed = number("fail") || 0;
  return { passed, failed: exitCode !== 0 && failed === 0 ? 1 : failed };
}

async function run(job: Job): Promise<Result> {
  const begun = performance.now();
  const [program, ...args] = job.command as [string, ...string[]];
  const child = Bun.spawn([program === "bun" ? process.execPath : program, ...args], {
    cwd: root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, FORCE_COLOR: "0", NO_COLOR: "1" },
    timeout: JOB_LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const texts = [new Response(child.stdout).text(), new Response(child.stderr).text()];
  const exitCode = await child.exited;
  const output = (await Promise.all(texts)).join("");
  const seconds = (performance.now() - begun) / 1000;
  return { job, ...counts(output, exitCode), seconds, output };
}

function report(result: Result): void {
  const { job, passed, failed, seconds, output } = result;
  const word = failed > 0 ? "FAIL" : "ok  ";
  console.log(
    `${word} ${seconds.toFixed(1).padStart(6)} s ${String(passed).padStart(5)}  ${job.name}`,
  );
  if (failed > 0) console.log(output.trimEnd().replace(/^/gm, "     | "));
}

/** Takes jobs from `queue` until it is empty; one that waits for another lets others go first. */
async function work(queue: Job[], running: Map<string, Promise<Result>>): Promise<void> {
  for (;;) {
    const free = queue.findIndex((job) => !job.after || !queue.some((q) => q.name === job.after));
    const [job] = queue.splice(Math.max(free, 0), 1);
    if (!job) return;
    const first = job.after ? running.get(job.after) : undefined;
    const done = (async () => {
      if (first && (await first).failed > 0) {
        return {
          job,
          passed: 0,
          failed: 1,
          seconds: 0,
          output: `needs ${job.after}, which failed`,
        };
      }
      return run(job);
    })();
    running.set(job.name, done);
    report(await done);
  }
}

const queue = await jobs(process.argv.slice(2));
const running = new Map<string, Promise<Result>>();
const workers = Math.min(availableParallelism() + 1, MAX_WORKERS);
await Promise.all(Array.from({ length: workers }, () => work(queue, running)));
const results = await Promise.all(running.values());
const passed = results.reduce((sum, result) => sum + result.passed, 0);
const failed = results.reduce((sum, result) => sum + result.failed, 0);
const broken = results.filter((result) => result.failed > 0).map((result) => result.job.name);
console.log(`\n${results.length} jobs in ${((performance.now() - started) / 1000).toFixed(0)} s`);
if (broken.length > 0) console.log(`failed: ${broken.join(", ")}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
