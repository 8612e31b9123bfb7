// The users and roles of one database: read through a cache that ticks keep true, written with the
// revision that was read. What their documents look like is `records.ts`.

import { assert } from "../../base/assert.ts";
import { isTidegateError, TidegateError } from "../../base/errors.ts";
import type { JsonObject } from "../../base/json.ts";
import type { MutationToken } from "../../bucket/bucket.ts";
import type { StableClock } from "../../controller/ports.ts";
import { type PrincipalId, pseudoChannel } from "../../index/pseudo-channel.ts";
import { channelHash } from "../../index/shape.ts";
import type { Random } from "../../runtime/random.ts";
import type { Time } from "../../runtime/time.ts";
import { principalName } from "../names.ts";
import type { AdminGrants, PrincipalStore, StoredPrincipal } from "../ports.ts";
import {
  grantsOfUser,
  parseRole,
  parseUser,
  type RoleRecord,
  roleBody,
  roleId,
  type Stored,
  type UserRecord,
  userBody,
  userId,
} from "./records.ts";
import { UserCache } from "./user-cache.ts";

/** How often a change is tried again when others change the same principal. */
const MAX_ATTEMPTS = 10;

/** How long the answer to a change waits for the tick that makes it count. */
const SETTLE_LIMIT_MS = 2000;

/** The most names of one answer of {@link Principals.list}. */
export const MAX_LISTED = 10_000;

/** Makes the next version of a user from the one that is there; undefined: nothing is to change. */
export type UserChange = (now: Stored<UserRecord> | undefined) => UserRecord | undefined;

/** What is to be stored of a principal; a body of null: it goes. */
interface NextVersion {
  readonly body: JsonObject | null;
  readonly grants: AdminGrants;
}

/** What became of a change. */
export interface Changed<T> {
  /** What is stored now. */
  readonly now: Stored<T>;
  /** Whether there was none before. */
  readonly created: boolean;
}

/** What {@link Principals} needs. */
export interface PrincipalsOptions {
  readonly store: PrincipalStore;
  readonly stable: Pick<StableClock, "subscribe" | "reached">;
  /** The number of vbuckets. */
  readonly vbuckets: number;
  readonly time: Time;
  readonly random: Random;
}

/** The users and roles of one database. */
export class Principals {
  readonly #store: PrincipalStore;
  readonly #options: PrincipalsOptions;
  readonly #cache: UserCache;

  constructor(options: PrincipalsOptions) {
    const { store, stable } = options;
    this.#options = options;
    this.#store = store;
    this.#cache = new UserCache(
      async (name) => {
        const found = await store.load(userId(name));
        return found && parseUser(name, found);
      },
      (name) => channelHash(pseudoChannel(userId(name))),
    );
    // Until the database is closed, and its clock with it.
    stable.subscribe((_, changed) => this.#cache.changed(changed));
  }

  /** The user as this node knows it, from the cache; undefined when there is none. */
  user(name: string): Promise<Stored<UserRecord> | undefined> {
    return this.#cache.get(name);
  }

  /** The role; undefined when there is none. */
  async role(name: string): Promise<Stored<RoleRecord> | undefined> {
    const found = await this.#store.load(roleId(name));
    return found && parseRole(name, found);
  }

  /** Names greater than `after`, in order, at most `limit`. */
  list(kind: "user" | "role", after: string, limit: number): Promise<string[]> {
    return this.#store.list(kind, after, Math.min(limit, MAX_LISTED));
  }

  /** A new value of a user's `epoch`: with it all logins of before end. */
  newEpoch(): string {
    return Buffer.from(this.#options.random.bytes(12)).toString("base64url");
  }

  /**
   * Changes or makes a user.
   *
   * @param change may be called again when somebody else changed the user meanwhile; what it throws
   *   ends the change
   */
  async changeUser(name: string, change: UserChange): Promise<Changed<UserRecord> | undefined> {
    let next: UserRecord | undefined;
    const written = await this.#write(userId(name), (found) => {
      next = change(found && parseUser(name, found));
      return next && { body: userBody(next), grants: grantsOfUser(next) };
    });
    if (next === undefined || written === undefined) return undefined;
    return { now: { ...next, rev: written.rev }, created: written.created };
  }

  /** Writes a role. */
  async putRole(role: RoleRecord, mayExist: boolean): Promise<Changed<RoleRecord>> {
    const written = await this.#write(roleId(role.name), (found) => {
      if (found && !mayExist) throw exists("role", role.name);
      return { body: roleBody(role), grants: { channels: role.adminChannels, roles: [] } };
    });
    assert(written !== undefined, "a role is written in any case");
    return { now: { ...role, rev: written.rev }, created: written.created };
  }

  /** Removes a user or a role. Throws `not_found`. */
  async remove(id: PrincipalId): Promise<void> {
    await this.#write(id, (found) => {
      if (!found) throw noSuch(id);
      return { body: null, grants: { channels: [], roles: [] } };
    });
  }

  /** Ends every login of a user. Throws `not_found`. */
  async endLogins(name: string): Promise<void> {
    await this.changeUser(name, (now) => {
      if (!now) throw noSuch(userId(name));
      return { ...now, epoch: this.newEpoch() };
    });
  }

  /** Calls `listener` when the user's document may have changed. Gives what ends that. */
  watch(name: string, listener: () => void): () => void {
    return this.#cache.watch(name, listener);
  }

  /** Tells who watches the user that something about it changed: a session was ended. */
  recheck(name: string): void {
    this.#cache.forget(name);
  }

  /**
   * Waits until what was written is in the stable clock: who is told that a change is done may count
   * on its effect. When that takes long the change is done all the same, and takes effect later.
   */
  async #settled({ vb, seq }: MutationToken): Promise<void> {
    const { stable, vbuckets, time } = this.#options;
    const clock = new Float64Array(vbuckets);
    clock[vb] = seq;
    const limit = new AbortController();
    const cancel = time.after(SETTLE_LIMIT_MS, () => limit.abort());
    try {
      await stable.reached(clock, limit.signal);
    } catch (error) {
      if (!isTidegateError(error, "unavailable")) throw error;
    } finally {
      cancel();
    }
  }

  /**
   * Writes the next version of a principal, and waits until it counts.
   *
   * @param make may be called again when somebody else was faster; undefined: nothing is to change
   */
  async #write(
    id: PrincipalId,
    make: (found: StoredPrincipal | undefined) => NextVersion | undefined,
  ): Promise<{ readonly rev: string; readonly created: boolean } | undefined> {
    const { store } = this.#options;
    for (let tries = 1; ; tries++) {
      const found = await store.load(id);
      const next = make(found);
      if (next === undefined) return undefined;
      try {
        const saved = await store.save(id, found?.rev, next.body, next.grants);
        if (id.startsWith("user:")) this.#cache.forget(principalName(id));
        await this.#settled(saved);
        return { rev: saved.rev, created: found === undefined };
      } catch (error) {
        if (tries === MAX_ATTEMPTS || !isTidegateError(error, "conflict")) throw error;
      }
    }
  }
}

/** 404 of a user or a role. */
export function noSuch(id: PrincipalId): TidegateError {
  return new TidegateError("not_found", `there is no ${id.replace(":", " ")}`);
}

/** 409 of a user or a role that is to be made. */
export function exists(kind: "user" | "role", name: string): TidegateError {
  return new TidegateError("conflict", `${kind} ${name} exists already; PUT changes it`);
}
