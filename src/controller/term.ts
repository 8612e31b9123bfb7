// The partition clocks under one epoch: taken over by compare-and-swap, and written by it, so that
// who lost them cannot move them any more. When they move: validation.ts and owner.ts.

import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import type { Clock } from "../clock/tick.ts";
import type { Instance } from "./election.ts";
import type { PartitionRecord } from "./records.ts";
import type { ControllerStore, Stored } from "./store.ts";
import { NEW_VBUCKET, type VbucketRecord, VbucketState } from "./vbucket-state.ts";

/** How often a take-over is tried against writes of the owner before. */
const MAX_TAKE_ATTEMPTS = 16;

/** The first vbucket of a partition; that of `partitions` itself is the number of vbuckets. */
export function firstVbucket(partition: number, partitions: number, vbuckets: number): number {
  return Math.floor((partition * vbuckets) / partitions);
}

/** The partition of a vbucket. */
export function partitionOf(vb: number, partitions: number, vbuckets: number): number {
  return Math.floor(((vb + 1) * partitions - 1) / vbuckets);
}

/** What {@link takeTerm} needs. */
export interface TermOptions {
  readonly store: ControllerStore;
  readonly instance: Instance;
  readonly partitions: number;
  readonly vbuckets: number;
  /** What is published: no clock starts lower; what a lost document knew is checked again. */
  readonly floor: Clock;
}

/** The partition clocks of all partitions, owned under one epoch. */
export class Term {
  readonly epoch: number;
  /** By vbucket. */
  readonly states: readonly VbucketState[];
  /** The heartbeats so far; the next has this number plus one. */
  #beat = 0;
  #clusterCas: bigint;
  readonly #partitionCas: bigint[];
  readonly #options: TermOptions;

  constructor(
    options: TermOptions,
    epoch: number,
    clusterCas: bigint,
    taken: readonly Stored<PartitionRecord>[],
  ) {
    this.#options = options;
    this.epoch = epoch;
    this.#clusterCas = clusterCas;
    this.#partitionCas = taken.map(({ cas }) => cas);
    this.states = taken.flatMap(({ record }) =>
      record.vbuckets.map((vbucket, i) => new VbucketState(record.firstVb + i, vbucket)),
    );
    assert(this.states.length === options.vbuckets, "the partitions hold every vbucket once");
  }

  /**
   * Writes the clock documents of the partitions that `vbuckets` belong to, as they stand now.
   *
   * @throws TidegateError `stale_owner` when another node took over
   */
  async write(vbuckets: Iterable<number>): Promise<void> {
    const { store, partitions, vbuckets: count } = this.#options;
    const touched = new Set<number>();
    for (const vb of vbuckets) touched.add(partitionOf(vb, partitions, count));
    const writes = [...touched].map((partition) => ({
      record: this.#record(partition),
      cas: this.#partitionCas[partition] ?? 0n,
    }));
    const written = await store.writePartitions(writes);
    for (const [i, cas] of written.entries()) {
      const partition = writes[i]?.record.partition ?? 0;
      if (cas === undefined) throw stale(`the clock of partition ${partition}`);
      this.#partitionCas[partition] = cas;
    }
  }

