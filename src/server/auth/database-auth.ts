// Who may use one open database: its users, sessions and logins put together, and the actors that
// requests get.

import type { Audit } from "../../access/login/audit.ts";
import type { FailedLogins } from "../../access/login/login-limits.ts";
import { type Login, Logins } from "../../access/login/logins.ts";
import type { Passwords } from "../../access/login/passwords.ts";
import { Sessions } from "../../access/login/sessions.ts";
import { VerifiedPasswords } from "../../access/login/verified.ts";
import { Principals } from "../../access/principals/principals.ts";
import type { UserRecord } from "../../access/principals/records.ts";
import { fixedAccess, rolesOf } from "../../access/types.ts";
import type { Log } from "../../base/log.ts";
import { type Actor, FREE_GUEST } from "../../documents/types.ts";
import type { Database } from "../../gateway/types.ts";
import type { Random } from "../../runtime/random.ts";
import type { Time } from "../../runtime/time.ts";
import { TokenAuth } from "./token-auth.ts";

/** What the databases of one process share. */
export interface AuthParts {
  readonly passwords: Passwords;
  readonly failed: FailedLogins;
  readonly audit: Audit;
  readonly log: Log;
  readonly time: Time;
  readonly random: Random;
}

/** The users, sessions and logins of one database. */
export class DatabaseAuth {
  readonly principals: Principals;
  readonly sessions: Sessions;
  readonly logins: Logins;
  readonly tokens: TokenAuth;
  readonly #database: Database;
  /** The guest of the settings that it was made for. */
  #guest:
    | { readonly settings: Database["settings"]; readonly actor: Actor | undefined }
    | undefined;

  constructor(database: Database, parts: AuthParts) {
    const { time, random, passwords, failed, audit } = parts;
    const { bucket, principals: store, stable, name } = database;
    const { vbuckets } = bucket;
    this.#database = database;
    this.principals = new Principals({ store, stable, vbuckets, time, random });
    this.sessions = new Sessions(bucket.metadata, time, random, ({ name }) =>
      this.principals.recheck(name),
    );
    const { principals, sessions } = this;
    const verified = new VerifiedPasswords(random);
    const shared = { passwords, failed, audit, time };
    this.logins = new Logins({ database: name, principals, sessions, verified, ...shared });
    this.tokens = new TokenAuth(database, principals, parts);
  }

  /** The actor of requests without credentials; undefined: they are refused. */
  get guest(): Actor | undefined {
    const { settings } = this.#database;
    if (this.#guest?.settings !== settings) this.#guest = { settings, actor: guestOf(settings) };
    return this.#guest.actor;
  }

  /** The channels and roles of a user now. */
  async seenBy(user: UserRecord): Promise<{ channels: string[]; roles: string[] }> {
    const access = await this.#database.access.user(user.name);
    return { channels: [...access.now()].sort(), roles: rolesOf(access) };
  }

  /** The actor of a login, with everything in its access that is in the newest stable clock. */
  async actorOf({ user }: Login): Promise<Actor> {
    const access = await this.#database.access.user(user.name);
    return { name: user.name, admin: false, access };
  }
}

function guestOf({ guest }: Database["settings"]): Actor | undefined {
  if (guest === true) return FREE_GUEST;
  if (guest === false) return undefined;
  return { name: null, admin: false, access: fixedAccess(guest.channels) };
}
