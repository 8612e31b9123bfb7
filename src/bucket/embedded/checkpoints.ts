// Checkpoints: moving what was committed from a file's write-ahead log into the file itself. That
// takes 10 to 30 ms of syncing, so a thread does it, and the event loop goes on meanwhile.

import { Worker } from "node:worker_threads";
import { assert } from "../../base/assert.ts";

/** What a checkpoint did: pages in the log, and how many of them are now in the file. */
export interface CheckpointResult {
  readonly frames: number;
  readonly moved: number;
}

interface Request {
  readonly resolve: (result: CheckpointResult) => void;
  readonly reject: (error: Error) => void;
}

/** What the thread answers. */
interface Answer {
  readonly id: number;
  readonly frames?: number;
  readonly moved?: number;
  readonly error?: string;
}

/**
 * The thread's program. It is a text, because a file of its own would not be found inside the
 * executable. It keeps a connection for each file until it is told to let go of it.
 */
const PROGRAM = `
const { parentPort } = require("node:worker_threads");
const { DatabaseSync } = require("node:sqlite");
const files = new Map();
function connect(file) {
  const database = new DatabaseSync(file);
  const entry = { database, checkpoint: database.prepare("PRAGMA wal_checkpoint(PASSIVE)") };
  files.set(file, entry);
  return entry;
}
parentPort.on("message", ({ id, file, close }) => {
  try {
    if (close) {
      files.get(file)?.database.close();
      files.delete(file);
      parentPort.postMessage({ id, frames: 0, moved: 0 });
      return;
    }
    const row = (files.get(file) ?? connect(file)).checkpoint.get();
    parentPort.postMessage({ id, frames: row.log, moved: row.checkpointed });
  } catch (error) {
    parentPort.postMessage({ id, error: String(error?.message ?? error) });
  }
});
`;

/** The one thread of this process, while there is a file that uses it. */
let thread: CheckpointThread | undefined;

class CheckpointThread {
  readonly #worker: Worker;
  readonly #requests = new Map<number, Request>();
  readonly users = new Set<Checkpoints>();
  #lastId = 0;

  constructor() {
    this.#worker = new Worker(PROGRAM, { eval: true });
    this.#worker.on("message", (answer: Answer) => this.#answered(answer));
    this.#worker.on("error", (error: unknown) => this.#failed(error));
    this.#worker.on("exit", () => this.#failed(new Error("the checkpoint thread ended")));
    // After the listeners, which would make it keep the process alive again.
    this.#worker.unref();
  }

  ask(file: string, close: boolean): Promise<CheckpointResult> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      this.#requests.set(id, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ id, file, close });
    });
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }

  #answered({ id, frames, moved, error }: Answer): void {
    const request = this.#requests.get(id);
    assert(request !== undefined, "the thread answers what it was asked");
    this.#requests.delete(id);
    if (this.#requests.size === 0) this.#worker.unref();
    if (error !== undefined) request.reject(new Error(error));
    else request.resolve({ frames: frames ?? 0, moved: moved ?? 0 });
  }

  #failed(error: unknown): void {
    if (thread === this) thread = undefined;
    const cause = error instanceof Error ? error : new Error(String(error));
    for (const request of this.#requests.values()) request.reject(cause);
    this.#requests.clear();
  }
}

/** Checkpoints of one file by the process's thread, which starts with the first. */
export class Checkpoints {
  readonly #file: string;
  #thread: CheckpointThread | undefined;

  constructor(file: string) {
    this.#file = file;
  }

  /** Moves as much as other processes' readers allow. Rejects with SQLite's message. */
  run(): Promise<CheckpointResult> {
    thread ??= new CheckpointThread();
    this.#thread = thread;
    thread.users.add(this);
    return thread.ask(this.#file, false);
  }

  /** Lets go of the file; the thread ends with the last one. */
  async close(): Promise<void> {
    const used = this.#thread;
    this.#thread = undefined;
    if (used === undefined || used !== thread) return;
    await used.ask(this.#file, true);
    used.users.delete(this);
    if (used.users.size > 0 || thread !== used) return;
    thread = undefined;
    await used.end();
  }
}
