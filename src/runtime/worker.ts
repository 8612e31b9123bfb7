// Threads: starting one on either runtime and in an executable, and being one. One message in, one
// answer out. What does not live here: queues, time limits, and what the messages mean.

import { parentPort, Worker } from "node:worker_threads";

/** A thread that answers messages. */
export interface WorkerThread {
  /** Sends a message; the answer comes to `onAnswer`. Messages before the start are kept. */
  post(message: unknown): void;
  /**
   * Ends the thread, now. Resolves when it has ended, which on Bun is never when the thread is in
   * a WebAssembly loop that does not end: never wait for it without a limit.
   */
  terminate(): Promise<void>;
}

/** What the owner of a {@link WorkerThread} hears. */
export interface WorkerListener {
  /** The thread is there and listens. */
  onReady(): void;
  onAnswer(answer: unknown): void;
  /** The thread could not start, or ended by itself: nothing more will come. Called once. */
  onEnd(reason: Error | undefined): void;
}

/** How an answer and the first sign of life are told apart. */
type Envelope = { readonly ready: true } | { readonly answer: unknown };

/**
 * Starts a thread that does not keep the process alive.
 *
 * @param entry the path of the thread's file from `src/`, ending in `-worker.ts`: the executable
 *   has every such file as a further entry
 */
export function startWorker(entry: string, listener: WorkerListener): WorkerThread {
  const waiting: unknown[] = [];
  let ready = false;
  let ended = false;
  const end = (reason: Error | undefined) => {
    if (ended) return;
    ended = true;
    listener.onEnd(reason);
  };
  const worker = new Worker(entryUrl(entry));
  worker.unref();
  worker.on("message", (envelope: Envelope) => {
    if (ended) return;
    if ("answer" in envelope) return listener.onAnswer(envelope.answer);
    ready = true;
    for (const message of waiting.splice(0)) worker.postMessage(message);
    listener.onReady();
  });
  worker.on("error", (error: unknown) =>
    end(error instanceof Error ? error : new Error(`${error}`)),
  );
  worker.on("exit", () => end(undefined));
  return {
    post(message) {
      if (ready) worker.postMessage(message);
      else waiting.push(message);
    },
    async terminate() {
      ended = true;
      await worker.terminate();
    },
  };
}

/**
 * Makes this thread answer: `handle` gets each message, one after the other, and what it gives is
 * sent back. To be called once, by a file that {@link startWorker} names.
 */
export function serveWorker(handle: (message: unknown) => unknown): void {
  const port = parentPort;
  if (port === null) throw new Error("serveWorker() is for threads that startWorker() started");
  let last: Promise<void> = Promise.resolve();
  port.on("message", (message: unknown) => {
    last = last.then(async () => port.postMessage({ answer: await handle(message) }));
  });
  // Deno loses messages that come before the listener is there: the other side waits for this one.
  port.postMessage({ ready: true });
}

/** In Bun's executables all files lie in this virtual directory, compiled, with the ending .js. */
const BUN_EXECUTABLE = /\/(?:\$bunfs|~BUN)\/root\//;

/** In a bundle this file is part of the main one, and the threads' files lie in folders beside it. */
const BUNDLE = /\/main\.js$/;

function entryUrl(entry: string): URL {
  const here = import.meta.url;
  const built = entry.replace(/\.ts$/, ".js");
  const root = BUN_EXECUTABLE.exec(here);
  if (root !== null) return new URL(built, here.slice(0, root.index + root[0].length));
  return BUNDLE.test(here) ? new URL(built, here) : new URL(`../${entry}`, here);
}
