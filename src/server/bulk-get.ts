// `_bulk_get`: many revisions in one answer, JSON or multipart, sent as they are read.

import { TidegateError } from "../base/errors.ts";
import type { Json } from "../base/json.ts";
import type { BulkGetItem, BulkGetResult } from "../documents/types.ts";
import { requestObject } from "./body.ts";
import type { Call } from "./context.ts";
import { MAX_BULK } from "./database-routes.ts";
import { getOptions } from "./document-routes.ts";
import { bulkGetAsMultipart, wantsMultipart } from "./multipart-documents.ts";
import { badParameter, given, strings } from "./parameters.ts";
import { type PieceSource, pieceStream } from "./piece-stream.ts";

/** The route's handler. */
export async function bulkGet(call: Call): Promise<Response> {
  const { docs } = await requestObject(call);
  if (!Array.isArray(docs)) throw badParameter("docs", "an array", docs ?? "nothing");
  if (docs.length > MAX_BULK) {
    throw new TidegateError("too_large", `docs: at most ${MAX_BULK} (came: ${docs.length})`);
  }
  const items = docs.map(itemOf);
  const options = getOptions(call);
  const { database, actor, server } = call.var;
  const results = database.documents.bulkGet(actor, items, options);
  if (wantsMultipart(call, "multipart/mixed") || wantsMultipart(call, "multipart/related")) {
    return bulkGetAsMultipart(call, results);
  }
  const iterator = results[Symbol.asyncIterator]();
  const body = pieceStream(printResults(iterator), {
    gone: call.env.connection.signal,
    held: server.answers,
    abort() {},
    ended: () => void iterator.return?.(),
    failed: (error) => server.log.error({ err: error }, "_bulk_get failed"),
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}

function itemOf(given_: Json, at: number): BulkGetItem {
  const name = `docs[${at}]`;
  if (typeof given_ !== "object" || given_ === null || Array.isArray(given_)) {
    throw badParameter(name, "an object with id", given_);
  }
  const { id, rev, atts_since } = given_;
  if (typeof id !== "string") throw badParameter(`${name}.id`, "a string", id ?? "nothing");
  if (rev !== undefined && typeof rev !== "string") {
    throw badParameter(`${name}.rev`, "a string", rev);
  }
  const attsSince =
    atts_since === undefined || atts_since === null
      ? undefined
      : strings(`${name}.atts_since`, atts_since);
  return given({ id, rev, attsSince }) as BulkGetItem;
}

async function* printResults(results: AsyncIterator<BulkGetResult>): PieceSource {
  yield '{"results":[\n';
  let separator = "";
  for (let next = await results.next(); !next.done; next = await results.next()) {
    const result = next.value;
    const inner = "ok" in result ? `{"ok":${result.ok.json}}` : JSON.stringify({ error: result });
    yield `${separator}{"id":${JSON.stringify(result.id)},"docs":[${inner}]}`;
    separator = ",\n";
  }
  yield "\n]}\n";
}
