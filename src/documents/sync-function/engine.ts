// The QuickJS engine (WebAssembly) that the sync functions of this thread share: each has a runtime
// of its own in it. What does not live here: what runs in a runtime.

import { Buffer } from "node:buffer";
import variant from "@jitl/quickjs-singlefile-mjs-release-sync";
import {
  type EmscriptenModuleLoader,
  newQuickJSWASMModuleFromVariant,
  type QuickJSEmscriptenModule,
  type QuickJSWASMModule,
} from "quickjs-emscripten-core";
import { assert } from "../../base/assert.ts";
import { PollCounter } from "./poll-counter.ts";

/** An engine with its memory. Starting one takes some 50 ms, so it is shared while it is whole. */
export class Engine {
  readonly module: QuickJSWASMModule;
  /** Undefined when this build of the engine hides it: then calls end later than they should. */
  readonly polls: PollCounter | undefined;
  #retired = false;
  #stopping = false;

  constructor(module: QuickJSWASMModule) {
    this.module = module;
    this.polls = PollCounter.find(module);
  }

  /** Whether it must not be used any more: it went down, or its memory, which never shrinks, grew. */
  get retired(): boolean {
    return this.#retired;
  }

  /** Bytes of its memory. */
  get memoryBytes(): number {
    return this.module.getWasmMemory().buffer.byteLength;
  }

  /** Whether what runs in it now is to be thrown out of it, see {@link stop}. */
  get stopping(): boolean {
    return this.#stopping;
  }

  /**
   * Called while the engine asks whether it is to be interrupted: throws what runs out of it with a
   * {@link HardStop}, past every `catch` and `finally`. The engine is of no use after that.
   */
  stop(): void {
    this.#stopping = true;
    this.#retired = true;
  }

  /** Takes it out of use. Everything in it is lost; its memory goes when nobody refers to it. */
  retire(): void {
    this.#retired = true;
  }
}

/** Thrown through the engine when code in it does not heed an interruption. */
export class HardStop extends Error {
  override readonly name = "HardStop";
}

/**
 * Starts an engine. Its interruptions can be caught inside by some built-ins, and exceptions of the
 * handler are caught by the library; so the library's callback is wrapped to let one through.
 */
async function startEngine(): Promise<Engine> {
  let raw: QuickJSEmscriptenModule | undefined;
  const module = await newQuickJSWASMModuleFromVariant({
    ...variant,
    importModuleLoader: async () => {
      const imported = await variant.importModuleLoader();
      const load = loaderOf(imported);
      return async (options) => {
        raw = await load(options);
        return raw;
      };
    },
  });
  assert(raw !== undefined, "the engine's module is loaded by the loader given");
  const engine = new Engine(module);
  const { callbacks } = raw;
  const ask = callbacks.shouldInterrupt;
  callbacks.shouldInterrupt = (asyncify, runtime) => {
    const answer = ask(asyncify, runtime);
    if (engine.stopping) throw new HardStop("the engine did not heed an interruption");
    return answer;
  };
  encodeByHost(raw, module.getWasmMemory());
  return engine;
}

/**
 * Texts go into the engine by the host's own UTF-8 encoder: the library encodes them character by
 * character, which took longer than the sync function itself.
 */
function encodeByHost(raw: QuickJSEmscriptenModule, memory: WebAssembly.Memory): void {
  const encoder = new TextEncoder();
  raw.lengthBytesUTF8 = (text) => Buffer.byteLength(text);
  raw.stringToUTF8 = (text, address, room = 0) => {
    if (room <= 0) return;
    const bytes = new Uint8Array(memory.buffer, address, room);
    const { written } = encoder.encodeInto(text, bytes.subarray(0, room - 1));
    bytes[written] = 0;
  };
}

type Loader = EmscriptenModuleLoader<QuickJSEmscriptenModule>;

/** The loader itself, out of whatever the module system has wrapped it in. */
function loaderOf(imported: Awaited<ReturnType<typeof variant.importModuleLoader>>): Loader {
  if (typeof imported === "function") return imported;
  const inner = imported.default;
  return typeof inner === "function" ? inner : inner.default;
}

let shared: Promise<Engine> | undefined;

/** The engine of this thread, a new one when the last was retired. */
export async function acquireEngine(): Promise<Engine> {
  while (true) {
    shared ??= startEngine();
    const mine = shared;
    try {
      const engine = await mine;
      if (!engine.retired) return engine;
      if (shared === mine) shared = undefined;
    } catch (error) {
      if (shared === mine) shared = undefined;
      throw error;
    }
  }
}
