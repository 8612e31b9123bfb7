// Answers in CouchDB's shapes: JSON, `{"ok":true}`, errors. Streams are in `piece-stream.ts`.

import { type ErrorCode, TidegateError } from "../base/errors.ts";
import type { Call, ServerContext } from "./context.ts";
import { wholeAnswer } from "./large-answer.ts";

const JSON_TYPE = "application/json";

/** Errors that should never be: the log shows where they came from. */
const DEFECTS: ReadonlySet<ErrorCode> = new Set(["internal", "corrupt", "newer_version"]);

/**
 * A JSON answer.
 *
 * @param value the value, or its text when it is a string
 */
export function json(
  call: Call,
  value: object | string,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const text = typeof value === "string" ? value : `${JSON.stringify(value)}\n`;
  const all: Record<string, string> = { "content-type": JSON_TYPE, ...headers };
  // An answer to HEAD has no body to count.
  if (call.req.method === "HEAD") all["content-length"] = String(Buffer.byteLength(text));
  return wholeAnswer(call, text, status, all);
}

/** `{"ok":true}` and what else is to be said. */
export function ok(
  call: Call,
  fields: object = {},
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return json(call, { ok: true, ...fields }, status, headers);
}

/** 405 with the methods that there are. */
export function methodNotAllowed(method: string, allowed: readonly string[]): Response {
  const allow = allowed.join(", ");
  const error = new TidegateError("method_not_allowed", `${method}: this path takes ${allow}`);
  return errorAnswer(error, { allow });
}

/** The answer that `error` becomes; what is no error of the catalogue is logged and kept back. */
export function answerOf(server: ServerContext, call: Call, thrown: unknown): Response {
  const error = thrown instanceof TidegateError ? thrown : undefined;
  if (error && error.status < 500) return errorAnswer(error, hints(error, call));
  // The client went in the middle of its own request: nobody reads this.
  if (!error && call.env.connection.signal.aborted) {
    return errorAnswer(new TidegateError("bad_request", "the request ended too early"));
  }
  // Nothing failed: there is too much to do at the moment. The metrics count it.
  if (error?.code === "unavailable" && !error.cause) return errorAnswer(error, hints(error, call));
  const request = Buffer.from(server.random.bytes(8)).toString("hex");
  const fields = { request, method: call.req.method, path: call.req.path };
  // A defect comes with its stack; what the catalogue knows is said in a line.
  if (error && !DEFECTS.has(error.code)) {
    const cause = error.cause === undefined ? {} : { err: error.cause };
    server.log.warn({ ...fields, reason: error.message, ...cause }, "a request failed");
  } else server.log.error({ ...fields, err: thrown }, "a request failed");
  if (error && error.code !== "internal") return errorAnswer(error, { "x-request-id": request });
  const reason = `a defect in Tidegate; its log has the details under request ${request}`;
  return errorAnswer(new TidegateError("internal", reason), { "x-request-id": request });
}

/** The headers by which a client sees what to do. */
function hints({ code, retryAfterSeconds }: TidegateError, call: Call): Record<string, string> {
  if (code === "unauthorized") return { "www-authenticate": challenge(call) };
  // What is still on its way is not waited for.
  if (code === "too_slow") return { connection: "close" };
  return retryAfterSeconds === undefined ? {} : { "retry-after": String(retryAfterSeconds) };
}

/** Who came with a token hears of tokens (RFC 6750), everybody else of names and passwords. */
function challenge(call: Call): string {
  const isBearer = /^\s*bearer\b/i.test(call.req.header("authorization") ?? "");
  return isBearer ? 'Bearer realm="tidegate", error="invalid_token"' : 'Basic realm="tidegate"';
}

/** CouchDB's error shape. */
export function errorAnswer(
  error: TidegateError,
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new Response(`${JSON.stringify(error)}\n`, {
    status: error.status,
    headers: { "content-type": JSON_TYPE, ...headers },
  });
}

/** A quoted entity tag. */
export function etag(value: string): string {
  return `"${value}"`;
}

/** Whether `If-None-Match` names `tag`: the client has it. */
export function matchesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  return header.split(",").some((part) => {
    const one = part.trim();
    return one === "*" || one === tag || one === `W/${tag}`;
  });
}
