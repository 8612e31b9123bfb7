// A bucket of Couchbase Server: documents by the SDK and one lookup of our own, the index over
// pipelined connections, the feed by DCP. What does not live here: what any of these parts does.

import { readFile } from "node:fs/promises";
import { type Cluster, connect, type Collection as SdkCollection } from "couchbase";
import { TidegateError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Random } from "../../runtime/random.ts";
import type { Time } from "../../runtime/time.ts";
import type { Bucket, DocumentCollection, KeyValueCollection } from "../bucket.ts";
import type { ClusterNode } from "./cluster/cluster-map.ts";
import {
  type CollectionNames,
  DEFAULT_COLLECTIONS,
  ensureCollections,
} from "./cluster/collections.ts";
import { Topology } from "./cluster/topology.ts";
import { Connector } from "./connection/connector.ts";
import {
  type BucketAddress,
  parseConnectionString,
  sdkConnectionString,
} from "./connection-string.ts";
import { CouchbaseFeed } from "./dcp/couchbase-feed.ts";
import { type DcpSettings, DEFAULT_DCP_SETTINGS } from "./dcp/settings.ts";
import { CouchbaseDocuments } from "./documents/documents.ts";
import { itemCount } from "./documents/item-count.ts";
import { DocumentLookup } from "./documents/lookup.ts";
import { RangeScan } from "./documents/range-scan.ts";
import { TombstoneWriter } from "./documents/tombstones.ts";
import { type Durability, SDK_DURABILITY } from "./durability.ts";
import { NodePool } from "./kv/node-pool.ts";
import { PipelinedClient } from "./kv/pipelined-client.ts";
import { PipelinedCollection } from "./kv/pipelined-collection.ts";
import { type Patience, patiently } from "./kv/retry.ts";
import { SdkValues } from "./kv/sdk-values.ts";

/** How a Couchbase bucket is reached and used. */
export interface CouchbaseBucketOptions {
  /** `couchbase://host[:port][,…]/bucket` or `couchbases://…`. */
  readonly connectionString: string;
  readonly username: string;
  readonly password: string;
  /** A file of PEM certificates of authorities to trust; for `couchbases://`. */
  readonly caFile?: string;
  readonly collections?: Partial<CollectionNames>;
  readonly durability?: Durability;
  /** The index's traffic over our own connections (default), or by the SDK, for comparison. */
  readonly indexTraffic?: "pipelined" | "sdk";
  readonly dcp?: Partial<DcpSettings>;
  /** Hold back on the feed what is not on the disks of all copies; not unless said. */
  readonly rollbackMitigation?: boolean;
  readonly connectTimeoutMs?: number;
  readonly operationTimeoutMs?: number;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
}

/** The defaults of {@link CouchbaseBucketOptions}. */
export const COUCHBASE_DEFAULTS = {
  durability: "majority",
  indexTraffic: "pipelined",
  connectTimeoutMs: 5_000,
  operationTimeoutMs: 10_000,
} as const;

/** The SDK was seen, rarely, to miss its first connection: of the time-out a try gets this share. */
const SDK_CONNECT_SHARE = 0.4;

/**
 * Opens a bucket of Couchbase Server.
 *
 * Throws `bad_config` (connection string; collections missing that this user may not make),
 * `unauthorized` (password), `not_found` (no such bucket), `unavailable` (no node answers).
 */
export async function openCouchbaseBucket(
  options: CouchbaseBucketOptions,
): Promise<CouchbaseBucket> {
  const address = parseConnectionString(options.connectionString);
  const log = options.log.child({ bucket: address.bucket });
  const agent = `tidegate ${Buffer.from(options.random.bytes(6)).toString("hex")}`;
  const connector = await connectorOf(options, address, agent);
  // First: a wrong password or bucket is said at once here, and only after a time-out by the SDK.
  const topology = new Topology(connector, address.nodes, log);
  const patience = {
    time: options.time,
    random: options.random,
    timeoutMs: options.connectTimeoutMs ?? COUCHBASE_DEFAULTS.connectTimeoutMs,
  };
  const map = await patiently(patience, () => topology.refresh());
  const pool = new NodePool(connector, topology, log);
  const cluster = await patiently(patience, () =>
    connectSdk(options, address, Math.ceil(patience.timeoutMs * SDK_CONNECT_SHARE)),
  );
  try {
    const sdk = cluster.bucket(address.bucket);
    const names = { ...DEFAULT_COLLECTIONS, ...options.collections };
    const ids = await patiently(patience, async () => {
      const connection = await pool.connection(map.nodes[0] as ClusterNode);
      return ensureCollections(connection, sdk, names, options.time);
    });
    const place = { address, agent, names, ids, vbuckets: map.active.length };
    return new CouchbaseBucket({ options, log, connector, topology, pool, cluster, place });
  } catch (error) {
    pool.close();
    await cluster.close();
    throw error;
  }
}

/** How nodes are reached with these options. Throws what reading the CA file throws. */
export async function connectorOf(
  options: CouchbaseBucketOptions,
  address: BucketAddress,
  agent: string,
): Promise<Connector> {
  const { username, password, caFile } = options;
  const ca = caFile === undefined ? {} : { ca: [await readFile(caFile, "utf8")] };
  return new Connector(
    {
      login: { username, password, bucket: address.bucket },
      ...(address.tls ? { tls: ca } : {}),
      connectTimeoutMs: options.connectTimeoutMs ?? COUCHBASE_DEFAULTS.connectTimeoutMs,
      requestTimeoutMs: options.operationTimeoutMs ?? COUCHBASE_DEFAULTS.operationTimeoutMs,
      agent,
    },
    options.time,
    options.random,
  );
}

