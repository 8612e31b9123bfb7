// What a sync function's `require*` calls asked for, held against who saves.

import { TidegateError } from "../base/errors.ts";
import type { Requirement } from "./sync-port.ts";
import type { Actor } from "./types.ts";

/** The most names that a refusal repeats. */
const MAX_SHOWN_NAMES = 10;

/**
 * Throws `forbidden` when `actor` does not fulfil each of `requires`. Administrators do, and so do
 * imports and `_resync`. Of several names any is enough.
 */
export function enforce(actor: Actor, requires: readonly Requirement[]): void {
  if (actor.admin) return;
  for (const requirement of requires) {
    if (fulfils(actor, requirement)) continue;
    throw new TidegateError("forbidden", `The sync function requires ${wording(requirement)}.`);
  }
}

function fulfils({ name, access }: Actor, requirement: Requirement): boolean {
  switch (requirement.kind) {
    case "admin":
      return false;
    case "user":
      return name !== null && requirement.names.includes(name);
    case "role":
      return requirement.names.some((role) => access.hasRole(role));
    case "access":
      return requirement.names.length > 0 && access.seesAny(requirement.names);
  }
}

function wording(requirement: Requirement): string {
  if (requirement.kind === "admin") return "an administrator";
  const shown = requirement.names.slice(0, MAX_SHOWN_NAMES).map((name) => JSON.stringify(name));
  if (requirement.names.length > MAX_SHOWN_NAMES) shown.push("…");
  const names = shown.length > 0 ? shown.join(" or ") : "somebody that it does not name";
  switch (requirement.kind) {
    case "user":
      return `the user ${names}`;
    case "role":
      return `the role ${names}`;
    case "access":
      return `access to the channel ${names}`;
  }
}
