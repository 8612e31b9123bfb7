// The gateway: databases made, opened again, changed and removed; saves that outrun the index; the
// last tick; what a second gateway on the same directory sees.

import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import { Problems } from "../../src/controller/problems.ts";
import { EMPTY_SYNC_RESULT } from "../../src/documents/sync-port.ts";
import { type OpenGateway, openGateway } from "../../src/gateway/gateway.ts";
import { IndexFeeder, MAX_INDEX_BACKLOG } from "../../src/gateway/index-feeder.ts";
import type { DatabaseSettings } from "../../src/gateway/types.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { ADMIN } from "../simulation/world.ts";

const DEFAULTS = { guest: false } as const;

/** Runs `task` with a function that opens gateways on one directory. */
async function withDirectory(
  task: (open: () => Promise<OpenGateway>, directory: string) => Promise<void>,
): Promise<void> {
  const dataDirectory = mkdtempSync(join(tmpdir(), "tidegate-gateway-"));
  const open = () =>
    openGateway({
      dataDirectory,
      time: systemTime(),
      random: systemRandom,
      log: silentLog,
      vbuckets: 16,
    });
  try {
    await task(open, dataDirectory);
  } finally {
    rmSync(dataDirectory, { recursive: true, force: true });
  }
}

async function rowsOf(gateway: OpenGateway, name: string): Promise<string[]> {
  const feed = await gateway.database(name)?.changes.open(ADMIN, { since: "0" });
  const ids: string[] = [];
  for (;;) {
    const batch = await feed?.read(false);
    for (const row of batch?.rows ?? []) ids.push((JSON.parse(row) as { id: string }).id);
    if (batch?.caughtUp ?? true) return ids.toSorted();
  }
}

test("databases are made, listed, and there again after a restart", async () => {
  await withDirectory(async (open) => {
    const first = await open();
    expect(first.names()).toEqual([]);
    const database = await first.create("b", { guest: true });
    await first.create("a", DEFAULTS);
    expect(first.names()).toEqual(["a", "b"]);
    await database.documents.put(ADMIN, "x", { n: 1 });
    const settings = database.settings;
    await first.close();

    const second = await open();
    expect(second.names()).toEqual(["a", "b"]);
    expect(second.database("b")?.settings).toEqual(settings);
    // Closing published what was saved just before.
    expect(await rowsOf(second, "b")).toEqual(["x"]);
    expect(second.database("b")?.health()).toEqual([]);
    await second.close();
  });
});

test("names are CouchDB's, without the slash", async () => {
  await withDirectory(async (open) => {
    const gateway = await open();
    for (const name of ["a", "a-b_c$d(e)+1", "x".repeat(100)]) {
      expect((await gateway.create(name, DEFAULTS)).name).toBe(name);
    }
    for (const name of ["", "A", "1a", "_a", "a/b", "a b", "ä", "..", "x".repeat(200)]) {
      await expect(gateway.create(name, DEFAULTS)).rejects.toMatchObject({
        code: "bad_database_name",
      });
    }
    await expect(gateway.create("a", DEFAULTS)).rejects.toMatchObject({ code: "database_exists" });
    await gateway.close();
  });
});

test("wrong settings are refused by their path, and nothing is made", async () => {
  await withDirectory(async (open) => {
    const gateway = await open();
    const wrong = { ...DEFAULTS, limits: { documentBytes: -1 } };
    const making = gateway.create("a", wrong as unknown as Partial<DatabaseSettings>);
    await expect(making).rejects.toMatchObject({ code: "bad_config" });
    await expect(making).rejects.toThrow("limits.documentBytes");
    const syntax = gateway.create("b", { syncFunction: "function (doc) {" });
    await expect(syntax).rejects.toMatchObject({ code: "bad_config" });
    expect(gateway.names()).toEqual([]);
    // What was begun does not stand in the way.
    await gateway.create("b", DEFAULTS);
    await gateway.close();
    const again = await open();
    expect(again.names()).toEqual(["b"]);
    await again.close();
  });
});

test("a removed database is gone, and may be made anew, empty", async () => {
  await withDirectory(async (open, directory) => {
    const gateway = await open();
    const database = await gateway.create("a", DEFAULTS);
    await database.documents.put(ADMIN, "x", {});
    await gateway.remove("a");
    expect(gateway.names()).toEqual([]);
    expect(gateway.database("a")).toBeUndefined();
    expect(readdirSync(directory)).toEqual([]);
    await expect(gateway.remove("a")).rejects.toMatchObject({ code: "not_found" });
    await gateway.create("a", DEFAULTS);
    expect(await rowsOf(gateway, "a")).toEqual([]);
    await gateway.close();
  });
});

test("directories that are no databases are left alone", async () => {
  await withDirectory(async (open, directory) => {
    mkdirSync(join(directory, "Not A Database"));
    mkdirSync(join(directory, "empty"));
    const gateway = await open();
    expect(gateway.names()).toEqual([]);
    await gateway.close();
  });
});

