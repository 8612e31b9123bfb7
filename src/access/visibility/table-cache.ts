// The grant tables of one database in memory: read from the index when they are asked for, marked
// when a tick names their pseudo-channel, read on from where they end. What is used least goes first.

import { type Branches, clampToBranches } from "../../clock/branches.ts";
import { copyClock, zeroClock } from "../../clock/clock.ts";
import type { Clock, Stable } from "../../clock/tick.ts";
import type { ChangedChannels, StableClock } from "../../controller/ports.ts";
import { WakeTable } from "../../controller/wake-table.ts";
import { type PrincipalId, pseudoChannel } from "../../index/pseudo-channel.ts";
import { channelHash } from "../../index/shape.ts";
import type { IndexReader } from "../../index/types.ts";
import type { Access } from "../types.ts";
import { GrantTable } from "./grant-table.ts";
import { MAX_READ_AGAIN, MAX_TABLES_WEIGHT, MILESTONE_TICKS, TABLE_WEIGHT } from "./limits.ts";

/** What the tables are made of. */
export interface TableSources {
  readonly index: IndexReader;
  readonly stable: Pick<StableClock, "head" | "subscribe">;
  readonly branches: Branches;
  readonly vbuckets: number;
  /** The weight of the tables kept; {@link MAX_TABLES_WEIGHT} unless said. */
  readonly maxWeight?: number;
}

/** One principal's table and how far it goes. */
export class CachedTable {
  readonly principal: PrincipalId;
  readonly channel: string;
  readonly hash: number;
  /** Whether ticks do not reach it any more: another is to be asked for. */
  dropped = false;
  /** What was put together on top of it; goes with it. */
  access: Access | undefined;
  weight = TABLE_WEIGHT;
  readonly #sources: TableSources;
  readonly #milestones: Milestones;
  readonly #weighed: (table: CachedTable) => void;
  #grants = new GrantTable();
  /** Everything of the pseudo-channel in here was taken; undefined: nothing was read. */
  #known: Clock | undefined;
  #branchesVersion = -1;
  #marked = true;
  #updating: Promise<void> | undefined;

  constructor(
    principal: PrincipalId,
    sources: TableSources,
    milestones: Milestones,
    weighed: (table: CachedTable) => void,
  ) {
    this.principal = principal;
    this.channel = pseudoChannel(principal);
    this.hash = channelHash(this.channel);
    this.#sources = sources;
    this.#milestones = milestones;
    this.#weighed = weighed;
  }

  /** The spans, as far as they were read. */
  get grants(): GrantTable {
    return this.#grants;
  }

  /** Whether the table has everything in the newest stable clock. */
  get current(): boolean {
    return (
      !this.#marked && !this.dropped && this.#branchesVersion === this.#sources.branches.version
    );
  }

  /** A tick says that something changed. */
  mark(): void {
    this.#marked = true;
  }

  /** Reads on until the table has everything in the clock that is newest now. */
  async refresh(): Promise<void> {
    // No tick reaches a table that was dropped: what somebody else began may be too old.
    if (this.dropped) await this.#updating;
    do {
      this.#updating ??= this.#update().finally(() => {
        this.#updating = undefined;
      });
      await this.#updating;
    } while (this.#marked || this.#branchesVersion !== this.#sources.branches.version);
  }

  async #update(): Promise<void> {
    const { index, stable, branches, vbuckets } = this.#sources;
    const { version } = branches;
    const head = stable.head();
    this.#marked = false;
    try {
      const { to, milestone } = this.#milestones.upTo(head);
      // After a rollback nothing is certain: spans may have begun on a branch that is dead.
      const goesOn = this.#known !== undefined && version === this.#branchesVersion;
      const from = goesOn && this.#known ? this.#known : zeroClock(vbuckets);
      const grants = goesOn ? this.#grants : new GrantTable();
      let entries = 0;
      for await (const batch of index.read(this.channel, from, to)) {
        for (const entry of batch) grants.add(entry);
        entries += batch.length;
      }
      this.#grants = grants;
      // What is much is not read again for the sake of a clock.
      this.#known = entries > MAX_READ_AGAIN ? to : milestone;
      this.#branchesVersion = version;
    } catch (error) {
      this.#marked = true;
      throw error;
    }
    this.#weighed(this);
  }
}

