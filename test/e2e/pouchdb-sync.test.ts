// Two real PouchDB clients sync a real data set through the gateway, live and in both directions.
// What does not live here: filters, restarts and odd documents (their own files beside this one).

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  Clients,
  contentsOf,
  converged,
  leavesOf,
  type PouchDB,
  type PouchDocument,
} from "../harness/clients.ts";
import { airports, cities, flights } from "../harness/datasets.ts";
import { SeededRandom } from "../harness/random.ts";
import { startTarget, type Target, targetUnderTest } from "../harness/target.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

/** How much of the data is synced: E2E_CITIES of 150,000 places, E2E_FLIGHTS of 20,000 flights. */
const CITIES = Number(process.env.E2E_CITIES ?? 5000);
const FLIGHTS = Number(process.env.E2E_FLIGHTS ?? 3000);
/** Time for one wait: grows with the data; E2E_PATIENCE multiplies it where things go wrong. */
const LIMIT_MS = (60_000 + (CITIES + FLIGHTS) * 10) * Number(process.env.E2E_PATIENCE ?? 1);

let target: Target;
let clients: Clients;
let url: string;
let a: PouchDB;
let b: PouchDB;
let gateway: PouchDB;
let pauseA: () => Promise<void>;
let pauseB: () => Promise<void>;

beforeAll(async () => {
  target = await startTarget(targetUnderTest());
  url = await target.createDatabase("world");
  clients = new Clients();
  a = clients.open("a");
  b = clients.open("b");
  gateway = clients.remote(url);
});

afterAll(async () => {
  await clients?.dispose();
  await target?.dispose();
});

function written(results: { ok?: boolean; error?: boolean; name?: string }[]): void {
  const bad = results.filter((result) => !result.ok);
  if (bad.length > 0) throw new Error(`${bad.length} saves failed: ${JSON.stringify(bad[0])}`);
}

async function edit(database: PouchDB, ids: string[], change: (doc: PouchDocument) => void) {
  const { rows } = await database.allDocs({ keys: ids, include_docs: true });
  const documents = rows.map((row) => {
    if (!row.doc) throw new Error(`${row.key} is not there`);
    change(row.doc);
    return row.doc;
  });
  written(await database.bulkDocs(documents));
}

test(
  "a real data set written on both sides arrives on both sides and in the gateway",
  async () => {
    const north = [...airports(), ...flights(FLIGHTS)];
    const south = cities(CITIES);
    pauseA = clients.sync(a, url);
    pauseB = clients.sync(b, url);
    // Written while the sync is live, a page at a time, from both sides at once.
    await Promise.all(
      [
        { database: a, documents: north },
        { database: b, documents: south },
      ].map(async ({ database, documents }) => {
        for (let from = 0; from < documents.length; from += 500) {
          written(await database.bulkDocs(documents.slice(from, from + 500)));
        }
      }),
    );
    const contents = await converged([a, b, gateway], LIMIT_MS);
    expect(contents.size).toBe(north.length + south.length);
    expect(JSON.parse(contents.get("airport:SFO") as string).winner).toMatchObject({
      city: "San Francisco",
      channels: ["state-CA", "airports"],
    });
  },
  3 * LIMIT_MS,
);

const contested = airports()
  .slice(0, 200)
  .map((airport) => airport._id);

test(
  "conflicting edits made apart end with the same winner and conflicts everywhere",
  async () => {
    await pauseA();
    await edit(a, contested, (doc) => {
      doc.note = "written by a";
    });
    // Two edits here, so that this side's revisions win by their generation for a part of them.
    await edit(b, contested, (doc) => {
      doc.note = "written by b";
    });
    await edit(b, contested.slice(0, 50), (doc) => {
      doc.note = "written by b again";
    });
    pauseA = clients.sync(a, url);
    const contents = await converged([a, b, gateway], LIMIT_MS);
    let wonByA = 0;
    for (const [number, id] of contested.entries()) {
      const { leaves, winner } = JSON.parse(contents.get(id) as string);
      expect(leaves).toHaveLength(2);
      expect(winner._conflicts).toHaveLength(1);
      const rule = (rev: string) => [Number.parseInt(rev, 10), rev] as const;
      const [best] = [...leaves].sort((left: string, right: string) => {
        const [x, y] = [rule(left), rule(right)];
        return y[0] - x[0] || (x[1] < y[1] ? 1 : -1);
      });
      expect(winner._rev).toBe(best);
      if (number < 50) expect(winner.note).toBe("written by b again");
      if (winner.note === "written by a") wonByA++;
    }
    // The other 150 are decided by the revisions' hashes: neither side may win them all.
    expect(wonByA).toBeGreaterThan(0);
    expect(wonByA).toBeLessThan(150);
    for (const id of contested.slice(0, 10)) {
      const leaves = await leavesOf(gateway, id);
      expect(leaves).toHaveLength(2);
      expect(await leavesOf(a, id)).toEqual(leaves);
      expect(await leavesOf(b, id)).toEqual(leaves);
    }
  },
  3 * LIMIT_MS,
);

test(
  "a conflict resolved on one side is resolved everywhere",
  async () => {
    const half = contested.slice(0, 100);
    for (const id of half) {
      const winner = await b.get(id, { conflicts: true });
      const [loser] = winner._conflicts as [string];
      await b.remove({ _id: id, _rev: loser });
      await b.put({ ...strip(winner), note: "merged" });
    }
    const contents = await converged([a, b, gateway], LIMIT_MS);
    for (const [number, id] of contested.entries()) {
      const { winner } = JSON.parse(contents.get(id) as string);
      expect(winner._conflicts).toHaveLength(number < 100 ? 0 : 1);
      if (number < 100) expect(winner.note).toBe("merged");
    }
  },
  3 * LIMIT_MS,
);

