// The queue in front of the group writer: what is asked for while a group is under way becomes the
// next group. Bounded; nothing is swallowed: a write that fails rejects, and the controller heals.

import { isTidegateError, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { KeyValueCollection, KeyValueOperation, KeyValueResult } from "../bucket/bucket.ts";
import { sleep, type Time } from "../runtime/time.ts";
import { type GroupMember, GroupWriter } from "./group.ts";
import {
  FIRST_RETRY_MS,
  MAX_GROUP_MUTATIONS,
  MAX_GROUPS_IN_FLIGHT,
  MAX_QUEUED_WRITES,
  MAX_WRITE_ATTEMPTS,
} from "./limits.ts";
import type { BlockAddress, SequenceGrid, ShapeMode } from "./shape.ts";
import type { IndexMutation } from "./types.ts";

/** What a writer stands on. */
export interface WriterContext {
  readonly collection: KeyValueCollection;
  readonly vbuckets: number;
  readonly grid: SequenceGrid;
  readonly shape: ShapeMode;
  readonly time: Time;
  readonly log: Log;
  newestShapes(channels: readonly string[]): Promise<(BlockAddress | undefined)[]>;
  stableSeq(vb: number): number;
  late(keys: Iterable<string>): void;
  /** All entries that are to be written of a mutation, decided when its group begins. */
  memberOf(mutation: IndexMutation, healing: boolean): GroupMember;
  /** A mutation is queued. */
  begun(mutation: IndexMutation): void;
  /** A group's records are acknowledged. */
  acknowledged(members: readonly GroupMember[]): void;
  /** A mutation was not written. */
  failed(mutation: IndexMutation): void;
}

interface QueuedWrite {
  readonly mutation: IndexMutation;
  readonly healing: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What a {@link Writer} counts. */
export interface WriterCounts {
  groups: number;
  mutations: number;
  retries: number;
  failedGroups: number;
  refused: number;
}

/** Writes mutations in groups. */
export class Writer {
  readonly counts: WriterCounts = {
    groups: 0,
    mutations: 0,
    retries: 0,
    failedGroups: 0,
    refused: 0,
  };
  readonly groups: GroupWriter;
  readonly #context: WriterContext;
  #queue: QueuedWrite[] = [];
  #inFlight = 0;
  #scheduled = false;
  #closed = false;
  readonly #idle: (() => void)[] = [];

  constructor(context: WriterContext) {
    this.#context = context;
    const { vbuckets, grid, shape, newestShapes, stableSeq, late } = context;
    const batch = (operations: readonly KeyValueOperation[]) => this.#batch(operations);
    const nowMs = () => context.time.nowMs();
    this.groups = new GroupWriter({
      ...{ vbuckets, grid, shape, newestShapes, stableSeq, late },
      batch,
      nowMs,
    });
  }

  /** Mutations waiting for a group. */
  get queued(): number {
    return this.#queue.length;
  }

  /** As `IndexWriter.write`. */
  write(mutation: IndexMutation, healing: boolean): Promise<void> {
    if (this.#closed) return Promise.reject(new TidegateError("unavailable", "index is closed"));
    if (this.#queue.length >= MAX_QUEUED_WRITES) {
      this.counts.refused++;
      const reason = `${this.#queue.length} index writes are waiting: this one will be healed`;
      return Promise.reject(new TidegateError("unavailable", reason));
    }
    this.#context.begun(mutation);
    return new Promise((resolve, reject) => {
      this.#queue.push({ mutation, healing, resolve, reject });
      this.#schedule();
    });
  }

  /** Resolves when nothing is queued or under way. */
  idle(): Promise<void> {
    if (this.#queue.length === 0 && this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Refuses what comes from now on, and finishes what was begun. */
  close(): Promise<void> {
    this.#closed = true;
    return this.idle();
  }

  #schedule(): void {
    if (this.#scheduled || this.#inFlight >= MAX_GROUPS_IN_FLIGHT) return;
    this.#scheduled = true;
    // Whatever is written in this turn of the event loop goes into one group.
    this.#context.time.after(0, () => {
      this.#scheduled = false;
      void this.#next();
    });
  }

  async #next(): Promise<void> {
    const group = this.#queue.slice(0, MAX_GROUP_MUTATIONS);
    if (group.length === 0) return;
    this.#queue = this.#queue.slice(group.length);
    this.#inFlight++;
    if (this.#queue.length > 0) this.#schedule();
    try {
      await this.#writeGroup(group);
      for (const { resolve } of group) resolve();
    } catch (error) {
      this.counts.failedGroups++;
      const fields = { err: error, mutations: group.length };
      this.#context.log.warn(fields, "a group of index writes failed: it will be healed");
      for (const { mutation, reject } of group) {
        this.#context.failed(mutation);
        reject(error);
      }
    }
    this.#inFlight--;
    if (this.#queue.length > 0) this.#schedule();
    else if (this.#inFlight === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #writeGroup(group: readonly QueuedWrite[]): Promise<void> {
    const members = group.map(({ mutation, healing }) => this.#context.memberOf(mutation, healing));
    await this.groups.write(members);
    this.counts.groups++;
    this.counts.mutations += members.length;
    this.#context.acknowledged(members);
  }

  /** Every operation may be repeated, so a batch that failed is tried again as a whole. */
  async #batch(operations: readonly KeyValueOperation[]): Promise<KeyValueResult[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#context.collection.batch(operations);
      } catch (error) {
        const passes = isTidegateError(error, "unavailable") || isTidegateError(error, "ambiguous");
        if (!passes || attempt >= MAX_WRITE_ATTEMPTS) throw error;
        this.counts.retries++;
        await sleep(this.#context.time, FIRST_RETRY_MS * 2 ** (attempt - 1));
      }
    }
  }
}
