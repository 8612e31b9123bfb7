// The session's cookie: how it is read and set. What a session is: src/access/login/sessions.ts.

import type { DatabaseSettings } from "../../gateway/types.ts";

/** The cookie's name. */
export const SESSION_COOKIE = "TidegateSession";

/** What a cookie is set with. */
export interface CookieOptions {
  /** The path that it is sent to, such as `/notes`. */
  readonly path: string;
  readonly maxAgeSeconds: number;
  readonly settings: DatabaseSettings["sessions"];
  /** Whether the request came by TLS. */
  readonly tls: boolean;
}

/**
 * The values of the cookies called `name`, without repeats. More than one is a trick: somebody
 * else's page of a neighbouring host set one of them.
 */
export function cookieValues(header: string, name: string): string[] {
  const values = new Set<string>();
  for (const part of header.split(";")) {
    const at = part.indexOf("=");
    if (at < 0 || part.slice(0, at).trim() !== name) continue;
    const value = part.slice(at + 1).trim();
    values.add(value.replace(/^"(.*)"$/, "$1"));
  }
  return [...values];
}

/** The `Set-Cookie` that gives the session to a browser. */
export function sessionCookie(id: string, options: CookieOptions): string {
  return setCookie(SESSION_COOKIE, id, options);
}

/** The `Set-Cookie` that takes it away. */
export function noSessionCookie(options: Omit<CookieOptions, "maxAgeSeconds">): string {
  return setCookie(SESSION_COOKIE, "", { ...options, maxAgeSeconds: 0 });
}

/** A cookie that no script reads. The value must have been made by us: it is not escaped. */
export function setCookie(
  name: string,
  value: string,
  { path, maxAgeSeconds, settings, tls }: CookieOptions,
): string {
  const { sameSite, secure } = settings;
  const words = { lax: "Lax", strict: "Strict", none: "None" } as const;
  // Browsers refuse None without Secure.
  const isSecure = secure === "always" || (secure === "auto" && (tls || sameSite === "none"));
  const attributes = [
    `${name}=${value}`,
    `Path=${path}`,
    `Max-Age=${maxAgeSeconds}`,
    "HttpOnly",
    `SameSite=${words[sameSite]}`,
  ];
  return [...attributes, ...(isSecure ? ["Secure"] : [])].join("; ");
}
