// From a durable save to the index: each saved mutation is written at once, grouped with the others
// under way. What is lost or fails here is healed by the controller.

import type { Problems } from "../controller/problems.ts";
import type { SyncFunction, SyncInput, SyncResult } from "../documents/sync-port.ts";
import type { IndexMutation, IndexWriter } from "../index/types.ts";

/** While more index writes than this are under way, saves wait before they write. */
export const MAX_INDEX_BACKLOG = 4096;

/** What an {@link IndexFeeder} counts. */
export interface FeederCounts {
  /** Mutations handed to the index. */
  fed: number;
  /** Of these, those that the index refused or failed to write. */
  failed: number;
  /** Saves that waited for the index. */
  delayed: number;
}

/** Feeds the saves of this node to the index. */
export class IndexFeeder {
  readonly counts: FeederCounts = { fed: 0, failed: 0, delayed: 0 };
  /** For tests: takes a mutation away before it is written, as a crash would. */
  dropped: ((mutation: IndexMutation) => boolean) | undefined;
  readonly #writer: IndexWriter;
  readonly #problems: Problems;
  #underWay = 0;
  #waiting: (() => void)[] = [];

  constructor(writer: IndexWriter, problems: Problems) {
    this.#writer = writer;
    this.#problems = problems;
  }

  /** Index writes under way. */
  get underWay(): number {
    return this.#underWay;
  }

  /** A version is durable: its entries are written, in no client's way. */
  saved(mutation: IndexMutation): void {
    if (this.dropped?.(mutation)) return;
    this.counts.fed++;
    this.#underWay++;
    this.#writer.write(mutation).then(
      () => {
        this.#ended();
        this.#problems.clear("index writes");
      },
      (error: unknown) => {
        this.counts.failed++;
        this.#ended();
        this.#problems.raise("index writes", error);
      },
    );
  }

  #ended(): void {
    this.#underWay--;
    if (this.#underWay >= MAX_INDEX_BACKLOG || this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const go of waiting) go();
  }

  /**
   * `inner`, which every save runs before it writes, made to wait while the index is too far behind:
   * so the backlog stays bounded without a queue of its own.
   */
  paced(inner: () => SyncFunction): SyncFunction {
    return {
      run: (input: SyncInput): SyncResult | Promise<SyncResult> => {
        if (this.#underWay < MAX_INDEX_BACKLOG) return inner().run(input);
        this.counts.delayed++;
        return new Promise<void>((resolve) => this.#waiting.push(resolve)).then(() =>
          inner().run(input),
        );
      },
    };
  }
}
