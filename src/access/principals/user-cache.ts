// Users as this node knows them. A tick that names a user's pseudo-channel makes it forget that user
// and tells who watches: so a change on any node is known here one tick later.

import type { ChangedChannels } from "../../controller/ports.ts";
import { WakeTable } from "../../controller/wake-table.ts";
import { BoundedMap } from "../bounded-map.ts";
import type { Stored, UserRecord } from "./records.ts";

/** Users that are kept in memory. */
export const MAX_CACHED_USERS = 20_000;

type Found = Promise<Stored<UserRecord> | undefined>;

/** A bounded cache of one database's users. */
export class UserCache {
  readonly #load: (name: string) => Found;
  readonly #hashOf: (name: string) => number;
  readonly #users = new BoundedMap<string, Found>(MAX_CACHED_USERS, (name) => this.#unlink(name));
  readonly #watchers = new Map<string, Set<() => void>>();
  /** The users, cached or watched, by the hashes of their pseudo-channels. */
  readonly #table = new WakeTable<string>();

  /**
   * @param load reads a user from the bucket
   * @param hashOf the hash by which ticks name the user's pseudo-channel
   */
  constructor(load: (name: string) => Found, hashOf: (name: string) => number) {
    this.#load = load;
    this.#hashOf = hashOf;
  }

  get(name: string): Found {
    const known = this.#users.get(name);
    if (known) return known;
    // Kept before it is there: a tick that comes meanwhile drops it, so nothing old stays.
    const loading = this.#load(name);
    this.#users.set(name, loading);
    this.#link(name);
    // Who does not exist is not kept: names that anybody may try would drive out those that do.
    const dropped = (user?: Stored<UserRecord>) => {
      if (user === undefined && this.#users.peek(name) === loading) this.#drop(name);
    };
    loading.then(dropped, () => dropped());
    return loading;
  }

  /** Calls `listener` when the user may have changed. Gives what ends that. */
  watch(name: string, listener: () => void): () => void {
    const listeners = this.#watchers.get(name) ?? new Set();
    listeners.add(listener);
    this.#watchers.set(name, listeners);
    this.#link(name);
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0 || this.#watchers.get(name) !== listeners) return;
      this.#watchers.delete(name);
      this.#unlink(name);
    };
  }

  /** The user was changed. */
  forget(name: string): void {
    this.#users.delete(name);
    for (const listener of [...(this.#watchers.get(name) ?? [])]) listener();
    this.#unlink(name);
  }

  /** A tick came. */
  changed(hashes: ChangedChannels): void {
    for (const name of this.#table.concerned(hashes)) this.forget(name);
  }

  #drop(name: string): void {
    this.#users.delete(name);
    this.#unlink(name);
  }

  #link(name: string): void {
    this.#table.add(name, [this.#hashOf(name)]);
  }

  /** Lets go of the hash when nobody needs it any more. */
  #unlink(name: string): void {
    if (this.#users.peek(name) !== undefined || this.#watchers.has(name)) return;
    this.#table.remove(name, [this.#hashOf(name)]);
  }
}
