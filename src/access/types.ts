// What the floors above know of access: who a request is made by, and what that principal may see at
// which clock. What does not live here: how it is found out (the other files of this folder).

import type { Clock } from "../clock/tick.ts";
import { pseudoChannel } from "../index/pseudo-channel.ts";

/**
 * What one principal may see, by DESIGN part 6: one predicate over channel and clock. It is kept up
 * to date while it is held: a grant counts from the tick on that its mutation is in.
 */
export interface Access {
  /** The user's name; null for the guest and for administrators. */
  readonly name: string | null;
  /** Whether every document is seen, whatever its channels: an administrator. */
  readonly everything: boolean;
  /** Whether one of `channels` is visible at the newest stable clock. */
  seesAny(channels: readonly string[]): boolean;
  /** Whether the user has the role (its name without `role:`) at the newest stable clock. */
  hasRole(role: string): boolean;
  /**
   * The channels visible at `clock`, which is not newer than the newest stable clock: `*` when it was
   * granted, and always `!`.
   */
  at(clock: Clock): ReadonlySet<string>;
  /** The channels visible at the newest stable clock. */
  now(): ReadonlySet<string>;
  /**
   * The channels visible at `from`, at `to`, and as far as is known all the time in between. Where
   * that is not certain a channel is left out: whoever reads it reads again what it has.
   */
  heldThrough(from: Clock, to: Clock): ReadonlySet<string>;
  /** The pseudo-channels on which this access depends: the user's own and its roles', now. */
  watched(): readonly string[];
  /**
   * Resolves when everything in the newest stable clock of this node is taken in. To be awaited
   * before one of the others is asked; costs next to nothing when nothing has changed. Rejects as
   * reads of the index do: nobody must go on with what was known before.
   */
  refresh(): Promise<void>;
}

const NOTHING_WATCHED: readonly string[] = [];
const REFRESHED = Promise.resolve();
const ALL: ReadonlySet<string> = new Set(["*", "!"]);

/** The access of administrators: everything, at every clock. */
export const FULL_ACCESS: Access = {
  name: null,
  everything: true,
  seesAny: () => true,
  hasRole: () => true,
  at: () => ALL,
  now: () => ALL,
  heldThrough: () => ALL,
  watched: () => NOTHING_WATCHED,
  refresh: () => REFRESHED,
};

/**
 * The access of somebody with the same channels at every clock: the guest, whose channels are set in
 * the configuration. `!` is always among them.
 */
export function fixedAccess(channels: readonly string[]): Access {
  const seen: ReadonlySet<string> = new Set([...channels, "!"]);
  const all = seen.has("*");
  return {
    name: null,
    everything: false,
    seesAny: (wanted) => all || wanted.some((channel) => seen.has(channel)),
    hasRole: () => false,
    at: () => seen,
    now: () => seen,
    heldThrough: () => seen,
    watched: () => NOTHING_WATCHED,
    refresh: () => REFRESHED,
  };
}

/** The roles among the principals on which `access` depends: names without `role:`. */
export function rolesOf(access: Access): string[] {
  const mark = pseudoChannel("role:");
  const roles = access.watched().filter((channel) => channel.startsWith(mark));
  return roles.map((channel) => channel.slice(mark.length)).sort();
}
