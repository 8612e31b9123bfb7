// A user's sync function, ready for the store: run in this thread while it is quick, and in a worker
// when it is not. What does not live here: the engine (sandbox.ts) and what errors say (settle.ts).

import type { Log } from "../../base/log.ts";
import type { Time } from "../../runtime/time.ts";
import type { SyncFunction, SyncInput, SyncMeta, SyncResult } from "../sync-port.ts";
import { DEFAULT_SANDBOX_LIMITS, type SandboxLimits } from "./limits.ts";
import type { Outcome } from "./outcome.ts";
import { Sandbox } from "./sandbox.ts";
import { settle, writeLogs } from "./settle.ts";

/** What a sync function is made of. */
export interface SyncFunctionOptions {
  /** The text of one JavaScript function `(doc, oldDoc, meta)`. */
  readonly source: string;
  readonly limits?: Partial<SandboxLimits>;
  /** Gets the function's `console` lines. */
  readonly log: Log;
  readonly time: Time;
}

/** A sync function that holds an engine. */
export interface SandboxedSyncFunction extends SyncFunction {
  /** Lets go of the engine. No call may follow. */
  close(): Promise<void>;
}

const NO_XATTRS = '{"xattrs":{}}';

/**
 * Compiles a sync function.
 *
 * @throws TidegateError `bad_config` when the source is not one JavaScript function; a syntax error
 *   is told with its line and column in the source
 */
export async function createSyncFunction(
  options: SyncFunctionOptions,
): Promise<SandboxedSyncFunction> {
  const limits = { ...DEFAULT_SANDBOX_LIMITS, ...options.limits };
  const sandbox = await Sandbox.create(options.source, limits, options.time);
  return new Runner(sandbox, limits, options.log, options.time);
}

class Runner implements SandboxedSyncFunction {
  readonly #sandbox: Sandbox;
  readonly #limits: SandboxLimits;
  readonly #log: Log;
  readonly #time: Time;

  constructor(sandbox: Sandbox, limits: SandboxLimits, log: Log, time: Time) {
    this.#sandbox = sandbox;
    this.#limits = limits;
    this.#log = log;
    this.#time = time;
  }

  run(input: SyncInput): SyncResult | Promise<SyncResult> {
    const text =
      `[${input.docJson},${input.oldDocJson ?? "null"},${metaText(input.meta)},` +
      `${this.#time.nowMs()}]`;
    if (this.#sandbox.broken) {
      return this.#sandbox.repair().then(() => this.#settle(this.#call(text)));
    }
    return this.#settle(this.#call(text));
  }

  async close(): Promise<void> {
    this.#sandbox.close();
  }

  #call(text: string): Outcome {
    return this.#sandbox.call(text, this.#limits.timeMs);
  }

  #settle(outcome: Outcome): SyncResult {
    if (outcome.logs.length > 0) writeLogs(outcome, this.#log);
    return settle(outcome, this.#limits);
  }
}

function metaText(meta: SyncMeta): string {
  for (const _ in meta.xattrs) return JSON.stringify({ xattrs: meta.xattrs });
  return NO_XATTRS;
}
