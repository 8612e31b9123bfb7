// Something that a provider says and that is kept for a while: asked for again when it is old, or
// when somebody misses something in it, but never often, however many ask.

import { TidegateError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Time } from "../../runtime/time.ts";
import { FRESH_MS, KEPT_MS, RETRY_MS, UNKNOWN_KEY_MS } from "./limits.ts";

/** What {@link Refreshed} needs. */
export interface RefreshedOptions<T> {
  /** What it is, for the log and for errors. */
  readonly what: string;
  readonly load: () => Promise<T>;
  readonly time: Time;
  readonly log: Log;
}

/** A value that is loaded when it is first needed, and kept fresh. */
export class Refreshed<T> {
  readonly #options: RefreshedOptions<T>;
  #value: { readonly value: T; readonly atMs: number } | undefined;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  #failed = false;
  #loading: Promise<void> | undefined;

  constructor(options: RefreshedOptions<T>) {
    this.#options = options;
  }

  /** The value. Throws `unavailable` when there is none, or only one that is too old. */
  async get(): Promise<T> {
    if (this.#age() > FRESH_MS) await this.#load(0);
    return this.#kept();
  }

  /** The value, asked for again unless that was done a moment ago. Throws as {@link get} does. */
  async again(): Promise<T> {
    await this.#load(UNKNOWN_KEY_MS);
    return this.#kept();
  }

  #kept(): T {
    if (this.#value && this.#age() <= KEPT_MS) return this.#value.value;
    const reason = `${this.#options.what} cannot be had at the moment; try again later`;
    throw new TidegateError("unavailable", reason, { retryAfterSeconds: RETRY_MS / 1000 });
  }

  #age(): number {
    if (!this.#value) return Number.POSITIVE_INFINITY;
    return this.#options.time.monotonicMs() - this.#value.atMs;
  }

  /** All who wait share one question. */
  #load(pauseMs: number): Promise<void> {
    if (this.#loading) return this.#loading;
    const nowMs = this.#options.time.monotonicMs();
    if (nowMs - this.#triedAtMs < (this.#failed ? RETRY_MS : pauseMs)) return Promise.resolve();
    this.#triedAtMs = nowMs;
    this.#loading = this.#try().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #try(): Promise<void> {
    const { what, load, time, log } = this.#options;
    try {
      const value = await load();
      this.#value = { value, atMs: time.monotonicMs() };
      this.#failed = false;
    } catch (error) {
      // Who needs it hears of it in `get`; the log has why, once for each time that was tried.
      this.#failed = true;
      log.warn({ err: error }, `${what} could not be had`);
    }
  }
}
