// The DCP client alone on a loopback cluster, for the tests of this folder: no gateway.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import { Topology } from "../../src/bucket/couchbase/cluster/topology.ts";
import { Connector } from "../../src/bucket/couchbase/connection/connector.ts";
import { DcpFeedReader } from "../../src/bucket/couchbase/dcp/feed.ts";
import { type DcpSettings, DEFAULT_DCP_SETTINGS } from "../../src/bucket/couchbase/dcp/settings.ts";
import { NodePool } from "../../src/bucket/couchbase/kv/node-pool.ts";
import {
  type EmbeddedBucket,
  openEmbeddedBucket,
} from "../../src/bucket/embedded/embedded-bucket.ts";
import type { FeedEvent, FeedOptions, StreamPosition } from "../../src/bucket/feed.ts";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { LoopbackCluster } from "../loopback/cluster.ts";

const time = systemTime();

/** How the client of a {@link DcpWorld} reads. */
export interface WorldFeedOptions extends FeedOptions {
  readonly settings?: Partial<DcpSettings>;
  readonly mitigation?: boolean;
}

/** A store, a cluster on it, and feeds. Close it, so that its directory goes away. */
export class DcpWorld {
  readonly bucket: EmbeddedBucket;
  readonly cluster: LoopbackCluster;
  readonly #directory: string;
  readonly #closing: (() => void)[] = [];

  private constructor(bucket: EmbeddedBucket, cluster: LoopbackCluster, directory: string) {
    this.bucket = bucket;
    this.cluster = cluster;
    this.#directory = directory;
  }

  static async start(
    options: { vbuckets?: number; nodes?: number; replicas?: number } = {},
  ): Promise<DcpWorld> {
    const directory = mkdtempSync(join(tmpdir(), "tidegate-dcp-"));
    const bucket = await openEmbeddedBucket({
      directory,
      name: "places",
      time,
      random: systemRandom,
      log: silentLog,
      vbuckets: options.vbuckets ?? 16,
      keepHistory: true,
    });
    const { nodes = 2, replicas = 0 } = options;
    return new DcpWorld(
      bucket,
      await LoopbackCluster.start(bucket, { nodes, replicas }),
      directory,
    );
  }

  /** Opens a feed of every vbucket from the beginning. */
  async openFeed({ settings, mitigation, ...options }: WorldFeedOptions = {}) {
    const connector = new Connector(
      {
        login: { ...this.cluster.user, bucket: "places" },
        connectTimeoutMs: 1000,
        requestTimeoutMs: 2000,
        agent: "tidegate test",
      },
      time,
      systemRandom,
    );
    const topology = new Topology(connector, [this.cluster.address], silentLog);
    const { active } = await topology.refresh();
    const positions = Array.from(active, (_, vb): StreamPosition => {
      return { vb, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 };
    });
    const pool = new NodePool(connector, topology, silentLog);
    const parts = {
      connector,
      topology,
      settings: { ...DEFAULT_DCP_SETTINGS, connectionName: "test", ...settings },
      time,
      random: systemRandom,
      log: silentLog,
      ...(mitigation ? { mitigation: pool } : {}),
    };
    const reader = new DcpFeedReader(parts, positions, options);
    this.#closing.push(() => {
      reader.close();
      pool.close();
    });
    return reader;
  }

  /** Saves `count` documents in vbucket `vb`. Gives their keys. */
  async save(vb: number, count: number, name: string, size = 10): Promise<string[]> {
    const keys: string[] = [];
    for (let n = 0; keys.length < count; n++) {
      const key = `${name}-${n}`;
      if (vbucketOf(key, this.bucket.vbuckets) === vb) keys.push(key);
    }
    for (const key of keys) {
      const body = Buffer.from(JSON.stringify({ key, pad: "x".repeat(size) }));
      const cas = (await this.bucket.documents.get(key))?.cas ?? 0n;
      const saved = await this.bucket.documents.write({ key, cas, body, xattrs: {}, macros: [] });
      if (!saved.ok) throw new Error(`${key} was not saved: ${saved.refusal}`);
    }
    return keys;
  }

  async close(): Promise<void> {
    for (const close of this.#closing) close();
    await this.cluster.stop();
    await this.bucket.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** What a consumer was told, read in the background. */
export class Told {
  readonly events: FeedEvent[] = [];
  /** The reader gave nothing any more. */
  over = false;

  constructor(reader: DcpFeedReader) {
    const run = async () => {
      for (let some = await reader.read(); some.length > 0; some = await reader.read()) {
        this.events.push(...some);
      }
      this.over = true;
    };
    void run();
  }

  /** The keys of what was told, in order. */
  get keys(): string[] {
    return this.events.flatMap((event) => ("key" in event ? [event.key] : []));
  }

  of(kind: FeedEvent["kind"]): FeedEvent[] {
    return this.events.filter((event) => event.kind === kind);
  }
}

/** Waits until `condition` holds. Throws after `limitMs`, saying what was waited for. */
export async function until(
  what: string,
  condition: () => boolean,
  limitMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in ${limitMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
