// What the document of a user or a role says, and how it is stored. What administrators send and get
// is `requests.ts`; reading and writing the documents is `principals.ts`.

import { TidegateError } from "../../base/errors.ts";
import type { Json, JsonObject } from "../../base/json.ts";
import type { PrincipalId } from "../../index/pseudo-channel.ts";
import type { AdminGrants, StoredPrincipal } from "../ports.ts";

/** What a token's claims gave a user, apart from what administrators gave. */
export interface TokenGrants {
  /** The `iss` of the tokens that say so; the tokens of another issuer replace it. */
  readonly issuer: string;
  /** The `iat` of the token that said so: older tokens change nothing. */
  readonly issuedAt: number;
  readonly channels: readonly string[];
  readonly roles: readonly string[];
}

/** A user as stored. */
export interface UserRecord {
  readonly name: string;
  readonly email: string | undefined;
  readonly disabled: boolean;
  /** What `passwords.ts` makes of a password; undefined: no login by password. */
  readonly passwordHash: string | undefined;
  /** Changes when all logins of this user end: sessions, tokens' feeds, remembered passwords. */
  readonly epoch: string;
  readonly adminChannels: readonly string[];
  readonly adminRoles: readonly string[];
  readonly tokenGrants: TokenGrants | undefined;
}

/** A role as stored. */
export interface RoleRecord {
  readonly name: string;
  readonly adminChannels: readonly string[];
}

/** A record with the revision that it was read from. */
export type Stored<T> = T & { readonly rev: string };

/** The version of the bodies below; a newer one is refused. */
const VERSION = 1;

/** The principal's id. */
export function userId(name: string): PrincipalId {
  return `user:${name}`;
}

/** The principal's id. */
export function roleId(name: string): PrincipalId {
  return `role:${name}`;
}

/** The body of a user's document. */
export function userBody(user: UserRecord): JsonObject {
  const body: JsonObject = {
    v: VERSION,
    type: "user",
    name: user.name,
    epoch: user.epoch,
    admin_channels: [...user.adminChannels],
    admin_roles: [...user.adminRoles],
  };
  if (user.email !== undefined) body.email = user.email;
  if (user.disabled) body.disabled = true;
  if (user.passwordHash !== undefined) body.password_hash = user.passwordHash;
  if (user.tokenGrants !== undefined) {
    const { issuer, issuedAt, channels, roles } = user.tokenGrants;
    body.token = { issuer, issued_at: issuedAt, channels: [...channels], roles: [...roles] };
  }
  return body;
}

/** The body of a role's document. */
export function roleBody(role: RoleRecord): JsonObject {
  return { v: VERSION, type: "role", name: role.name, admin_channels: [...role.adminChannels] };
}

/** What a user is granted by administrators and by tokens, without repeats. */
export function grantsOfUser(user: UserRecord): AdminGrants {
  const { adminChannels, adminRoles, tokenGrants } = user;
  return {
    channels: [...new Set([...adminChannels, ...(tokenGrants?.channels ?? [])])],
    roles: [...new Set([...adminRoles, ...(tokenGrants?.roles ?? [])])],
  };
}

/** Reads a user's document. Throws `corrupt`, `newer_version`. */
export function parseUser(name: string, { rev, body }: StoredPrincipal): Stored<UserRecord> {
  checkVersion(userId(name), body);
  const { email, epoch, password_hash, token } = body;
  if (typeof epoch !== "string") throw corrupt(userId(name), "epoch");
  return {
    rev,
    name,
    epoch,
    email: typeof email === "string" ? email : undefined,
    disabled: body.disabled === true,
    passwordHash: typeof password_hash === "string" ? password_hash : undefined,
    adminChannels: names(userId(name), "admin_channels", body.admin_channels),
    adminRoles: names(userId(name), "admin_roles", body.admin_roles),
    tokenGrants: parseToken(name, token),
  };
}

function parseToken(name: string, token: Json | undefined): TokenGrants | undefined {
  if (typeof token !== "object" || token === null || Array.isArray(token)) return undefined;
  if (typeof token.issuer !== "string") throw corrupt(userId(name), "token.issuer");
  if (typeof token.issued_at !== "number") throw corrupt(userId(name), "token.issued_at");
  return {
    issuer: token.issuer,
    issuedAt: token.issued_at,
    channels: names(userId(name), "token.channels", token.channels),
    roles: names(userId(name), "token.roles", token.roles),
  };
}

/** Reads a role's document. Throws `corrupt`, `newer_version`. */
export function parseRole(name: string, { rev, body }: StoredPrincipal): Stored<RoleRecord> {
  checkVersion(roleId(name), body);
  return {
    rev,
    name,
    adminChannels: names(roleId(name), "admin_channels", body.admin_channels),
  };
}

function checkVersion(id: PrincipalId, body: JsonObject): void {
  if (body.v === VERSION) return;
  if (typeof body.v !== "number") throw corrupt(id, "v");
  const reason = `${id} is stored in version ${body.v}; this Tidegate knows ${VERSION}`;
  throw new TidegateError("newer_version", reason);
}

function names(id: PrincipalId, member: string, value: Json | undefined): string[] {
  if (Array.isArray(value) && value.every((one) => typeof one === "string")) return value;
  throw corrupt(id, member);
}

function corrupt(id: PrincipalId, member: string): TidegateError {
  return new TidegateError("corrupt", `the document of ${id} has no right ${member}`);
}
