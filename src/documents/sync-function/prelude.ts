// The JavaScript that runs inside QuickJS before the user's function: its interface (`channel`,
// `access`, …), what it records, and the hardening. Text, since it is never run by the host.
// After it has run, every object that user code can reach is frozen: nothing is kept between calls.

import { API_SOURCE } from "./prelude-api.ts";
import { GUARDS_SOURCE } from "./prelude-guards.ts";
import { HARDEN_SOURCE } from "./prelude-harden.ts";

/** The limits that are enforced inside the sandbox; the host checks names once more. */
export interface PreludeLimits {
  /** Distinct channels a call. */
  readonly channels: number;
  /** Names in `access`, `role` and `require*` calls, summed. */
  readonly grants: number;
  /** UTF-16 units of a name. */
  readonly nameUnits: number;
  /** UTF-16 units of a reason or error text. */
  readonly reasonUnits: number;
  /** `console` lines a call; more are counted only. */
  readonly logLines: number;
  /** UTF-16 units of a `console` line. */
  readonly logUnits: number;
  /** Elements of an array that a built-in method is let loose on: it can't be interrupted. */
  readonly elements: number;
  /** Digits that a BigInt is read from. */
  readonly digits: number;
  /** Haystack × needle units of a string search, which can't be interrupted either. */
  readonly searchSteps: number;
}

/** The name that the user's source has in stack traces. */
export const SOURCE_NAME = "sync-function";

/**
 * An expression whose value is `{ install, run, logs }`:
 * - `install(function)` takes the user's function and gives its source text back;
 * - `run(text)` calls it with the JSON text `[doc, oldDoc, meta, nowMs]`, and gives a JSON text:
 *   `[0, channels, access, roles, requires, logs, dropped, returned]` (1: a true value, else 0),
 *   `[1, "forbidden" | "unauthorized", reason, logs, dropped]`, or
 *   `[2, kind, message, logs, dropped]`;
 * - `logs()` gives `[logs, dropped]` of a call that was interrupted.
 */
export function preludeSource(limits: PreludeLimits): string {
  return `(function (limits) {
"use strict";
${GUARDS_SOURCE}
${API_SOURCE}
${HARDEN_SOURCE}
return harden({ install, run, logs: () => stringify([logs, dropped]) });
})(${JSON.stringify(limits)})`;
}
