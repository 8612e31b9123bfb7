// The applications of the three listeners: which routes each has, and what runs before a route.

import { Hono, type MiddlewareHandler } from "hono";
import { TidegateError } from "../base/errors.ts";
import { ADMIN, FREE_GUEST } from "../documents/types.ts";
import { adminDatabaseMethods, adminRoutes } from "./admin-routes.ts";
import { answerOf, errorAnswer, json } from "./answers.ts";
import { attachmentRoutes } from "./attachment-routes.ts";
import type { Call, RouteEnv, ServerContext, Side } from "./context.ts";
import { adminGuard, publicCors } from "./cors.ts";
import { databaseRoutes } from "./database-routes.ts";
import { demoRoutes } from "./demo-page.ts";
import { documentId, documentRoutes } from "./document-routes.ts";
import { localRoutes } from "./local-routes.ts";
import { addRoutes, routes } from "./routes.ts";
import { adminServerRoutes, serverRoutes, statusOf } from "./server-routes.ts";

/** Paths of the public listener that everybody may ask for. */
const OPEN_PATHS: readonly string[] = ["/", "/_ping", "/_demo"];

/** The document API, as the public or the admin listener has it. */
export function documentApp(server: ServerContext, side: Side): Hono<RouteEnv> {
  const app = appOf(server, side, side === "admin" ? adminGuard : publicCors);
  addRoutes(app, serverRoutes, admitToServer);
  if (side === "public" && server.config.demo) addRoutes(app, demoRoutes, admitToServer);
  if (side === "admin") {
    addRoutes(app, adminServerRoutes, admitToServer);
    const root = { ...databaseRoutes.get("/:db"), ...adminDatabaseMethods };
    addRoutes(app, routes({ "/:db": root }), (call, method) => {
      if (method !== "PUT" && method !== "DELETE") findDatabase(call);
    });
    addRoutes(app, adminRoutes, findDatabase);
  }
  for (const table of [databaseRoutes, localRoutes]) addRoutes(app, table, findDatabase);
  for (const table of [documentRoutes, attachmentRoutes]) {
    addRoutes(app, table, (call) => {
      findDatabase(call);
      documentId(call);
    });
  }
  return app;
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
  const app = new Hono<RouteEnv>({ getPath: pathOf });
  app.use((call, next) => {
    call.set("server", server);
    call.set("side", side);
    call.set("actor", side === "admin" ? ADMIN : FREE_GUEST);
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
function pathOf(request: Request): string {
  const { url } = request;
  const start = url.indexOf("/", url.indexOf("://") + 3);
  if (start < 0) return "/";
  let end = url.length;
  for (const mark of ["?", "#"]) {
    const at = url.indexOf(mark, start);
    if (at >= 0 && at < end) end = at;
  }
  const path = url.slice(start, end);
  if (!path.endsWith("/") || ATTACHMENT_PATH.test(path)) return path;
  while (end - start > 1 && url[end - 1] === "/") end--;
  return url.slice(start, end);
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
  return gateway.names().some((name) => gateway.database(name)?.settings.guest);
}

function noGuest(): TidegateError {
  return new TidegateError(
    "unauthorized",
    "the guest may use no database of this name; `guest` in its settings lets it",
  );
}

/** Finds the database of the path. On the public listener only those that let a guest in. */
function findDatabase(call: Call): void {
  const name = call.req.param("db") ?? "";
  const database = call.var.server.gateway.database(name);
  if (call.var.side === "public" && !database?.settings.guest) throw noGuest();
  if (!database) throw new TidegateError("not_found", `there is no database ${name}`);
  call.set("database", database);
}
