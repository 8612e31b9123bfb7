// What a request says of who makes it: parsed, not checked. The guest's requests say nothing, and
// cost two looks at headers.

import { TidegateError } from "../../base/errors.ts";
import type { Call } from "../context.ts";
import { cookieValues, SESSION_COOKIE } from "./cookies.ts";

/** Who somebody claims to be. */
export type Credentials =
  | { readonly kind: "basic"; readonly name: string; readonly password: string }
  | { readonly kind: "bearer"; readonly token: string }
  /** `byCookie`: a browser sent it by itself, so it may be another page's doing. */
  | { readonly kind: "session"; readonly id: string; readonly byCookie: boolean };

/** The query parameter by which a WebSocket of a browser without cookies gives its session. */
export const ONE_TIME_PARAMETER = "one_time_session";

/**
 * The credentials of a request; undefined: it has none. A header goes over a cookie.
 *
 * @throws TidegateError `unauthorized` when they cannot be read
 */
export function credentialsOf(call: Call): Credentials | undefined {
  const authorization = call.req.header("authorization");
  if (authorization !== undefined) return fromAuthorization(authorization);
  const cookie = call.req.header("cookie");
  if (cookie?.includes(SESSION_COOKIE)) {
    const [id, another] = cookieValues(cookie, SESSION_COOKIE);
    if (another !== undefined) {
      const reason = `there is more than one cookie ${SESSION_COOKIE}`;
      throw new TidegateError("unauthorized", reason);
    }
    if (id !== undefined && id !== "") return { kind: "session", id, byCookie: true };
  }
  if (!call.req.url.includes(ONE_TIME_PARAMETER)) return undefined;
  const id = call.req.query(ONE_TIME_PARAMETER);
  return id === undefined ? undefined : { kind: "session", id, byCookie: false };
}

function fromAuthorization(header: string): Credentials {
  const [, scheme, value] = /^\s*([A-Za-z]+)\s+(\S+)\s*$/.exec(header) ?? [];
  if (scheme?.toLowerCase() === "bearer" && value) return { kind: "bearer", token: value };
  const pair = scheme?.toLowerCase() === "basic" && value ? decoded(value) : undefined;
  const colon = pair?.indexOf(":") ?? -1;
  if (pair !== undefined && colon >= 0) {
    return { kind: "basic", name: pair.slice(0, colon), password: pair.slice(colon + 1) };
  }
  throw new TidegateError("unauthorized", "Authorization: expected Basic or Bearer credentials");
}

/** The text in base64; undefined when it is none, or not UTF-8. */
function decoded(base64: string): string | undefined {
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(base64)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(base64, "base64"));
  } catch {
    // Not an error of ours: the client is told that it cannot be read.
    return undefined;
  }
}
