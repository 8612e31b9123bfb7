// A file with a key-value collection in it, and what everything in one file shares: connection,
// CAS values, group commit. The index file is just this; the documents file is more.

import type { Log } from "../../base/log.ts";
import type { Random } from "../../runtime/random.ts";
import { sleep, type Time } from "../../runtime/time.ts";
import { CasClock } from "./cas.ts";
import { Checkpoints } from "./checkpoints.ts";
import type { Connection, Query } from "./connection.ts";
import { bucketError, isBusy } from "./failures.ts";
import { busyPauseMs, GroupCommit, type GroupHooks } from "./groups.ts";
import { BUSY_LIMIT_MS, CHECKPOINT_FRAMES, CHECKPOINT_RETRY_MS } from "./limits.ts";
import { ValueTable } from "./value-table.ts";

/** What everything in a file is given from outside. */
export interface FileContext {
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
  /** Make checkpoints on the event loop, for programs whose every step is simulated. */
  readonly inlineCheckpoints: boolean;
}

/** An open file. What is cached of it is right only while no other process has written. */
export class StoreFile implements GroupHooks {
  readonly connection: Connection;
  readonly time: Time;
  readonly random: Random;
  readonly cas: CasClock;
  readonly values: ValueTable;
  readonly groups: GroupCommit;
  readonly #saveState: Query<[]>;
  readonly #loadState: Query<[value: number]>;
  readonly #log: Log;
  readonly #checkpoints: Checkpoints | undefined;
  #checkpointAfterMs = Number.NEGATIVE_INFINITY;
  #dataVersion: number | undefined;
  #savedCas = 0;
  /** Pages of the write-ahead log that were not in the file after the last group. */
  logFrames = 0;
  /** Counters for `stats()`. */
  readonly counts = {
    checkpoints: 0,
    failed_checkpoints: 0,
    lost_checkpoint_threads: 0,
    longest_checkpoint_ms: 0,
  };

  constructor(connection: Connection, context: FileContext) {
    this.connection = connection;
    this.time = context.time;
    this.random = context.random;
    this.#log = context.log;
    if (!context.inlineCheckpoints) this.#checkpoints = new Checkpoints(connection.file);
    this.cas = new CasClock(this.time);
    this.values = new ValueTable(connection, this.cas);
    this.groups = new GroupCommit(connection, this.time, this.random, this);
    this.#saveState = connection.query("UPDATE state SET value = ? WHERE name = ?");
    this.#loadState = connection.query("SELECT value FROM state WHERE name = ?");
  }

  /** Unix seconds, for expiry. */
  nowSeconds(): number {
    return Math.floor(this.time.nowMs() / 1000);
  }

  /** Makes what is cached right again, when another process has written since. */
  refresh(): void {
    const version = this.connection.dataVersion();
    if (version === this.#dataVersion) return;
    this.connection.snapshot(() => {
      this.#dataVersion = undefined;
      const within = this.connection.dataVersion();
      this.load();
      this.#dataVersion = within;
    });
  }

  /** Reads everything that is cached from the file. */
  load(): void {
    this.cas.last = Math.max(this.cas.last, this.loadState("last_cas"));
    this.values.forget();
  }

  /** Runs a read; waits and tries again while another process holds the whole file. */
  async read<T>(read: () => T): Promise<T> {
    const started = this.time.monotonicMs();
    for (let tries = 0; ; tries++) {
      try {
        return read();
      } catch (error) {
        const waited = this.time.monotonicMs() - started;
        if (!isBusy(error) || waited > BUSY_LIMIT_MS) {
          throw bucketError(error, this.connection.file, "reading");
        }
      }
      await sleep(this.time, busyPauseMs(tries, this.random));
    }
  }

  /** A number of the table `state`. */
  loadState(name: string): number {
    return this.#loadState.get(name)?.[0] ?? 0;
  }

  /** Writes a number of the table `state`. Call it in a transaction. */
  saveState(name: string, value: number): void {
    this.#saveState.run(value, name);
  }

  began(): void {
    this.refresh();
  }

  ending(): void {
    if (this.cas.last === this.#savedCas) return;
    this.saveState("last_cas", this.cas.last);
    this.#savedCas = this.cas.last;
  }

  committed(): void {}

  rolledBack(): void {
    this.#savedCas = 0;
    // Whatever the group had in memory: the file is read again before anything builds upon it.
    this.#dataVersion = undefined;
    this.values.forget();
  }

  /**
   * When the log is long: a checkpoint. Writers wait for it, because only a log that nobody writes
   * to is ever moved whole, and only then does it begin again and stay short.
   */
  pause(): Promise<void> | undefined {
    try {
      this.logFrames = this.connection.logFrames();
    } catch (error) {
      this.#checkpointFailed(error);
      return undefined;
    }
    if (this.logFrames < CHECKPOINT_FRAMES) return undefined;
    if (this.time.monotonicMs() < this.#checkpointAfterMs) return undefined;
    return this.#checkpoint();
  }

  /** Finishes what is queued and lets go of the file. */
  async close(): Promise<void> {
    await this.groups.close();
    try {
      await this.#checkpoints?.close();
    } finally {
      this.connection.close();
    }
  }

  async #checkpoint(): Promise<void> {
    const started = this.time.monotonicMs();
    try {
      await this.#moveLog();
      this.counts.checkpoints++;
    } catch (error) {
      this.#checkpointFailed(error);
    }
    const took = this.time.monotonicMs() - started;
    this.counts.longest_checkpoint_ms = Math.max(this.counts.longest_checkpoint_ms, took);
  }

  async #moveLog(): Promise<void> {
    if (this.#checkpoints !== undefined) {
      try {
        await this.#checkpoints.run();
        return;
      } catch (error) {
        // Without its thread the log would grow for ever: better to block the event loop for once.
        this.counts.lost_checkpoint_threads++;
        const fields = { err: error, file: this.connection.file };
        this.#log.warn(fields, "the checkpoint thread failed, checkpointing on the event loop");
      }
    }
    this.connection.checkpoint();
  }

  #checkpointFailed(error: unknown): void {
    this.counts.failed_checkpoints++;
    this.#checkpointAfterMs = this.time.monotonicMs() + CHECKPOINT_RETRY_MS;
    this.#log.warn({ err: error, file: this.connection.file }, "checkpoint failed, the log grows");
  }
}
