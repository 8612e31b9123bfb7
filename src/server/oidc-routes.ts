// Routes of logging in at an OpenID provider: the way there, the way back, and a new id token for a
// refresh token. What is checked on the way: src/access/tokens/oidc/.

import type { Login } from "../access/login/logins.ts";
import { TokenRejected } from "../access/tokens/claims.ts";
import { LOGIN_LIMIT_SECONDS } from "../access/tokens/limits.ts";
import { type OidcProvider, type ProviderTokens, wordOf } from "../access/tokens/oidc/provider.ts";
import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import { noGuest } from "./auth/authentication.ts";
import { cameByTls, clientAddress } from "./auth/client.ts";
import { cookieValues, setCookie } from "./auth/cookies.ts";
import type { DatabaseAuth } from "./auth/database-auth.ts";
import { requestObject } from "./body.ts";
import type { Call } from "./context.ts";
import { originAllowed } from "./cors.ts";
import { badParameter } from "./parameters.ts";
import { routes } from "./routes.ts";
import { MAX_LOGIN_BYTES, startSession } from "./session-routes.ts";

/** The public listener, of a database that has providers. */
export const oidcRoutes = routes({
  "/:db/_oidc": { GET: begin },
  "/:db/_oidc_callback": { GET: finish },
  "/:db/_oidc_refresh": { GET: refresh, POST: refresh },
});

/** What the browser keeps between the way to the provider and the way back. */
const COOKIE = "TidegateOidc";

/** The longest refresh token that is passed on, in characters. */
const MAX_REFRESH_CHARACTERS = 8192;

/** A login that is under way is in addresses: they are not told to others, nor kept. */
const PRIVATE = { "cache-control": "no-store", "referrer-policy": "no-referrer" };

/** These routes are for who is not logged in yet. They tell nobody which databases there are. */
export function admitToOidc(call: Call): void {
  const database = call.var.server.gateway.database(call.req.param("db") ?? "");
  if (!database) throw noGuest();
  if (Object.keys(database.settings.oidc.providers).length === 0) {
    if (database.settings.guest === false) throw noGuest();
    throw new TidegateError("not_found", `database ${database.name} has no OpenID provider`);
  }
  call.set("database", database);
}

function authOf(call: Call): DatabaseAuth {
  return call.var.server.auth.of(call.var.database);
}

/** The provider that is named; the only one when none is. */
function providerOf(call: Call, named: string | undefined): OidcProvider {
  const { providers } = authOf(call).tokens.logins;
  const names = [...providers.keys()];
  const found = providers.get(named ?? (names.length === 1 ? (names[0] ?? "") : ""));
  if (found) return found;
  throw badParameter("provider", `one of ${names.join(", ")}`, named ?? "nothing");
}

/** `GET /{db}/_oidc?provider=`: sends the browser to the provider. */
async function begin(call: Call): Promise<Response> {
  const provider = providerOf(call, call.req.query("provider"));
  const { pending, kept } = await authOf(call).tokens.pending.begin(provider.name);
  const location = await provider.authorizationUrl(pending);
  call.set("cookie", cookie(call, kept, LOGIN_LIMIT_SECONDS));
  return new Response(null, { status: 302, headers: { ...PRIVATE, location } });
}

/** As the session's cookie, but the way back comes from another site: it is `Lax` always. */
function cookie(call: Call, value: string, maxAgeSeconds: number): string {
  const { name, settings } = call.var.database;
  return setCookie(COOKIE, value, {
    path: `/${name}`,
    maxAgeSeconds,
    settings: { ...settings.sessions, sameSite: "lax" },
    tls: cameByTls(call),
  });
}

/** `GET /{db}/_oidc_callback`: the browser is back; its code is redeemed, and a session begun. */
async function finish(call: Call): Promise<Response> {
  const { pending } = authOf(call).tokens;
  const attempt = beginAttempt(call);
  const [kept, another] = cookieValues(call.req.header("cookie") ?? "", COOKIE);
  const found = await pending.takeUp(
    another === undefined ? kept : undefined,
    call.req.query("state") ?? "",
  );
  const over = cookie(call, "", 0);
  call.set("cookie", over);
  const provider = providerOf(call, found.provider);
  const answer = await logIn(call, provider, attempt, async () => {
    await provider.checkIssuer(call.req.query("iss"));
    const error = call.req.query("error");
    if (error !== undefined) throw new TokenRejected(`the provider says ${wordOf(error)}`);
    const code = call.req.query("code");
    if (code === undefined || code === "") throw badParameter("code", "a code", "nothing");
    return provider.redeem(code, found);
  });
  answer.headers.append("set-cookie", over);
  return answer;
}

/**
 * `GET /{db}/_oidc_refresh?refresh_token=&provider=`, or POST with the same as JSON: a new id token
 * and a new session. Not for pages of other sites, which could log a browser in as somebody else.
 */
async function refresh(call: Call): Promise<Response> {
  if (call.req.header("sec-fetch-site") === "cross-site" || !originAllowed(call)) {
    throw new TidegateError("forbidden", "this page's origin may log nobody in (cors.origins)");
  }
  const isPost = call.req.method === "POST";
  const given = isPost ? await requestObject(call, {}, MAX_LOGIN_BYTES) : call.req.query();
  const { refresh_token: token, provider: named } = given;
  if (typeof token !== "string" || token === "" || token.length > MAX_REFRESH_CHARACTERS) {
    // What came may be a secret: it is not repeated.
    throw new TidegateError("bad_request", "refresh_token: expected the provider's refresh token");
  }
  const provider = providerOf(call, typeof named === "string" ? named : undefined);
  return logIn(call, provider, beginAttempt(call), () => provider.refresh(token));
}

/** Each of these makes the gateway ask the provider something: not too often for one address. */
function beginAttempt(call: Call): { succeeded(): void } {
  const address = clientAddress(call);
  // No user is called so.
  return authOf(call).logins.begin(address, `:${address}`);
}

/** Begins a session for the user of what the provider gives. */
async function logIn(
  call: Call,
  provider: OidcProvider,
  attempt: { succeeded(): void },
  getTokens: () => Promise<ProviderTokens>,
): Promise<Response> {
  const { database, server } = call.var;
  const { audit } = server.auth;
  const address = clientAddress(call);
  const fields = { database: database.name, via: "oidc" };
  let tokens: ProviderTokens;
  let login: Login;
  try {
    tokens = await getTokens();
    login = await authOf(call).tokens.logins.userOf(tokens.verified);
  } catch (error) {
    if (!(error instanceof TokenRejected)) throw error;
    const reason = error.message;
    audit.write("login_failed", { ...fields, reason, ud: { address } });
    throw new TidegateError("unauthorized", `the login by ${provider.name} failed: ${reason}`);
  }
  attempt.succeeded();
  audit.write("login", { ...fields, ud: { user: login.user.name, address } });
  const answer = await startSession(call, database, login, false, given(tokens));
  for (const [name, value] of Object.entries(PRIVATE)) answer.headers.set(name, value);
  return answer;
}

/** What the client hears of the provider's tokens. The id token is also a bearer token here. */
function given({ idToken, refreshToken }: ProviderTokens): JsonObject {
  return { id_token: idToken, ...(refreshToken !== undefined && { refresh_token: refreshToken }) };
}
