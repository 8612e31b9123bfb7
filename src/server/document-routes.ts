// Routes of one document: reading, writing, removing it, and its open revisions. Its attachments
// are in `attachment-routes.ts`, multipart bodies in `multipart-documents.ts`.

import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { GetOptions, OpenRevision, WriteOutcome } from "../documents/types.ts";
import { etag, json, matchesTag, ok } from "./answers.ts";
import { requestObject } from "./body.ts";
import type { Call } from "./context.ts";
import {
  documentAsMultipart,
  isMultipartRelated,
  openRevisionsAsMultipart,
  readMultipartDocument,
  wantsMultipart,
} from "./multipart-documents.ts";
import { badParameter, flag, given, jsonParameter, strings } from "./parameters.ts";
import { routes } from "./routes.ts";

/** Both listeners. Come after every other route below `/:db/`. */
export const documentRoutes = routes({
  "/:db/_design/:design": { GET: getDocument, PUT: putDocument, DELETE: deleteDocument },
  "/:db/:doc": { GET: getDocument, PUT: putDocument, DELETE: deleteDocument },
});

const DESIGN = "_design/";

/** The document's id in the path; other names that begin with `_` are routes that do not exist. */
export function documentId(call: Call): string {
  const design = call.req.param("design");
  if (design !== undefined) return DESIGN + design;
  const id = call.req.param("doc") ?? "";
  if (id.startsWith("_") && !id.startsWith(DESIGN)) {
    throw new TidegateError("not_found", `there is no ${id} here`);
  }
  return id;
}

/** The parent revision that a write names: `rev` in the query, or `If-Match`. */
export function parentRevision(call: Call): string | undefined {
  const query = call.req.query("rev");
  const header = call.req
    .header("if-match")
    ?.trim()
    .replace(/^"(.*)"$/, "$1");
  if (query !== undefined && header !== undefined && query !== header) {
    throw badParameter("rev", "the same revision as If-Match", query);
  }
  return query ?? header;
}

/** The options of reading one document or its open revisions. */
export function getOptions(call: Call): GetOptions {
  const since = jsonParameter(call, "atts_since");
  return given({
    rev: call.req.query("rev"),
    revs: flag(call, "revs"),
    revsInfo: flag(call, "revs_info"),
    conflicts: flag(call, "conflicts"),
    deletedConflicts: flag(call, "deleted_conflicts"),
    latest: flag(call, "latest"),
    attachments: flag(call, "attachments"),
    attsSince: since === undefined ? undefined : strings("atts_since", since),
    localSeq: flag(call, "local_seq"),
    ...(flag(call, "meta") ? { revsInfo: true, conflicts: true, deletedConflicts: true } : {}),
  }) as GetOptions;
}

async function getDocument(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const id = documentId(call);
  const options = getOptions(call);
  if (call.req.query("open_revs") !== undefined) return openRevisions(call, id, options);
  const isPlain = Object.keys(options).every((name) => name === "rev");
  const isMultipart = options.attachments === true && wantsMultipart(call, "multipart/related");
  if (isMultipart) return documentAsMultipart(call, id, options);
  const view = await database.documents.get(actor, id, options);
  const tag = etag(view.rev);
  if (!isPlain) return json(call, `${view.json}\n`);
  if (matchesTag(call.req.header("if-none-match"), tag)) {
    return new Response(null, { status: 304, headers: { etag: tag } });
  }
  return json(call, `${view.json}\n`, 200, { etag: tag });
}

/** `open_revs=all` or a list: a JSON array, or multipart/mixed for who asks for it. */
async function openRevisions(call: Call, id: string, options: GetOptions): Promise<Response> {
  const { database, actor } = call.var;
  const text = call.req.query("open_revs");
  const revs =
    text === "all" ? "all" : strings("open_revs", jsonParameter(call, "open_revs") ?? []);
  if (wantsMultipart(call, "multipart/mixed")) {
    return openRevisionsAsMultipart(call, id, revs, options);
  }
  const found = await database.documents.openRevisions(actor, id, revs, options);
  return json(call, `[${found.map(openRevisionText).join(",\n")}]\n`);
}

function openRevisionText(one: OpenRevision): string {
  if ("ok" in one) return `{"ok":${one.ok.json}}`;
  return JSON.stringify(one);
}

async function putDocument(call: Call): Promise<Response> {
  const id = documentId(call);
  const { document, followed } = isMultipartRelated(call)
    ? await readMultipartDocument(call)
    : { document: await requestObject(call), followed: undefined };
  return save(call, id, document, followed);
}

/** `POST /{db}`: a document that names its id, or gets one. */
export async function postDocument(call: Call): Promise<Response> {
  const document = await requestObject(call);
  const { _id } = document;
  if (_id !== undefined && typeof _id !== "string") throw badParameter("_id", "a string", _id);
  return save(call, _id ?? newId(call), document, undefined);
}

function newId(call: Call): string {
  return Buffer.from(call.var.server.random.bytes(16)).toString("hex");
}

async function save(
  call: Call,
  id: string,
  document: JsonObject,
  followed: ReadonlyMap<string, Uint8Array> | undefined,
): Promise<Response> {
  const { database, actor } = call.var;
  const options = given({
    rev: parentRevision(call),
    newEdits: flag(call, "new_edits"),
    followed,
  });
  return written(call, await database.documents.put(actor, id, document, options), 201);
}

async function deleteDocument(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const outcome = await database.documents.remove(actor, documentId(call), parentRevision(call));
  return written(call, outcome, 200);
}

/** The answer to a write that landed. */
export function written(call: Call, { id, rev }: WriteOutcome, status: 200 | 201): Response {
  const headers: Record<string, string> = { etag: etag(rev) };
  if (status === 201) headers.location = location(call, id);
  return ok(call, { id, rev }, status, headers);
}

function location(call: Call, id: string): string {
  const path = id.startsWith(DESIGN)
    ? DESIGN + encodeURIComponent(id.slice(DESIGN.length))
    : encodeURIComponent(id);
  return `/${call.var.database.name}/${path}`;
}
