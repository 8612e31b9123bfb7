// A user's sync function, ready for the store. What does not live here: where it runs (runner.ts)
// and what errors say (settle.ts).

import type { Time } from "../../runtime/time.ts";
import type { SyncFunction, SyncInput, SyncMeta, SyncResult } from "../sync-port.ts";
import { type FunctionOptions, Runner } from "./runner.ts";
import { settle } from "./settle.ts";

/** A sync function that holds an engine. */
export interface SandboxedSyncFunction extends SyncFunction {
  /** Lets go of the engine. No call may follow. */
  close(): void;
}

const NO_XATTRS = '{"xattrs":{}}';

/**
 * Compiles a sync function: one function `(doc, oldDoc, meta)`.
 *
 * @throws TidegateError `bad_config` when the source is not one JavaScript function; a syntax error
 *   is told with its line and column in the source
 */
export async function createSyncFunction(options: FunctionOptions): Promise<SandboxedSyncFunction> {
  return new InSandbox(await Runner.create("sync function", options, settle), options.time);
}

class InSandbox implements SandboxedSyncFunction {
  readonly #runner: Runner<SyncResult>;
  readonly #time: Time;

  constructor(runner: Runner<SyncResult>, time: Time) {
    this.#runner = runner;
    this.#time = time;
  }

  run(input: SyncInput): SyncResult | Promise<SyncResult> {
    return this.#runner.run(
      `[${input.docJson},${input.oldDocJson ?? "null"},${metaText(input.meta)},` +
        `${this.#time.nowMs()}]`,
    );
  }

  close(): void {
    this.#runner.close();
  }
}

/** What a function gets as `meta`, as JSON text. */
export function metaText(meta: SyncMeta): string {
  for (const _ in meta.xattrs) return JSON.stringify({ xattrs: meta.xattrs });
  return NO_XATTRS;
}