async function connectSdk(
  options: CouchbaseBucketOptions,
  address: BucketAddress,
  connectTimeout: number,
): Promise<Cluster> {
  const { username, password, caFile } = options;
  try {
    return await connect(sdkConnectionString(address), {
      username,
      password,
      timeouts: {
        kvTimeout: options.operationTimeoutMs ?? COUCHBASE_DEFAULTS.operationTimeoutMs,
        connectTimeout,
      },
      ...(caFile === undefined ? {} : { security: { trustStorePath: caFile } }),
    });
  } catch (cause) {
    throw new TidegateError("unavailable", "The Couchbase SDK could not connect.", { cause });
  }
}

interface Parts {
  readonly options: CouchbaseBucketOptions;
  readonly log: Log;
  readonly connector: Connector;
  readonly topology: Topology;
  readonly pool: NodePool;
  readonly cluster: Cluster;
  readonly place: {
    readonly address: BucketAddress;
    readonly agent: string;
    readonly names: CollectionNames;
    readonly ids: { readonly documents: number; readonly metadata: number; readonly index: number };
    readonly vbuckets: number;
  };
}

/** A bucket of Couchbase Server, open. Made by {@link openCouchbaseBucket}. */
export class CouchbaseBucket implements Bucket {
  readonly name: string;
  readonly vbuckets: number;
  readonly documents: DocumentCollection;
  readonly metadata: KeyValueCollection;
  readonly index: KeyValueCollection;
  readonly feed: CouchbaseFeed;
  readonly #client: PipelinedClient;
  readonly #patience: Patience;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { options, log, connector, topology, pool } = parts;
    const { time, random } = options;
    const { address, agent, ids, vbuckets } = parts.place;
    const operationTimeoutMs = options.operationTimeoutMs ?? COUCHBASE_DEFAULTS.operationTimeoutMs;
    this.#patience = { time, random, timeoutMs: operationTimeoutMs };
    this.name = address.bucket;
    this.vbuckets = vbuckets;
    this.#client = new PipelinedClient({ topology, pool, time, random, log, operationTimeoutMs });
    this.documents = this.#documents(operationTimeoutMs);
    this.metadata = this.#sdkValues("metadata", operationTimeoutMs);
    this.index =
      (options.indexTraffic ?? COUCHBASE_DEFAULTS.indexTraffic) === "sdk"
        ? this.#sdkValues("index", operationTimeoutMs)
        : this.#pipelinedIndex();
    this.feed = new CouchbaseFeed({
      connector,
      topology,
      pool,
      settings: {
        ...DEFAULT_DCP_SETTINGS,
        connectionName: agent,
        ...options.dcp,
        collectionId: ids.documents,
      },
      time,
      random,
      log,
      ...(options.rollbackMitigation ? { mitigation: pool } : {}),
    });
  }

  /** Where the items are kept, as `scope.collection`. */
  get names(): CollectionNames {
    return this.#parts.place.names;
  }

  stats(): Readonly<Record<string, number>> {
    const { requests, retries, movedVbuckets, ambiguous } = this.#client.stats;
    return {
      kv_requests: requests,
      kv_retries: retries,
      kv_moved_vbuckets: movedVbuckets,
      kv_ambiguous: ambiguous,
      feed_held_events: this.feed.held.events,
      feed_held_bytes: this.feed.held.bytes,
      nodes: this.#parts.topology.map.nodes.length,
      cluster_map_revision: this.#parts.topology.map.revision,
    };
  }

  async close(): Promise<void> {
    this.feed.close();
    this.#parts.pool.close();
    await this.#parts.cluster.close();
  }

  #sdk(name: keyof CollectionNames): SdkCollection {
    const { cluster, place } = this.#parts;
    const [scope, collection] = place.names[name].split(".") as [string, string];
    return cluster.bucket(place.address.bucket).scope(scope).collection(collection);
  }

  #scan(collectionId: number): RangeScan {
    return new RangeScan(this.#client, collectionId, this.vbuckets, this.#patience);
  }

  #documents(operationTimeoutMs: number): CouchbaseDocuments {
    const { options, topology, pool, place } = this.#parts;
    const { time, random } = options;
    const collectionId = place.ids.documents;
    const durability = options.durability ?? COUCHBASE_DEFAULTS.durability;
    const { vbuckets } = this;
    return new CouchbaseDocuments({
      sdk: this.#sdk("documents"),
      lookup: new DocumentLookup(this.#client, collectionId, vbuckets),
      tombstones: new TombstoneWriter({ client: this.#client, collectionId, vbuckets, durability }),
      scan: this.#scan(collectionId),
      count: () => patiently(this.#patience, () => itemCount(topology, pool, collectionId)),
      vbuckets,
      durability,
      operationTimeoutMs,
      time,
      random,
    });
  }

  #sdkValues(name: "metadata" | "index", operationTimeoutMs: number): SdkValues {
    const { options, place } = this.#parts;
    const { time, random } = options;
    // The index heals itself: it needs no more than the active node's memory.
    const durability = name === "index" ? "none" : (options.durability ?? "majority");
    return new SdkValues({
      sdk: this.#sdk(name),
      scan: this.#scan(place.ids[name]),
      durability: SDK_DURABILITY[durability],
      operationTimeoutMs,
      time,
      random,
    });
  }

  #pipelinedIndex(): PipelinedCollection {
    const collectionId = this.#parts.place.ids.index;
    const scan = this.#scan(collectionId);
    return new PipelinedCollection({
      client: this.#client,
      collectionId,
      vbuckets: this.vbuckets,
      keys: (prefix, options) => scan.keysWithPrefix(prefix, options),
    });
  }
}
