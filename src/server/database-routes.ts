// Routes of one database as a whole: its state, its documents by list and in bulk.

import { TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import type { AllDocsOptions } from "../documents/types.ts";
import { seesEverything } from "../documents/visibility.ts";
import { json, ok } from "./answers.ts";
import { requestObject } from "./body.ts";
import { bulkGet } from "./bulk-get.ts";
import { getChanges, postChanges } from "./changes/routes.ts";
import type { Call } from "./context.ts";
import { postDocument } from "./document-routes.ts";
import {
  badParameter,
  flag,
  flagOf,
  given,
  integer,
  integerOf,
  jsonParameter,
  keyParameter,
  strings,
} from "./parameters.ts";
import { type PieceSource, pieceStream } from "./piece-stream.ts";
import { routes } from "./routes.ts";

/** The most documents, revisions or keys of one bulk request. */
export const MAX_BULK = 100_000;

/** Both listeners. */
export const databaseRoutes = routes({
  "/:db": { GET: info, POST: postDocument },
  "/:db/_all_docs": { GET: getAllDocs, POST: postAllDocs },
  "/:db/_bulk_docs": { POST: bulkDocs },
  "/:db/_bulk_get": { POST: bulkGet },
  "/:db/_changes": { GET: getChanges, POST: postChanges },
  "/:db/_ensure_full_commit": {
    POST: (call) => ok(call, { instance_start_time: "0" }, 201),
  },
  "/:db/_missing_revs": { POST: missingRevs },
  "/:db/_revs_diff": { POST: revsDiff },
});

async function info(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const sequence = database.changes.currentSequence();
  // A count of what one may not see is not told.
  const all = seesEverything(actor.access);
  return json(call, {
    db_name: database.name,
    ...(all && { doc_count: await database.documents.count() }),
    update_seq: sequence,
    committed_update_seq: sequence,
    instance_start_time: "0",
    purge_seq: 0,
    compact_running: false,
    state: "Online",
  });
}

function getAllDocs(call: Call): Promise<Response> {
  const keys = jsonParameter(call, "keys");
  return allDocs(call, keys === undefined ? undefined : strings("keys", keys), {});
}

async function postAllDocs(call: Call): Promise<Response> {
  const body = await requestObject(call, {});
  const keys = body.keys === undefined ? undefined : strings("keys", body.keys);
  return allDocs(call, keys, body);
}

/** `_all_docs`: rows as texts from the store, the envelope around them. */
async function allDocs(
  call: Call,
  keys: readonly string[] | undefined,
  body: JsonObject,
): Promise<Response> {
  const { database, actor, server } = call.var;
  if (keys && keys.length > MAX_BULK) throw tooMany("keys", keys.length);
  const options = given({ ...allDocsOptions(call, body), keys }) as AllDocsOptions;
  const head: JsonObject = { offset: options.skip ?? 0 };
  const all = seesEverything(actor.access);
  if (all) head.total_rows = await database.documents.count();
  if (options.updateSeq) head.update_seq = database.changes.currentSequence();
  const pages = database.documents.allDocs(actor, options);
  const iterator = pages[Symbol.asyncIterator]();
  // The first page before the head of the answer: what is wrong is a status, not a cut answer.
  const first = await iterator.next();
  const source = printRows(JSON.stringify(head), first, iterator, !all);
  const body_ = pieceStream(source, {
    gone: call.env.connection.signal,
    held: server.answers,
    abort() {},
    ended: () => void iterator.return?.(),
    failed: (error) => server.log.error({ err: error }, "_all_docs failed"),
  });
  return new Response(body_, { headers: { "content-type": "application/json" } });
}

/** @param counted whether the number of these rows is told behind them, as `total_rows` */
async function* printRows(
  head: string,
  first: IteratorResult<string[]>,
  rest: AsyncIterator<string[]>,
  counted: boolean,
): PieceSource {
  yield `${head.slice(0, -1)},"rows":[\n`;
  let count = 0;
  for (let page = first; !page.done; page = await rest.next()) {
    // Given although it may be empty: between two pages the client's going is noticed.
    const separator = count > 0 && page.value.length > 0 ? ",\n" : "";
    yield separator + page.value.join(",\n");
    count += page.value.length;
  }
  yield counted ? `\n],"total_rows":${count}}\n` : "\n]}\n";
}

function allDocsOptions(call: Call, body: JsonObject): Partial<AllDocsOptions> {
  const bool = (name: string) => pick(body, name, flagOf) ?? flag(call, name);
  const whole = (name: string) => pick(body, name, integerOf) ?? integer(call, name);
  const key = (...names: string[]) => keyOf(body, names) ?? keyParameter(call, ...names);
  const one = key("key");
  return given({
    startKey: one ?? key("startkey", "start_key"),
    endKey: one ?? key("endkey", "end_key"),
    inclusiveEnd: bool("inclusive_end"),
    descending: bool("descending"),
    limit: whole("limit"),
    skip: whole("skip"),
    includeDocs: bool("include_docs"),
    conflicts: bool("conflicts"),
    attachments: bool("attachments"),
    updateSeq: bool("update_seq"),
  }) as Partial<AllDocsOptions>;
}

function pick<T>(
  body: JsonObject,
  name: string,
  parse: (name: string, value: Json) => T,
): T | undefined {
  const value = body[name];
  return value === undefined ? undefined : parse(name, value);
}

function keyOf(body: JsonObject, names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = body[name];
    if (value === undefined) continue;
    if (typeof value === "string") return value;
    throw badParameter(name, "a string", value);
  }
  return undefined;
}

