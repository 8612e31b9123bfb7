// The vbuckets of the documents file: their highest seqs, branches and failover logs.

import { assert } from "../../base/assert.ts";
import type { Random } from "../../runtime/random.ts";
import type { FailoverEntry } from "../feed.ts";
import type { SeqVector } from "../vbucket.ts";
import type { Connection, Query } from "./connection.ts";
import { MAX_FAILOVER_ENTRIES } from "./limits.ts";

/**
 * What is known of the vbuckets: a copy in memory of the tables, right as long as `load` is
 * called after each change by another process, and after each transaction that failed. Seqs given
 * to mutations count in memory at once, and are written by `save` at the end of the transaction.
 */
export class VbucketTable {
  /** The highest seq of each vbucket. */
  readonly high: SeqVector;
  /** The branch of each vbucket. */
  readonly vbuuid: string[];
  /** Vbuckets with seqs that are not yet committed. */
  readonly #dirty = new Set<number>();
  readonly #rows: Query<[vb: number, high: number, vbuuid: string]>;
  readonly #save: Query<[]>;
  readonly #branch: Query<[]>;
  readonly #logs: Query<[vb: number, vbuuid: string, seq: number]>;
  readonly #log: Query<[vbuuid: string, seq: number]>;
  readonly #logClear: Query<[]>;
  readonly #logInsert: Query<[]>;

  constructor(connection: Connection, vbuckets: number) {
    this.high = new Float64Array(vbuckets);
    this.vbuuid = new Array<string>(vbuckets).fill("");
    const query = connection.query.bind(connection);
    this.#rows = query("SELECT vb, high_seq, vbuuid FROM vbuckets");
    this.#save = query("UPDATE vbuckets SET high_seq = ? WHERE vb = ?");
    this.#branch = query("UPDATE vbuckets SET high_seq = ?, vbuuid = ? WHERE vb = ?");
    this.#logs = query("SELECT vb, vbuuid, seq FROM failovers ORDER BY vb, place DESC");
    this.#log = query("SELECT vbuuid, seq FROM failovers WHERE vb = ? ORDER BY place DESC");
    this.#logClear = query("DELETE FROM failovers WHERE vb = ?");
    this.#logInsert = query("INSERT INTO failovers (vb, place, vbuuid, seq) VALUES (?, ?, ?, ?)");
  }

  /** Writes the first rows of a new file: every vbucket empty, on a branch of its own. */
  static fill(connection: Connection, vbuckets: number, random: Random): void {
    const vbucket = connection.query(
      "INSERT INTO vbuckets (vb, high_seq, vbuuid) VALUES (?, 0, ?)",
    );
    const log = connection.query(
      "INSERT INTO failovers (vb, place, vbuuid, seq) VALUES (?, 0, ?, 0)",
    );
    for (let vb = 0; vb < vbuckets; vb++) {
      const vbuuid = newVbuuid(random);
      vbucket.run(vb, vbuuid);
      log.run(vb, vbuuid);
    }
  }

  /** Reads the table again; gives the vbuckets that changed. */
  load(): number[] {
    this.#dirty.clear();
    const rows = this.#rows.all();
    assert(rows.length === this.high.length, "the table has one row for each vbucket");
    const changed: number[] = [];
    for (const [vb, high, vbuuid] of rows) {
      if (this.high[vb] === high && this.vbuuid[vb] === vbuuid) continue;
      this.high[vb] = high;
      this.vbuuid[vb] = vbuuid;
      changed.push(vb);
    }
    return changed;
  }

  /** The next seq of `vb`. */
  next(vb: number): number {
    const seq = (this.high[vb] as number) + 1;
    this.high[vb] = seq;
    this.#dirty.add(vb);
    return seq;
  }

  /** Writes the seqs given since the last commit. Call it in the transaction. */
  save(): void {
    for (const vb of this.#dirty) this.#save.run(this.high[vb] as number, vb);
  }

  /** The seqs given since the last call are in the file. */
  committed(): void {
    this.#dirty.clear();
  }

  /** The failover log of `vb`, newest first. */
  log(vb: number): FailoverEntry[] {
    return this.#log.all(vb).map(([vbuuid, seq]) => ({ vbuuid, seq }));
  }

  /** The failover logs of all vbuckets. */
  logs(): FailoverEntry[][] {
    const logs: FailoverEntry[][] = Array.from(this.vbuuid, () => []);
    for (const [vb, vbuuid, seq] of this.#logs.all()) logs[vb]?.push({ vbuuid, seq });
    return logs;
  }

  /** Begins a new branch of `vb` after `seq`. Call it in a transaction. */
  branch(vb: number, seq: number, random: Random): void {
    const vbuuid = newVbuuid(random);
    // Branches that began beyond the cut never were: nobody may stand on them.
    const kept = this.log(vb).filter((entry) => entry.seq <= seq);
    const log = [{ vbuuid, seq }, ...kept].slice(0, MAX_FAILOVER_ENTRIES).reverse();
    this.#logClear.run(vb);
    for (const [place, entry] of log.entries()) {
      this.#logInsert.run(vb, place, entry.vbuuid, entry.seq);
    }
    this.#branch.run(seq, vbuuid, vb);
    this.high[vb] = seq;
    this.vbuuid[vb] = vbuuid;
    this.#dirty.delete(vb);
  }
}

/** A new branch's name: 16 hexadecimal digits, never all zero. */
function newVbuuid(random: Random): string {
  const bytes = random.bytes(8);
  bytes[7] = (bytes[7] as number) | 1;
  return Buffer.from(bytes).toString("hex");
}
