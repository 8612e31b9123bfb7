// Gives each request of the public listener its actor: by its credentials, or the guest. Strangers
// cannot tell a database that does not exist from one that they may not use.

import { Audit } from "../../access/login/audit.ts";
import { FailedLogins } from "../../access/login/login-limits.ts";
import { type Login, sessionOver, wrongLogin } from "../../access/login/logins.ts";
import { Passwords } from "../../access/login/passwords.ts";
import { verifyInVain } from "../../access/tokens/decoy.ts";
import { wrongToken } from "../../access/tokens/token-logins.ts";
import { TidegateError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Config } from "../../config/schema.ts";
import type { Database } from "../../gateway/types.ts";
import type { Random } from "../../runtime/random.ts";
import type { Time } from "../../runtime/time.ts";
import type { Call } from "../context.ts";
import { checkOrigin } from "../cors.ts";
import { AdminAuth } from "./admin-auth.ts";
import { cameByTls, clientAddress } from "./client.ts";
import { noSessionCookie, sessionCookie } from "./cookies.ts";
import { type Credentials, credentialsOf } from "./credentials.ts";
import { type AuthParts, DatabaseAuth } from "./database-auth.ts";

/** What {@link Authentication} needs. */
export interface AuthenticationOptions {
  readonly config: Config;
  readonly log: Log;
  readonly time: Time;
  readonly random: Random;
}

/** Who requests are made by, on every database of this process. */
export class Authentication {
  readonly audit: Audit;
  readonly passwords: Passwords;
  readonly failed: FailedLogins;
  /** Of the admin listener. */
  readonly admin: AdminAuth;
  readonly #parts: AuthParts;
  readonly #databases = new WeakMap<Database, DatabaseAuth>();

  constructor({ config, log, time, random }: AuthenticationOptions) {
    this.audit = new Audit(log);
    this.passwords = new Passwords(random);
    this.failed = new FailedLogins(time, config.logins);
    this.admin = new AdminAuth(config, random);
    const { audit, passwords, failed } = this;
    this.#parts = { audit, passwords, failed, log, time, random };
  }

  /** The users, sessions and logins of an open database. */
  of(database: Database): DatabaseAuth {
    const known = this.#databases.get(database);
    if (known) return known;
    const made = new DatabaseAuth(database, this.#parts);
    this.#databases.set(database, made);
    return made;
  }

  /**
   * Gives a request its actor, at once for a guest. Throws, or rejects with, `unauthorized` and what
   * logins throw.
   *
   * @param database undefined: there is none of this name, which is refused like any other
   */
  admit(call: Call, database: Database | undefined): void | Promise<void> {
    const credentials = credentialsOf(call);
    if (credentials) return this.#admitLogin(call, database, credentials);
    const guest = database && this.of(database).guest;
    if (!guest) throw noGuest();
    call.set("database", database);
    call.set("actor", guest);
  }

  async #admitLogin(
    call: Call,
    database: Database | undefined,
    credentials: Credentials,
  ): Promise<void> {
    if (credentials.kind === "session" && credentials.byCookie) checkOrigin(call);
    const login = await this.login(call, database, credentials);
    if (!database) throw wrongLogin();
    call.set("database", database);
    call.set("login", login);
    call.set("actor", await this.of(database).actorOf(login));
  }

  /** Checks credentials. Throws what logins throw. */
  async login(
    call: Call,
    database: Database | undefined,
    credentials: Credentials,
  ): Promise<Login> {
    const address = clientAddress(call);
    if (!database) return this.#nobody(call, credentials, address);
    const { logins, tokens } = this.of(database);
    if (credentials.kind === "basic") {
      return logins.byPassword(credentials.name, credentials.password, address);
    }
    if (credentials.kind === "bearer") return tokens.logins.byToken(credentials.token, address);
    return this.#bySession(call, database, credentials);
  }

  /** A login at a database that is not there takes as long as any other that fails. */
  async #nobody(call: Call, credentials: Credentials, address: string): Promise<never> {
    if (credentials.kind === "session") throw sessionOver();
    if (credentials.kind === "bearer") {
      await verifyInVain(credentials.token);
      throw wrongToken();
    }
    const { name, password } = credentials;
    this.failed.begin(address, `${call.req.param("db") ?? ""}/${name.slice(0, 200)}`);
    await this.passwords.matches(password, undefined);
    throw wrongLogin();
  }

  async #bySession(
    call: Call,
    database: Database,
    { id, byCookie }: Credentials & { kind: "session" },
  ): Promise<Login> {
    const { logins, sessions } = this.of(database);
    const path = `/${database.name}`;
    const cookie = { path, settings: database.settings.sessions, tls: cameByTls(call) };
    try {
      const login = await logins.bySession(id);
      const { session } = login;
      // What came in the query is in logs and histories: it must not be worth anything any more.
      if (!session || (!byCookie && !session.oneTime)) throw sessionOver();
      const slid = await sessions.slide(session);
      if (slid === session) return login;
      if (!slid) throw sessionOver();
      const maxAgeSeconds = Math.floor(slid.ttlMs / 1000);
      if (byCookie) call.set("cookie", sessionCookie(id, { ...cookie, maxAgeSeconds }));
      return { ...login, session: slid };
    } catch (error) {
      if (byCookie) call.set("cookie", noSessionCookie(cookie));
      throw error;
    }
  }
}

/** 401 for who has no credentials. */
export function noGuest(): TidegateError {
  return new TidegateError(
    "unauthorized",
    "log in: the guest may use no database of this name; `guest` in its settings lets it",
  );
}