/** `_bulk_docs`. With `new_edits` false only what failed is listed, as CouchDB does. */
async function bulkDocs(call: Call): Promise<Response> {
  const body = await requestObject(call);
  const { docs } = body;
  if (!Array.isArray(docs) || !docs.every(isObject)) {
    throw badParameter("docs", "an array of documents", docs ?? "nothing");
  }
  if (docs.length > MAX_BULK) throw tooMany("docs", docs.length);
  const newEdits = body.new_edits === undefined || flagOf("new_edits", body.new_edits);
  const { database, actor } = call.var;
  const outcomes = await database.documents.bulk(actor, docs, { newEdits });
  const shown = newEdits ? outcomes : outcomes.filter((outcome) => "error" in outcome);
  return json(call, shown, 201);
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** id -> revisions, as `_revs_diff`, `_missing_revs` and `_purge` take them. */
export async function revisionsById(call: Call): Promise<Map<string, string[]>> {
  const body = await requestObject(call);
  const entries = Object.entries(body);
  if (entries.length > MAX_BULK) throw tooMany("documents", entries.length);
  const byId = new Map<string, string[]>();
  let count = 0;
  for (const [id, value] of entries) {
    const revs = strings(id, value);
    count += revs.length;
    if (count > MAX_BULK) throw tooMany("revisions", count);
    byId.set(id, revs);
  }
  return byId;
}

async function revsDiff(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const diff = await database.documents.revsDiff(actor, await revisionsById(call));
  const lines = [...diff].map(([id, { missing, possibleAncestors }]) => {
    const line = possibleAncestors.length
      ? { missing, possible_ancestors: possibleAncestors }
      : { missing };
    return `${JSON.stringify(id)}:${JSON.stringify(line)}`;
  });
  return json(call, `{${lines.join(",\n")}}\n`);
}

async function missingRevs(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const diff = await database.documents.revsDiff(actor, await revisionsById(call));
  const lines = [...diff].map(
    ([id, { missing }]) => `${JSON.stringify(id)}:${JSON.stringify(missing)}`,
  );
  return json(call, `{"missing_revs":{${lines.join(",\n")}}}\n`);
}

function tooMany(what: string, came: number): TidegateError {
  return new TidegateError("too_large", `${what}: at most ${MAX_BULK} (came: ${came})`);
}
