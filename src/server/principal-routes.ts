// Routes of users and roles, on the admin listener: list, make, read, change, remove.

import { exists, MAX_LISTED, noSuch } from "../access/principals/principals.ts";
import {
  type RoleRecord,
  roleId,
  type Stored,
  type UserRecord,
  userId,
} from "../access/principals/records.ts";
import {
  checkPrincipalName,
  parseRoleRequest,
  parseUserRequest,
  type UserRequest,
} from "../access/principals/requests.ts";
import type { JsonObject } from "../base/json.ts";
import { json, ok } from "./answers.ts";
import type { DatabaseAuth } from "./auth/database-auth.ts";
import { requestObject } from "./body.ts";
import type { Call } from "./context.ts";
import { integer } from "./parameters.ts";
import { routes } from "./routes.ts";

/** Names in a list when nobody says how many. */
const DEFAULT_LISTED = 1000;

/** The admin listener, of a database that is there. */
export const principalRoutes = routes({
  "/:db/_role": { GET: (call) => list(call, "role"), POST: (call) => writeRole(call, "POST") },
  "/:db/_role/:name": {
    GET: getRole,
    PUT: (call) => writeRole(call, "PUT"),
    DELETE: deleteRole,
  },
  "/:db/_user": { GET: (call) => list(call, "user"), POST: (call) => writeUser(call, "POST") },
  "/:db/_user/:name": {
    GET: getUser,
    PUT: (call) => writeUser(call, "PUT"),
    DELETE: deleteUser,
  },
  "/:db/_user/:name/_session": { DELETE: endSessions },
});

function authOf(call: Call): DatabaseAuth {
  return call.var.server.auth.of(call.var.database);
}

/** The name in the path. Throws `bad_request` when nobody can be called so. */
function nameInPath(call: Call): string {
  const name = call.req.param("name") ?? "";
  checkPrincipalName(name);
  return name;
}

/** Names after `after`, at most `limit`; a list as long as `limit` may have a next page. */
async function list(call: Call, kind: "user" | "role"): Promise<Response> {
  const limit = Math.min(integer(call, "limit", 1) ?? DEFAULT_LISTED, MAX_LISTED);
  const after = call.req.query("after") ?? "";
  return json(call, await authOf(call).principals.list(kind, after, limit));
}

async function getUser(call: Call): Promise<Response> {
  const name = nameInPath(call);
  const user = await authOf(call).principals.user(name);
  if (!user) throw noSuch(userId(name));
  return json(call, await userAnswer(authOf(call), user));
}

/** What administrators see of a user: never the password's hash. */
async function userAnswer(auth: DatabaseAuth, user: Stored<UserRecord>): Promise<JsonObject> {
  const { channels, roles } = await auth.seenBy(user);
  const answer: JsonObject = {
    name: user.name,
    admin_channels: [...user.adminChannels],
    admin_roles: [...user.adminRoles],
    all_channels: channels,
    roles,
    disabled: user.disabled,
  };
  if (user.email !== undefined) answer.email = user.email;
  if (user.tokenGrants) {
    answer.token_issuer = user.tokenGrants.issuer;
    answer.token_channels = [...user.tokenGrants.channels];
    answer.token_roles = [...user.tokenGrants.roles];
  }
  return answer;
}

/** POST makes a user, PUT makes or replaces one; the password stays when none is given. */
async function writeUser(call: Call, method: "POST" | "PUT"): Promise<Response> {
  const name = method === "PUT" ? nameInPath(call) : undefined;
  const wanted = parseUserRequest(await requestObject(call), name);
  const auth = authOf(call);
  const { principals } = auth;
  if (method === "POST" && (await principals.user(wanted.name))) throw exists("user", wanted.name);
  const { password } = wanted;
  const hash =
    password === undefined ? undefined : await call.var.server.auth.passwords.hash(password);
  const changed = await principals.changeUser(wanted.name, (now) => {
    if (now && method === "POST") throw exists("user", wanted.name);
    return nextUser(wanted, hash, now, () => principals.newEpoch());
  });
  audit(call, "user_changed", { user: wanted.name });
  const status = changed?.created === false ? 200 : 201;
  return ok(call, { name: wanted.name }, status);
}

function nextUser(
  wanted: UserRequest,
  hash: string | undefined,
  now: UserRecord | undefined,
  newEpoch: () => string,
): UserRecord {
  const { name, email, disabled, adminChannels, adminRoles } = wanted;
  const endsLogins = hash !== undefined || disabled;
  return {
    ...{ name, email, disabled, adminChannels, adminRoles },
    passwordHash: hash ?? now?.passwordHash,
    epoch: now && !endsLogins ? now.epoch : newEpoch(),
    tokenGrants: now?.tokenGrants,
  };
}

async function deleteUser(call: Call): Promise<Response> {
  const name = nameInPath(call);
  await authOf(call).principals.remove(userId(name));
  audit(call, "user_removed", { user: name });
  return ok(call);
}

/** Ends every session of the user, and what else is logged in as the user. */
async function endSessions(call: Call): Promise<Response> {
  const name = nameInPath(call);
  await authOf(call).principals.endLogins(name);
  audit(call, "sessions_ended", { user: name });
  return ok(call);
}

async function getRole(call: Call): Promise<Response> {
  const name = nameInPath(call);
  const role = await authOf(call).principals.role(name);
  if (!role) throw noSuch(roleId(name));
  return json(call, roleAnswer(role));
}

function roleAnswer({ name, adminChannels }: RoleRecord): JsonObject {
  return { name, admin_channels: [...adminChannels] };
}

async function writeRole(call: Call, method: "POST" | "PUT"): Promise<Response> {
  const name = method === "PUT" ? nameInPath(call) : undefined;
  const wanted = parseRoleRequest(await requestObject(call), name);
  const { created } = await authOf(call).principals.putRole(wanted, method === "PUT");
  audit(call, "role_changed", { role: wanted.name });
  return ok(call, { name: wanted.name }, created ? 201 : 200);
}

async function deleteRole(call: Call): Promise<Response> {
  const name = nameInPath(call);
  await authOf(call).principals.remove(roleId(name));
  audit(call, "role_removed", { role: name });
  return ok(call);
}

function audit(
  call: Call,
  event: "user_changed" | "user_removed" | "sessions_ended" | "role_changed" | "role_removed",
  ud: { user?: string; role?: string },
): void {
  const { server, database, administrator } = call.var;
  server.auth.audit.write(event, { database: database.name, admin: administrator, ud });
}