test("another sync function runs for the next save; limits hold at once; feeds go on", async () => {
  await withDirectory(async (open) => {
    const gateway = await open();
    const database = await gateway.create("a", { guest: true });
    const feed = await database.changes.open(ADMIN, { since: "0", channels: ["late"] });
    await database.documents.put(ADMIN, "x", { n: 1 });
    const limits = { ...database.settings.limits, documentBytes: 2000 };
    const syncFunction = "function (doc) { channel('late'); }";
    await gateway.configure("a", { guest: true, syncFunction, limits });
    expect(gateway.database("a")?.settings.syncFunction).toBe(syncFunction);
    await database.documents.put(ADMIN, "y", { n: 2 });
    const batch = await feed.read(true);
    expect(batch.rows.map((row) => (JSON.parse(row) as { id: string }).id)).toEqual(["y"]);
    const large = database.documents.put(ADMIN, "z", { pad: "x".repeat(3000) });
    await expect(large).rejects.toMatchObject({ code: "too_large" });
    const broken = gateway.configure("a", { guest: true, syncFunction: "(((" });
    await expect(broken).rejects.toMatchObject({ code: "bad_config" });
    expect(gateway.database("a")?.settings.syncFunction).toBe(syncFunction);
    await gateway.close();

    const again = await open();
    expect(again.database("a")?.settings).toMatchObject({ syncFunction, limits });
    await again.close();
  });
});

test("how the index is written may change; the number of partitions may not", async () => {
  await withDirectory(async (open) => {
    const gateway = await open();
    const before = await gateway.create("a", { guest: true });
    await before.documents.put(ADMIN, "x", {});
    const { index } = before.settings;
    await gateway.configure("a", { guest: true, index: { ...index, writer: "feed" } });
    const after = gateway.database("a");
    await after?.documents.put(ADMIN, "y", {});
    await after?.stable.reached(await after.bucket.feed.highSeqs());
    expect(await rowsOf(gateway, "a")).toEqual(["x", "y"]);
    expect(after?.metrics().controller_healed).toBe(1);
    expect(after?.metrics().feeder_fed).toBe(0);
    const fewer = gateway.configure("a", { guest: true, index: { ...index, partitions: 4 } });
    await expect(fewer).rejects.toMatchObject({ code: "bad_config" });
    await gateway.close();
  });
});

test("a second gateway on the same directory serves reads and writes, and takes over", async () => {
  await withDirectory(async (open) => {
    const one = await open();
    await one.create("a", { guest: true });
    const two = await open();
    const [first, second] = [one.database("a"), two.database("a")];
    expect([first?.stable.role, second?.stable.role]).toEqual(["owner", "follower"]);
    const feed = await second?.changes.open(ADMIN, { since: "0" });
    const reading = feed?.read(true);
    await first?.documents.put(ADMIN, "x", { by: "one" });
    expect((await reading)?.rows).toHaveLength(1);
    await second?.documents.put(ADMIN, "y", { by: "two" });
    expect((await feed?.read(true))?.rows).toHaveLength(1);
    expect((await first?.documents.get(ADMIN, "y"))?.json).toContain("two");
    await one.close();
    await second?.documents.put(ADMIN, "z", {});
    expect((await feed?.read(true))?.rows).toHaveLength(1);
    expect(second?.stable.role).toBe("owner");
    expect(await rowsOf(two, "a")).toEqual(["x", "y", "z"]);
    await two.close();
  });
});

test("saves wait while the index is too far behind, and go on when it has caught up", async () => {
  const waiting: (() => void)[] = [];
  const writer = { write: () => new Promise<void>((resolve) => waiting.push(resolve)) };
  const feeder = new IndexFeeder(writer, new Problems(systemTime(), silentLog));
  const mutation = { vb: 0, vbuuid: "", docId: "x", revId: "1-a", flags: 0, supersedes: 0 };
  let runs = 0;
  const counted = feeder.paced(() => ({
    run: () => {
      runs++;
      return EMPTY_SYNC_RESULT;
    },
  }));
  const input = { docJson: "{}", oldDocJson: null, meta: { xattrs: {} }, actor: ADMIN };
  for (let seq = 1; seq <= MAX_INDEX_BACKLOG; seq++) {
    expect(counted.run(input)).toBe(EMPTY_SYNC_RESULT);
    feeder.saved({ ...mutation, seq, channels: [], removals: [] });
  }
  const delayed = counted.run(input);
  await Promise.resolve();
  expect([runs, feeder.underWay]).toEqual([MAX_INDEX_BACKLOG, MAX_INDEX_BACKLOG]);
  waiting.shift()?.();
  expect(await delayed).toBe(EMPTY_SYNC_RESULT);
  expect(feeder.counts).toEqual({ fed: MAX_INDEX_BACKLOG, failed: 0, delayed: 1 });
});

test("an index write that fails is counted, shown, and healed by the controller", async () => {
  let failing = true;
  const writer = { write: () => (failing ? Promise.reject(new Error("full")) : Promise.resolve()) };
  const problems = new Problems(systemTime(), silentLog);
  const feeder = new IndexFeeder(writer, problems);
  const mutation = { vb: 0, seq: 1, vbuuid: "", docId: "x", revId: "1-a", flags: 0, supersedes: 0 };
  feeder.saved({ ...mutation, channels: [], removals: [] });
  await new Promise((resolve) => setImmediate(resolve));
  expect(feeder.counts.failed).toBe(1);
  expect(problems.list()).toMatchObject([{ part: "index writes", message: "full" }]);
  failing = false;
  feeder.saved({ ...mutation, channels: [], removals: [] });
  await new Promise((resolve) => setImmediate(resolve));
  expect(problems.list()).toEqual([]);
});

test("what a closed gateway is asked is refused", async () => {
  await withDirectory(async (open) => {
    const gateway = await open();
    await gateway.close();
    await expect(gateway.create("a", DEFAULTS)).rejects.toMatchObject({ code: "unavailable" });
  });
});
