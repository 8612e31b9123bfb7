// A user's function of an open database (sync function, import filter), which may be replaced while
// calls of it are under way. What the function is, is in src/documents/sync-function/.

import type { FunctionOptions } from "../documents/sync-function/runner.ts";

/** What compiles a function: throws `bad_config` when the source is none. */
export type Compile<Compiled> = (options: FunctionOptions) => Promise<Compiled>;

/** A compiled function that holds an engine. */
interface Closable {
  close(): void;
}

/** Another function, compiled: exactly one of the two is to be called. */
export interface NextFunction {
  /** Puts it in place. */
  take(): void;
  /** Lets go of it. */
  discard(): void;
}

/** Holds the current function of one kind. */
export class FunctionHolder<Compiled extends Closable> {
  readonly #compile: Compile<Compiled>;
  readonly #shared: Omit<FunctionOptions, "source">;
  #source: string | undefined;
  #current: Compiled | undefined;
  /** The one before: calls that began with it may still run it. */
  #retired: Compiled | undefined;

  constructor(compile: Compile<Compiled>, shared: Omit<FunctionOptions, "source">) {
    this.#compile = compile;
    this.#shared = shared;
  }

  /** The function that is called now; undefined: there is none. */
  get current(): Compiled | undefined {
    return this.#current;
  }

  /** Compiles another function; undefined: there is to be none. Throws `bad_config`. */
  async prepare(source: string | undefined): Promise<NextFunction> {
    if (source === this.#source) return { take() {}, discard() {} };
    const next =
      source === undefined ? undefined : await this.#compile({ ...this.#shared, source });
    return {
      take: () => {
        this.#retired?.close();
        this.#retired = this.#current;
        this.#current = next;
        this.#source = source;
      },
      discard: () => next?.close(),
    };
  }

  close(): void {
    this.#retired?.close();
    this.#current?.close();
  }
}
