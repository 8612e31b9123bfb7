// Routes of the admin listener below a database: making and removing it, its settings, and looks
// into what is stored.

import { inspectPosition } from "../clock/inspect.ts";
import { SINCE_HEAD } from "../clock/trace.ts";
import { parseDatabaseSettings } from "../config/load.ts";
import { withoutSecrets, withSecretsOf } from "../config/secrets.ts";
import { type Entry, EntryFlag } from "../index/types.ts";
import { json, ok } from "./answers.ts";
import { requestObject } from "./body.ts";
import type { Call } from "./context.ts";
import { revisionsById } from "./database-routes.ts";
import { type PieceSource, pieceStream } from "./piece-stream.ts";
import { routes } from "./routes.ts";

/** What the admin listener has at `/:db` beside the methods of both: the database may be missing. */
export const adminDatabaseMethods = { PUT: createDatabase, DELETE: removeDatabase };

/** Routes of a database that is there. */
export const adminRoutes = routes({
  "/:db/_clock": { GET: clock },
  // Documents and index compact themselves in the background: there is nothing to begin.
  "/:db/_compact": { POST: (call) => ok(call, {}, 202) },
  "/:db/_config": { GET: getConfig, PUT: putConfig },
  "/:db/_dumpchannel/:channel": { GET: dumpChannel },
  "/:db/_purge": { POST: purge },
  "/:db/_raw/:doc{.+}": { GET: raw },
  "/:db/_resync": { POST: resync },
  "/:db/_revtree/:doc{.+}": { GET: revisionTree },
});

function databaseName(call: Call): string {
  return call.req.param("db") ?? "";
}

/** `PUT /{db}`: the body is the settings; an empty one takes the defaults. */
async function createDatabase(call: Call): Promise<Response> {
  const name = databaseName(call);
  const settings = parseDatabaseSettings(await requestObject(call, {}));
  await call.var.server.gateway.create(name, settings);
  return ok(call, {}, 201, { location: `/${name}` });
}

async function removeDatabase(call: Call): Promise<Response> {
  await call.var.server.gateway.remove(databaseName(call));
  return ok(call);
}

function getConfig(call: Call): Response {
  return json(call, withoutSecrets(call.var.database.settings) as object);
}

/**
 * `PUT /{db}/_config`: the settings, whole; secrets that come as they are shown stay. A changed sync
 * function runs from the next save on.
 */
async function putConfig(call: Call): Promise<Response> {
  const given = await requestObject(call);
  const settings = parseDatabaseSettings(withSecretsOf(given, call.var.database.settings));
  await call.var.server.gateway.configure(call.var.database.name, settings);
  return ok(call, {}, 201);
}

/** What is stored of a document: its body and its `_sync` attribute. */
async function raw(call: Call): Promise<Response> {
  return json(call, await call.var.database.documents.raw(call.req.param("doc") ?? ""));
}

async function revisionTree(call: Call): Promise<Response> {
  const tree = await call.var.database.documents.revisionTree(call.req.param("doc") ?? "");
  return json(call, `${JSON.stringify(tree)}\n`);
}

async function purge(call: Call): Promise<Response> {
  const purged = await call.var.database.documents.purge(await revisionsById(call));
  return json(call, { purge_seq: 0, purged: Object.fromEntries(purged) });
}

async function resync(call: Call): Promise<Response> {
  call.env.connection.keepOpen();
  return ok(call, await call.var.database.documents.resync());
}

/** What a client has that says `since`; without it, what everybody has who is up to date. */
async function clock(call: Call): Promise<Response> {
  const { lookup, branches, bucket } = call.var.database;
  const since = call.req.query("since") ?? SINCE_HEAD;
  return json(call, await inspectPosition(since, lookup, branches, bucket.vbuckets));
}

/** The entries of a channel in the stable clock, as the index has them. */
function dumpChannel(call: Call): Response {
  const { database, server } = call.var;
  const channel = call.req.param("channel") ?? "";
  const { tick, clock: stable } = database.stable.head();
  const none = new Float64Array(stable.length);
  const entries = database.index.read(channel, none, stable)[Symbol.asyncIterator]();
  const source = printEntries(JSON.stringify({ channel, tick }), entries);
  const body = pieceStream(source, {
    gone: call.env.connection.signal,
    held: server.answers,
    abort() {},
    ended: () => void entries.return?.(),
    failed: (error) => server.log.error({ err: error, channel }, "_dumpchannel failed"),
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}

async function* printEntries(head: string, batches: AsyncIterator<readonly Entry[]>): PieceSource {
  yield `${head.slice(0, -1)},"entries":[\n`;
  let separator = "";
  for (let batch = await batches.next(); !batch.done; batch = await batches.next()) {
    if (batch.value.length === 0) continue;
    yield separator + batch.value.map(entryText).join(",\n");
    separator = ",\n";
  }
  yield "\n]}\n";
}

function entryText({ vb, seq, branch, flags, docId, revId, supersedes }: Entry): string {
  const named = Object.entries(EntryFlag).filter(([, bit]) => (flags & bit) !== 0);
  const words = named.map(([word]) => word);
  return JSON.stringify({ vb, seq, branch, id: docId, rev: revId, flags: words, supersedes });
}
