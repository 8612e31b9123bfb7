// The applications of the three listeners: which routes each has, and what runs before a route.

import { Hono, type MiddlewareHandler } from "hono";
import { fixedAccess } from "../access/types.ts";
import { TidegateError } from "../base/errors.ts";
import { type Actor, ADMIN } from "../documents/types.ts";
import { adminDatabaseMethods, adminRoutes } from "./admin-routes.ts";
import { answerOf, errorAnswer, json } from "./answers.ts";
import { attachmentRoutes } from "./attachment-routes.ts";
import { audited } from "./auth/audited.ts";
import { noGuest } from "./auth/authentication.ts";
import type { Call, RouteEnv, ServerContext, Side } from "./context.ts";
import { adminGuard, publicCors } from "./cors.ts";
import { databaseRoutes } from "./database-routes.ts";
import { demoRoutes } from "./demo-page.ts";
import { documentId, documentRoutes } from "./document-routes.ts";
import { pathOf } from "./gate.ts";
import { localRoutes } from "./local-routes.ts";
import { admitToOidc, oidcRoutes } from "./oidc-routes.ts";
import { principalRoutes } from "./principal-routes.ts";
import { addRoutes, type Before, type Routes, routes } from "./routes.ts";
import { adminServerRoutes, serverRoutes, statusOf } from "./server-routes.ts";
import { adminSessionRoutes, publicSessionRoutes } from "./session-routes.ts";

/** Who asks for what belongs to no database. */
const NOBODY: Actor = { name: null, admin: false, access: fixedAccess([]) };

/** Paths of the public listener that everybody may ask for. */
const OPEN_PATHS: readonly string[] = ["/", "/_ping", "/_demo"];

/** Routes that share what runs before them. */
export interface RouteGroup {
  readonly table: Routes;
  readonly before: Before;
}

/** Every route of a listener, in the order in which they are tried. */
export function routeGroups(side: Side, demo: boolean): RouteGroup[] {
  const groups: RouteGroup[] = [{ table: serverRoutes, before: admitToServer }];
  if (side === "public") {
    if (demo) groups.push({ table: demoRoutes, before: admitToServer });
    groups.push({ table: publicSessionRoutes, before: admitToSession });
    groups.push({ table: oidcRoutes, before: admitToOidc });
  } else {
    const own = audited(routes({ "/:db": adminDatabaseMethods })).get("/:db");
    const root = { ...databaseRoutes.get("/:db"), ...own };
    const mayBeMissing = (method: string) => method === "PUT" || method === "DELETE";
    groups.push(
      { table: adminServerRoutes, before: admitToServer },
      {
        table: routes({ "/:db": root }),
        before: (call, method) => (mayBeMissing(method) ? undefined : findDatabase(call)),
      },
      { table: audited(adminRoutes), before: findDatabase },
      { table: principalRoutes, before: findDatabase },
      { table: adminSessionRoutes, before: findDatabase },
    );
  }
  const before: Before = (call) => {
    const pending = findDatabase(call);
    // Whoever may not use the database does not hear what is wrong with the path.
    if (pending) return pending.then(() => void documentId(call));
    documentId(call);
  };
  for (const table of [databaseRoutes, localRoutes]) groups.push({ table, before: findDatabase });
  for (const table of [documentRoutes, attachmentRoutes]) groups.push({ table, before });
  return groups;
}

/** The document API, as the public or the admin listener has it. */
export function documentApp(server: ServerContext, side: Side): Hono<RouteEnv> {
  const app = appOf(server, side, side === "admin" ? adminGuard : publicCors);
  for (const { table, before } of routeGroups(side, server.config.demo)) {
    addRoutes(app, table, side === "admin" ? afterAdminAuth(before) : before);
  }
  return app;
}

/** What runs before a route of the admin listener: first of all, who is it? */
function afterAdminAuth(before: Before): Before {
  return (call, method) => {
    const pending = call.var.server.auth.admin.admit(call);
    return pending ? pending.then(() => before(call, method)) : before(call, method);
  };
}

/** Metrics and health: for a monitor, no documents. */
export function metricsApp(server: ServerContext): Hono<RouteEnv> {
  const app = appOf(server, "public", (_, next) => next());
  const table = routes({
    "/metrics": {
      async GET() {
        const { contentType, text } = await server.metrics.text();
        return new Response(text, { headers: { "content-type": contentType } });
      },
    },
    "/health": {
      GET(call) {
        const status = statusOf(server);
        return json(call, status, status.status === "ok" ? 200 : 503);
      },
    },
  });
  addRoutes(app, table, () => {});
  return app;
}

function appOf(
  server: ServerContext,
  side: Side,
  guard: MiddlewareHandler<RouteEnv>,
): Hono<RouteEnv> {
  const app = new Hono<RouteEnv>({ getPath: routePath });
  app.use((call, next) => {
    call.set("server", server);
    call.set("side", side);
    call.set("actor", side === "admin" ? ADMIN : NOBODY);
    return next();
  });
  app.use(guard);
  app.use(wellFormed);
  app.notFound((call) => errorAnswer(noRoute(call)));
  app.onError((error, call) => answerOf(server, call, error));
  return app;
}

function noRoute(call: Call): TidegateError {
  const { side } = call.var;
  if (side === "public" && !guestsAnywhere(call)) return noGuest();
  return new TidegateError("not_found", `there is no route ${call.req.method} ${call.req.path}`);
}

/** The paths of attachments, whose names may end with slashes; without the slashes at the end. */
const ATTACHMENT_PATH = /^\/[^/]+\/(?:[^_/][^/]*|_design\/[^/]+)\/+[^/]/;

/**
 * The path as it was sent: nothing decoded, so that `%2F` is told from `/`. Slashes at its end are
 * left out, unless they belong to an attachment's name (PouchDB does not encode them).
 */
function routePath(request: Request): string {
  const path = pathOf(request.url);
  if (!path.endsWith("/") || ATTACHMENT_PATH.test(path)) return path;
  let end = path.length;
  while (end > 1 && path[end - 1] === "/") end--;
  return path.slice(0, end);
}

/** Refuses what cannot be decoded, before somebody takes the encoded text for a name. */
const wellFormed: MiddlewareHandler<RouteEnv> = (call, next) => {
  const { url } = call.req;
  if (url.includes("%")) {
    try {
      decodeURIComponent(url);
    } catch {
      const reason = "the URL has a % that is not followed by two hexadecimal digits of UTF-8";
      return Promise.resolve(errorAnswer(new TidegateError("bad_request", reason)));
    }
  }
  return next();
};

/** Routes without a database: open ones, and for the rest there must be a guest somewhere. */
function admitToServer(call: Call): void {
  if (call.var.side === "admin" || OPEN_PATHS.includes(call.req.path)) return;
  if (!guestsAnywhere(call)) throw noGuest();
}

function guestsAnywhere(call: Call): boolean {
  const { gateway } = call.var.server;
  return gateway.names().some((name) => gateway.database(name)?.settings.guest !== false);
}

/** Logging in is for who is not logged in yet: its handler looks at the credentials itself. */
function admitToSession(call: Call, method: string): void | Promise<void> {
  if (method !== "POST") return findDatabase(call);
}

/** Finds the database of the path, and on the public listener the actor. */
function findDatabase(call: Call): void | Promise<void> {
  const { side, server } = call.var;
  const name = call.req.param("db") ?? "";
  const database = server.gateway.database(name);
  if (side === "public") return server.auth.admit(call, database);
  if (!database) throw new TidegateError("not_found", `there is no database ${name}`);
  call.set("database", database);
}
