// What administrators send and get of users and roles: the members that Sync Gateway's users know.
// Checked here, member by member. Storing is `principals.ts`.

import { TidegateError } from "../../base/errors.ts";
import type { Json, JsonObject } from "../../base/json.ts";
import { MAX_PASSWORD_BYTES } from "../login/passwords.ts";
import {
  isChannelName,
  isPrincipalName,
  MAX_CHANNEL_BYTES,
  MAX_PRINCIPAL_BYTES,
} from "../names.ts";

/** The most channels or roles that administrators give one principal. */
export const MAX_ADMIN_GRANTS = 20_000;

/** The longest email address, in characters (RFC 5321's limit of a path). */
const MAX_EMAIL_CHARACTERS = 254;

/** A user as an administrator wants it; what is undefined was not given. */
export interface UserRequest {
  readonly name: string;
  readonly password: string | undefined;
  readonly email: string | undefined;
  readonly disabled: boolean;
  readonly adminChannels: readonly string[];
  readonly adminRoles: readonly string[];
}

/** A role as an administrator wants it. */
export interface RoleRequest {
  readonly name: string;
  readonly adminChannels: readonly string[];
}

/** Members of our own answers: they may come back, and change nothing. */
const ANSWERED = ["all_channels", "roles", "token_channels", "token_roles", "token_issuer"];

const USER_MEMBERS = ["name", "password", "email", "disabled", "admin_channels", "admin_roles"];
const ROLE_MEMBERS = ["name", "admin_channels"];

/**
 * Reads the body of a request about a user.
 *
 * @param name what the path says; undefined: the body must say it
 * @throws TidegateError `bad_request` naming the member and what it takes
 */
export function parseUserRequest(body: JsonObject, name: string | undefined): UserRequest {
  checkMembers(body, USER_MEMBERS);
  const { password, email, disabled } = body;
  return {
    name: nameOf(body, name),
    password: passwordOf(password),
    email: emailOf(email),
    disabled: disabled === undefined ? false : booleanOf("disabled", disabled),
    adminChannels: channelsOf("admin_channels", body.admin_channels),
    adminRoles: rolesOf("admin_roles", body.admin_roles),
  };
}

/** As {@link parseUserRequest}, of a role. */
export function parseRoleRequest(body: JsonObject, name: string | undefined): RoleRequest {
  checkMembers(body, ROLE_MEMBERS);
  const adminChannels = channelsOf("admin_channels", body.admin_channels);
  return { name: nameOf(body, name), adminChannels };
}

/** Throws `bad_request` unless `name` may name a user or a role. */
export function checkPrincipalName(name: string): void {
  if (isPrincipalName(name)) return;
  throw expected(
    "name",
    `1 to ${MAX_PRINCIPAL_BYTES} bytes of letters, digits and + - . @ % = _`,
    name,
  );
}

function checkMembers(body: JsonObject, members: readonly string[]): void {
  for (const member of Object.keys(body)) {
    if (members.includes(member) || ANSWERED.includes(member)) continue;
    const takes = members.join(", ");
    throw new TidegateError("bad_request", `${short(member)}: no such member; there are ${takes}`);
  }
}

function nameOf(body: JsonObject, inPath: string | undefined): string {
  const given = body.name ?? inPath;
  if (typeof given !== "string") throw expected("name", "a string", given ?? "nothing");
  if (inPath !== undefined && given !== inPath) {
    throw expected("name", `the name in the path, ${inPath}, or nothing`, given);
  }
  checkPrincipalName(given);
  return given;
}

function passwordOf(value: Json | undefined): string | undefined {
  if (value === undefined || value === null) return undefined;
  // What came is a secret: it is not repeated.
  const isText = typeof value === "string" && value !== "" && !value.includes("\0");
  if (isText && Buffer.byteLength(value) <= MAX_PASSWORD_BYTES) return value;
  const reason = `password: expected a text of 1 to ${MAX_PASSWORD_BYTES} bytes, none of them 0`;
  throw new TidegateError("bad_request", reason);
}

function emailOf(value: Json | undefined): string | undefined {
  if (value === undefined || value === null || value === "") return undefined;
  const right =
    typeof value === "string" &&
    value.length <= MAX_EMAIL_CHARACTERS &&
    /^[^\s@]+@[^\s@]+$/.test(value);
  if (right) return value;
  throw expected("email", "an address such as ann@example.org", value);
}

function booleanOf(member: string, value: Json): boolean {
  if (typeof value === "boolean") return value;
  throw expected(member, "true or false", value);
}

/** A list of channel names, without repeats. */
export function channelsOf(member: string, value: Json | undefined): string[] {
  return list(
    member,
    value,
    isChannelName,
    `channel names: 1 to ${MAX_CHANNEL_BYTES} bytes without control characters`,
  );
}

function rolesOf(member: string, value: Json | undefined): string[] {
  return list(member, value, isPrincipalName, "names of roles, without role:");
}

function list(
  member: string,
  value: Json | undefined,
  isRight: (name: string) => boolean,
  takes: string,
): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw expected(member, "an array of names", value);
  if (value.length > MAX_ADMIN_GRANTS) {
    throw expected(member, `at most ${MAX_ADMIN_GRANTS} names`, value.length);
  }
  const names = new Set<string>();
  for (const name of value) {
    if (typeof name !== "string" || !isRight(name)) throw expected(member, takes, name);
    names.add(name);
  }
  return [...names];
}

function expected(member: string, takes: string, came: Json): TidegateError {
  const shown = typeof came === "string" ? came : JSON.stringify(came);
  return new TidegateError("bad_request", `${member}: expected ${takes} (came: ${short(shown)})`);
}

function short(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
