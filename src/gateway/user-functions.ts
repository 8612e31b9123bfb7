// The functions that a user gives a database: sync function and import filter, replaced together.

import type { Log } from "../base/log.ts";
import { defaultSyncFunction } from "../documents/default-sync.ts";
import {
  createImportFilter,
  type SandboxedImportFilter,
} from "../documents/sync-function/import-filter.ts";
import {
  createSyncFunction,
  type SandboxedSyncFunction,
} from "../documents/sync-function/sync-function.ts";
import type { ImportFilter, SyncFunction } from "../documents/sync-port.ts";
import type { Time } from "../runtime/time.ts";
import { FunctionHolder } from "./function-holder.ts";
import type { DatabaseSettings } from "./types.ts";

/** The functions of an open database. */
export class UserFunctions {
  readonly #sync: FunctionHolder<SandboxedSyncFunction>;
  readonly #filter: FunctionHolder<SandboxedImportFilter>;

  private constructor(log: Log, time: Time) {
    const logOf = (part: string) => log.child({ part });
    this.#sync = new FunctionHolder(createSyncFunction, { log: logOf("sync function"), time });
    this.#filter = new FunctionHolder(createImportFilter, { log: logOf("import filter"), time });
  }

  /** Compiles what the settings give. Throws `bad_config`; nothing is held then. */
  static async open(settings: DatabaseSettings, log: Log, time: Time): Promise<UserFunctions> {
    const functions = new UserFunctions(log, time);
    await functions.replace(settings);
    return functions;
  }

  /** The sync function that saves run now. */
  get syncFunction(): SyncFunction {
    return this.#sync.current ?? defaultSyncFunction;
  }

  /** The filter that imports run now; undefined: everything is imported. */
  get importFilter(): ImportFilter | undefined {
    return this.#filter.current;
  }

  /** Puts the settings' functions in place. Throws `bad_config`; nothing is changed then. */
  async replace(settings: DatabaseSettings): Promise<void> {
    const filter = await this.#filter.prepare(settings.import?.filter);
    try {
      const sync = await this.#sync.prepare(settings.syncFunction);
      sync.take();
    } catch (error) {
      filter.discard();
      throw error;
    }
    filter.take();
  }

  close(): void {
    this.#sync.close();
    this.#filter.close();
  }
}
