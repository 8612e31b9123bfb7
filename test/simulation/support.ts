// What the tests of controller, changes and gateway share: a world with one node, and shorthands.

import type { JsonObject } from "../../src/base/json.ts";
import type { OpenDatabase } from "../../src/gateway/database.ts";
import type { ChangesBatch, ChangesFeed, ChangesOptions } from "../../src/replication/types.ts";
import type { VirtualTime } from "./virtual-time.ts";
import { ADMIN, type Node, World, type WorldOptions } from "./world.ts";

/** A row, parsed. */
export interface Row {
  readonly seq: string;
  readonly id: string;
  readonly changes: readonly { readonly rev: string }[];
  readonly deleted?: boolean;
  readonly removed?: readonly string[];
  readonly doc?: JsonObject | null;
}

/** A world with a node that is up, and what tests do with it. */
export class Bench {
  readonly world: World;
  readonly node: Node;

  private constructor(world: World, node: Node) {
    this.world = world;
    this.node = node;
  }

  static async open(options: Partial<WorldOptions> = {}): Promise<Bench> {
    const world = new World({ seed: 1, ...options });
    await world.start();
    return new Bench(world, await world.anyNode());
  }

  get time(): VirtualTime {
    return this.world.time;
  }

  get database(): OpenDatabase {
    return this.node.database;
  }

  /** Lets time pass until `promise` is settled. */
  run<T>(promise: Promise<T>): Promise<T> {
    return this.time.run(promise);
  }

  /** Saves a document, upon its winning revision when there is one. Gives the new revision. */
  async save(id: string, body: JsonObject, node: Node = this.node): Promise<string> {
    const { documents } = node.database;
    const newest = (await this.run(documents.leaves([id])))[0]?.[0];
    const parent = newest && !newest.deleted ? { _rev: newest.rev } : {};
    return (await this.run(documents.put(ADMIN, id, { ...body, ...parent }))).rev;
  }

  async remove(id: string): Promise<string> {
    const { documents } = this.database;
    const newest = (await this.run(documents.leaves([id])))[0]?.[0];
    return (await this.run(documents.remove(ADMIN, id, newest?.rev))).rev;
  }

  /** Saves many documents in one call. */
  async bulk(documents: readonly JsonObject[]): Promise<void> {
    const outcomes = await this.run(this.database.documents.bulk(ADMIN, documents));
    for (const outcome of outcomes) if ("error" in outcome) throw new Error(outcome.reason);
  }

  /** Waits until everything saved is stable. */
  settle(): Promise<void> {
    return this.world.settle();
  }

  open(options: Partial<ChangesOptions> = {}): Promise<ChangesFeed> {
    return this.run(this.database.changes.open(ADMIN, { since: "0", ...options }));
  }

  /** One batch of a feed that need not wait. */
  async batch(feed: ChangesFeed): Promise<ChangesBatch & { parsed: Row[] }> {
    const batch = await this.run(feed.read(false));
    return { ...batch, parsed: batch.rows.map((row) => JSON.parse(row) as Row) };
  }

  /** Everything until the feed has caught up or is done. */
  async all(options: Partial<ChangesOptions> = {}): Promise<{ rows: Row[]; lastSeq: string }> {
    const feed = await this.open(options);
    const rows: Row[] = [];
    for (;;) {
      const { parsed, lastSeq, caughtUp, done } = await this.batch(feed);
      rows.push(...parsed);
      if (!caughtUp && !done) continue;
      feed.close();
      return { rows, lastSeq };
    }
  }

  close(): Promise<void> {
    return this.world.close();
  }
}

/** Runs `task` with a bench that is closed afterwards. */
export async function withBench(
  options: Partial<WorldOptions>,
  task: (bench: Bench) => Promise<void>,
): Promise<void> {
  const bench = await Bench.open(options);
  try {
    await task(bench);
    await bench.close();
  } finally {
    bench.world.remove();
  }
}
