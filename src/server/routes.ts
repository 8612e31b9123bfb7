// Registers routes with Hono: one table a path, so that a wrong method is a 405 with the right ones.

import type { Hono } from "hono";
import { answerOf, methodNotAllowed } from "./answers.ts";
import type { Call, Handler, RouteEnv } from "./context.ts";

/** The methods of one path. HEAD is answered by GET's handler, without the body. */
export type Methods = Readonly<Partial<Record<"GET" | "PUT" | "POST" | "DELETE", Handler>>>;

/** path pattern -> its methods, in the order in which they are tried. */
export type Routes = ReadonlyMap<string, Methods>;

/** Makes a table of routes. */
export function routes(table: Readonly<Record<string, Methods>>): Routes {
  return new Map(Object.entries(table));
}

/** What runs before a handler: it may be done at once, and then costs no turn of the event loop. */
export type Before = (call: Call, method: string) => void | Promise<void>;

/**
 * Adds routes to `app`.
 *
 * @param before runs before each handler, and after the path was found: finds database and actor
 */
export function addRoutes(app: Hono<RouteEnv>, table: Routes, before: Before): void {
  for (const [pattern, methods] of table) {
    const allowed = Object.keys(methods).flatMap((m) => (m === "GET" ? ["GET", "HEAD"] : [m]));
    const handlers: Readonly<Record<string, Handler | undefined>> = {
      ...methods,
      HEAD: methods.GET,
    };
    // In metrics without the expressions that say what a parameter may hold.
    const route = pattern.replace(/\{[^}]*\}/g, "");
    app.all(pattern, async (call) => {
      const { method } = call.req;
      const { server } = call.var;
      const begun = server.time.monotonicMs();
      let answer: Response;
      try {
        const pending = before(call, method);
        if (pending) await pending;
        const handler = handlers[method];
        answer = handler ? await handler(call) : methodNotAllowed(method, allowed);
      } catch (error) {
        answer = answerOf(server, call, error);
      } finally {
        call.var.body?.release();
      }
      if (call.var.cookie) answer.headers.append("set-cookie", call.var.cookie);
      server.metrics.answered(route, method, answer.status, server.time.monotonicMs() - begun);
      return answer;
    });
  }
}
