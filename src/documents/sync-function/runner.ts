// A user's function that is run in this thread while it is quick, and in a worker when it is not.
// What does not live here: the engine (sandbox.ts), and what an outcome means to the caller.

import type { Log } from "../../base/log.ts";
import type { Time } from "../../runtime/time.ts";
import { Lane } from "./lane.ts";
import {
  CALLS_AFTER_SLOW,
  DEFAULT_SANDBOX_LIMITS,
  type FunctionKind,
  IN_THREAD_MAX_UNITS,
  type SandboxLimits,
  SLOW_CALLS_IN_A_ROW,
} from "./limits.ts";
import type { Outcome } from "./outcome.ts";
import { Sandbox } from "./sandbox.ts";
import { writeLogs } from "./settle.ts";

/** What a user's function is made of. */
export interface FunctionOptions {
  /** The text of one JavaScript function. */
  readonly source: string;
  readonly limits?: Partial<SandboxLimits>;
  /** Gets the function's `console` lines. */
  readonly log: Log;
  readonly time: Time;
}

/** Runs one function on texts; `Result` is what is made of its outcomes. */
export class Runner<Result> {
  readonly #kind: FunctionKind;
  readonly #sandbox: Sandbox;
  readonly #lane: Lane;
  readonly #limits: SandboxLimits;
  readonly #log: Log;
  readonly #settle: (outcome: Outcome, limits: SandboxLimits) => Result;
  /** Calls in a row that were too slow for this thread. */
  #slowInARow = 0;
  /** Calls that go to the worker at once, from now on. */
  #toWorker = 0;

  private constructor(
    kind: FunctionKind,
    sandbox: Sandbox,
    limits: SandboxLimits,
    { source, log, time }: FunctionOptions,
    settle: (outcome: Outcome, limits: SandboxLimits) => Result,
  ) {
    this.#kind = kind;
    this.#sandbox = sandbox;
    this.#lane = new Lane(kind, source, limits, log, time);
    this.#limits = limits;
    this.#log = log;
    this.#settle = settle;
  }

  /** Compiles the function. Throws `bad_config` when the source is not one JavaScript function. */
  static async create<Result>(
    kind: FunctionKind,
    options: FunctionOptions,
    settle: (outcome: Outcome, limits: SandboxLimits) => Result,
  ): Promise<Runner<Result>> {
    const limits = { ...DEFAULT_SANDBOX_LIMITS, ...options.limits };
    const sandbox = await Sandbox.create(kind, options.source, limits, options.time);
    return new Runner(kind, sandbox, limits, options, settle);
  }

  /** Runs it on the JSON text of `[first, second, third, nowMs]`. Throws what `settle` throws. */
  run(text: string): Result | Promise<Result> {
    const { inThreadMs } = this.#limits;
    if (inThreadMs === 0 || this.#toWorker > 0 || text.length > IN_THREAD_MAX_UNITS) {
      if (this.#toWorker > 0) this.#toWorker--;
      return this.#slow(text);
    }
    return this.#quick(text);
  }

  /** Lets go of the engine. No call may follow. */
  close(): void {
    this.#lane.close();
    this.#sandbox.close();
  }

  /** In this thread, as far as its budget goes. */
  #quick(text: string): Result | Promise<Result> {
    if (this.#sandbox.broken) return this.#sandbox.repair().then(() => this.#quick(text));
    const { timeMs, inThreadMs } = this.#limits;
    const outcome = this.#sandbox.call(text, Math.min(timeMs, inThreadMs));
    if (outcome.kind !== "failed" || outcome.failure !== "time" || inThreadMs >= timeMs) {
      this.#slowInARow = 0;
      return this.#result(outcome);
    }
    this.#slowInARow++;
    if (this.#slowInARow >= SLOW_CALLS_IN_A_ROW) {
      this.#slowInARow = 0;
      this.#toWorker = CALLS_AFTER_SLOW;
    }
    return this.#slow(text);
  }

  /** With the whole time: in the worker, or in this thread where there are no workers. */
  async #slow(text: string): Promise<Result> {
    const outcome = await this.#lane.call(text);
    if (outcome !== undefined) return this.#result(outcome);
    if (this.#sandbox.broken) await this.#sandbox.repair();
    return this.#result(this.#sandbox.call(text, this.#limits.timeMs));
  }

  #result(outcome: Outcome): Result {
    if (outcome.logs.length > 0) writeLogs(this.#kind, outcome, this.#log);
    return this.#settle(outcome, this.#limits);
  }
}
