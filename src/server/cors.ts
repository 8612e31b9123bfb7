// Which web pages may use a listener: CORS on the public one; on the admin one no page but our own.

import type { MiddlewareHandler } from "hono";
import { TidegateError } from "../base/errors.ts";
import { isLoopback, parseAddress } from "../config/address.ts";
import { errorAnswer } from "./answers.ts";
import type { Call, RouteEnv } from "./context.ts";

/** Pages served by this machine, on any port. */
const LOCAL_ORIGIN = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/;

const METHODS = "GET, HEAD, PUT, POST, DELETE";
const REQUEST_HEADERS =
  "accept, authorization, content-encoding, content-md5, content-type, if-match, if-none-match, " +
  "last-event-id, origin, range, referer, x-csrf-token, x-requested-with";
const ANSWER_HEADERS =
  "accept-ranges, content-disposition, content-md5, content-range, etag, location, x-request-id";

/** What `Access-Control-Allow-Origin` says to `origin`; undefined: it may not. */
function allowance(origins: readonly string[], origin: string): string | undefined {
  if (origins.includes("*")) return "*";
  if (origins.includes(origin)) return origin;
  return origins.includes("localhost") && LOCAL_ORIGIN.test(origin) ? origin : undefined;
}

/** Whether the page that makes the request was served by this listener itself. */
function isOwnPage(call: Call, origin: string): boolean {
  const host = call.req.header("host");
  return origin === `http://${host}` || origin === `https://${host}`;
}

/** Whether a WebSocket, which browsers open without asking, may be opened by this page. */
export function originAllowed(call: Call): boolean {
  const origin = call.req.header("origin");
  if (origin === undefined || isOwnPage(call, origin)) return true;
  const { side, server } = call.var;
  return side === "public" && allowance(server.config.cors.origins, origin) !== undefined;
}

/**
 * Refuses what a browser sends with a cookie on behalf of a page that is not trusted with it: writes,
 * and WebSockets, which browsers open without asking.
 *
 * @throws TidegateError `forbidden`
 */
export function checkOrigin(call: Call): void {
  const { method } = call.req;
  const reads = method === "GET" || method === "HEAD";
  if (reads && call.req.header("upgrade") === undefined) return;
  const origin = call.req.header("origin");
  if (origin === undefined) {
    if (call.req.header("sec-fetch-site") !== "cross-site") return;
  } else if (isOwnPage(call, origin)) return;
  else {
    // `*` lets pages in that are trusted with nothing.
    const allowed = allowance(call.var.server.config.cors.origins, origin);
    if (allowed !== undefined && allowed !== "*") return;
  }
  const reason = "this page's origin may not act for who is logged in (cors.origins)";
  throw new TidegateError("forbidden", reason);
}

/** CORS for the public listener. `*` never allows credentials. */
export const publicCors: MiddlewareHandler<RouteEnv> = async (call, next) => {
  const origin = call.req.header("origin");
  if (origin === undefined) return next();
  const { origins, maxAgeSeconds } = call.var.server.config.cors;
  const allowed = allowance(origins, origin);
  if (call.req.method === "OPTIONS" && call.req.header("access-control-request-method")) {
    return preflight(allowed, maxAgeSeconds);
  }
  await next();
  if (allowed === undefined || call.res.status === 101) return;
  const { headers } = call.res;
  for (const [name, value] of allowanceHeaders(allowed)) headers.set(name, value);
  headers.set("access-control-expose-headers", ANSWER_HEADERS);
};

function allowanceHeaders(allowed: string): [string, string][] {
  const headers: [string, string][] = [["access-control-allow-origin", allowed]];
  if (allowed === "*") return headers;
  headers.push(["access-control-allow-credentials", "true"], ["vary", "origin"]);
  return headers;
}

function preflight(allowed: string | undefined, maxAgeSeconds: number): Response {
  if (allowed === undefined)
    return new Response(null, { status: 204, headers: { vary: "origin" } });
  const headers = new Headers(allowanceHeaders(allowed));
  headers.set("access-control-allow-methods", METHODS);
  headers.set("access-control-allow-headers", REQUEST_HEADERS);
  headers.set("access-control-max-age", String(maxAgeSeconds));
  return new Response(null, { status: 204, headers });
}

/**
 * No web page of another origin may use the admin listener. While it asks for no credentials it also
 * answers to the names of this machine alone: a page's own name may lead to the loopback address.
 */
export const adminGuard: MiddlewareHandler<RouteEnv> = async (call, next) => {
  const origin = call.req.header("origin");
  const host = call.req.header("host") ?? "";
  const isOpen = Object.keys(call.var.server.config.adminAuth.users).length === 0;
  const isRight = !isOpen || isThisMachine(host);
  if (isRight && (origin === undefined || isOwnPage(call, origin))) return next();
  const reason = isRight
    ? "the admin listener is not for web pages"
    : `the admin listener answers to localhost and 127.0.0.1, not to ${host}`;
  return errorAnswer(new TidegateError("forbidden", reason));
};

function isThisMachine(host: string): boolean {
  const address = parseAddress(host.includes(":") ? host : `${host}:80`);
  return "host" in address && isLoopback(address.host);
}
