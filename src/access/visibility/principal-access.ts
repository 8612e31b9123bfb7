// What a user sees: its own table of grants and those of its roles, put together. What does not live
// here: one principal's table, and how tables come from the index.

import type { Clock } from "../../clock/tick.ts";
import { pseudoChannel } from "../../index/pseudo-channel.ts";
import { ALL_CHANNEL, PUBLIC_CHANNEL } from "../../index/types.ts";
import type { Access } from "../types.ts";
import { MAX_REMEMBERED_CLOCKS } from "./limits.ts";
import type { CachedTable, TableCache } from "./table-cache.ts";

/** The channels at a clock, as they were found. */
interface Remembered {
  readonly clock: Clock;
  readonly channels: ReadonlySet<string>;
}

/** The access of one user. One object serves every request and feed of the user. */
export class PrincipalAccess implements Access {
  readonly name: string;
  readonly everything = false;
  readonly #cache: TableCache;
  #own: CachedTable;
  /** The tables of all roles that the user has or had. */
  #roles = new Map<string, CachedTable>();
  /** The cache's epoch when everything was current. */
  #epoch = -1;
  #drops = -1;
  /** The versions of the tables that what is remembered was found from. */
  #versions: readonly number[] = [];
  #now: ReadonlySet<string> | undefined;
  #remembered: Remembered[] = [];
  #watched: readonly string[] | undefined;

  constructor(name: string, cache: TableCache) {
    this.name = name;
    this.#cache = cache;
    this.#own = cache.get(`user:${name}`);
  }

  seesAny(channels: readonly string[]): boolean {
    if (this.#holds(ALL_CHANNEL)) return true;
    return channels.some((channel) => channel === PUBLIC_CHANNEL || this.#holds(channel));
  }

  #holds(channel: string): boolean {
    if (this.#own.grants.now("channel").has(channel)) return true;
    for (const role of this.#own.grants.now("role")) {
      if (this.#roles.get(role)?.grants.now("channel").has(channel)) return true;
    }
    return false;
  }

  hasRole(role: string): boolean {
    return this.#own.grants.now("role").has(role);
  }

  now(): ReadonlySet<string> {
    this.#checkVersions();
    if (this.#now === undefined) {
      const channels = new Set([PUBLIC_CHANNEL, ...this.#own.grants.now("channel")]);
      for (const role of this.#own.grants.now("role")) {
        for (const name of this.#roles.get(role)?.grants.now("channel") ?? []) channels.add(name);
      }
      this.#now = channels;
    }
    return this.#now;
  }

  at(clock: Clock): ReadonlySet<string> {
    this.#checkVersions();
    const known = this.#remembered.find((one) => one.clock === clock);
    if (known) return known.channels;
    const channels = this.#isWithin(clock) ? this.now() : this.heldThrough(clock, clock);
    if (this.#remembered.length === MAX_REMEMBERED_CLOCKS) this.#remembered.shift();
    this.#remembered.push({ clock, channels });
    return channels;
  }

  heldThrough(from: Clock, to: Clock): ReadonlySet<string> {
    const channels = new Set([PUBLIC_CHANNEL]);
    const roles = new Set<string>();
    this.#own.grants.held("channel", from, to, channels);
    this.#own.grants.held("role", from, to, roles);
    for (const role of roles) this.#roles.get(role)?.grants.held("channel", from, to, channels);
    return channels;
  }

  #isWithin(clock: Clock): boolean {
    if (!this.#own.grants.isWithin(clock)) return false;
    for (const table of this.#roles.values()) if (!table.grants.isWithin(clock)) return false;
    return true;
  }

  watched(): readonly string[] {
    this.#checkVersions();
    this.#watched ??= [
      this.#own.channel,
      ...Array.from(this.#own.grants.now("role"), (role) => pseudoChannel(`role:${role}`)),
    ];
    return this.#watched;
  }

  async refresh(): Promise<void> {
    const cache = this.#cache;
    while (this.#epoch !== cache.epoch || this.#drops !== cache.drops) {
      const { epoch, drops } = cache;
      if (this.#own.dropped) this.#own = cache.get(`user:${this.name}`);
      if (!this.#own.current) await this.#own.refresh();
      await this.#refreshRoles();
      this.#epoch = epoch;
      this.#drops = drops;
      // Tables dropped meanwhile were read all the same; the next call asks for others.
      if (epoch === cache.epoch) return;
    }
  }

  async #refreshRoles(): Promise<void> {
    const names = this.#own.grants.roles;
    const roles = new Map<string, CachedTable>();
    for (const name of names) {
      const known = this.#roles.get(name);
      roles.set(name, known && !known.dropped ? known : this.#cache.get(`role:${name}`));
    }
    const stale = [...roles.values()].filter((table) => !table.current);
    await Promise.all(stale.map((table) => table.refresh()));
    this.#roles = roles;
  }

  /** Forgets what was found when a table has changed since. */
  #checkVersions(): void {
    const versions = this.#versions;
    let at = 0;
    let same = versions[at++] === this.#own.grants.version;
    for (const { grants } of this.#roles.values()) same = versions[at++] === grants.version && same;
    if (same && at === versions.length) return;
    const tables = [this.#own, ...this.#roles.values()];
    this.#versions = tables.map(({ grants }) => grants.version);
    this.#now = undefined;
    this.#watched = undefined;
    this.#remembered = [];
  }
}
