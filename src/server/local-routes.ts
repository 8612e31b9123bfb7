// Routes of `_local/` documents: they belong to one gateway, are not replicated and not indexed.

import { json } from "./answers.ts";
import { requestObject } from "./body.ts";
import type { Call } from "./context.ts";
import { parentRevision, written } from "./document-routes.ts";
import { routes } from "./routes.ts";

const LOCAL = "_local/";

/** Both listeners. */
export const localRoutes = routes({
  "/:db/_local/:local{.+}": { GET: getLocal, PUT: putLocal, DELETE: deleteLocal },
});

function localId(call: Call): string {
  return LOCAL + (call.req.param("local") ?? "");
}

async function getLocal(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const view = await database.documents.getLocal(actor, localId(call));
  return json(call, `${view.json}\n`);
}

async function putLocal(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const document = await requestObject(call);
  const rev = parentRevision(call);
  if (rev !== undefined && document._rev === undefined) document._rev = rev;
  return written(call, await database.documents.putLocal(actor, localId(call), document), 201);
}

async function deleteLocal(call: Call): Promise<Response> {
  const { database, actor } = call.var;
  const outcome = await database.documents.removeLocal(actor, localId(call), parentRevision(call));
  return written(call, outcome, 200);
}
