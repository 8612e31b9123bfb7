// Two PouchDB clients that log in as two users: each has exactly what its user sees, live, through
// grants, roles and revocations. What an app does with `revoked` rows is in `dropRevoked`: PouchDB on
// LevelDB cannot purge, so it deletes them locally, in a database that is only pulled into.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { PouchReplicationOptions } from "pouchdb";
import { Clients, PouchDB } from "../harness/clients.ts";
import { airports } from "../harness/datasets.ts";
import { startTarget, type Target } from "../harness/target.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

const SYNC = `function (doc, oldDoc) {
  if (doc.type === "membership") {
    requireAdmin();
    if (doc._deleted) return;
    access(doc.user, doc.channels || []);
    role(doc.user, (doc.roles || []).map(function (name) { return "role:" + name; }));
    return;
  }
  if (!oldDoc && !doc._deleted) requireAccess(doc.state);
  channel(doc.state);
}`;

/** How much of the data set is there: enough for each state to have some. */
const AIRPORTS = 800;

let target: Target;
let clients: Clients;
let url: string;
let admin: string;

const stateOf = new Map<string, string>();

beforeAll(async () => {
  target = await startTarget("tidegate");
  url = await target.createDatabase("access", { syncFunction: SYNC });
  await send("PUT", `${target.adminUrl}/access/_config`, { syncFunction: SYNC });
  admin = `${target.adminUrl}/access`;
  clients = new Clients();
  const docs = airports()
    .slice(0, AIRPORTS)
    .map(({ _id, state, name }) => ({ _id, state, name }));
  for (const { _id, state } of docs) stateOf.set(_id, String(state));
  const saved = await send("POST", `${admin}/_bulk_docs`, { docs });
  expect((saved as { error?: string }[]).filter((row) => row.error)).toEqual([]);
  await send("PUT", `${admin}/_user/ann`, { password: "ann-pw", admin_channels: ["TX"] });
  await send("PUT", `${admin}/_user/ben`, { password: "ben-pw", admin_channels: ["CA", "NY"] });
});

afterAll(async () => {
  await clients?.dispose();
  await target?.dispose();
});

async function send(method: string, to: string, body?: object): Promise<unknown> {
  const text = body === undefined ? null : JSON.stringify(body);
  const headers = { "content-type": "application/json" };
  const answer = await fetch(to, { method, headers, body: text });
  expect([method, to, answer.ok]).toEqual([method, to, true]);
  return answer.json();
}

/** The ids of the airports in some states. */
function inStates(...states: string[]): string[] {
  const found = [...stateOf].filter(([, state]) => states.includes(state)).map(([id]) => id);
  expect(found.length).toBeGreaterThan(0);
  return found.sort();
}

/** What a client has: ids of live documents. */
async function idsOf(local: PouchDB): Promise<string[]> {
  const { rows } = await local.allDocs({});
  return rows.map(({ id }) => id).sort();
}

/** Waits until a client has these documents and no others, and goes on having them. */
async function has(local: PouchDB, ids: string[]): Promise<void> {
  await until("the client has what its user sees", async () => {
    expect(await idsOf(local)).toEqual(ids);
    return true;
  });
  await Bun.sleep(200);
  expect(await idsOf(local)).toEqual(ids);
}

interface ChangesAnswer {
  readonly results?: readonly { id: string; revoked?: boolean }[];
}

/** The gateway as `user` sees it; documents that it says are revoked are dropped from `local`. */
function remoteOf(user: string, local: PouchDB): PouchDB {
  const authorization = `Basic ${Buffer.from(`${user}:${user}-pw`).toString("base64")}`;
  return new PouchDB(url, {
    skip_setup: true,
    fetch: async (to: string, options: RequestInit = {}) => {
      const headers = new Headers(options.headers);
      headers.set("authorization", authorization);
      const answer = await fetch(to, { ...options, headers });
      if (to.includes("/_changes")) await dropRevoked(local, await answer.clone().json());
      return answer;
    },
  });
}

