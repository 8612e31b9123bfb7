// Ends a feed when its login does: the user was disabled, removed or given another password, the
// session was ended, the token's time is over.

import type { Log } from "../../base/log.ts";
import type { Time } from "../../runtime/time.ts";
import type { Call } from "../context.ts";

/** A session that was ended on another node ends its feeds here this much later, at most. */
export const SESSION_CHECK_MS = 30_000;

/** The longest time that timers take. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Watches over one login. */
export interface FeedGuard {
  /** Calls `end`, once, when the login is over. Gives what ends the watching. */
  watch(end: () => void): () => void;
}

/** The guard of a request's feed; undefined for guests and administrators. */
export function feedGuardOf(call: Call): FeedGuard | undefined {
  const { login, server, database } = call.var;
  if (!login) return undefined;
  const { logins, principals } = server.auth.of(database);
  const session = login.session?.oneTime ? undefined : login.session;
  const endsAtMs = session?.expiresMs ?? login.expiresMs;
  return {
    watch: (end) => {
      const parts = { time: server.time, log: server.log, end, endsAtMs };
      const isGood = () => logins.isGood(login);
      return new Watch({ ...parts, isGood, hasSession: session !== undefined }).begin((listener) =>
        principals.watch(login.user.name, listener),
      );
    },
  };
}

interface WatchParts {
  readonly time: Time;
  readonly log: Log;
  readonly isGood: () => Promise<boolean>;
  readonly end: () => void;
  /** When the login ends by itself, as far as it is known. */
  readonly endsAtMs: number | undefined;
  readonly hasSession: boolean;
}

class Watch {
  readonly #parts: WatchParts;
  #over = false;
  #cancel: (() => void) | undefined;

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  begin(subscribe: (listener: () => void) => () => void): () => void {
    const unsubscribe = subscribe(() => void this.#check());
    // What changed between the login and this moment was heard by nobody.
    void this.#check();
    return () => {
      this.#over = true;
      this.#cancel?.();
      unsubscribe();
    };
  }

  async #check(): Promise<void> {
    this.#cancel?.();
    let good = false;
    try {
      good = await this.#parts.isGood();
    } catch (error) {
      // In doubt the feed ends: its client logs in again.
      this.#parts.log.warn({ err: error }, "a feed's login could not be checked");
    }
    if (this.#over) return;
    if (good) return this.#plan();
    this.#over = true;
    this.#parts.end();
  }

  /** Looks again when the login may be over although nobody says so. */
  #plan(): void {
    const { time, endsAtMs, hasSession } = this.#parts;
    if (endsAtMs === undefined) return;
    const left = endsAtMs - time.nowMs();
    // Other requests may have given the session more time.
    const longest = hasSession ? SESSION_CHECK_MS : LONGEST_TIMER_MS;
    const wait = left > 0 ? Math.min(left, longest) : longest;
    this.#cancel?.();
    this.#cancel = time.after(wait, () => void this.#check());
  }
}
