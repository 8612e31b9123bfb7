// The gateway goes away in the middle of live replication, gently and not, and comes back: clients
// go on by themselves and nothing is missed.

import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { Clients, converged, type PouchDB, visible } from "../harness/clients.ts";
import { airports, cities } from "../harness/datasets.ts";
import { startTarget, type Target, targetUnderTest } from "../harness/target.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

const LIMIT_MS = 90_000;
const PLACES = 4000;

let target: Target;
let clients: Clients;
let url: string;
let a: PouchDB;
let b: PouchDB;

beforeEach(async () => {
  target = await startTarget(targetUnderTest());
  url = await target.createDatabase("world");
  clients = new Clients();
  a = clients.open("a");
  b = clients.open("b");
});

afterEach(async () => {
  await clients?.dispose();
  await target?.dispose();
});

/** Writes to both clients a page at a time, until `documents` are in. */
function writeBoth(): Promise<unknown> {
  return Promise.all(
    [
      { database: a, documents: airports() },
      { database: b, documents: cities(PLACES) },
    ].map(async ({ database, documents }) => {
      for (let from = 0; from < documents.length; from += 200) {
        await database.bulkDocs(documents.slice(from, from + 200));
      }
    }),
  );
}

/** Waits until clients have exchanged a good part, but not all. */
async function inTheMiddle(gateway: PouchDB, least: number): Promise<void> {
  await until(
    `${least} documents in the gateway`,
    async () => (await gateway.info()).doc_count >= least,
    LIMIT_MS,
    5,
  );
}

for (const [how, end] of [
  ["stopped", (server: Target) => server.stop().then((status) => expect(status).toBe(0))],
  ["killed", (server: Target) => server.kill()],
] as const) {
  test(`a gateway ${how} three times in the middle of live sync: clients continue`, async () => {
    const gateway = clients.remote(url);
    const pauses = [clients.sync(a, url), clients.sync(b, url)];
    const writing = writeBoth();
    for (const least of [100, 2000, 4000]) {
      await inTheMiddle(gateway, least);
      await end(target);
      await target.start();
    }
    await writing;
    const contents = await converged([a, b, gateway], LIMIT_MS);
    expect(contents.size).toBe(airports().length + PLACES);
    // Still live afterwards, both ways.
    await a.put({ _id: "from-a" });
    await b.put({ _id: "from-b" });
    await until("the last documents", async () => {
      return (await a.get("from-b")) && (await b.get("from-a"));
    });
    for (const pause of pauses) await pause();
  }, 300_000);
}

test("a client that was offline over a restart goes on from its checkpoint", async () => {
  const gateway = clients.remote(url);
  await gateway.bulkDocs(cities(1500));
  expect(await a.replicate.from(url)).toMatchObject({ ok: true, docs_written: 1500 });
  expect(await target.stop()).toBe(0);
  await target.start();
  await gateway.bulkDocs(airports().slice(0, 300));
  await target.kill();
  await target.start();
  await visible(gateway, 1800);
  // Exactly what is new: a client sent back to the start would read 1,800 rows' documents again.
  expect(await a.replicate.from(url)).toMatchObject({ ok: true, docs_written: 300 });
  expect(await a.replicate.from(url)).toMatchObject({ ok: true, docs_read: 0 });
  await converged([a, gateway], LIMIT_MS);
}, 120_000);
