// A user's import filter, ready for the store: which documents of other programs become documents
// here. It runs where the sync function runs (runner.ts), with the same limits.

import { TidegateError } from "../../base/errors.ts";
import type { Time } from "../../runtime/time.ts";
import type { ImportFilter, SyncMeta } from "../sync-port.ts";
import type { SandboxLimits } from "./limits.ts";
import type { Outcome } from "./outcome.ts";
import { type FunctionOptions, Runner } from "./runner.ts";
import { functionFailed } from "./settle.ts";
import { metaText } from "./sync-function.ts";

/** An import filter that holds an engine. */
export interface SandboxedImportFilter extends ImportFilter {
  /** Lets go of the engine. No call may follow. */
  close(): void;
}

/**
 * Compiles an import filter: one function `(doc, meta)`.
 *
 * @throws TidegateError `bad_config` when the source is not one JavaScript function; a syntax error
 *   is told with its line and column in the source
 */
export async function createImportFilter(options: FunctionOptions): Promise<SandboxedImportFilter> {
  return new InSandbox(await Runner.create("import filter", options, verdict), options.time);
}

class InSandbox implements SandboxedImportFilter {
  readonly #runner: Runner<boolean>;
  readonly #time: Time;

  constructor(runner: Runner<boolean>, time: Time) {
    this.#runner = runner;
    this.#time = time;
  }

  accepts(docJson: string, meta: SyncMeta): boolean | Promise<boolean> {
    return this.#runner.run(`[${docJson},${metaText(meta)},null,${this.#time.nowMs()}]`);
  }

  close(): void {
    this.#runner.close();
  }
}

function verdict(outcome: Outcome, limits: SandboxLimits): boolean {
  if (outcome.kind === "done") return outcome.returned;
  if (outcome.kind === "failed") throw functionFailed("import filter", outcome, limits);
  const message = `The import filter threw { ${outcome.code}: ${JSON.stringify(outcome.reason)} }.`;
  throw new TidegateError("sync_function_failed", message);
}
