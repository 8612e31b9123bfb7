// What a document grants to principals, from one version to the next: spans of its vbucket, in the
// `_sync` attribute and in the index. All pure. What does not live here: what a principal may see by
// all documents' grants together (`src/access/`).

import { isChannelName, isPrincipalName } from "../access/names.ts";
import { TidegateError } from "../base/errors.ts";
import type { PrincipalId } from "../index/pseudo-channel.ts";
import type { Grant, PrincipalGrants } from "../index/types.ts";
import { MAX_WITHDRAWN_GRANTS, WITHDRAWN_GRANTS_KEPT } from "./limits.ts";
import type { AccessGrant, RoleGrant, SyncResult } from "./sync-port.ts";

/** What goes before a role's name where users and roles stand side by side. */
const ROLE_PREFIX = "role:";

/** One grant as a version keeps it. */
export interface KeptGrant {
  readonly principal: PrincipalId;
  readonly kind: Grant["kind"];
  readonly name: string;
  /** The seq of the mutation with which it began; 0: this very version's. */
  readonly from: number;
  /** The seq of the mutation that withdrew it; 0: this very version's; undefined: it holds. */
  readonly until?: number;
}

/** What {@link nextGrants} needs of the version before. */
export interface GrantsBefore {
  readonly seq: number;
  readonly grants: readonly KeptGrant[];
}

/** The grants of a version, and whether one of before had to be forgotten. */
export interface NextGrants {
  readonly grants: readonly KeptGrant[];
  readonly forgotten: boolean;
}

const NO_GRANTS: NextGrants = { grants: [], forgotten: false };

/**
 * The grants of the version that follows `current`: what was granted and still is goes on, what is
 * not any more ends here, what is new begins here. Withdrawn ones are kept, so that the index's
 * newest entry tells the past; when they are more than {@link WITHDRAWN_GRANTS_KEPT} the oldest that
 * the stable clock has passed are forgotten.
 *
 * @param winner what the winning revision grants; a deletion grants nothing
 * @param stableSeq gives the stable clock's seq in the document's vbucket; asked only when needed
 * @throws TidegateError `unavailable` when too many were withdrawn that are not in the stable clock
 */
export function nextGrants(
  current: GrantsBefore | undefined,
  winner: Pick<SyncResult, "access" | "roles"> & { readonly deleted: boolean },
  stableSeq: () => number,
): NextGrants {
  const before = current?.grants ?? [];
  const grantsNothing = winner.access.length === 0 && winner.roles.length === 0;
  if (before.length === 0 && (grantsNothing || winner.deleted)) return NO_GRANTS;
  const wanted = winner.deleted ? new Map<string, KeptGrant>() : wantedOf(winner);
  const grants: KeptGrant[] = [];
  for (const old of before) {
    const was = resolved(old, current?.seq ?? 0);
    const goesOn = was.until === undefined && wanted.delete(keyOf(was));
    grants.push(goesOn || was.until !== undefined ? was : { ...was, until: 0 });
  }
  grants.push(...wanted.values());
  return forgetPassed(grants, stableSeq);
}

/** A grant with the seqs of the version that it was read from. */
function resolved(grant: KeptGrant, seq: number): KeptGrant {
  if (grant.from !== 0 && grant.until !== 0) return grant;
  return {
    ...grant,
    from: grant.from || seq,
    ...(grant.until === 0 ? { until: seq } : {}),
  };
}

function keyOf({ principal, kind, name }: KeptGrant): string {
  return `${principal}\0${kind}\0${name}`;
}

/** What a result grants, each once, beginning with this version. */
function wantedOf({ access, roles }: Pick<SyncResult, "access" | "roles">): Map<string, KeptGrant> {
  const wanted = new Map<string, KeptGrant>();
  const add = (principal: PrincipalId, kind: Grant["kind"], name: string) => {
    const grant: KeptGrant = { principal, kind, name, from: 0 };
    wanted.set(keyOf(grant), grant);
  };
  for (const { principal, channels } of access) {
    for (const channel of channels) add(principalOf(principal), "channel", channel);
  }
  for (const { user, roles: names } of roles) {
    for (const name of names) add(`user:${user}`, "role", name);
  }
  return wanted;
}

/** A user by its name, a role by `role:` and its name. */
function principalOf(name: string): PrincipalId {
  return name.startsWith(ROLE_PREFIX) ? `role:${name.slice(ROLE_PREFIX.length)}` : `user:${name}`;
}

function forgetPassed(grants: KeptGrant[], stableSeq: () => number): NextGrants {
  const withdrawn = grants.filter(({ until }) => until !== undefined);
  let surplus = withdrawn.length - WITHDRAWN_GRANTS_KEPT;
  if (surplus <= 0) return { grants, forgotten: false };
  const passed = stableSeq();
  const oldestFirst = withdrawn
    .filter(({ until }) => until !== 0 && until! <= passed)
    .sort((one, other) => one.until! - other.until!);
  const forgotten = new Set(oldestFirst.slice(0, surplus));
  surplus = withdrawn.length - forgotten.size;
  if (surplus > MAX_WITHDRAWN_GRANTS) {
    throw new TidegateError(
      "unavailable",
      `The document withdrew more than ${MAX_WITHDRAWN_GRANTS} grants in less time than the index ` +
        "needs to note it. Nothing was changed; try again in a moment.",
    );
  }
  const kept = grants.filter((grant) => !forgotten.has(grant));
  return { grants: kept, forgotten: forgotten.size > 0 };
}

/**
 * What the index has to say of a version's grants: for each principal all its spans.
 *
 * @param seq where the version was written
 * @param own a principal that is named in any case
 */
export function principalGrantsOf(
  grants: readonly KeptGrant[],
  seq: number,
  own?: PrincipalId,
): PrincipalGrants[] {
  const byPrincipal = new Map<PrincipalId, Grant[]>();
  if (own !== undefined) byPrincipal.set(own, []);
  for (const grant of grants) {
    const { principal, kind, name, from, until } = resolved(grant, seq);
    const spans = byPrincipal.get(principal) ?? [];
    byPrincipal.set(principal, spans);
    spans.push({ kind, name, from, until: until ?? 0 });
  }
  return Array.from(byPrincipal, ([principal, spans]) => ({ principal, grants: spans }));
}

/** Throws `sync_function_failed` for a name in `access` or `role` that nobody can have. */
export function checkGrantNames(access: readonly AccessGrant[], roles: readonly RoleGrant[]): void {
  for (const { principal, channels } of access) {
    const isRole = principal.startsWith(ROLE_PREFIX);
    checkPrincipal("access", isRole ? principal.slice(ROLE_PREFIX.length) : principal);
    for (const channel of channels) {
      if (!isChannelName(channel)) throw badName("access", "channel", channel);
    }
  }
  for (const { user, roles: names } of roles) {
    checkPrincipal("role", user);
    for (const name of names) checkPrincipal("role", name);
  }
}

function checkPrincipal(call: string, name: string): void {
  if (!isPrincipalName(name)) throw badName(call, "user or role", name);
}

function badName(call: string, what: string, name: string): TidegateError {
  const shown = JSON.stringify(name.slice(0, 100));
  const reason = `The sync function's ${call} call names a ${what} that there can't be: ${shown}.`;
  return new TidegateError("sync_function_failed", reason);
}
