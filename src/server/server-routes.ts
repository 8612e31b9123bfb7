// Routes of the server as a whole: `/`, `/_ping`, `/_session`; and for administrators the
// databases, the settings and the state.

import { rolesOf } from "../access/types.ts";
import { withoutSecrets } from "../config/secrets.ts";
import type { DatabaseSettings } from "../gateway/types.ts";
import { json, ok } from "./answers.ts";
import type { Call, ServerContext } from "./context.ts";
import { routes } from "./routes.ts";

/** Both listeners. */
export const serverRoutes = routes({
  "/": { GET: welcome },
  "/_ping": { GET: (call) => ok(call) },
  "/_session": { GET: session },
});

/** The admin listener. */
export const adminServerRoutes = routes({
  "/_all_dbs": { GET: (call) => json(call, call.var.server.gateway.names()) },
  "/_config": { GET: (call) => json(call, effectiveConfig(call.var.server)) },
  "/_status": { GET: (call) => json(call, statusOf(call.var.server)) },
});

/** CouchDB's greeting, which clients look at to see what they talk to. */
function welcome(call: Call): Response {
  const { version, side } = { version: call.var.server.version, side: call.var.side };
  const vendor = { name: "Tidegate", version };
  return json(call, {
    couchdb: "Welcome",
    tidegate: "Welcome",
    version,
    vendor,
    ...(side === "admin" ? { ADMIN: true } : {}),
  });
}

/** Who the client is, and the channels that it sees now. */
export function session(call: Call): Response {
  const { actor } = call.var;
  const roles = actor.admin ? ["_admin"] : rolesOf(actor.access);
  const userCtx = { name: actor.name, roles, channels: [...actor.access.now()].sort() };
  const handlers = { authentication_handlers: ["default", "cookie"] };
  return json(call, { ok: true, userCtx, info: handlers }, 200, { "cache-control": "no-store" });
}

/** The settings in force: the process's, and those of each database as they are now. */
function effectiveConfig({ gateway, config }: ServerContext): object {
  const databases: Record<string, DatabaseSettings> = {};
  for (const name of gateway.names()) {
    const settings = gateway.database(name)?.settings;
    if (settings) databases[name] = settings;
  }
  return withoutSecrets({ ...config, databases }) as object;
}

/** How the databases are. */
export function statusOf({ gateway, version, feeds }: ServerContext): {
  status: "ok" | "degraded";
  version: string;
  openFeeds: number;
  databases: Record<string, object>;
} {
  const databases: Record<string, object> = {};
  let isWell = true;
  for (const name of gateway.names()) {
    const database = gateway.database(name);
    if (!database) continue;
    const problems = database.health();
    if (problems.length > 0) isWell = false;
    databases[name] = {
      state: problems.length > 0 ? "degraded" : "online",
      updateSeq: database.changes.currentSequence(),
      openFeeds: database.changes.openFeeds,
      problems,
    };
  }
  return { status: isWell ? "ok" : "degraded", version, openFeeds: feeds.size, databases };
}
