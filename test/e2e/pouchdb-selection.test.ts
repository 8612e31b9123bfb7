// PouchDB clients that ask for a part of a database: by channel, and by document ids.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { Clients, converged, type PouchDB, type PouchDocument } from "../harness/clients.ts";
import { cities } from "../harness/datasets.ts";
import { startTarget, type Target, targetUnderTest } from "../harness/target.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

const LIMIT_MS = 60_000;
const BY_CHANNEL = "sync_gateway/bychannel";
const places = cities(3000);

let target: Target;
let clients: Clients;
let url: string;
let gateway: PouchDB;

beforeAll(async () => {
  target = await startTarget(targetUnderTest(), { database: "places" });
  url = await target.createDatabase("places");
  clients = new Clients();
  gateway = clients.remote(url);
  for (let from = 0; from < places.length; from += 500) {
    await gateway.bulkDocs(places.slice(from, from + 500));
  }
});

afterAll(async () => {
  await clients?.dispose();
  await target?.dispose();
});

async function idsIn(database: PouchDB): Promise<string[]> {
  const { rows } = await database.allDocs();
  return rows.map((row) => row.id).sort();
}

function of(...countries: string[]): string[] {
  return places
    .filter((place) => countries.includes(place.country as string))
    .map((place) => place._id)
    .sort();
}

async function change(id: string, edit: (document: PouchDocument) => void): Promise<void> {
  const document = await gateway.get(id);
  edit(document);
  await gateway.put(document);
}

// The peer has no channels.
describe.skipIf(targetUnderTest() === "peer")("by channel", () => {
  test("a client gets the documents of its channels and no others", async () => {
    const expected = of("FR", "CH");
    expect(expected.length).toBeGreaterThan(100);
    const client = clients.open("by-channel");
    await client.replicate.from(url, {
      filter: BY_CHANNEL,
      query_params: { channels: "country-FR,country-CH" },
    });
    expect(await idsIn(client)).toEqual(expected);
  });

  test("a live client gets what comes into its channel, and nothing after it left", async () => {
    const client = clients.open("by-channel-live");
    const replication = client.replicate.from(url, {
      live: true,
      retry: true,
      filter: BY_CHANNEL,
      query_params: { channels: "country-IS" },
    });
    try {
      await until("the first documents", async () => {
        return (await idsIn(client)).join() === of("IS").join();
      });
      const [coming] = of("NO") as [string];
      await change(coming, (document) => {
        document.channels = ["country-NO", "country-IS"];
        document.note = "came in";
      });
      await until("the document that came in", async () => {
        return (await client.get(coming)).note === "came in";
      });
      await change(coming, (document) => {
        document.channels = ["country-NO"];
        document.note = "left";
      });
      // That it left is told; a client that fetches the newest revision must have done so by now.
      await until("the revision that left", async () => {
        return (await client.get(coming)).note === "left";
      });
      await change(coming, (document) => {
        document.note = "seen by nobody here";
      });
      // Written after, in the channel: when it is there, everything before it was passed.
      await gateway.put({ _id: "marker", channels: ["country-IS"] });
      await until("the marker", () => client.get("marker"));
      expect((await client.get(coming)).note).toBe("left");
    } finally {
      replication.cancel();
    }
  });

  test("a channel that nothing is in gives nothing, and is no error", async () => {
    const client = clients.open("by-channel-none");
    const result = await client.replicate.from(url, {
      filter: BY_CHANNEL,
      query_params: { channels: "country-nowhere" },
    });
    expect(result).toMatchObject({ ok: true, docs_written: 0 });
    expect(await idsIn(client)).toEqual([]);
  });
});

describe("by document ids", () => {
  test("a client gets the documents that it names and no others", async () => {
    const wanted = of("IT").slice(0, 25);
    const client = clients.open("by-ids");
    await client.replicate.from(url, { doc_ids: [...wanted, "not-there"] });
    expect(await idsIn(client)).toEqual([...wanted].sort());
  });

  test("a live client gets later edits of the documents that it names only", async () => {
    const [wanted, other] = of("ES") as [string, string];
    const client = clients.open("by-ids-live");
    const replication = client.replicate.from(url, {
      live: true,
      retry: true,
      doc_ids: [wanted],
    });
    try {
      await until("the document", () => client.get(wanted));
      await change(other, (document) => {
        document.note = "edited";
      });
      await change(wanted, (document) => {
        document.note = "edited";
      });
      await until("the edit", async () => (await client.get(wanted)).note === "edited", LIMIT_MS);
      expect(await idsIn(client)).toEqual([wanted]);
    } finally {
      replication.cancel();
    }
  });

  test("the ids may be thousands", async () => {
    const client = clients.open("by-many-ids");
    const wanted = places.slice(0, 2500).map((place) => place._id);
    await client.replicate.from(url, { doc_ids: wanted });
    expect(await idsIn(client)).toEqual([...wanted].sort());
  });
});

test("a client that took a part and then asks for everything gets everything", async () => {
  const client = clients.open("part-then-all");
  await client.replicate.from(url, { doc_ids: of("AT") });
  await client.replicate.from(url);
  await converged([client, gateway], LIMIT_MS);
});
