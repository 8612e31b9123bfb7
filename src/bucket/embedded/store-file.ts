// A file with a key-value collection in it, and what everything in one file shares: connection,
// CAS values, group commit. The index file is just this; the documents file is more.

import type { Random } from "../../runtime/random.ts";
import { sleep, type Time } from "../../runtime/time.ts";
import { CasClock } from "./cas.ts";
import type { Connection, Query } from "./connection.ts";
import { bucketError, isBusy } from "./failures.ts";
import { busyPauseMs, GroupCommit, type GroupHooks } from "./groups.ts";
import { BUSY_LIMIT_MS } from "./limits.ts";
import { ValueTable } from "./value-table.ts";

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
  #dataVersion: number | undefined;
  #savedCas = 0;

  constructor(connection: Connection, time: Time, random: Random) {
    this.connection = connection;
    this.time = time;
    this.random = random;
    this.cas = new CasClock(time);
    this.values = new ValueTable(connection, this.cas);
    this.groups = new GroupCommit(connection, time, random, this);
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
    this.values.forget();
  }
}
