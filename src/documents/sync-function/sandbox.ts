// A QuickJS runtime with one sync function in it, called synchronously. What does not live here:
// where calls run (this thread, a worker), and what an outcome means to the store.

import type { QuickJSContext, QuickJSHandle, QuickJSRuntime } from "quickjs-emscripten-core";
import { assert } from "../../base/assert.ts";
import { TidegateError } from "../../base/errors.ts";
import type { Time } from "../../runtime/time.ts";
import { acquireEngine, type Engine, HardStop } from "./engine.ts";
import {
  type FunctionKind,
  MAX_CALLS_PER_CONTEXT,
  MAX_ENGINE_BYTES,
  MAX_POLL_COUNT,
  MAX_POLLS_PER_MS,
  MAX_UNHEEDED_INTERRUPTIONS,
  MEMORY_BYTES_PER_UNIT,
  MIN_POLL_COUNT,
  POLL_EVERY_MS,
  PRELUDE_LIMITS,
  type SandboxLimits,
} from "./limits.ts";
import type { Failure, LogLine, Outcome } from "./outcome.ts";
import { preludeSource, SOURCE_NAME } from "./prelude.ts";
import { asScript, checkSource, isFunctionAlone, sourceColumn } from "./source.ts";

/** How long compiling may take, and reading the logs of a call that was interrupted. */
const HOUSEKEEPING_MS = 10_000;

/** A runtime with the prelude and the user's function in it. */
interface Instance {
  readonly runtime: QuickJSRuntime;
  readonly context: QuickJSContext;
  readonly run: QuickJSHandle;
  readonly logs: QuickJSHandle;
  /** Where the context counts down to its next question whether to go on. */
  readonly counter: number;
  calls: number;
}

/**
 * A sync function in a runtime of its own. Calls leave nothing behind: what they can reach is
 * frozen, and after a call that ended badly the next one gets a new context.
 */
export class Sandbox {
  readonly #kind: FunctionKind;
  readonly #source: string;
  readonly #limits: SandboxLimits;
  readonly #time: Time;
  #engine: Engine;
  #instance: Instance | undefined;
  #deadline = 0;
  #pollsLeft = 0;
  #interrupted = false;
  #unheeded = 0;
  #lastPoll = 0;
  #pollCount = MIN_POLL_COUNT;

  private constructor(
    engine: Engine,
    kind: FunctionKind,
    source: string,
    limits: SandboxLimits,
    time: Time,
  ) {
    this.#engine = engine;
    this.#kind = kind;
    this.#source = source;
    this.#limits = limits;
    this.#time = time;
  }

  /**
   * Compiles `source` in a new runtime.
   *
   * @throws TidegateError `bad_config` when the source is not one function: line and column are in it
   */
  static async create(
    kind: FunctionKind,
    source: string,
    limits: SandboxLimits,
    time: Time,
  ): Promise<Sandbox> {
    checkSource(source, kind);
    const sandbox = new Sandbox(await acquireEngine(), kind, source, limits, time);
    sandbox.#instance = sandbox.#start();
    return sandbox;
  }

  /** Whether the engine must be replaced, by {@link repair}, before the next call. */
  get broken(): boolean {
    return this.#engine.retired;
  }

  /** Replaces an engine that is retired. */
  async repair(): Promise<void> {
    const engine = await acquireEngine();
    if (!this.broken) return;
    this.#instance = undefined;
    this.#engine = engine;
  }

  /**
   * Calls the function once.
   *
   * @param text the JSON text of `[doc, oldDoc, meta, nowMs]`
   * @param budgetMs how long it may run; at most the limit
   */
  call(text: string, budgetMs: number): Outcome {
    assert(!this.broken, "a broken sandbox is repaired before it is called");
    const reused = this.#instance !== undefined && this.#instance.calls > 0;
    const outcome = this.#callOnce(text, budgetMs);
    const starved = outcome.kind === "failed" && outcome.failure === "memory";
    // A context that served before may have been full of earlier calls' garbage.
    return starved && reused && !this.broken ? this.#callOnce(text, budgetMs) : outcome;
  }

