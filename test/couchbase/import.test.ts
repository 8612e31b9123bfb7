// Documents that another program writes with the SDK, while gateways run. IMPORT_DOCUMENTS (2,000)
// sets how many.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { type Cluster, connect, MutateInSpec } from "couchbase";
import type { OpenDatabase } from "../../src/gateway/database.ts";
import { ADMIN, CouchbaseWorld, indexDifferences } from "./gateways.ts";

const DOCUMENTS = Number(process.env.IMPORT_DOCUMENTS ?? 2000);

let world: CouchbaseWorld;
beforeEach(async () => {
  world = await CouchbaseWorld.start();
});
afterEach(() => world.close());

function anotherProgram(): Promise<Cluster> {
  return connect(world.connectionString.replace("/places", ""), {
    ...world.cluster.user,
    timeouts: { kvTimeout: 30_000 },
  });
}

/** Reads a live feed of `database` until it has a row of each of `count` documents. */
async function readRows(database: OpenDatabase, count: number): Promise<Map<string, string>> {
  const feed = await database.changes.open(ADMIN, { since: "0" });
  const rows = new Map<string, string>();
  const limit = AbortSignal.timeout(100_000);
  while (rows.size < count) {
    const batch = await feed.read(true, limit);
    if (limit.aborted) throw new Error(`${rows.size} of ${count} documents came in time`);
    for (const text of batch.rows) {
      const row = JSON.parse(text) as { id: string; changes: { rev: string }[] };
      rows.set(row.id, row.changes[0]!.rev);
    }
  }
  feed.close();
  return rows;
}

test("each document is imported once, indexed, and streamed to a reader", async () => {
  const first = await world.gateway();
  const second = await world.gateway();
  const program = await anotherProgram();
  const collection = program.bucket("places").defaultCollection();
  const reading = readRows(second, DOCUMENTS);
  for (let n = 0; n < DOCUMENTS; n += 250) {
    const ids = Array.from({ length: Math.min(250, DOCUMENTS - n) }, (_, i) => `doc-${n + i}`);
    await Promise.all(ids.map((id) => collection.upsert(id, { id, channels: ["all"] })));
  }
  const rows = await reading;
  for (const rev of rows.values()) expect(rev).toMatch(/^1-/);
  // One mutation by the program, one by whichever gateway imported it.
  const high = await world.stable(first);
  expect(high.reduce((sum, seq) => sum + seq, 0)).toBe(2 * DOCUMENTS);
  expect(await indexDifferences(world, first, ["all"])).toEqual([]);
  await program.close();
}, 120_000);

test("what the program then changes, deletes and keeps beside the body is told and kept", async () => {
  const database = await world.gateway();
  const program = await anotherProgram();
  const collection = program.bucket("places").defaultCollection();
  const saved = await database.documents.put(ADMIN, "mine", { n: 1, channels: ["a"] });
  await collection.upsert("mine", { n: 2, channels: ["b"] });
  await collection.upsert("theirs", { n: 1, channels: ["a"] });
  await collection.remove("theirs");
  await world.stable(database);
  const read = await database.documents.get(ADMIN, "mine");
  expect(JSON.parse(read.json)).toMatchObject({ n: 2, _rev: expect.stringMatching(/^2-/) });
  expect(read.rev).not.toBe(saved.rev);
  expect(await indexDifferences(world, database, ["a", "b"])).toEqual([]);
  await program.close();
}, 30_000);

/** A row of a feed, parsed. */
interface Row {
  readonly id: string;
  readonly deleted?: boolean;
  readonly changes: readonly { readonly rev: string }[];
}

/** What a new reader is told of `database` when everything is stable: id -> its row. */
async function rowsOf(database: OpenDatabase): Promise<Map<string, Row>> {
  await world.stable(database);
  const feed = await database.changes.open(ADMIN, { since: "0" });
  const rows = new Map<string, Row>();
  for (;;) {
    const batch = await feed.read(false);
    for (const text of batch.rows) {
      const row = JSON.parse(text) as Row;
      expect(rows.has(row.id)).toBe(false);
      rows.set(row.id, row);
    }
    if (batch.rows.length === 0 && batch.caughtUp) break;
  }
  feed.close();
  return rows;
}