  #record(partition: number): PartitionRecord {
    const { partitions, vbuckets, instance } = this.#options;
    const firstVb = firstVbucket(partition, partitions, vbuckets);
    const states = this.states.slice(firstVb, firstVbucket(partition + 1, partitions, vbuckets));
    const records = states.map((state) => state.record());
    return { partition, epoch: this.epoch, owner: instance.id, firstVb, vbuckets: records };
  }

  /**
   * After a write whose outcome is not known: finds out which CAS each document has now.
   *
   * @throws TidegateError `stale_owner` when another node took over
   */
  async reread(): Promise<void> {
    const { store, partitions, instance } = this.#options;
    const found = await store.partitions(partitions);
    for (const [partition, stored] of found.entries()) {
      if (stored?.record.epoch !== this.epoch || stored.record.owner !== instance.id) {
        throw stale(`the clock of partition ${partition}`);
      }
      this.#partitionCas[partition] = stored.cas;
    }
    const cluster = await store.cluster();
    if (cluster?.record.epoch !== this.epoch) throw stale("the cluster document");
    this.#clusterCas = cluster.cas;
  }

  /**
   * Renews the heartbeat, or lets go.
   *
   * @throws TidegateError `stale_owner` when another node took over
   */
  async beat(released = false): Promise<void> {
    const { store, instance } = this.#options;
    const { id: owner, host, pid } = instance;
    const record = { epoch: this.epoch, owner, host, pid, beat: ++this.#beat, released };
    const cas = await store.writeCluster(record, this.#clusterCas);
    if (cas === undefined) throw stale("the cluster document");
    this.#clusterCas = cas;
  }
}

function stale(what: string): TidegateError {
  return new TidegateError("stale_owner", `${what} was written by another node: it owns it now`);
}

/**
 * Takes ownership of every partition: writes the cluster document and then every partition clock
 * under the next epoch. Gives undefined when another node was faster.
 *
 * @param seen the CAS of the cluster document that the decision rests on; `0n`: there was none
 */
export async function takeTerm(options: TermOptions, seen: bigint): Promise<Term | undefined> {
  const { store, partitions, instance } = options;
  let found = await store.partitions(partitions);
  const before = await store.cluster();
  if ((before?.cas ?? 0n) !== seen) return undefined;
  const epochs = found.map((stored) => stored?.record.epoch ?? 0);
  const epoch = Math.max(before?.record.epoch ?? 0, ...epochs) + 1;
  const { id: owner, host, pid } = instance;
  const record = { epoch, owner, host, pid, beat: 0, released: false };
  const clusterCas = await store.writeCluster(record, seen);
  if (clusterCas === undefined) return undefined;

  const taken = new Map<number, Stored<PartitionRecord>>();
  for (let attempt = 0; attempt < MAX_TAKE_ATTEMPTS; attempt++) {
    // The owner before may still be writing: each of its writes that comes between costs a round.
    const open = found.flatMap((stored, partition) =>
      taken.has(partition) ? [] : [{ partition, stored }],
    );
    if (open.some(({ stored }) => (stored?.record.epoch ?? 0) >= epoch)) return undefined;
    const writes = open.map(({ partition, stored }) => ({
      record: { ...content(options, partition, stored?.record), epoch, owner },
      cas: stored?.cas ?? 0n,
    }));
    const written = await store.writePartitions(writes);
    for (const [i, cas] of written.entries()) {
      const write = writes[i];
      if (cas !== undefined && write) taken.set(write.record.partition, { ...write, cas });
    }
    if (taken.size === partitions) break;
    found = await store.partitions(partitions);
  }
  if (taken.size < partitions) {
    throw new TidegateError("unavailable", "the partition clocks could not be taken over");
  }
  const inOrder = [...taken.values()].sort((a, b) => a.record.firstVb - b.record.firstVb);
  return new Term(options, epoch, clusterCas, inOrder);
}

function content(
  { partitions, vbuckets, floor }: TermOptions,
  partition: number,
  stored: PartitionRecord | undefined,
): Pick<PartitionRecord, "partition" | "firstVb" | "vbuckets"> {
  const firstVb = firstVbucket(partition, partitions, vbuckets);
  const count = firstVbucket(partition + 1, partitions, vbuckets) - firstVb;
  if (stored === undefined) {
    const fresh = (_: unknown, i: number): VbucketRecord => ({
      ...NEW_VBUCKET,
      clock: floor[firstVb + i] ?? 0,
    });
    return { partition, firstVb, vbuckets: Array.from({ length: count }, fresh) };
  }
  if (stored.firstVb !== firstVb || stored.vbuckets.length !== count) {
    const found = `${stored.vbuckets.length} vbuckets from ${stored.firstVb}`;
    throw new TidegateError(
      "bad_config",
      `index.partitions: partition ${partition} was made with ${found}, now it would have ` +
        `${count} from ${firstVb}. Set the number of partitions that the database was made with`,
    );
  }
  const records = stored.vbuckets.map((vbucket, i) => ({
    ...vbucket,
    clock: Math.max(vbucket.clock, floor[firstVb + i] ?? 0),
  }));
  return { partition, firstVb, vbuckets: records };
}
