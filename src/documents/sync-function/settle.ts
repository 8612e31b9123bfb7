// From a sandbox's outcome to what the store gets: a result, or an error that says what happened.

import { channelNameProblem } from "../../access/names.ts";
import { TidegateError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { AccessGrant, Requirement, RoleGrant, SyncResult } from "../sync-port.ts";
import type { FunctionKind, SandboxLimits } from "./limits.ts";
import type { Failure, Outcome } from "./outcome.ts";

const NOTHING: readonly never[] = [];

/** The role prefix of a principal's name. */
const ROLE_PREFIX = "role:";

/** Writes what the function printed into the log. */
export function writeLogs(kind: FunctionKind, outcome: Outcome, log: Log): void {
  for (const [level, text] of outcome.logs) log[level]({ function: kind }, text);
  if (outcome.dropped > 0) {
    log.warn({ function: kind, dropped: outcome.dropped }, "more console lines, not written");
  }
}

/**
 * The result of an outcome.
 *
 * @throws TidegateError `forbidden`, `unauthorized` with the reason that was thrown;
 *   `sync_function_failed` naming what happened
 */
export function settle(outcome: Outcome, limits: SandboxLimits): SyncResult {
  if (outcome.kind === "refused") throw new TidegateError(outcome.code, outcome.reason);
  if (outcome.kind === "failed") {
    throw functionFailed("sync function", outcome, limits);
  }
  const { channels } = outcome;
  checkNames(channels, "channel()");
  if (outcome.access.length + outcome.roles.length + outcome.requires.length === 0) {
    return { channels, access: NOTHING, roles: NOTHING, requires: NOTHING };
  }
  const access: AccessGrant[] = [];
  for (const [who, what] of outcome.access) {
    checkPrincipals(who, "access()");
    checkNames(what, "access()");
    for (const principal of who) access.push({ principal, channels: what });
  }
  const roles: RoleGrant[] = [];
  for (const [who, what] of outcome.roles) {
    checkNames(who, "role()");
    checkNames(what, "role()");
    for (const user of who) roles.push({ user, roles: what });
  }
  const requires: Requirement[] = [];
  for (const { kind, names } of outcome.requires) {
    if (kind === "admin") {
      requires.push({ kind });
    } else {
      checkNames(names ?? NOTHING, "require…()");
      requires.push({ kind, names: names ?? NOTHING });
    }
  }
  return { channels, access, roles, requires };
}

/** The error of a call that failed by itself. */
export function functionFailed(
  kind: FunctionKind,
  { failure, message }: Extract<Outcome, { kind: "failed" }>,
  limits: SandboxLimits,
): TidegateError {
  const why = explain(failure, message, limits);
  return new TidegateError("sync_function_failed", `The ${kind} failed: ${why}.`);
}

function explain(failure: Failure, message: string, limits: SandboxLimits): string {
  switch (failure) {
    case "error":
      return message;
    case "time":
      return `it did not end within ${limits.timeMs} ms`;
    case "memory":
      return `it needed more than ${limits.memoryBytes} bytes of memory`;
    case "stack":
      return "its calls or values are nested too deeply";
    case "async":
      return "it used promises, and nothing here can wait for them";
    case "tampered":
      return "it changed what undefined, NaN or Infinity mean";
    case "crash":
      return "it brought the JavaScript engine down";
  }
}

function checkPrincipals(names: readonly string[], call: string): void {
  checkNames(names, call);
  for (const name of names) if (name === ROLE_PREFIX) refuse(call, name, "is empty");
}

function checkNames(names: readonly string[], call: string): void {
  for (const name of names) {
    const problem = channelNameProblem(name);
    if (problem !== undefined) refuse(call, name, problem);
  }
}

function refuse(call: string, name: string, problem: string): never {
  throw new TidegateError(
    "sync_function_failed",
    `The sync function failed: ${call} got the name ${JSON.stringify(name.slice(0, 100))}, ` +
      `which ${problem}.`,
  );
}
