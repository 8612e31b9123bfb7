// Logins of one database: who a name and a password, a session or a token is. Every failure is the
// same error, after the same time, whether or not there is such a user. No HTTP here.

import { isTidegateError, TidegateError } from "../../base/errors.ts";
import type { Time } from "../../runtime/time.ts";
import { isPrincipalName } from "../names.ts";
import type { Principals } from "../principals/principals.ts";
import type { Stored, UserRecord } from "../principals/records.ts";
import type { Audit } from "./audit.ts";
import type { FailedLogins } from "./login-limits.ts";
import { isOutdated, type Passwords } from "./passwords.ts";
import type { FoundSession, Sessions } from "./sessions.ts";
import type { VerifiedPasswords } from "./verified.ts";

/** Somebody who is logged in, for as long as {@link Logins.isGood} says. */
export interface Login {
  readonly user: Stored<UserRecord>;
  readonly via: "password" | "session" | "token";
  /** The session, when it was made by one. */
  readonly session?: FoundSession;
  /** When the token's time is over. */
  readonly expiresMs?: number;
}

/** What {@link Logins} needs. */
export interface LoginsOptions {
  readonly database: string;
  readonly principals: Principals;
  readonly sessions: Sessions;
  readonly passwords: Passwords;
  readonly verified: VerifiedPasswords;
  readonly failed: FailedLogins;
  readonly audit: Audit;
  readonly time: Time;
}

/** Checks who somebody is. */
export class Logins {
  readonly #parts: LoginsOptions;

  constructor(parts: LoginsOptions) {
    this.#parts = parts;
  }

  /**
   * Logs in by name and password. A pair that was right a moment ago costs no scrypt, and counts
   * for no limit.
   *
   * @throws TidegateError `unauthorized`, `too_many_requests`, `unavailable`
   */
  async byPassword(name: string, password: string, address: string): Promise<Login> {
    const { principals, verified, passwords, database, audit } = this.#parts;
    const user = isPrincipalName(name) ? await principals.user(name) : undefined;
    if (user && !user.disabled && verified.has(user, password)) return { user, via: "password" };
    const attempt = this.begin(address, name);
    const right = await passwords.matches(password, user?.passwordHash);
    // The user may have been changed while the hash was made.
    const now = right ? await principals.user(name) : undefined;
    if (!user || !now || now.disabled || now.passwordHash !== user.passwordHash) {
      audit.write("login_failed", { database, via: "password", ud: { user: name, address } });
      throw wrongLogin();
    }
    attempt.succeeded();
    verified.add(now, password);
    audit.write("login", { database, via: "password", ud: { user: name, address } });
    if (isOutdated(now.passwordHash ?? "")) await this.#rehash(now, password);
    return { user: now, via: "password" };
  }

  /**
   * Pays for a try to log in, at this address and for this user.
   *
   * @throws TidegateError `too_many_requests`
   */
  begin(address: string, name: string): { succeeded(): void } {
    const { failed, database, audit } = this.#parts;
    try {
      return failed.begin(address, `${database}/${name.slice(0, 200)}`);
    } catch (error) {
      if (isTidegateError(error, "too_many_requests")) {
        audit.write("login_limited", { database, ud: { user: name, address } });
      }
      throw error;
    }
  }

  /**
   * Who has the session; a one-time session is used up by this.
   *
   * @throws TidegateError `unauthorized`
   */
  async bySession(id: string): Promise<Login> {
    const session = await this.#parts.sessions.find(id);
    const user = session && (await this.#parts.principals.user(session.name));
    if (!session || !user || !isOf(user, session)) throw sessionOver();
    if (session.oneTime && !(await this.#parts.sessions.remove(session))) throw sessionOver();
    return { user, via: "session", session };
  }

  /** Whether a login still holds: asked for feeds, which outlive their request. */
  async isGood({ user, via, session, expiresMs }: Login): Promise<boolean> {
    const now = await this.#parts.principals.user(user.name);
    if (!now || now.disabled || now.epoch !== user.epoch) return false;
    if (via === "token") return expiresMs === undefined || expiresMs > this.#parts.time.nowMs();
    if (!session || session.oneTime) return true;
    return (await this.#parts.sessions.findByKey(session.key)) !== undefined;
  }

  /** Stores the password's hash with the parameters of today. */
  async #rehash(user: Stored<UserRecord>, password: string): Promise<void> {
    const passwordHash = await this.#parts.passwords.hash(password);
    await this.#parts.principals.changeUser(user.name, (now) =>
      now && now.passwordHash === user.passwordHash ? { ...now, passwordHash } : undefined,
    );
  }
}

function isOf(user: UserRecord, { name, epoch }: FoundSession): boolean {
  return !user.disabled && user.name === name && user.epoch === epoch;
}

/** 401: the one answer to every login by name and password that fails. */
export function wrongLogin(): TidegateError {
  return new TidegateError("unauthorized", "name or password is wrong");
}

/** 401: the session is not there, or over. */
export function sessionOver(): TidegateError {
  return new TidegateError("unauthorized", "the session is over; log in again");
}
