// What is refused before a route is looked for: requests whose method, host or path could mean one
// thing to a proxy in front of us and another to us, or differ between the runtimes.

import { TidegateError } from "../base/errors.ts";
import { errorAnswer, methodNotAllowed } from "./answers.ts";

/** What routes take. */
const OFFERED: readonly string[] = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"];

/** Methods that get to a route: also those that clients try, to hear what the route takes. */
const METHODS: ReadonlySet<string> = new Set([...OFFERED, "PATCH", "COPY"]);

/** A name or address as browsers and proxies send it, and perhaps a port; IPv6 in brackets. */
const HOST = /^(?:[\w.~-]{1,253}|\[[\da-fA-F:.]{2,45}\])(?::\d{1,5})?$/;

/** A part of the path that is `.` or `..`, also when its dots are encoded; or a backslash. */
const TRICK = /\/(?:\.|%2e){1,2}(?:\/|$)|\\/i;

/**
 * The answer to a request that is no route's business; undefined: let it in. Some runtimes resolve
 * `..` before we see it, others do not: what is seen here would be taken for a document's id.
 */
export function gate(request: Request): Response | undefined {
  const { method, url } = request;
  if (!METHODS.has(method)) return methodNotAllowed(method.slice(0, 20), OFFERED);
  const host = request.headers.get("host");
  if (host !== null && !HOST.test(host)) return refusal("Host: expected a name and perhaps a port");
  const mayTrick = url.includes("/.") || url.includes("/%2") || url.includes("\\");
  if (mayTrick && TRICK.test(pathOf(url)))
    return refusal("the path has a part that is . or .. or \\");
  return undefined;
}

function refusal(reason: string): Response {
  return errorAnswer(new TidegateError("bad_request", reason));
}

/** The path as it was sent, nothing decoded. Without a Host header some runtimes give it alone. */
export function pathOf(url: string): string {
  const start = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("://") + 3);
  if (start < 0) return "/";
  const end = url.slice(start).search(/[?#]/);
  return end < 0 ? url.slice(start) : url.slice(start, start + end);
}
