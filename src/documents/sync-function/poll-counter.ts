// How often QuickJS looks at the clock. By itself it asks its host every 10,000 jumps and calls,
// which are 10 s when each of them does a millisecond of native work. The count that runs down lies
// in the context's memory; here is where, and a new one can be written there.

import type { QuickJSContext, QuickJSWASMModule } from "quickjs-emscripten-core";

/** The engine's own count between two questions. */
const ENGINE_COUNT = 10_000;

/** The counter is looked for in so many bytes at the beginning of a context. */
const SEARCHED_BYTES = 512;

/** A loop that makes the counter run down by one or more for each turn. */
const TURNS = 500;
const PROBE = `for (let i = 0; i < ${TURNS}; i++);`;

/** Writes the count until the next question into contexts of one engine. */
export class PollCounter {
  readonly #memory: WebAssembly.Memory;
  readonly #offset: number;
  #view: Int32Array;

  private constructor(memory: WebAssembly.Memory, offset: number) {
    this.#memory = memory;
    this.#offset = offset;
    this.#view = new Int32Array(memory.buffer);
  }

  /**
   * Finds the counter by watching a context at work: the one word that runs down by the same amount
   * each time. Undefined when it is not found: then the engine's own count holds.
   */
  static find(module: QuickJSWASMModule): PollCounter | undefined {
    const runtime = module.newRuntime();
    runtime.setInterruptHandler(() => false);
    const context = runtime.newContext();
    const memory = module.getWasmMemory();
    try {
      const address = addressOf(context);
      if (address === undefined) return undefined;
      const words = () => new Int32Array(memory.buffer.slice(address, address + SEARCHED_BYTES));
      const snapshots = Array.from({ length: 4 }, () => {
        context.unwrapResult(context.evalCode(PROBE)).dispose();
        return words();
      });
      const found: number[] = [];
      for (let i = 0; i < SEARCHED_BYTES / 4; i++) {
        const [a = 0, b = 0, c = 0, d = 0] = snapshots.map((snapshot) => snapshot[i]);
        const step = a - b;
        const steady = b - c === step && c - d === step;
        if (steady && step >= TURNS && a <= ENGINE_COUNT && d > 0) found.push(i);
      }
      return found.length === 1 ? new PollCounter(memory, found[0]! * 4) : undefined;
    } finally {
      context.dispose();
      runtime.dispose();
    }
  }

  /** Where the counter of `context` lies. */
  addressIn(context: QuickJSContext): number {
    return (addressOf(context) ?? -this.#offset) + this.#offset;
  }

  /** Lets the engine ask again after `count` jumps and calls. */
  set(address: number, count: number): void {
    // The memory's buffer is another one after it has grown.
    if (this.#view.buffer !== this.#memory.buffer) this.#view = new Int32Array(this.#memory.buffer);
    if (address > 0) this.#view[address >> 2] = count;
  }
}

/** The address of the engine's own structure, which the library keeps to itself. */
function addressOf(context: QuickJSContext): number | undefined {
  const lifetime: unknown = Reflect.get(context, "ctx");
  if (typeof lifetime !== "object" || lifetime === null) return undefined;
  const address: unknown = Reflect.get(lifetime, "value");
  return typeof address === "number" && address > 0 && address % 4 === 0 ? address : undefined;
}
