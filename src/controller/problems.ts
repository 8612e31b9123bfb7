// What fails in the background right now, by part: for health, metrics and the log.

import type { Log } from "../base/log.ts";
import type { Time } from "../runtime/time.ts";

/** Something that fails now, and since when (milliseconds since the Unix epoch). */
export interface Problem {
  readonly part: string;
  readonly message: string;
  readonly sinceMs: number;
}

/** The problems of one database. At most one for each part, so their number is bounded. */
export class Problems {
  readonly #problems = new Map<string, Problem>();
  readonly #time: Time;
  readonly #log: Log;

  constructor(time: Time, log: Log) {
    this.#time = time;
    this.#log = log;
  }

  /** Says that `part` fails. Logged when it is new or fails in another way. */
  raise(part: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    const known = this.#problems.get(part);
    if (known?.message === message) return;
    const sinceMs = known?.sinceMs ?? this.#time.nowMs();
    this.#problems.set(part, { part, message, sinceMs });
    this.#log.error({ part, err: error }, `${part} fails: ${message}`);
  }

  /** Says that `part` works (again). */
  clear(part: string): void {
    if (!this.#problems.delete(part)) return;
    this.#log.info({ part }, `${part} works again`);
  }

  /** What fails now. */
  list(): Problem[] {
    return [...this.#problems.values()];
  }
}
