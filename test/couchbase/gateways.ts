// Gateways on a loopback Couchbase cluster, in this process, for the tests of this folder.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cluster, type Collection, connect } from "couchbase";
import { silentLog } from "../../src/base/log.ts";
import {
  type EmbeddedBucket,
  openEmbeddedBucket,
} from "../../src/bucket/embedded/embedded-bucket.ts";
import type { Clock } from "../../src/clock/tick.ts";
import { classify } from "../../src/documents/load.ts";
import { indexMutationOf } from "../../src/documents/sync-metadata.ts";
import { ADMIN } from "../../src/documents/types.ts";
import { type CouchbaseSourceOptions, couchbaseSource } from "../../src/gateway/bucket-source.ts";
import type { OpenDatabase } from "../../src/gateway/database.ts";
import { type OpenGateway, openGateway } from "../../src/gateway/gateway.ts";
import type { DatabaseSettings } from "../../src/gateway/types.ts";
import { ALL_CHANNEL } from "../../src/index/types.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { LoopbackCluster } from "../loopback/cluster.ts";

export { ADMIN };

const BUCKET = "places";

/** A cluster, the store beneath it, and gateways on it. Close it, so that its directory goes away. */
export class CouchbaseWorld {
  readonly store: EmbeddedBucket;
  readonly cluster: LoopbackCluster;
  readonly gateways: OpenGateway[] = [];
  readonly #directory: string;
  readonly #programs: Cluster[] = [];

  private constructor(store: EmbeddedBucket, cluster: LoopbackCluster, directory: string) {
    this.store = store;
    this.cluster = cluster;
    this.#directory = directory;
  }

  static async start(
    options: { nodes?: number; replicas?: number; vbuckets?: number } = {},
  ): Promise<CouchbaseWorld> {
    const directory = mkdtempSync(join(tmpdir(), "tidegate-couchbase-"));
    const store = await openEmbeddedBucket({
      directory,
      name: BUCKET,
      time: systemTime(),
      random: systemRandom,
      log: silentLog,
      vbuckets: options.vbuckets ?? 64,
      keepHistory: true,
    });
    const { nodes = 2, replicas = 0 } = options;
    const cluster = await LoopbackCluster.start(store, { nodes, replicas });
    return new CouchbaseWorld(store, cluster, directory);
  }

  /** Starts one more gateway on the bucket; the first makes the database. */
  async gateway(
    settings: Partial<DatabaseSettings> = {},
    how: Partial<CouchbaseSourceOptions> = {},
  ): Promise<OpenDatabase> {
    const parts = { time: systemTime(), random: systemRandom, log: silentLog };
    const gateway = await openGateway({
      ...parts,
      dataDirectory: this.#directory,
      source: couchbaseSource({
        ...parts,
        ...this.cluster.user,
        connectionString: this.connectionString,
        operationTimeoutMs: 5000,
        ...how,
      }),
    });
    this.gateways.push(gateway);
    if (gateway.database(BUCKET) === undefined) {
      await gateway.create(BUCKET, { guest: true, ...settings });
    }
    return gateway.database(BUCKET)!;
  }

  get connectionString(): string {
    return `couchbase://127.0.0.1:${this.cluster.address.port}/${BUCKET}`;
  }

  /** Waits until everything in the bucket is stable at `database`. */
  async stable(database: OpenDatabase): Promise<Clock> {
    for (;;) {
      const high = await this.store.feed.highSeqs();
      await database.stable.reached(high, AbortSignal.timeout(60_000));
      const now = await this.store.feed.highSeqs();
      if (now.every((seq, vb) => seq === high[vb])) return high;
    }
  }

  /** Connects as another program does, with the SDK. Closed with the world. */
  async program(): Promise<Collection> {
    const program = await connect(this.connectionString.replace(`/${BUCKET}`, ""), {
      ...this.cluster.user,
      timeouts: { kvTimeout: 30_000 },
    });
    this.#programs.push(program);
    return program.bucket(BUCKET).defaultCollection();
  }

  async close(): Promise<void> {
    for (const program of this.#programs) await program.close();
    for (const gateway of this.gateways) await gateway.close();
    await this.cluster.stop();
    await this.store.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/**
 * Where the index of all documents and of `channels` differs from its recomputation from the
 * documents: empty when it is right.
 */
export async function indexDifferences(
  world: CouchbaseWorld,
  database: OpenDatabase,
  channels: readonly string[],
): Promise<string[]> {
  const clock = await world.stable(database);
  const differences: string[] = [];
  const expected = new Map<string, Map<string, string>>();
  for (const channel of [ALL_CHANNEL, ...channels]) expected.set(channel, new Map());
  for (const id of await documentIds(world)) {
    const item = await world.store.documents.get(id);
    const found = classify(id, item);
    if (found.kind !== "version") {
      if (found.kind === "foreign") differences.push(`${id} was not imported`);
      continue;
    }
    const { sync } = found.version;
    const mutation = indexMutationOf(id, sync, { vb: 0, seq: sync.seq, vbuuid: "" });
    const line = (seq: number, rev: string) => `${seq} ${rev}`;
    expected.get(ALL_CHANNEL)!.set(id, line(mutation.seq, mutation.revId));
    for (const name of mutation.channels) {
      expected.get(name)?.set(id, line(mutation.seq, mutation.revId));
    }
    for (const { channel, seq, revId } of mutation.removals) {
      expected.get(channel)?.set(id, line(seq, revId));
    }
  }
  for (const [channel, want] of expected) {
    const have = new Map<string, string>();
    for await (const batch of database.index.read(channel, new Float64Array(clock.length), clock)) {
      for (const { docId, seq, revId } of batch) if (revId) have.set(docId, `${seq} ${revId}`);
    }
    for (const id of new Set([...want.keys(), ...have.keys()])) {
      if (want.get(id) === have.get(id)) continue;
      differences.push(`${channel} ${id}: documents ${want.get(id)}, index ${have.get(id)}`);
    }
  }
  return differences;
}

/** Every document's id, those of tombstones too, as the feed has them. */
async function documentIds(world: CouchbaseWorld): Promise<Set<string>> {
  const high = await world.store.feed.highSeqs();
  const positions = [...high.keys()].map((vb) => {
    return { vb, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 };
  });
  const reader = world.store.feed.open(positions, { withBody: false, until: high });
  const ids = new Set<string>();
  for (;;) {
    const events = await reader.read();
    if (events.length === 0) break;
    for (const event of events) {
      if ("key" in event && !event.key.startsWith("_sync:")) ids.add(event.key);
    }
  }
  reader.close();
  return ids;
}