test("what the program deletes, and what expires, become tombstones, once on two gateways", async () => {
  const first = await world.gateway();
  const second = await world.gateway();
  const program = await world.program();
  const names = Array.from({ length: 10 }, (_, n) => n);
  const saved = await Promise.all(
    names.map((n) => first.documents.put(ADMIN, `saved-${n}`, { n, channels: ["a"] })),
  );
  await Promise.all(names.map((n) => program.upsert(`removed-${n}`, { n, channels: ["a"] })));
  await Promise.all(
    names.map((n) => program.upsert(`expired-${n}`, { n, channels: ["a"] }, { expiry: 3 })),
  );
  await world.stable(first);
  await Promise.all(names.map((n) => program.remove(`removed-${n}`)));
  await Promise.all(names.map((n) => program.remove(`saved-${n}`)));
  const gone = async () => {
    const found = await world.store.documents.getMany(names.map((n) => `expired-${n}`));
    return found.every((item) => item?.deleted);
  };
  for (let tries = 0; tries < 400 && !(await gone()); tries++) await Bun.sleep(25);
  expect(await gone()).toBe(true);
  for (const database of [first, second]) {
    const rows = await rowsOf(database);
    expect(rows.size).toBe(30);
    for (const [id, row] of rows) {
      expect(`${id} ${row.deleted}`).toBe(`${id} true`);
      expect(row.changes[0]!.rev).toMatch(/^2-/);
    }
  }
  // The tombstone is a child of what was there: a client that has the save gets the deletion.
  for (const [n, { rev }] of saved.entries()) {
    const [tombstone] = await first.documents.openRevisions(ADMIN, `saved-${n}`, "all", {
      revs: true,
    });
    const { _revisions } = JSON.parse((tombstone as { ok: { json: string } }).ok.json);
    expect(`1-${_revisions.ids[1]}`).toBe(rev);
  }
  expect(await indexDifferences(world, first, ["a"])).toEqual([]);
  // A deletion is imported once: one mutation by the program or the server, one by a gateway.
  const high = await world.stable(first);
  const writes = names.length * (1 + 2) + names.length * 4 + names.length * 4;
  expect(high.reduce((sum, seq) => sum + seq, 0)).toBe(writes);
}, 60_000);

test("a document that the program makes again after its deletion goes on from the tombstone", async () => {
  const database = await world.gateway();
  const program = await world.program();
  await program.upsert("again", { n: 1, channels: ["a"] });
  await world.stable(database);
  await program.remove("again");
  await world.stable(database);
  await program.insert("again", { n: 2, channels: ["b"] });
  const row = (await rowsOf(database)).get("again")!;
  expect(row.deleted).toBeUndefined();
  expect(row.changes[0]!.rev).toMatch(/^3-/);
  expect(await indexDifferences(world, database, ["a", "b"])).toEqual([]);
}, 30_000);

test("the program's attributes survive import, saves, conflicts and resync", async () => {
  const syncFunction = "function (doc, oldDoc, meta) { channel(meta.xattrs.team ?? 'none'); }";
  const database = await world.gateway({ syncFunction });
  const program = await world.program();
  const attributes = async () => {
    const { _sync, ...mine } = (await world.store.documents.get("doc"))!.xattrs;
    expect(_sync).toBeDefined();
    return mine;
  };
  await program.upsert("doc", { n: 1 });
  await program.mutateIn("doc", [MutateInSpec.upsert("team", "red", { xattr: true })]);
  const mark = JSON.stringify({ by: "program", list: [1, 2, { deep: "ä" }] });
  await program.mutateIn("doc", [MutateInSpec.upsert("mark", JSON.parse(mark), { xattr: true })]);
  await world.stable(database);
  const kept = { team: '"red"', mark };
  expect(await attributes()).toEqual(kept);
  let { rev } = await database.documents.get(ADMIN, "doc");
  for (let n = 2; n < 6; n++) {
    ({ rev } = await database.documents.put(ADMIN, "doc", { n, _rev: rev }));
  }
  await database.documents.put(ADMIN, "doc", { n: 0, _rev: "2-fff" }, { newEdits: false });
  await database.documents.resync();
  expect(await attributes()).toEqual(kept);
  expect(await indexDifferences(world, database, ["red", "none"])).toEqual([]);
  const feed = await database.changes.open(ADMIN, { since: "0", channels: ["red"] });
  const { rows } = await feed.read(false);
  feed.close();
  expect(rows.map((row) => (JSON.parse(row) as Row).id)).toEqual(["doc"]);
  // A change of an attribute alone is no new revision.
  const before = await database.documents.get(ADMIN, "doc");
  await program.mutateIn("doc", [MutateInSpec.upsert("mark", 7, { xattr: true })]);
  await world.stable(database);
  expect((await database.documents.get(ADMIN, "doc")).rev).toBe(before.rev);
  expect(await attributes()).toEqual({ ...kept, mark: "7" });
}, 60_000);
