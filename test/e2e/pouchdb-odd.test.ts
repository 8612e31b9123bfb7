// Documents that break careless servers: odd ids, large and deep bodies, long histories.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Clients, converged, leavesOf, type PouchDB } from "../harness/clients.ts";
import { startTarget, type Target, targetUnderTest } from "../harness/target.ts";

setDefaultTimeout(60_000);

const LIMIT_MS = 60_000;

let target: Target;
let clients: Clients;

beforeAll(async () => {
  target = await startTarget(targetUnderTest());
  clients = new Clients();
});

afterAll(async () => {
  await clients?.dispose();
  await target?.dispose();
});

/** Two clients in live sync over a new database. */
async function pair(name: string): Promise<{ a: PouchDB; b: PouchDB; gateway: PouchDB }> {
  const url = await target.createDatabase(name);
  const [a, b] = [clients.open(`${name}-a`), clients.open(`${name}-b`)];
  clients.sync(a, url);
  clients.sync(b, url);
  return { a, b, gateway: clients.remote(url) };
}

// Not "." and "..": no URL can carry them, whatever the server does.
const ODD_IDS = [
  "slash/in/it",
  "/leading-and-trailing/",
  "a space",
  " spaces around ",
  "plus+plus",
  "per%cent",
  "%2F",
  "%",
  "question?mark&x=1#hash",
  "quote\"s and 'apostrophes'",
  "back\\slash",
  "colon:semi;comma,at@",
  "brackets[]{}()<>|^`~",
  "line\nbreak\tand tab",
  "Zürich",
  "e\u0301 apart",
  "é together",
  "日本語/ドキュメント",
  "emoji 😀👩‍👩‍👧",
  "عربى",
  "0",
  "null",
  "x__proto__",
  "constructor",
  "x".repeat(230),
];

test("ids with odd characters are synced, edited, deleted and read by their own URL", async () => {
  const { a, b, gateway } = await pair("odd");
  for (const [number, _id] of ODD_IDS.entries()) await a.put({ _id, number });
  const contents = await converged([a, b, gateway], LIMIT_MS);
  expect([...contents.keys()].sort()).toEqual([...ODD_IDS].sort());
  for (const [number, id] of ODD_IDS.entries()) {
    const document = await gateway.get(id);
    expect(document).toMatchObject({ _id: id, number });
    await gateway.put({ ...document, edited: true });
  }
  await converged([a, b, gateway], LIMIT_MS);
  for (const id of ODD_IDS) {
    const document = await b.get(id);
    expect(document.edited).toBe(true);
    const withAttachment = await b.putAttachment(
      id,
      id,
      document._rev as string,
      Buffer.from(id),
      "text/plain",
    );
    expect(withAttachment.ok).toBe(true);
  }
  await converged([a, b, gateway], LIMIT_MS);
  for (const id of ODD_IDS) {
    expect((await gateway.getAttachment(id, id)).toString()).toBe(id);
    await gateway.remove(await gateway.get(id));
  }
  await converged([a, b, gateway], LIMIT_MS);
  expect((await a.allDocs()).rows).toEqual([]);
}, 180_000);

test("large and deep documents arrive unchanged", async () => {
  const { a, b, gateway } = await pair("large");
  let deep: unknown = "bottom";
  for (let level = 0; level < 200; level++) deep = level % 2 ? [deep] : { level, in: deep };
  await a.put({
    _id: "wide",
    rows: Array.from({ length: 20_000 }, (_, k) => ({ k, t: `row ${k}` })),
  });
  await a.put({ _id: "long", text: 'Zeile \u2028 \u0000 \ud83d\ude00 \\ " '.repeat(80_000) });
  await b.put({ _id: "deep", deep });
  await b.put({
    _id: "values",
    numbers: [0, -1, 0.1, 1e300, 5e-324, 2 ** 53, -(2 ** 31)],
    nothing: null,
    empty: [{}, [], ""],
    keys: { "": 1, " ": 2, constructor: 3, toString: 4, "a.b": 5 },
  });
  await converged([a, b, gateway], LIMIT_MS);
  for (const id of ["wide", "long", "deep", "values"]) {
    const leaves = await leavesOf(a, id);
    expect(await leavesOf(gateway, id)).toEqual(leaves);
    expect(await leavesOf(b, id)).toEqual(leaves);
  }
}, 180_000);

test("a document of 1,000 revisions keeps its history", async () => {
  const { a, b, gateway } = await pair("history");
  let rev: string | undefined;
  // Most of them made in one go, so that they travel as history, the last ones while live.
  for (let number = 1; number <= 1000; number++) {
    ({ rev } = await a.put({ _id: "much-edited", ...(rev ? { _rev: rev } : {}), number }));
    if (number > 980) await converged([a, b, gateway], LIMIT_MS);
  }
  const onA = await a.get("much-edited", { revs: true });
  expect(onA).toMatchObject({ _rev: rev, number: 1000 });
  const inGateway = await gateway.get("much-edited", { revs: true });
  expect(inGateway._rev).toBe(onA._rev as string);
  const history = inGateway._revisions as { start: number; ids: string[] };
  expect(history.start).toBe(1000);
  expect(history.ids.length).toBeGreaterThanOrEqual(100);
  expect((onA._revisions as { ids: string[] }).ids.slice(0, history.ids.length)).toEqual(
    history.ids,
  );
  // An edit made on top goes back, and extends the same branch.
  const top = await b.get("much-edited");
  await b.put({ ...top, number: 1001 });
  await converged([a, b, gateway], LIMIT_MS);
  const after = await a.get("much-edited", { conflicts: true });
  expect(after.number).toBe(1001);
  expect(after._conflicts).toBeUndefined();
}, 180_000);

test("forty edits by two clients in turn, live, leave one branch", async () => {
  const { a, b, gateway } = await pair("turns");
  await a.put({ _id: "ping-pong", turn: 0 });
  await converged([a, b, gateway], LIMIT_MS);
  for (let turn = 1; turn <= 40; turn++) {
    const side = turn % 2 ? b : a;
    const document = await side.get("ping-pong");
    expect(document.turn).toBe(turn - 1);
    await side.put({ ...document, turn });
    await converged([a, b, gateway], LIMIT_MS);
  }
  expect(await leavesOf(gateway, "ping-pong")).toHaveLength(1);
}, 180_000);
