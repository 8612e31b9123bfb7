// Routes whose use by administrators is written into the audit log: everything that changes something
// but documents, which are the users' own business.

import { isTidegateError } from "../../base/errors.ts";
import type { Call, Handler } from "../context.ts";
import type { Methods, Routes } from "../routes.ts";

/** `table` with an audit line for each use of a method that is no GET. */
export function audited(table: Routes): Routes {
  const entries = [...table].map(([pattern, methods]) => [pattern, withAudit(pattern, methods)]);
  return new Map(entries as [string, Methods][]);
}

function withAudit(pattern: string, methods: Methods): Methods {
  const entries = Object.entries(methods).map(([method, handler]) => [
    method,
    method === "GET" ? handler : auditedHandler(pattern, handler),
  ]);
  return Object.fromEntries(entries) as Methods;
}

function auditedHandler(route: string, handler: Handler): Handler {
  return async (call) => {
    try {
      const answer = await handler(call);
      write(call, route, answer.status);
      return answer;
    } catch (error) {
      write(call, route, isTidegateError(error) ? error.status : 500);
      throw error;
    }
  };
}

function write(call: Call, route: string, status: number): void {
  const { server, administrator } = call.var;
  const { method } = call.req;
  const database = call.req.param("db");
  server.auth.audit.write("admin_action", {
    database,
    admin: administrator,
    method,
    route,
    status,
  });
}
