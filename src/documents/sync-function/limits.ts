// The limits of a sync function's run, in one place.

import { MAX_CHANNEL_BYTES } from "../../access/names.ts";
import { MAX_CHANNELS_PER_REVISION, MAX_GRANTS_PER_REVISION } from "../sync-port.ts";
import type { PreludeLimits } from "./prelude.ts";

/** What a function in the sandbox is for; messages call it so. */
export type FunctionKind = "sync function" | "import filter";

/** What one call of a sync function may use. */
export interface SandboxLimits {
  /** Milliseconds of running. */
  readonly timeMs: number;
  /** Of these, how many in the calling thread before a worker takes over; 0: in the worker at once. */
  readonly inThreadMs: number;
  /** Bytes of the sandbox's memory, beside what the documents given to it take. */
  readonly memoryBytes: number;
  /** Bytes of the engine's stack: some 700 nested calls fit into the default. */
  readonly stackBytes: number;
}

/** The limits unless said otherwise. */
export const DEFAULT_SANDBOX_LIMITS: SandboxLimits = {
  timeMs: 1000,
  // Long for a function, short for the event loop.
  inThreadMs: 20,
  memoryBytes: 32 * 1024 * 1024,
  // With more, deeply nested values reach the end of the host's own stack before this limit.
  stackBytes: 128 * 1024,
};

/** Inputs with more UTF-16 units go to the worker at once: parsing them alone takes milliseconds. */
export const IN_THREAD_MAX_UNITS = 256 * 1024;

/** After so many calls in a row that used up the budget, calls go to the worker at once … */
export const SLOW_CALLS_IN_A_ROW = 3;

/** … this many of them, before this thread is tried again. */
export const CALLS_AFTER_SLOW = 200;

/** Calls that may wait for a function's worker; more are refused as `unavailable`. */
export const MAX_WAITING_CALLS = 256;

/** How long a worker that should have ended a call by itself is waited for before it is ended. */
export const WORKER_GRACE_MS = 500;

/**
 * So many workers of a function may hang for good (Bun can't end a thread that is in WebAssembly)
 * before its slow calls are all refused.
 */
export const MAX_LOST_WORKERS = 2;

/** How long a worker may take to start. */
export const WORKER_START_MS = 10_000;

/** A worker without work for this long is let go. */
export const WORKER_IDLE_MS = 30_000;

/** Memory given in addition for each UTF-16 unit of the input, for its parsed form. */
export const MEMORY_BYTES_PER_UNIT = 16;

/** A sandbox is made anew after this many calls, whatever they did. */
export const MAX_CALLS_PER_CONTEXT = 50_000;

/** An engine whose memory has grown beyond this is replaced: it never gives memory back. */
export const MAX_ENGINE_BYTES = 128 * 1024 * 1024;

/** How often a running call should look at the clock; the count between two looks follows. */
export const POLL_EVERY_MS = 0.5;

/** Jumps and calls between two looks at the clock: at the beginning, and when each takes long. */
export const MIN_POLL_COUNT = 50;

/** The same, when each is quick. */
export const MAX_POLL_COUNT = 5000;

/** Looks at the clock a millisecond at most: what ends a call when the clock stands still. */
export const MAX_POLLS_PER_MS = 100;

/**
 * Interruptions that code may survive before it is thrown out together with the engine. Some
 * built-ins turn an interruption into an error that can be caught.
 */
export const MAX_UNHEEDED_INTERRUPTIONS = 3;

/** The longest source, in UTF-16 units. */
export const MAX_SOURCE_UNITS = 256 * 1024;

/** What is enforced inside the sandbox. */
export const PRELUDE_LIMITS: PreludeLimits = {
  // One more than the store allows: it reads `*` as `!`, which may make two names one.
  channels: MAX_CHANNELS_PER_REVISION + 1,
  grants: MAX_GRANTS_PER_REVISION,
  nameUnits: MAX_CHANNEL_BYTES,
  reasonUnits: 1000,
  logLines: 20,
  logUnits: 1000,
  elements: 1_000_000,
  digits: 10_000,
  searchSteps: 100_000_000,
};
