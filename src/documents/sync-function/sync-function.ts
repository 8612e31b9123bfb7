// A user's sync function, ready for the store: run in this thread while it is quick, and in a worker
// when it is not. What does not live here: the engine (sandbox.ts) and what errors say (settle.ts).

import type { Log } from "../../base/log.ts";
import type { Time } from "../../runtime/time.ts";
import type { SyncFunction, SyncInput, SyncMeta, SyncResult } from "../sync-port.ts";
import { Lane } from "./lane.ts";
import {
  CALLS_AFTER_SLOW,
  DEFAULT_SANDBOX_LIMITS,
  IN_THREAD_MAX_UNITS,
  type SandboxLimits,
  SLOW_CALLS_IN_A_ROW,
} from "./limits.ts";
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
  const lane = new Lane(options.source, limits, options.log, options.time);
  return new Runner(sandbox, lane, limits, options.log, options.time);
}

class Runner implements SandboxedSyncFunction {
  readonly #sandbox: Sandbox;
  readonly #lane: Lane;
  readonly #limits: SandboxLimits;
  readonly #log: Log;
  readonly #time: Time;
  /** Calls in a row that were too slow for this thread. */
  #slowInARow = 0;
  /** Calls that go to the worker at once, from now on. */
  #toWorker = 0;

  constructor(sandbox: Sandbox, lane: Lane, limits: SandboxLimits, log: Log, time: Time) {
    this.#sandbox = sandbox;
    this.#lane = lane;
    this.#limits = limits;
    this.#log = log;
    this.#time = time;
  }

  run(input: SyncInput): SyncResult | Promise<SyncResult> {
    const text =
      `[${input.docJson},${input.oldDocJson ?? "null"},${metaText(input.meta)},` +
      `${this.#time.nowMs()}]`;
    const { inThreadMs } = this.#limits;
    if (inThreadMs === 0 || this.#toWorker > 0 || text.length > IN_THREAD_MAX_UNITS) {
      if (this.#toWorker > 0) this.#toWorker--;
      return this.#slow(text);
    }
    return this.#quick(text);
  }

  async close(): Promise<void> {
    this.#lane.close();
    this.#sandbox.close();
  }

  /** In this thread, as far as its budget goes. */
  #quick(text: string): SyncResult | Promise<SyncResult> {
    if (this.#sandbox.broken) return this.#sandbox.repair().then(() => this.#quick(text));
    const { timeMs, inThreadMs } = this.#limits;
    const outcome = this.#sandbox.call(text, Math.min(timeMs, inThreadMs));
    if (outcome.kind !== "failed" || outcome.failure !== "time" || inThreadMs >= timeMs) {
      this.#slowInARow = 0;
      return this.#settle(outcome);
    }
    this.#slowInARow++;
    if (this.#slowInARow >= SLOW_CALLS_IN_A_ROW) {
      this.#slowInARow = 0;
      this.#toWorker = CALLS_AFTER_SLOW;
    }
    return this.#slow(text);
  }

  /** With the whole time: in the worker, or in this thread where there are no workers. */
  async #slow(text: string): Promise<SyncResult> {
    const outcome = await this.#lane.call(text);
    if (outcome !== undefined) return this.#settle(outcome);
    if (this.#sandbox.broken) await this.#sandbox.repair();
    return this.#settle(this.#sandbox.call(text, this.#limits.timeMs));
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
