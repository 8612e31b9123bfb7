// `tidegate inspect` on a real data directory, while its gateway runs: what it prints, and that it
// finds an index that is not what it must be.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { startTarget, type Target, tidegateCommand } from "../harness/target.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

let target: Target;
let db: string;
let data: string;

beforeAll(async () => {
  target = await startTarget("tidegate", { database: "seen" });
  data = join(target.directory, "data");
  db = await target.createDatabase("seen");
  const docs = [
    { _id: "one", channels: ["a", "b"] },
    { _id: "two", channels: ["b"] },
  ];
  const made = await fetch(`${db}/_bulk_docs`, { method: "POST", body: JSON.stringify({ docs }) });
  const [one] = (await made.json()) as { rev: string }[];
  const body = JSON.stringify({ channels: ["b"] });
  await fetch(`${db}/one?rev=${one?.rev}`, { method: "PUT", body });
  await until("everything to be stable", async () => {
    const report = await json(["database", "seen"]);
    return report.mutations === 3 && report.notYetStable === 0;
  });
});
afterAll(() => target?.dispose());

async function inspect(args: readonly string[]) {
  const child = Bun.spawn([...tidegateCommand(), "inspect", ...args, "--data", data], {
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { out, err, code: await child.exited };
}

async function json(args: readonly string[]) {
  const { out, err, code } = await inspect([...args, "--json"]);
  if (code !== 0) throw new Error(err);
  return JSON.parse(out);
}

describe("tidegate inspect", () => {
  test("shows the databases, and one of them", async () => {
    expect(await json(["databases"])).toEqual(["seen"]);
    expect(await json(["database", "seen"])).toMatchObject({
      database: "seen",
      documents: 2,
      vbuckets: 1024,
      mutations: 3,
      owner: { released: false },
    });
  });

  test("shows a document's entries, also where it left a channel", async () => {
    const { _sync, entries, ...rest } = await json(["document", "seen", "one"]);
    expect(rest).toMatchObject({ id: "one", kind: "version", deleted: false });
    expect(_sync.tree).toBeArray();
    const shown = entries.map(({ channel, flags }: Record<string, string>) => [channel, flags]);
    expect(shown).toEqual([
      ["*", undefined],
      ["b", undefined],
      ["a", "removed"],
    ]);
  });

  test("shows channels and what is in one, at most so many", async () => {
    expect(await json(["channels", "seen"])).toEqual(["a", "b"]);
    expect(await json(["channel", "seen", "b"])).toMatchObject({ count: 2 });
    const limited = await json(["channel", "seen", "b", "--limit", "1"]);
    expect(limited).toMatchObject({ count: 2, shown: 1 });
    expect(limited.entries.length).toBe(1);
  });

  test("shows the index's documents, each kind", async () => {
    const keys = await json(["index", "seen"]);
    for (const prefix of ["ix:layout", "ix:r:", "ix:l:", "ix:b:", "ix:s:"]) {
      const key = keys.find((line: string) => line.startsWith(prefix))?.split("  ")[0];
      expect(key).toStartWith(prefix);
      const { out, code } = await inspect(["index", "seen", key]);
      expect(code).toBe(0);
      expect(out).not.toContain("DAMAGED");
      expect(out.split("\n").length).toBeGreaterThan(1);
    }
  });

  test("shows sequences, the clock and the ticks", async () => {
    const info = (await (await fetch(db)).json()) as { update_seq: string };
    const said = await json(["sequence", info.update_seq, "seen"]);
    expect(said).toMatchObject({ since: info.update_seq, behind: 0 });
    expect(await json(["sequence", "0", "seen"])).toMatchObject({ behind: 3 });
    expect(await json(["sequence", "0"])).toMatchObject({ means: "nothing" });
    expect(await json(["clock", "seen"])).toMatchObject({ vbuckets: 1024, mutations: 3 });
    const { ticks } = await json(["ticks", "seen"]);
    expect(ticks.at(-1)).toMatchObject({ sequence: info.update_seq, mutations: 3 });
  });

  test("says in words what is not there", async () => {
    for (const [args, words] of [
      [["database", "other"], "there is no database other"],
      [["document", "seen", "three"], "there is no document three"],
      [["sequence", "x!"], "is not a sequence"],
      [["channel", "seen", "a", "--limit", "many"], "--limit: expected a whole number"],
      [["index", "seen", "nothing"], 'there is nothing under "nothing"'],
    ] as const) {
      const { out, err } = await inspect(args);
      expect(out + err).toContain(words);
    }
  });

  test("records a trace of a running gateway", async () => {
    const { readTrace } = await import("../../src/clock/trace.ts");
    const out = join(target.directory, "trace.jsonl");
    const admin = new URL(target.adminUrl).host;
    const flags = ["--admin", admin, "--out", out, "--seconds", "2", "--every", "10"];
    const child = Bun.spawn([...tidegateCommand(), "trace", "seen", ...flags], { stderr: "pipe" });
    await until("the trace to have begun", () => Bun.file(out).size > 0);
    await fetch(`${db}/three`, { method: "PUT", body: '{"channels":["c"]}' });
    expect(await new Response(child.stderr).text()).toMatch(/^[2-9]\d* ticks recorded\n$/);
    expect(await child.exited).toBe(0);
    const ticks = [...readTrace((await Bun.file(out).text()).split("\n"))];
    const sums = ticks.map(({ clock }) => clock.reduce((sum, seq) => sum + seq, 0));
    expect([sums[0], sums.at(-1)]).toEqual([3, 4]);
    const none = Bun.spawn([...tidegateCommand(), "trace", "nobody", "--admin", admin], {
      stderr: "pipe",
    });
    expect(await new Response(none.stderr).text()).toContain("there is no database nobody");
  });

  test("finds the index right, and finds out when it is not", async () => {
    const { out, code } = await inspect(["check", "seen"]);
    expect(out).toContain("the index is what it must be");
    expect(code).toBe(0);
    await target.stop();
    await breakIndex();
    const wrong = await inspect(["check", "seen"]);
    expect(wrong.out).toContain("THE INDEX IS WRONG");
    expect(wrong.code).toBe(1);
  });
});

/** Takes the blocks of a channel out of the index, as no part of the gateway would. */
async function breakIndex(): Promise<void> {
  const { silentLog } = await import("../../src/base/log.ts");
  const { openEmbeddedBucket } = await import("../../src/bucket/embedded/embedded-bucket.ts");
  const { systemRandom } = await import("../../src/runtime/random.ts");
  const { systemTime } = await import("../../src/runtime/time.ts");
  const bucket = await openEmbeddedBucket({
    directory: join(data, "seen"),
    name: "seen",
    time: systemTime(),
    random: systemRandom,
    log: silentLog,
  });
  const keys = await bucket.index.keys("ix:b:=b", { limit: 10 });
  expect(keys.length).toBeGreaterThan(0);
  await bucket.index.batch(keys.map((key) => ({ op: "remove", key }) as const));
  await bucket.close();
}
