// The sync function of an open database, which may be replaced while saves go on.

import type { Log } from "../base/log.ts";
import { defaultSyncFunction } from "../documents/default-sync.ts";
import {
  createSyncFunction,
  type SandboxedSyncFunction,
} from "../documents/sync-function/sync-function.ts";
import type { SyncFunction } from "../documents/sync-port.ts";
import type { Time } from "../runtime/time.ts";

/** Holds the current sync function. */
export class SyncFunctionHolder {
  readonly #log: Log;
  readonly #time: Time;
  #source: string | undefined;
  #sandboxed: SandboxedSyncFunction | undefined;
  /** The one before: saves that began with it may still run it. */
  #retired: SandboxedSyncFunction | undefined;

  private constructor(log: Log, time: Time) {
    this.#log = log.child({ part: "sync function" });
    this.#time = time;
  }

  /** Compiles `source`; without one it is the default. Throws `bad_config`. */
  static async open(source: string | undefined, log: Log, time: Time): Promise<SyncFunctionHolder> {
    const holder = new SyncFunctionHolder(log, time);
    await holder.replace(source);
    return holder;
  }

  /** The function that saves run now. */
  get current(): SyncFunction {
    return this.#sandboxed ?? defaultSyncFunction;
  }

  /** Compiles another function and puts it in place. Throws `bad_config`; nothing is changed then. */
  async replace(source: string | undefined): Promise<void> {
    if (source === this.#source) return;
    const next =
      source === undefined
        ? undefined
        : await createSyncFunction({ source, log: this.#log, time: this.#time });
    await this.#retired?.close();
    this.#retired = this.#sandboxed;
    this.#sandboxed = next;
    this.#source = source;
  }

  async close(): Promise<void> {
    await this.#retired?.close();
    await this.#sandboxed?.close();
  }
}