test(
  "an edit against a deletion made apart: the edit wins, everywhere",
  async () => {
    const ids = airports()
      .slice(300, 330)
      .map((airport) => airport._id);
    await pauseA();
    await edit(a, ids, (doc) => {
      doc._deleted = true;
    });
    await edit(b, ids, (doc) => {
      doc.note = "still open";
    });
    // Here both sides delete.
    const closed = airports()
      .slice(330, 340)
      .map((airport) => airport._id);
    for (const side of [a, b]) {
      await edit(side, closed, (doc) => {
        doc._deleted = true;
      });
    }
    pauseA = clients.sync(a, url);
    const contents = await converged([a, b, gateway], LIMIT_MS);
    for (const id of ids) {
      const { leaves, winner } = JSON.parse(contents.get(id) as string);
      expect(leaves).toHaveLength(2);
      expect(winner.note).toBe("still open");
    }
    for (const id of closed) {
      expect(JSON.parse(contents.get(id) as string).winner).toHaveProperty("deleted");
    }
  },
  3 * LIMIT_MS,
);

test(
  "deleted documents go everywhere, and come back when they are written again",
  async () => {
    const ids = flights(FLIGHTS)
      .slice(0, 100)
      .map((flight) => flight._id);
    await edit(a, ids, (doc) => {
      doc._deleted = true;
    });
    let contents = await converged([a, b, gateway], LIMIT_MS);
    for (const id of ids) {
      expect(JSON.parse(contents.get(id) as string).winner).toHaveProperty("deleted");
    }
    const again = ids.slice(0, 40);
    written(await b.bulkDocs(again.map((_id) => ({ _id, type: "flight", back: true }))));
    contents = await converged([a, b, gateway], LIMIT_MS);
    for (const [number, id] of ids.entries()) {
      const { winner } = JSON.parse(contents.get(id) as string);
      if (number < 40) expect(winner).toMatchObject({ back: true });
      else expect(winner).toHaveProperty("deleted");
    }
  },
  3 * LIMIT_MS,
);

test(
  "binary attachments arrive, are replaced and removed, also against each other",
  async () => {
    const random = new SeededRandom(7);
    const bytes = (length: number) => Buffer.from(random.bytes(length));
    const [photo, text, big] = [bytes(3000), Buffer.from("Grüße\n"), bytes(1_200_000)];
    const ids = ["att:several", "att:none", "att:fought"];
    for (const _id of ids) {
      await a.put({
        _id,
        _attachments: {
          "photo.png": { content_type: "image/png", data: photo },
          "deep/ßpäce d.txt": { content_type: "text/plain", data: text },
          "big.bin": { content_type: "application/octet-stream", data: big },
          empty: { content_type: "text/plain", data: Buffer.alloc(0) },
        },
      });
    }
    await converged([a, b, gateway], LIMIT_MS);
    for (const database of [b, gateway]) {
      expect(await database.getAttachment("att:several", "photo.png")).toEqual(photo);
      expect(await database.getAttachment("att:several", "deep/ßpäce d.txt")).toEqual(text);
      expect(await database.getAttachment("att:several", "big.bin")).toEqual(big);
      expect((await database.getAttachment("att:several", "empty")).length).toBe(0);
    }

    const other = bytes(5000);
    const { _rev } = await b.get("att:several");
    await b.putAttachment("att:several", "photo.png", _rev as string, other, "image/jpeg");
    const bare = await b.get("att:none");
    await b.put({ _id: "att:none", _rev: bare._rev as string, note: "no attachments now" });
    await pauseA();
    const [left, right] = [bytes(400), bytes(500)];
    for (const [database, data] of [
      [a, left],
      [b, right],
    ] as const) {
      const { _rev: rev } = await database.get("att:fought");
      await database.putAttachment("att:fought", "photo.png", rev as string, data, "image/png");
    }
    pauseA = clients.sync(a, url);
    const contents = await converged([a, b, gateway], LIMIT_MS);
    expect(Object.keys(JSON.parse(contents.get("att:none") as string).winner._attachments)).toEqual(
      [],
    );
    for (const database of [a, gateway]) {
      expect(await database.getAttachment("att:several", "photo.png")).toEqual(other);
      expect(await database.getAttachment("att:several", "big.bin")).toEqual(big);
    }
    const fought = await leavesOf(gateway, "att:fought");
    expect(fought).toHaveLength(2);
    expect(fought.some((leaf) => leaf.includes(left.toString("base64")))).toBe(true);
    expect(fought.some((leaf) => leaf.includes(right.toString("base64")))).toBe(true);
    expect(await leavesOf(a, "att:fought")).toEqual(fought);
    // PouchDB 9 asks for the attachments of a revision that loses without naming it, and may get the
    // winner's: of the other client only the winner must be the same.
    const winner = fought.filter((leaf) => leaf.includes(right.toString("base64")));
    expect(winner).toHaveLength(1);
    expect(await leavesOf(b, "att:fought")).toContain(winner[0] as string);
  },
  3 * LIMIT_MS,
);

test(
  "a third client that comes late gets the same contents",
  async () => {
    const c = clients.open("c");
    await c.replicate.from(url, { batch_size: 500 });
    const expected = await contentsOf(gateway);
    expect(await contentsOf(c)).toEqual(expected);
    await pauseB();
    await until("the replications to be at rest", async () => {
      const { docs_written } = await b.replicate.from(url);
      return docs_written === 0;
    });
  },
  3 * LIMIT_MS,
);

function strip(document: PouchDocument): PouchDocument {
  const { _conflicts, ...rest } = document;
  return rest;
}
