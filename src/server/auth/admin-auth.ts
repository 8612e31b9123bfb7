// Who may use the admin listener: everybody who reaches it while it has no users, which is on
// loopback only; otherwise those of the setting `adminAuth`, by password or by token.

import { createHash, timingSafeEqual } from "node:crypto";
import { BoundedMap } from "../../access/bounded-map.ts";
import type { Attempt } from "../../access/login/login-limits.ts";
import { isPasswordHash } from "../../access/login/passwords.ts";
import { isTidegateError, TidegateError } from "../../base/errors.ts";
import type { Config } from "../../config/schema.ts";
import type { Random } from "../../runtime/random.ts";
import type { Call } from "../context.ts";
import type { Authentication } from "./authentication.ts";
import { clientAddress } from "./client.ts";
import { type Credentials, credentialsOf } from "./credentials.ts";

/** Passwords of administrators that are remembered as right. */
const MAX_REMEMBERED = 1000;

/** Checks administrators. */
export class AdminAuth {
  readonly #users: ReadonlyMap<string, Config["adminAuth"]["users"][string]>;
  readonly #key: Uint8Array;
  /** Keyed hash of name and password of a login that was right. */
  readonly #right = new BoundedMap<string, true>(MAX_REMEMBERED);

  /** Throws `bad_config` for a hash that no password could have. */
  constructor(config: Config, random: Random) {
    this.#users = new Map(Object.entries(config.adminAuth.users));
    for (const [name, { passwordHash }] of this.#users) {
      if (passwordHash === undefined || isPasswordHash(passwordHash)) continue;
      const path = `adminAuth.users.${name}.passwordHash`;
      throw new TidegateError("bad_config", `${path}: expected what tidegate hash-password prints`);
    }
    this.#key = random.bytes(32);
  }

  /**
   * Lets a request of the admin listener in, at once when the listener asks for nothing.
   *
   * @throws TidegateError `unauthorized`, `too_many_requests`, `unavailable`
   */
  admit(call: Call): void | Promise<void> {
    if (this.#users.size > 0) return this.#login(call);
  }

  async #login(call: Call): Promise<void> {
    const { auth } = call.var.server;
    const credentials = credentialsOf(call);
    if (!credentials || credentials.kind === "session") {
      throw new TidegateError("unauthorized", "the admin listener is for who is in adminAuth");
    }
    const known = this.#known(credentials);
    if (known !== undefined) return void call.set("administrator", known);
    const user = credentials.kind === "basic" ? credentials.name : "";
    const address = clientAddress(call);
    const attempt = begin(auth, address, user);
    const name = await this.#check(auth, credentials);
    if (name === undefined) {
      auth.audit.write("admin_login_failed", { ud: { user, address } });
      throw new TidegateError("unauthorized", "name, password or token is wrong");
    }
    attempt.succeeded();
    call.set("administrator", name);
  }

  /** The administrator, when a token says it or the password was right before. */
  #known(credentials: Credentials): string | undefined {
    if (credentials.kind === "bearer") return this.#byToken(credentials.token, undefined);
    if (credentials.kind !== "basic") return undefined;
    const { name, password } = credentials;
    if (this.#right.get(this.#digest(name, password))) return name;
    return this.#byToken(password, name);
  }

  /** Every token is looked at, whichever is right. */
  #byToken(token: string, onlyOf: string | undefined): string | undefined {
    const given = createHash("sha256").update(token).digest();
    let found: string | undefined;
    for (const [name, user] of this.#users) {
      if (user.token === undefined || (onlyOf !== undefined && onlyOf !== name)) continue;
      const right = createHash("sha256").update(user.token).digest();
      if (timingSafeEqual(given, right)) found = name;
    }
    return found;
  }

  async #check(auth: Authentication, credentials: Credentials): Promise<string | undefined> {
    if (credentials.kind !== "basic") return undefined;
    const { name, password } = credentials;
    const right = await auth.passwords.matches(password, this.#users.get(name)?.passwordHash);
    if (!right) return undefined;
    this.#right.set(this.#digest(name, password), true);
    return name;
  }

  #digest(name: string, password: string): string {
    const text = createHash("sha256").update(this.#key).update(name).update("\0").update(password);
    return text.digest("base64");
  }
}

function begin(auth: Authentication, address: string, user: string): Attempt {
  try {
    // No database is called so.
    return auth.failed.begin(address, `/${user.slice(0, 200)}`);
  } catch (error) {
    if (isTidegateError(error)) auth.audit.write("login_limited", { ud: { user, address } });
    throw error;
  }
}
