// Routes of sessions: logging in and out on the public listener, and sessions that administrators
// make, look at and end.

import type { Login } from "../access/login/logins.ts";
import { sessionOver, wrongLogin } from "../access/login/logins.ts";
import { type FoundSession, MAX_TTL_SECONDS } from "../access/login/sessions.ts";
import { noSuch } from "../access/principals/principals.ts";
import { userId } from "../access/principals/records.ts";
import { checkPrincipalName } from "../access/principals/requests.ts";
import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { Database } from "../gateway/types.ts";
import { json, ok } from "./answers.ts";
import { noGuest } from "./auth/authentication.ts";
import { cameByTls, clientAddress } from "./auth/client.ts";
import { noSessionCookie, SESSION_COOKIE, sessionCookie } from "./auth/cookies.ts";
import { type Credentials, credentialsOf } from "./auth/credentials.ts";
import { requestObject } from "./body.ts";
import type { Call } from "./context.ts";
import { checkOrigin } from "./cors.ts";
import { badParameter, flagOf, integerOf } from "./parameters.ts";
import { routes } from "./routes.ts";
import { session } from "./server-routes.ts";

/** The largest body of a login: anybody may send one. */
export const MAX_LOGIN_BYTES = 64 * 1024;

/** A one-time session is to be used at once. */
const ONE_TIME_SECONDS = 300;

/** A database of the public listener. POST is for everybody. */
export const publicSessionRoutes = routes({
  "/:db/_session": { GET: session, POST: login, DELETE: logout },
});

/** A database of the admin listener. */
export const adminSessionRoutes = routes({
  "/:db/_session": { GET: session, POST: createSession },
  "/:db/_session/:session": { GET: getSession, DELETE: deleteSession },
});

const NOT_STORED = { "cache-control": "no-store" };

/**
 * Logs in, by `{name, password}` or by what the request's headers say, and makes a session. An id
 * that the client brought is never used again.
 */
async function login(call: Call): Promise<Response> {
  checkOrigin(call);
  const { server } = call.var;
  const database = server.gateway.database(call.req.param("db") ?? "");
  const body = await requestObject(call, {}, MAX_LOGIN_BYTES);
  const oneTime = body.one_time === undefined ? false : flagOf("one_time", body.one_time);
  const credentials = inBody(body) ?? credentialsOf(call);
  // Who has no credentials at all hears the same as at every other route.
  if (!credentials) throw noGuest();
  const found = await server.auth.login(call, database, credentials);
  if (!database) throw wrongLogin();
  return startSession(call, database, found, oneTime);
}

/**
 * Makes a session for a login, and answers with it.
 *
 * @param more what else is answered
 */
export async function startSession(
  call: Call,
  database: Database,
  { user }: Login,
  oneTime: boolean,
  more: JsonObject = {},
): Promise<Response> {
  const { settings } = database;
  const { audit } = call.var.server.auth;
  const ttlSeconds = oneTime ? ONE_TIME_SECONDS : settings.sessions.ttlSeconds;
  const { sessions } = call.var.server.auth.of(database);
  const made = await sessions.create(user, { ttlSeconds, oneTime });
  const ud = { user: user.name, address: clientAddress(call) };
  audit.write("session_created", { database: database.name, ud });
  const answer = { name: user.name, ...(await contextOf(call, database, user.name)), ...more };
  // The browser keeps its session beside a one-time one.
  if (oneTime) return ok(call, { ...answer, one_time_session_id: made.id }, 200, NOT_STORED);
  const cookie = sessionCookie(made.id, {
    path: `/${database.name}`,
    maxAgeSeconds: ttlSeconds,
    settings: settings.sessions,
    tls: cameByTls(call),
  });
  call.set("cookie", cookie);
  return ok(call, answer, 200, NOT_STORED);
}

async function contextOf(call: Call, database: Database, name: string): Promise<JsonObject> {
  const auth = call.var.server.auth.of(database);
  const user = await auth.principals.user(name);
  if (!user) throw sessionOver();
  const { channels, roles } = await auth.seenBy(user);
  return { userCtx: { name, roles, channels } };
}

function inBody(body: JsonObject): Credentials | undefined {
  const { name, password } = body;
  if (name === undefined && password === undefined) return undefined;
  if (typeof name !== "string") throw badParameter("name", "a string", name ?? "nothing");
  if (typeof password === "string") return { kind: "basic", name, password };
  // What came may be a secret all the same: it is not repeated.
  throw new TidegateError("bad_request", "password: expected a string");
}

/** Ends the session of the request's cookie, and takes the cookie away. */
async function logout(call: Call): Promise<Response> {
  const { server, database } = call.var;
  const found = call.var.login;
  if (found?.session) {
    await server.auth.of(database).sessions.remove(found.session);
    const ud = { user: found.user.name, address: clientAddress(call) };
    server.auth.audit.write("logout", { database: database.name, ud });
  }
  const { sessions: settings } = database.settings;
  call.set(
    "cookie",
    noSessionCookie({ path: `/${database.name}`, settings, tls: cameByTls(call) }),
  );
  return ok(call, {}, 200, NOT_STORED);
}

/** `POST /{db}/_session` of the admin listener: `{name, ttl, one_time}`; ttl in seconds. */
async function createSession(call: Call): Promise<Response> {
  const { server, database, administrator } = call.var;
  const body = await requestObject(call);
  const { name } = body;
  if (typeof name !== "string") throw badParameter("name", "a string", name ?? "nothing");
  checkPrincipalName(name);
  const oneTime = body.one_time === undefined ? false : flagOf("one_time", body.one_time);
  const whole = oneTime ? ONE_TIME_SECONDS : database.settings.sessions.ttlSeconds;
  const ttlSeconds = body.ttl === undefined ? whole : integerOf("ttl", body.ttl, 1);
  if (ttlSeconds > MAX_TTL_SECONDS) {
    throw badParameter("ttl", `at most ${MAX_TTL_SECONDS} seconds`, ttlSeconds);
  }
  const auth = server.auth.of(database);
  const user = await auth.principals.user(name);
  if (!user) throw noSuch(userId(name));
  if (user.disabled) throw new TidegateError("forbidden", `user ${name} is disabled`);
  const { id, session: made } = await auth.sessions.create(user, { ttlSeconds, oneTime });
  const fields = { database: database.name, admin: administrator, ud: { user: name } };
  server.auth.audit.write("session_created", fields);
  const answer = {
    session_id: id,
    expires: new Date(made.expiresMs).toISOString(),
    cookie_name: SESSION_COOKIE,
  };
  return json(call, answer, 200, NOT_STORED);
}

async function foundSession(call: Call): Promise<FoundSession> {
  const { server, database } = call.var;
  const auth = server.auth.of(database);
  const found = await auth.sessions.find(call.req.param("session") ?? "");
  const user = found && (await auth.principals.user(found.name));
  if (found && user?.epoch === found.epoch) return found;
  throw new TidegateError("not_found", "there is no such session");
}

async function getSession(call: Call): Promise<Response> {
  const { name, expiresMs, oneTime } = await foundSession(call);
  const context = await contextOf(call, call.var.database, name);
  const expires = new Date(expiresMs).toISOString();
  return ok(call, { ...context, expires, one_time: oneTime }, 200, NOT_STORED);
}

async function deleteSession(call: Call): Promise<Response> {
  const { server, database, administrator } = call.var;
  const found = await foundSession(call);
  await server.auth.of(database).sessions.remove(found);
  const fields = { database: database.name, admin: administrator, ud: { user: found.name } };
  server.auth.audit.write("logout", fields);
  return ok(call);
}
