// The import filter of a database: which documents of other programs become documents here.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { MutateInSpec } from "couchbase";
import { parseDatabaseSettings } from "../../src/config/load.ts";
import type { OpenDatabase } from "../../src/gateway/database.ts";
import { ADMIN, CouchbaseWorld } from "./gateways.ts";

const PLACES_ONLY = 'function (doc) { return doc.type === "place"; }';

let world: CouchbaseWorld;
beforeEach(async () => {
  world = await CouchbaseWorld.start();
});
afterEach(() => world.close());

/** What a new reader of `database` is told of, by id. */
async function told(database: OpenDatabase): Promise<string[]> {
  await world.stable(database);
  const feed = await database.changes.open(ADMIN, { since: "0" });
  const ids: string[] = [];
  for (;;) {
    const batch = await feed.read(false);
    for (const text of batch.rows) ids.push((JSON.parse(text) as { id: string }).id);
    if (batch.rows.length === 0 && batch.caughtUp) break;
  }
  feed.close();
  return ids.sort();
}

async function attributes(id: string): Promise<string[]> {
  return Object.keys((await world.store.documents.get(id))!.xattrs);
}

test("what the filter does not want is left as it is, and the clock passes it", async () => {
  const database = await world.gateway({ import: { filter: PLACES_ONLY } });
  const second = await world.gateway();
  const program = await world.program();
  for (let n = 0; n < 20; n++) {
    await program.upsert(`doc-${n}`, { type: n % 2 === 0 ? "place" : "secret", channels: ["a"] });
  }
  const places = Array.from({ length: 10 }, (_, n) => `doc-${2 * n}`).sort();
  expect(await told(database)).toEqual(places);
  expect(await told(second)).toEqual(places);
  expect(await attributes("doc-2")).toEqual(["_sync"]);
  expect(await attributes("doc-3")).toEqual([]);
  // One mutation of each by the program, one of each that was imported: none is done twice.
  const high = await world.stable(database);
  expect(high.reduce((sum, seq) => sum + seq, 0)).toBe(30);
  expect(database.documents.get(ADMIN, "doc-3")).rejects.toThrow(/missing|no such|not/i);
  const save = database.documents.put(ADMIN, "doc-3", { type: "place" });
  expect(save).rejects.toThrow("the import filter leaves out");
  // Changed by its program so that the filter wants it, it comes.
  await program.upsert("doc-3", { type: "place" });
  expect(await told(database)).toEqual([...places, "doc-3"].sort());
  expect(database.health()).toEqual([]);
}, 60_000);

test("a document that is here stays here, whatever the filter says of its changes", async () => {
  const database = await world.gateway({ import: { filter: PLACES_ONLY } });
  const program = await world.program();
  await database.documents.put(ADMIN, "ours", { type: "note", n: 1 });
  await program.upsert("theirs", { type: "place", n: 1 });
  await world.stable(database);
  await program.upsert("ours", { type: "note", n: 2 });
  await program.upsert("theirs", { type: "note", n: 2 });
  await program.upsert("removed", { type: "place" });
  await world.stable(database);
  await program.remove("removed");
  expect(await told(database)).toEqual(["ours", "removed", "theirs"]);
  for (const id of ["ours", "theirs"]) {
    const { json } = await database.documents.get(ADMIN, id);
    expect(JSON.parse(json)).toMatchObject({ n: 2, _rev: expect.stringMatching(/^2-/) });
  }
}, 30_000);

test("another filter and a resync bring what the first one left out", async () => {
  const database = await world.gateway({ import: { filter: PLACES_ONLY } });
  const program = await world.program();
  await program.upsert("place", { type: "place" });
  await program.upsert("note", { type: "note" });
  await program.upsert("secret", { type: "secret" });
  expect(await told(database)).toEqual(["place"]);
  const gateway = world.gateways[0]!;
  const filter = 'function (doc) { return doc._id !== "secret"; }';
  await gateway.configure("places", { guest: true, import: { filter } });
  expect(await told(database)).toEqual(["place"]);
  await database.documents.resync();
  expect(await told(database)).toEqual(["note", "place"]);
  await gateway.configure("places", { guest: true });
  await database.documents.resync();
  expect(await told(database)).toEqual(["note", "place", "secret"]);
}, 30_000);

test("the filter sees user attributes; one that fails imports nothing", async () => {
  const filter = `(doc, meta) => {
    if (doc.fails) throw new Error("no");
    if (doc.endless) for (;;) {}
    return meta.xattrs.audience === "public";
  }`;
  const database = await world.gateway({ import: { filter } });
  const program = await world.program();
  for (const [id, doc] of Object.entries({
    public: {},
    fails: { fails: 1 },
    ends: { endless: 1 },
  })) {
    await program.mutateIn(
      id,
      [MutateInSpec.upsert("audience", "public", { xattr: true }), MutateInSpec.upsert("", doc)],
      { storeSemantics: 1 },
    );
  }
  await program.upsert("plain", {});
  expect(await told(database)).toEqual(["public"]);
  expect((await attributes("public")).sort()).toEqual(["_sync", "audience"]);
}, 60_000);

test("a filter that is not one function is refused, and nothing is changed", async () => {
  const database = await world.gateway({ import: { filter: PLACES_ONLY } });
  const gateway = world.gateways[0]!;
  const configure = (filter: string) => gateway.configure("places", { import: { filter } });
  expect(configure("function (doc) { return")).rejects.toThrow("The import filter's source");
  expect(configure("1")).rejects.toThrow("must be one function");
  expect(database.settings.import?.filter).toBe(PLACES_ONLY);
  expect(() => parseDatabaseSettings({ import: { filtre: PLACES_ONLY } })).toThrow("filter");
});
