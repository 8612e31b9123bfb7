// The import filter of an open database, which may be replaced while imports go on.

import type { Log } from "../base/log.ts";
import {
  createImportFilter,
  type SandboxedImportFilter,
} from "../documents/sync-function/import-filter.ts";
import type { ImportFilter } from "../documents/sync-port.ts";
import type { Time } from "../runtime/time.ts";

/** Another filter, compiled: exactly one of the two is to be called. */
export interface NextFilter {
  /** Puts it in place. */
  take(): void;
  /** Lets go of it. */
  discard(): void;
}

/** Holds the current import filter. */
export class ImportFilterHolder {
  readonly #log: Log;
  readonly #time: Time;
  #source: string | undefined;
  #filter: SandboxedImportFilter | undefined;
  /** The one before: imports that began with it may still run it. */
  #retired: SandboxedImportFilter | undefined;

  private constructor(log: Log, time: Time) {
    this.#log = log.child({ part: "import filter" });
    this.#time = time;
  }

  /** Compiles `source`; without one everything is imported. Throws `bad_config`. */
  static async open(source: string | undefined, log: Log, time: Time): Promise<ImportFilterHolder> {
    const holder = new ImportFilterHolder(log, time);
    (await holder.prepare(source)).take();
    return holder;
  }

  /** The filter that imports run now; undefined: everything is imported. */
  get current(): ImportFilter | undefined {
    return this.#filter;
  }

  /** Compiles another filter. Throws `bad_config`. */
  async prepare(source: string | undefined): Promise<NextFilter> {
    if (source === this.#source) return { take() {}, discard() {} };
    const options = { log: this.#log, time: this.#time };
    const next =
      source === undefined ? undefined : await createImportFilter({ source, ...options });
    return {
      take: () => {
        this.#retired?.close();
        this.#retired = this.#filter;
        this.#filter = next;
        this.#source = source;
      },
      discard: () => next?.close(),
    };
  }

  close(): void {
    this.#retired?.close();
    this.#filter?.close();
  }
}