/**
 * Clocks up to which tables were read, rounded down to few: a clock is thousands of bytes, and so
 * many tables share one. What is read again for that is a minute's entries.
 */
class Milestones {
  readonly #branches: Branches;
  #last: Stable | undefined;
  #version = -1;

  constructor(branches: Branches) {
    this.#branches = branches;
  }

  /** What is to be read when `head` is the newest tick, and what counts as read afterwards. */
  upTo(head: Stable): { to: Clock; milestone: Clock } {
    const { version } = this.#branches;
    const to =
      this.#branches.rollbacks().length === 0
        ? head.clock
        : clampToBranches(copyClock(head.clock), head.tick, this.#branches);
    const isOld = !this.#last || head.tick - this.#last.tick >= MILESTONE_TICKS;
    if (isOld || this.#version !== version) {
      this.#last = { tick: head.tick, clock: to };
      this.#version = version;
    }
    return { to, milestone: this.#last?.clock ?? to };
  }
}

/** The tables of one database. */
export class TableCache {
  readonly #sources: TableSources;
  readonly #milestones: Milestones;
  readonly #maxWeight: number;
  readonly #unsubscribe: () => void;
  /** What was asked for longest ago comes first. */
  readonly #tables = new Map<PrincipalId, CachedTable>();
  readonly #byHash = new WakeTable<CachedTable>();
  #weight = 0;
  #epoch = 0;
  #branchesVersion = -1;
  #drops = 0;

  constructor(sources: TableSources) {
    this.#sources = sources;
    this.#milestones = new Milestones(sources.branches);
    this.#maxWeight = sources.maxWeight ?? MAX_TABLES_WEIGHT;
    this.#unsubscribe = sources.stable.subscribe((_stable, changed) => this.#ticked(changed));
  }

  /** Changes whenever some table may not be current any more. */
  get epoch(): number {
    const { version } = this.#sources.branches;
    if (version !== this.#branchesVersion) {
      this.#branchesVersion = version;
      this.#epoch++;
    }
    return this.#epoch;
  }

  /** Tables dropped so far: ticks do not reach them any more. */
  get drops(): number {
    return this.#drops;
  }

  /** Tables in memory. */
  get size(): number {
    return this.#tables.size;
  }

  /** What they weigh. */
  get weight(): number {
    return this.#weight;
  }

  /** The table of `principal`, to be refreshed before it is used. */
  get(principal: PrincipalId): CachedTable {
    const known = this.#tables.get(principal);
    if (known) {
      this.#tables.delete(principal);
      this.#tables.set(principal, known);
      return known;
    }
    const weighed = (changed: CachedTable) => this.#weigh(changed);
    const table = new CachedTable(principal, this.#sources, this.#milestones, weighed);
    this.#tables.set(principal, table);
    this.#byHash.add(table, [table.hash]);
    this.#weight += table.weight;
    this.#shrink(table);
    return table;
  }

  /** The access kept with the user's table; made by `make` when there is none. */
  ofUser(name: string, make: () => Access): Access {
    const table = this.get(`user:${name}`);
    table.access ??= make();
    return table.access;
  }

  /** Hears of no more ticks. */
  close(): void {
    this.#unsubscribe();
  }

  #ticked(changed: ChangedChannels): void {
    let marked = changed === "unknown";
    for (const table of this.#byHash.concerned(changed)) {
      table.mark();
      marked = true;
    }
    if (marked) this.#epoch++;
  }

  #weigh(table: CachedTable): void {
    if (table.dropped) return;
    const weight = TABLE_WEIGHT + table.grants.spans;
    this.#weight += weight - table.weight;
    table.weight = weight;
    this.#shrink(table);
  }

  /** Drops what was asked for longest ago, but not `kept`, until the others fit. */
  #shrink(kept: CachedTable): void {
    if (this.#weight <= this.#maxWeight) return;
    for (const table of this.#tables.values()) {
      if (this.#weight <= this.#maxWeight) return;
      if (table !== kept) this.#drop(table);
    }
  }

  #drop(table: CachedTable): void {
    table.dropped = true;
    this.#drops++;
    this.#weight -= table.weight;
    this.#tables.delete(table.principal);
    this.#byHash.remove(table, [table.hash]);
  }
}
