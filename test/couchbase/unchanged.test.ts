// The end-to-end and crash tests of the main job, unchanged, with the database on Couchbase nodes
// where things go wrong all the time. COUCHBASE_SEED repeats a run's faults; TEST_FAULTS_PAUSE=400 is
// a worse week, for which nine minutes may not be enough.

import { expect, test } from "bun:test";
import path from "node:path";
import { seedFrom } from "../harness/random.ts";
import { root } from "../harness/target.ts";

const LIMIT_MS = 540_000;
const seed = seedFrom("COUCHBASE_SEED");

/** Runs a test file as `npm test` does, but for its bucket. */
async function passes(file: string, env: Record<string, string>): Promise<void> {
  const child = Bun.spawn(
    [process.execPath, "test", `--timeout=${LIMIT_MS}`, `./${path.join("test", file)}`],
    {
      cwd: root,
      env: {
        TEST_FAULTS_PAUSE: "3000",
        ...process.env,
        TEST_BUCKET: "couchbase",
        TEST_FAULTS: String(seed),
        ...env,
      },
      stdout: "pipe",
      stderr: "pipe",
    },
  );
  const output = (
    await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  ).join("\n");
  if ((await child.exited) !== 0) throw new Error(`faults of seed ${seed}:\n${output}`);
  expect(output).toMatch(/^ 0 fail$/m);
  expect(Number(/^ (\d+) pass$/m.exec(output)?.[1])).toBeGreaterThan(0);
}

test(
  "PouchDB clients sync through a gateway on Couchbase",
  () =>
    passes("e2e/pouchdb-sync.test.ts", {
      E2E_CITIES: "60",
      E2E_FLIGHTS: "40",
      E2E_PATIENCE: "3",
    }),
  LIMIT_MS,
);

test(
  "a gateway on Couchbase is killed under load, again and again",
  () => passes("crash/crash.test.ts", { CRASH_KILLS: process.env.COUCHBASE_KILLS ?? "6" }),
  LIMIT_MS,
);
