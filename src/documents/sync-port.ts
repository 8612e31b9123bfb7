// The sync function as the document store sees it: a port. The sandbox (`sync-function/`)
// implements it for user code, `default-sync.ts` natively for the default. What does not live here:
// running it.

import type { Json, JsonObject } from "../base/json.ts";
import type { Actor } from "./types.ts";

/** The most channels that one revision may be in. More: `sync_function_failed`. */
export const MAX_CHANNELS_PER_REVISION = 1000;

/** The most names and channels, summed over all its `access` and `role` calls, of one revision. */
export const MAX_GRANTS_PER_REVISION = 1000;

/** What the sync function gets as its third argument. */
export interface SyncMeta {
  /** User extended attributes by name; empty on the embedded bucket. */
  readonly xattrs: Readonly<Record<string, Json>>;
}

/** One call of the sync function. */
export interface SyncInput {
  /**
   * The JSON text of the new revision: `_id` and `_rev` first, `_deleted: true` when it is a
   * deletion, `_attachments` as stubs when it has any, then the body.
   */
  readonly docJson: string;
  /**
   * The JSON text of the revision it replaces, in the same form; null when there is none. A deleted
   * one is given too, with `_deleted: true`.
   */
  readonly oldDocJson: string | null;
  /**
   * The new revision's members without the `_` ones, parsed: for native functions, which save the
   * parsing (the texts are made when they are read). Never to be changed.
   */
  readonly body?: JsonObject;
  readonly meta: SyncMeta;
  /** Who saves. Imports and resync run as admin without a name. */
  readonly actor: Actor;
}

/** `access(principal, channels)`: `principal` is a user's name, or `role:` and a role's. */
export interface AccessGrant {
  readonly principal: string;
  readonly channels: readonly string[];
}

/** `role(user, roles)`: the roles' names without the `role:` in front. */
export interface RoleGrant {
  readonly user: string;
  readonly roles: readonly string[];
}

/**
 * What a `require*` call asked for; one of `names` must hold. Recorded here, enforced after the run.
 */
export type Requirement =
  | { readonly kind: "admin" }
  | { readonly kind: "user" | "role" | "access"; readonly names: readonly string[] };

/** What one run gave: plain data, in the order of the calls. */
export interface SyncResult {
  /** Channel names as given, none empty. The store drops repetitions and reads `*` as `!`. */
  readonly channels: readonly string[];
  readonly access: readonly AccessGrant[];
  readonly roles: readonly RoleGrant[];
  readonly requires: readonly Requirement[];
}

/**
 * A sync function, ready to run. A pure function of its input: the store may run it again for the
 * same revision.
 */
export interface SyncFunction {
  /**
   * Runs it once. Gives the result itself rather than a promise where it can: the store saves the
   * turn of the event loop.
   *
   * Throws `forbidden` or `unauthorized` with the reason that the function threw, and
   * `sync_function_failed` when it failed by itself (threw anything else, looped, ran out of
   * memory, or gave more names than the limits above, or one that there can't be).
   */
  run(input: SyncInput): SyncResult | Promise<SyncResult>;
}

/** Which documents of other programs become documents here. Ready to run; imports ask it. */
export interface ImportFilter {
  /**
   * Whether to import a document that is not here yet.
   *
   * @param docJson its body with `_id`, as JSON text
   * @param meta its user attributes
   *
   * Throws `sync_function_failed` when the filter failed by itself.
   */
  accepts(docJson: string, meta: SyncMeta): boolean | Promise<boolean>;
}

/** The result of a function that called nothing. */
export const EMPTY_SYNC_RESULT: SyncResult = { channels: [], access: [], roles: [], requires: [] };