  /** Lets go of the engine. No call may follow. */
  close(): void {
    this.#discard();
  }

  #callOnce(text: string, budgetMs: number): Outcome {
    let outcome: Outcome;
    try {
      this.#instance ??= this.#start();
      outcome = this.#enter(this.#instance, text, budgetMs);
    } catch (error) {
      if (error instanceof TidegateError) throw error;
      this.#instance = undefined;
      this.#engine.retire();
      return failed(crashKind(error), "");
    }
    const clean = outcome.kind !== "failed" || outcome.failure === "error";
    const instance = this.#instance;
    if (!clean || instance === undefined || instance.calls >= MAX_CALLS_PER_CONTEXT)
      this.#discard();
    if (this.#engine.memoryBytes > MAX_ENGINE_BYTES) this.#engine.retire();
    return outcome;
  }

  #enter(instance: Instance, text: string, budgetMs: number): Outcome {
    const { context, runtime, run } = instance;
    instance.calls++;
    runtime.setMemoryLimit(this.#limits.memoryBytes + text.length * MEMORY_BYTES_PER_UNIT);
    const argument = context.newString(text);
    this.#arm(budgetMs, instance.counter);
    const result = context.callFunction(run, context.undefined, argument);
    argument.dispose();
    if (result.error) {
      const failure = this.#interrupted ? "time" : engineFailure(context, result.error);
      result.error.dispose();
      return this.#withLogs(instance, failure);
    }
    const encoded = context.getString(result.value);
    result.value.dispose();
    const outcome = decode(encoded);
    // Some built-ins turn the interruption into an error that can be caught.
    if (this.#interrupted) return { ...outcome, kind: "failed", failure: "time", message: "" };
    return runtime.hasPendingJob()
      ? { ...outcome, kind: "failed", failure: "async", message: "" }
      : outcome;
  }

  #withLogs(instance: Instance, failure: Failure): Outcome {
    this.#arm(HOUSEKEEPING_MS, instance.counter);
    const result = instance.context.callFunction(instance.logs, instance.context.undefined);
    if (result.error) {
      result.error.dispose();
      return failed(failure, "");
    }
    const [logs, dropped] = JSON.parse(instance.context.getString(result.value)) as [
      LogLine[],
      number,
    ];
    result.value.dispose();
    return { kind: "failed", failure, message: "", logs, dropped };
  }

