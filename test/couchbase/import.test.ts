// Documents that another program writes with the SDK, while gateways run. IMPORT_DOCUMENTS (2,000)
// sets how many.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { type Cluster, connect } from "couchbase";
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
