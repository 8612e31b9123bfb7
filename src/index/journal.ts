// Which mutations have their record: from memory when this node wrote them, otherwise from the
// sequence documents. What does not live here: writing records (group.ts).

import type { Clock } from "../clock/tick.ts";
import type { BranchTable } from "./branch-table.ts";
import type { Documents } from "./documents.ts";
import type { EntryTable } from "./entry-codec.ts";
import { MAX_JOURNAL_RECORDS } from "./limits.ts";
import type { SequenceGrid } from "./shape.ts";
import { sequenceDocumentsOf } from "./sources.ts";

/** A mutation that is asked about. */
export interface MutationName {
  readonly vb: number;
  readonly seq: number;
  readonly vbuuid: string;
}

/** What this node knows of one mutation that it writes or wrote. */
interface Remembered {
  /** Writes of it that are not acknowledged yet. */
  pending: number;
  /** The branch that it was written as; -1: it was not yet. */
  branch: number;
  hashes: readonly number[];
}

/** Hears of mutations whose records this node's writer had acknowledged. */
export type RecordedListener = (written: readonly { vb: number; seq: number }[]) => void;

/** What the journal stands on. */
export interface JournalContext {
  readonly documents: Documents;
  readonly branches: BranchTable;
  readonly grid: SequenceGrid;
  refreshBranches(): Promise<void>;
  /** Hears of records that another node wrote. */
  foreign(vb: number, seq: number): void;
}

/** The records of mutations, remembered and stored. */
export class RecordJournal {
  readonly #context: JournalContext;
  readonly #memory = new Map<number, Map<number, Remembered>>();
  readonly #listeners = new Set<RecordedListener>();
  #size = 0;
  /** Looks that wait for writes of this node to end; each look is one of the controller's. */
  readonly #waiting: (() => void)[] = [];

  constructor(context: JournalContext) {
    this.#context = context;
  }

  /** Mutations remembered now. */
  get size(): number {
    return this.#size;
  }

  /** Says that a write of this mutation begins. */
  begun(vb: number, seq: number): void {
    this.#remember(vb, seq).pending++;
  }

  /** Says that a write of this mutation was acknowledged: as this branch, with these channels. */
  acknowledged(vb: number, seq: number, branch: number, hashes: readonly number[]): void {
    const remembered = this.#remember(vb, seq);
    remembered.pending--;
    remembered.branch = branch;
    remembered.hashes = hashes;
  }

  /** Says that a write of this mutation failed. */
  failed(vb: number, seq: number): void {
    const remembered = this.#memory.get(vb)?.get(seq);
    if (!remembered) return;
    remembered.pending--;
    if (remembered.pending <= 0 && remembered.branch < 0) this.#forget(vb, seq);
    this.#settled();
  }

  /** Lets those go on who wait for writes of this node to end. */
  #settled(): void {
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Whether this node itself wrote the record of this mutation, and still remembers it. */
  wrote(vb: number, seq: number): boolean {
    const branch = this.#memory.get(vb)?.get(seq)?.branch ?? -1;
    return branch >= 0 && branch === this.#context.branches.owner(vb, seq);
  }

  #remember(vb: number, seq: number): Remembered {
    let bySeq = this.#memory.get(vb);
    if (!bySeq) {
      bySeq = new Map();
      this.#memory.set(vb, bySeq);
    }
    let remembered = bySeq.get(seq);
    if (remembered) return remembered;
    remembered = { pending: 0, branch: -1, hashes: [] };
    bySeq.set(seq, remembered);
    this.#size++;
    if (this.#size > MAX_JOURNAL_RECORDS) {
      const oldest = bySeq.keys().next();
      if (!oldest.done && oldest.value !== seq) this.#forget(vb, oldest.value);
    }
    return remembered;
  }

  #forget(vb: number, seq: number): void {
    const bySeq = this.#memory.get(vb);
    if (!bySeq?.delete(seq)) return;
    this.#size--;
    if (bySeq.size === 0) this.#memory.delete(vb);
  }

  /** Tells the listeners that the records of these mutations were acknowledged. */
  announce(written: readonly { vb: number; seq: number }[]): void {
    for (const listener of this.#listeners) listener(written);
    this.#settled();
  }

  /** As `Journal.onRecorded`. */
  onRecorded(listener: RecordedListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Forgets what is in `clock`, unless it is being written. */
  passed(clock: Clock): void {
    for (const [vb, bySeq] of this.#memory) {
      for (const [seq, { pending }] of bySeq) {
        if (seq <= clock[vb]! && pending === 0) this.#forget(vb, seq);
      }
    }
  }

  /**
   * As `Journal.recorded`. What this node's writer has under way is waited for before "no" is said
   * of it: under load the queue may be longer than the grace period, and healing would double the
   * work.
   */
  async recorded(
    mutations: readonly MutationName[],
    where: "memory" | "stored" = "stored",
  ): Promise<(readonly number[] | undefined)[]> {
    for (;;) {
      const answers = new Array<readonly number[] | undefined>(mutations.length).fill(undefined);
      const unknown: number[] = [];
      let underWay = false;
      for (const [index, { vb, seq, vbuuid }] of mutations.entries()) {
        const remembered = this.#memory.get(vb)?.get(seq);
        if (remembered && remembered.branch === this.#branchOf(vb, seq, vbuuid)) {
          answers[index] = remembered.hashes;
        } else if (!remembered || remembered.pending === 0) {
          unknown.push(index);
        } else {
          underWay = true;
        }
      }
      if (where === "memory") return answers;
      if (!underWay) {
        if (unknown.length > 0) await this.#look(mutations, unknown, answers);
        return answers;
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The branch that a record of this mutation must be of; undefined: it lies on a dead branch. */
  #branchOf(vb: number, seq: number, vbuuid: string): number | undefined {
    const branch = this.#context.branches.ordinal(vb, vbuuid, seq);
    return branch === this.#context.branches.owner(vb, seq) ? branch : undefined;
  }

  async #look(
    mutations: readonly MutationName[],
    unknown: readonly number[],
    answers: (readonly number[] | undefined)[],
  ): Promise<void> {
    const { grid, documents } = this.#context;
    await this.#context.refreshBranches();
    const wanted = sequenceDocumentsOf(
      grid,
      unknown.map((index) => mutations[index]!),
    );
    const found = new Map<string, readonly EntryTable[]>();
    for (const [i, tables] of (await documents.fetch(wanted)).entries()) {
      if (tables) found.set(wanted[i]!.key, tables);
    }
    for (const index of unknown) {
      const { vb, seq, vbuuid } = mutations[index]!;
      const branch = this.#branchOf(vb, seq, vbuuid);
      if (branch === undefined) continue;
      const tables = found.get(grid.tile(grid.partitionOf(vb), grid.windowOf(seq)).key) ?? [];
      const hashes = recordIn(tables, vb, seq, branch);
      if (hashes === undefined) continue;
      answers[index] = hashes;
      this.#context.foreign(vb, seq);
    }
  }
}

/** The channels of the record of `(vb, seq)` on this branch; undefined when there is none. */
function recordIn(
  tables: readonly EntryTable[],
  vb: number,
  seq: number,
  branch: number,
): number[] | undefined {
  for (const table of tables) {
    for (let i = table.seq.indexOf(seq); i >= 0; i = table.seq.indexOf(seq, i + 1)) {
      if (table.vb[i] === vb && table.branch(i) === branch) return table.channels(i);
    }
  }
  return undefined;
}
