// A simulated world: one data directory, one or two gateways on it, virtual time, seeded choices.
// What the readers and checks of a simulation make of it lives beside this file.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Log, silentLog } from "../../src/base/log.ts";
import type { StoredDocument } from "../../src/bucket/bucket.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { loseTail } from "../../src/bucket/embedded/testing.ts";
import { total } from "../../src/clock/clock.ts";
import { classify } from "../../src/documents/load.ts";
import { indexMutationOf } from "../../src/documents/sync-metadata.ts";
import { ADMIN } from "../../src/documents/types.ts";
import type { OpenDatabase } from "../../src/gateway/database.ts";
import { type OpenGateway, openGateway } from "../../src/gateway/gateway.ts";
import type { DatabaseSettings } from "../../src/gateway/types.ts";
import type { IndexMutation } from "../../src/index/types.ts";
import { VirtualRandom } from "./virtual-random.ts";
import { VirtualTime } from "./virtual-time.ts";

export { ADMIN };

const DATABASE = "sim";

/** One gateway of the world; down when it has no database. */
export interface Node {
  gateway: OpenGateway;
  database: OpenDatabase;
  /** Whether the index write of a save gets lost, as in a crash right after the document's write. */
  dropping: boolean;
}

/** A mutation that some gateway made, and whether a rollback has cut it away. */
export interface Made {
  readonly mutation: IndexMutation;
  lost: boolean;
}

/** What a world is made with. */
export interface WorldOptions {
  readonly seed: number;
  readonly nodes?: number;
  readonly vbuckets?: number;
  readonly settings?: Partial<DatabaseSettings>;
  readonly log?: Log;
}

/** A world. Close it, so that its directory goes away. */
export class World {
  readonly time = new VirtualTime();
  readonly random: VirtualRandom;
  readonly directory = mkdtempSync(join(tmpdir(), "tidegate-sim-"));
  readonly nodes: (Node | undefined)[] = [];
  /** Every mutation made by a gateway, by document. */
  readonly made = new Map<string, Made[]>();
  readonly #options: WorldOptions;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.random = new VirtualRandom(options.seed);
  }

  /** Makes the database and starts every node. */
  async start(): Promise<void> {
    const { nodes = 1, settings } = this.#options;
    const first = await this.time.run(this.#open());
    await this.time.run(first.create(DATABASE, { guest: true, ...settings }));
    this.nodes[0] = this.#node(first);
    for (let i = 1; i < nodes; i++) await this.startNode(i);
  }

  #open(): Promise<OpenGateway> {
    return openGateway({
      dataDirectory: this.directory,
      time: this.time,
      random: this.random,
      log: this.#options.log ?? silentLog,
      vbuckets: this.#options.vbuckets ?? 8,
      simulated: true,
    });
  }

  /** Starts a node that is down. */
  async startNode(i: number): Promise<Node> {
    const node = this.#node(await this.time.run(this.#open()));
    this.nodes[i] = node;
    return node;
  }

  #node(gateway: OpenGateway): Node {
    const database = gateway.database(DATABASE);
    if (database === undefined) throw new Error("the database is not open");
    const node: Node = { gateway, database, dropping: false };
    database.feeder.dropped = (mutation) => {
      const made = this.made.get(mutation.docId) ?? [];
      made.push({ mutation, lost: false });
      this.made.set(mutation.docId, made);
      return node.dropping;
    };
    return node;
  }

  /** Ends a node as a crash would: nothing is finished, published or let go of. */
  async crash(i: number): Promise<void> {
    const node = this.nodes[i];
    this.nodes[i] = undefined;
    if (node) await this.time.run(node.gateway.abandon());
  }

  /** A node that is up; the first is started when none is. */
  async anyNode(): Promise<Node> {
    const up = this.nodes.filter((node) => node !== undefined);
    return up.length > 0 ? this.random.pick(up) : await this.startNode(0);
  }

  /** Documents as stored, tombstones too: what everything else must agree with. */
  async truth(node: Node): Promise<Map<string, IndexMutation>> {
    const ids = [...this.made.keys()];
    const items = await this.time.run(node.database.bucket.documents.getMany(ids));
    const truth = new Map<string, IndexMutation>();
    for (const [i, item] of items.entries()) {
      const id = ids[i] ?? "";
      const found = classify(id, item as StoredDocument | undefined);
      if (found.kind !== "version") continue;
      const { sync } = found.version;
      const vb = this.made.get(id)?.[0]?.mutation.vb ?? 0;
      truth.set(id, indexMutationOf(id, sync, { vb, seq: sync.seq, vbuuid: "" }));
    }
    return truth;
  }

  /** Cuts the newest `count` sequence numbers off a vbucket. */
  async loseTail(node: Node, vb: number, count: number): Promise<void> {
    const { bucket } = node.database;
    const high = (await this.time.run(bucket.feed.highSeqs()))[vb] ?? 0;
    const point = Math.max(0, high - count);
    await this.time.run(loseTail(bucket as EmbeddedBucket, vb, point));
    for (const made of this.made.values()) {
      for (const one of made) {
        if (one.mutation.vb === vb && one.mutation.seq > point) one.lost = true;
      }
    }
  }

  /** Lets time pass until everything that was saved, and imported then, is stable at every node. */
  async settle(): Promise<void> {
    for (;;) {
      let high = 0;
      for (const node of this.nodes) high = Math.max(high, (await this.#settled(node)) ?? 0);
      let now = 0;
      for (const node of this.nodes) now = Math.max(now, (await this.#settled(node)) ?? 0);
      // An import is a mutation of its own, which comes after the one that it heals.
      if (now === high) return;
    }
  }

  async #settled(node: Node | undefined): Promise<number | undefined> {
    if (node === undefined) return undefined;
    const { bucket, stable } = node.database;
    const high = await this.time.run(bucket.feed.highSeqs());
    await this.time.run(stable.reached(high));
    return total(high);
  }

  async close(): Promise<void> {
    for (const node of this.nodes) if (node) await this.time.run(node.gateway.close());
  }

  /** Removes the directory: also of a world that could not be closed. */
  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
