// What a verified token says: who its user is, and which channels and roles it gives.

import { Buffer } from "node:buffer";
import type { Json, JsonObject } from "../../base/json.ts";
import { isChannelName, isPrincipalName } from "../names.ts";
import type { TokenGrants } from "../principals/records.ts";
import { MAX_TOKEN_GRANTS } from "./limits.ts";

/** How the claims of an issuer are read. */
export interface ClaimSettings {
  readonly usernameClaim: string;
  readonly usernamePrefix: string;
  readonly channelsClaim: string | undefined;
  readonly rolesClaim: string | undefined;
}

/** What a token says of its user. */
export interface TokenSubject {
  readonly name: string;
  /** Undefined: nothing is given by tokens of this issuer. */
  readonly grants: TokenGrants | undefined;
  /** Whether the user is made when there is none. */
  readonly register: boolean;
  /** When the token's time is over. */
  readonly expiresMs: number;
}

/** Whom a verified token speaks of. Throws `TokenRejected` as the functions below do. */
export function subjectOf({
  issuer,
  claims,
  expiresMs,
}: {
  readonly issuer: ClaimSettings & { readonly register: boolean };
  readonly claims: JsonObject;
  readonly expiresMs: number;
}): TokenSubject {
  const { register } = issuer;
  return {
    name: usernameOf(claims, issuer),
    grants: grantsOf(claims, issuer),
    register,
    expiresMs,
  };
}

/** What is wrong with a token, for the log: who sent it is told nothing of it. */
export class TokenRejected extends Error {
  override readonly name = "TokenRejected";
}

/** A claim by its name, or else by a path of dots into objects, such as `realm_access.roles`. */
export function claimOf(claims: JsonObject, name: string): Json | undefined {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: Json | undefined = claims;
  for (const part of name.split(".")) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    value = Object.hasOwn(value, part) ? value[part] : undefined;
  }
  return value;
}

/**
 * The name of the token's user: prefix and claim. Characters that no user's name has are written as
 * `%` and two hexadecimal digits for each byte, and so is `%` itself: no two claims give one name.
 *
 * @throws TokenRejected when the claim is missing, no text, or too long
 */
export function usernameOf(claims: JsonObject, settings: ClaimSettings): string {
  const value = claimOf(claims, settings.usernameClaim);
  if (typeof value !== "string" || value === "" || !value.isWellFormed()) {
    throw new TokenRejected(`the claim ${settings.usernameClaim} names no user`);
  }
  const escaped = [...value].map((letter) =>
    letter !== "%" && isPrincipalName(letter) ? letter : percentEncoded(letter),
  );
  const name = settings.usernamePrefix + escaped.join("");
  if (isPrincipalName(name)) return name;
  throw new TokenRejected(`the claim ${settings.usernameClaim} is too long for a user's name`);
}

function percentEncoded(letter: string): string {
  return Buffer.from(letter).toString("hex").toUpperCase().replace(/../g, "%$&");
}

/**
 * What the token gives its user; undefined: its issuer's tokens give nothing. Names that no channel
 * or role can have are left out.
 *
 * @throws TokenRejected when it gives too much, or does not say when it was issued: of two tokens of
 *   one user the newer one counts
 */
export function grantsOf(claims: JsonObject, settings: ClaimSettings): TokenGrants | undefined {
  const { channelsClaim, rolesClaim } = settings;
  if (channelsClaim === undefined && rolesClaim === undefined) return undefined;
  const { iss, iat } = claims;
  if (typeof iss !== "string" || typeof iat !== "number") {
    throw new TokenRejected("a token that gives channels or roles must have iat");
  }
  return {
    issuer: iss,
    issuedAt: iat,
    channels: namesIn(claims, channelsClaim, isChannelName),
    roles: namesIn(claims, rolesClaim, isPrincipalName),
  };
}

/** The names that a claim lists: an array, or a text of names with blanks between them. */
function namesIn(
  claims: JsonObject,
  claim: string | undefined,
  isRight: (name: string) => boolean,
): string[] {
  if (claim === undefined) return [];
  const value = claimOf(claims, claim);
  const listed = typeof value === "string" ? value.split(" ") : Array.isArray(value) ? value : [];
  const names = new Set(
    listed.filter((name): name is string => typeof name === "string" && isRight(name)),
  );
  if (names.size <= MAX_TOKEN_GRANTS) return [...names].sort();
  throw new TokenRejected(`the claim ${claim} lists more than ${MAX_TOKEN_GRANTS} names`);
}