async function dropRevoked(local: PouchDB, { results = [] }: ChangesAnswer): Promise<void> {
  for (const { id, revoked } of results) {
    if (!revoked) continue;
    const { _rev = "" } = await local.get(id);
    await local.remove({ _id: id, _rev });
  }
}

const live: PouchReplicationOptions = {
  live: true,
  retry: true,
  batch_size: 50,
  back_off_function: () => 50,
  query_params: { revocations: "true" },
};

test("each client has exactly what its user sees, and writes only there", async () => {
  const [ann, ben] = [clients.open("once-ann"), clients.open("once-ben")];
  await ann.replicate.from(remoteOf("ann", ann), { batch_size: 20 });
  await ben.replicate.from(remoteOf("ben", ben), { batch_size: 20 });
  expect(await idsOf(ann)).toEqual(inStates("TX"));
  expect(await idsOf(ben)).toEqual(inStates("CA", "NY"));
  await ann.put({ _id: "of-ann", state: "TX" });
  await ann.put({ _id: "not-of-ann", state: "CA" });
  const pushed = await ann.replicate.to(remoteOf("ann", ann));
  expect([pushed.docs_written, pushed.doc_write_failures]).toEqual([1, 1]);
  await send("GET", `${admin}/of-ann`);
  expect((await fetch(`${admin}/not-of-ann`)).status).toBe(404);
  stateOf.set("of-ann", "TX");
});

test("grants bring the past while the clients are live, revocations take it away", async () => {
  const [ann, ben] = [clients.open("live-ann"), clients.open("live-ben")];
  const replications = [
    ann.replicate.from(remoteOf("ann", ann), live),
    ben.replicate.from(remoteOf("ben", ben), live),
  ];
  try {
    await has(ann, inStates("TX"));
    await has(ben, inStates("CA", "NY"));

    const grant = { type: "membership", user: "ann", channels: ["CA"] };
    const { rev } = (await send("PUT", `${admin}/m-ann`, grant)) as { rev: string };
    await has(ann, inStates("TX", "CA"));
    await has(ben, inStates("CA", "NY"));

    // Something new in the granted channel comes too, and what leaves it goes to nobody else.
    await send("PUT", `${admin}/new-in-ca`, { state: "CA" });
    stateOf.set("new-in-ca", "CA");
    await has(ann, inStates("TX", "CA"));
    await has(ben, inStates("CA", "NY"));

    // Taken from ann, and only what she sees through nothing else.
    await send("PUT", `${admin}/m-ann?rev=${rev}`, { ...grant, channels: [] });
    await has(ann, inStates("TX"));
    await has(ben, inStates("CA", "NY"));

    await send("PUT", `${admin}/_role/east`, { admin_channels: ["NY", "FL"] });
    const role = { type: "membership", user: "ann", roles: ["east"] };
    const made = (await send("PUT", `${admin}/r-ann`, role)) as { rev: string };
    await has(ann, inStates("TX", "NY", "FL"));
    await send("PUT", `${admin}/_role/east`, { admin_channels: ["FL"] });
    await has(ann, inStates("TX", "FL"));
    await send("DELETE", `${admin}/r-ann?rev=${made.rev}`);
    await has(ann, inStates("TX"));

    await send("PUT", `${admin}/_user/ben`, { admin_channels: ["TX"] });
    await has(ben, inStates("TX"));
  } finally {
    for (const replication of replications) replication.cancel();
  }
});

test("a client that was away meanwhile ends with the same", async () => {
  const away = clients.open("away");
  await send("PUT", `${admin}/_user/cat`, { password: "cat-pw", admin_channels: ["TX", "CA"] });
  const options = { batch_size: 10, query_params: { revocations: "true" } };
  await away.replicate.from(remoteOf("cat", away), options);
  expect(await idsOf(away)).toEqual(inStates("TX", "CA"));
  await send("PUT", `${admin}/_user/cat`, { admin_channels: ["CA", "NY"] });
  await away.replicate.from(remoteOf("cat", away), options);
  expect(await idsOf(away)).toEqual(inStates("CA", "NY"));
});