  #arm(budgetMs: number, counter: number): void {
    this.#interrupted = false;
    this.#unheeded = 0;
    this.#lastPoll = this.#time.monotonicMs();
    this.#pollCount = MIN_POLL_COUNT;
    this.#engine.polls?.set(counter, MIN_POLL_COUNT);
    this.#deadline = this.#lastPoll + budgetMs;
    this.#pollsLeft = budgetMs * MAX_POLLS_PER_MS;
  }

  /** Whether the call is to be interrupted; when it goes on all the same, it is thrown out. */
  #poll(counter: number): boolean {
    const now = this.#time.monotonicMs();
    this.#pollsLeft--;
    const sinceMs = Math.max(now - this.#lastPoll, 0.01);
    const count = Math.round((this.#pollCount * POLL_EVERY_MS) / sinceMs);
    this.#pollCount = Math.min(Math.max(count, MIN_POLL_COUNT), MAX_POLL_COUNT);
    this.#lastPoll = now;
    this.#engine.polls?.set(counter, this.#pollCount);
    if (this.#interrupted) {
      this.#unheeded++;
      if (this.#unheeded >= MAX_UNHEEDED_INTERRUPTIONS) this.#engine.stop();
    } else if (this.#pollsLeft <= 0 || now > this.#deadline) {
      this.#interrupted = true;
    }
    return this.#interrupted;
  }

  #start(): Instance {
    const runtime = this.#engine.module.newRuntime();
    runtime.setMemoryLimit(this.#limits.memoryBytes);
    runtime.setMaxStackSize(this.#limits.stackBytes);
    const context = runtime.newContext();
    const counter = this.#engine.polls?.addressIn(context) ?? 0;
    this.#arm(HOUSEKEEPING_MS, counter);
    runtime.setInterruptHandler(() => this.#poll(counter));
    const harness = context.unwrapResult(
      context.evalCode(preludeSource(PRELUDE_LIMITS), "prelude"),
    );
    const compiled = context.evalCode(asScript(this.#source), SOURCE_NAME);
    if (compiled.error) throw sourceError(this.#kind, context.dump(compiled.error));
    const install = context.getProp(harness, "install");
    const installed = context.unwrapResult(
      context.callFunction(install, context.undefined, compiled.value),
    );
    if (!isFunctionAlone(this.#source, context.getString(installed)))
      throw notOneFunction(this.#kind);
    const run = context.getProp(harness, "run");
    const logs = context.getProp(harness, "logs");
    for (const handle of [harness, install, installed, compiled.value]) handle.dispose();
    return { runtime, context, run, logs, counter, calls: 0 };
  }

  #discard(): void {
    const instance = this.#instance;
    this.#instance = undefined;
    if (instance === undefined || this.broken) return;
    try {
      instance.run.dispose();
      instance.logs.dispose();
      instance.context.dispose();
      instance.runtime.dispose();
    } catch {
      // The engine finds its own lists in disorder after some calls that were cut off in the middle:
      // it is replaced as a whole.
      this.#engine.retire();
    }
  }
}

function failed(failure: Failure, message: string): Outcome {
  return { kind: "failed", failure, message, logs: [], dropped: 0 };
}

/** What an error that the engine itself threw, past the prelude, says. */
function engineFailure(context: QuickJSContext, error: QuickJSHandle): Failure {
  const handle = context.getProp(error, "message");
  const message = context.getString(handle);
  handle.dispose();
  if (message.includes("memory")) return "memory";
  return message.includes("stack") ? "stack" : "error";
}

/**
 * What an exception out of the WebAssembly code says: not heeding the clock, the host's stack was used
 * up, or a trap.
 */
function crashKind(error: unknown): Failure {
  if (error instanceof HardStop) return "time";
  return error instanceof RangeError ? "stack" : "crash";
}

function decode(encoded: string): Outcome {
  const [kind, ...rest] = JSON.parse(encoded);
  if (kind === 0) {
    const [channels, access, roles, requires, logs, dropped, truth] = rest;
    const returned = truth === 1;
    return { kind: "done", channels, access, roles, requires, logs, dropped, returned };
  }
  const [what, text, logs, dropped] = rest;
  if (kind === 1) return { kind: "refused", code: what, reason: text, logs, dropped };
  return { kind: "failed", failure: what, message: text, logs, dropped };
}

function sourceError(
  kind: FunctionKind,
  error: { name?: unknown; message?: unknown; stack?: unknown },
): TidegateError {
  const place = /sync-function:(\d+):(\d+)/.exec(String(error.stack ?? ""));
  const line = Number(place?.[1] ?? 1);
  const column = sourceColumn(line, Number(place?.[2] ?? 1));
  return new TidegateError(
    "bad_config",
    `The ${kind}'s source is not JavaScript: ${error.name}: ${error.message} ` +
      `at line ${line}, column ${column}.`,
  );
}

const EXAMPLES: Readonly<Record<FunctionKind, string>> = {
  "sync function": "function (doc, oldDoc, meta) { channel(doc.channels); }",
  "import filter": 'function (doc) { return doc.type === "place"; }',
};

function notOneFunction(kind: FunctionKind): TidegateError {
  return new TidegateError(
    "bad_config",
    `The ${kind}'s source must be one function and nothing else, for example ` +
      `"${EXAMPLES[kind]}": no code around it, no async function, no generator, no class.`,
  );
}
