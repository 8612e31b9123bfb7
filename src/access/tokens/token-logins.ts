// Logins by token, of one database: the token is verified, its user made or given what the token
// says, through the principals, so that it is a grant on the clock like any other.

import { TidegateError } from "../../base/errors.ts";
import type { OidcProviderSettings, TokenIssuerSettings } from "../../config/token-schema.ts";
import type { Audit } from "../login/audit.ts";
import type { Login } from "../login/logins.ts";
import type { Principals } from "../principals/principals.ts";
import type { Stored, TokenGrants, UserRecord } from "../principals/records.ts";
import { subjectOf, TokenRejected, type TokenSubject } from "./claims.ts";
import { bearerIssuer, type IssuerParts, type TokenIssuer } from "./issuers.ts";
import { KnownTokens } from "./known-tokens.ts";
import { ISSUED_STEP_SECONDS } from "./limits.ts";
import { OidcProvider } from "./oidc/provider.ts";
import { type VerifiedToken, verifyToken } from "./verify.ts";

/** The settings that say who is believed. */
export interface TokenSettings {
  readonly tokens: readonly TokenIssuerSettings[];
  readonly oidc: { readonly providers: Readonly<Record<string, OidcProviderSettings>> };
}

/** What {@link TokenLogins} needs. */
export interface TokenLoginsOptions extends IssuerParts {
  readonly database: string;
  readonly settings: TokenSettings;
  readonly principals: Principals;
  readonly audit: Audit;
}

/** Checks tokens, and keeps their users. */
export class TokenLogins {
  /** The OpenID providers by name. */
  readonly providers: ReadonlyMap<string, OidcProvider>;
  readonly #options: TokenLoginsOptions;
  readonly #issuers: readonly TokenIssuer[];
  readonly #known: KnownTokens;
  /** Of each user the change that is under way: they go one after the other. */
  readonly #changes = new Map<string, Promise<unknown>>();

  constructor(options: TokenLoginsOptions) {
    const { settings } = options;
    this.#options = options;
    this.#known = new KnownTokens(options.time);
    const providers = Object.entries(settings.oidc.providers).map(
      ([name, given]) => [name, new OidcProvider(name, given, options)] as const,
    );
    this.providers = new Map(providers);
    this.#issuers = [
      ...settings.tokens.map((given) => bearerIssuer(given, options)),
      ...providers.map(([, provider]) => provider.issuer),
    ];
  }

  /**
   * Who a bearer token is of.
   *
   * @throws TidegateError `unauthorized`, the same whatever is wrong, and `unavailable`
   */
  async byToken(token: string, address: string): Promise<Login> {
    const { audit, database, time } = this.#options;
    try {
      const known = await this.#known.find(token);
      if (known) return await this.#userOf(known);
      const verified = await verifyToken(token, this.#issuers, time);
      const subject = subjectOf(verified);
      const login = await this.#userOf(subject);
      this.#known.add(token, verified, subject);
      const ud = { user: login.user.name, address };
      audit.write("login", { database, via: "token", ud });
      return login;
    } catch (error) {
      if (!(error instanceof TokenRejected)) throw error;
      const reason = error.message;
      audit.write("login_failed", { database, via: "token", reason, ud: { address } });
      throw wrongToken();
    }
  }

  /**
   * The user of a verified token, made when there is none and the issuer may make users.
   *
   * @throws TokenRejected when there is no such user, or it is disabled
   */
  userOf(verified: VerifiedToken): Promise<Login> {
    return this.#userOf(subjectOf(verified));
  }

  async #userOf({ name, grants, register, expiresMs }: TokenSubject): Promise<Login> {
    const user = await this.#brought(name, grants, register);
    if (!user) throw new TokenRejected("there is no such user, and its issuer makes none");
    if (user.disabled) throw new TokenRejected("its user is disabled");
    return { user, via: "token", expiresMs };
  }

  /** The user with what the token gives. */
  async #brought(
    name: string,
    grants: TokenGrants | undefined,
    register: boolean,
  ): Promise<Stored<UserRecord> | undefined> {
    const { principals, audit, database } = this.#options;
    const change = (now: UserRecord | undefined) =>
      nextUser(name, now, grants, register, () => principals.newEpoch());
    // What is stored already may not count yet: a change is done when it does.
    await this.#changes.get(name);
    const user = await principals.user(name);
    if (change(user) === undefined) return user;
    const before = this.#changes.get(name) ?? Promise.resolve();
    const changing = before.then(() => principals.changeUser(name, change));
    // Who waits for it does not fail with it.
    const settled = changing.catch(() => {});
    this.#changes.set(name, settled);
    try {
      const changed = await changing;
      if (!changed) return await principals.user(name);
      audit.write("user_changed", { database, via: "token", ud: { user: name } });
      return changed.now;
    } finally {
      if (this.#changes.get(name) === settled) this.#changes.delete(name);
    }
  }
}

/** The user as it is to be; undefined: nothing is to change. */
function nextUser(
  name: string,
  now: UserRecord | undefined,
  grants: TokenGrants | undefined,
  register: boolean,
  newEpoch: () => string,
): UserRecord | undefined {
  if (!now) return register ? registered(name, grants, newEpoch()) : undefined;
  if (now.disabled || !grants) return undefined;
  const { tokenGrants } = now;
  if (tokenGrants) {
    // Of two tokens that both are good the newer one counts.
    const newerBy = grants.issuedAt - tokenGrants.issuedAt;
    if (newerBy < (isSame(tokenGrants, grants) ? ISSUED_STEP_SECONDS : 0)) return undefined;
  }
  return { ...now, tokenGrants: grants };
}

function registered(name: string, tokenGrants: TokenGrants | undefined, epoch: string): UserRecord {
  const nothing = { email: undefined, passwordHash: undefined, adminChannels: [], adminRoles: [] };
  return { name, disabled: false, ...nothing, epoch, tokenGrants };
}

/** Whether two tokens give the same. */
function isSame(one: TokenGrants, other: TokenGrants): boolean {
  const texts = [one, other].map(({ issuer, channels, roles }) =>
    JSON.stringify([issuer, [...channels].sort(), [...roles].sort()]),
  );
  return texts[0] === texts[1];
}

/** 401: the one answer to every token that is not taken. */
export function wrongToken(): TidegateError {
  return new TidegateError("unauthorized", "the token is not good for this database");
}
