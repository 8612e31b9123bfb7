// `tidegate check couchbase://…`: tries everything that the gateway needs, one thing after the
// other, and says in plain words what works and what to do about what does not.

import { vbucketOf } from "../vbucket.ts";
import { nodeName } from "./cluster/cluster-map.ts";
import { readManifest } from "./cluster/collections.ts";
import { Topology } from "./cluster/topology.ts";
import type { KvConnection } from "./connection/kv-connection.ts";
import { parseConnectionString } from "./connection-string.ts";
import {
  type CouchbaseBucket,
  type CouchbaseBucketOptions,
  connectorOf,
  openCouchbaseBucket,
} from "./couchbase-bucket.ts";
import { observeSeqnoRequest } from "./wire/observe-seqno.ts";
import { Feature, nameOf, Opcode, Status } from "./wire/opcodes.ts";

/** One thing that was tried. */
export interface Finding {
  readonly what: string;
  readonly ok: boolean;
  /** What was seen; where it failed, what to do. */
  readonly detail: string;
}

/** Reads that the latency is measured with. */
const LATENCY_READS = 200;

/** What the server must grant at HELLO, in words. */
const NEEDED_FEATURES: readonly (readonly [feature: number, name: string])[] = [
  [Feature.xattr, "extended attributes"],
  [Feature.mutationSeqno, "mutation tokens"],
  [Feature.collections, "collections"],
  [Feature.json, "JSON values"],
];

/**
 * Checks a bucket, giving each finding as it is made; ends after the first that makes the rest
 * impossible. What it writes it takes away again.
 */
export async function* checkCouchbase(options: CouchbaseBucketOptions): AsyncIterable<Finding> {
  const steps = new Checks(options);
  for (const [what, step] of [
    ["the address", () => steps.address()],
    ["the cluster map", () => steps.clusterMap()],
    ["every node", () => steps.nodes()],
    ["the server's features", () => steps.features()],
    ["the collections", () => steps.collections()],
  ] as const) {
    const finding = await tried(what, step);
    yield finding;
    if (!finding.ok) return;
  }
  const bucket = await steps.open();
  try {
    yield await tried("values: write, append, count, read", () => values(bucket, options));
    yield await tried("documents: attributes, macros, tombstones", () => documents(bucket));
    yield await tried("range scans", () => scans(bucket));
    yield await tried("the mutation feed (DCP)", () => feed(bucket));
    if (options.rollbackMitigation) {
      yield await tried("rollback mitigation", () => steps.persistence(bucket));
    }
    yield await tried("latency", () => latency(bucket, options));
  } finally {
    await bucket.close();
  }
}

async function tried(what: string, step: () => string | Promise<string>): Promise<Finding> {
  try {
    return { what, ok: true, detail: await step() };
  } catch (error) {
    return { what, ok: false, detail: error instanceof Error ? error.message : String(error) };
  }
}

/** The steps before the bucket is open. */
class Checks {
  readonly #options: CouchbaseBucketOptions;
  #topology: Topology | undefined;

  constructor(options: CouchbaseBucketOptions) {
    this.#options = options;
  }

  address(): string {
    const { tls, nodes, bucket } = parseConnectionString(this.#options.connectionString);
    const how = tls ? "encrypted" : "not encrypted";
    return `bucket "${bucket}" at ${nodes.map(nodeName).join(", ")}, ${how}`;
  }

  /** Login and bucket, too: the map is asked for over a connection that is ready for use. */
  async clusterMap(): Promise<string> {
    const address = parseConnectionString(this.#options.connectionString);
    const connector = await connectorOf(this.#options, address, "tidegate check");
    this.#topology = new Topology(connector, address.nodes, this.#options.log);
    const map = await this.#topology.refresh();
    const homeless = map.active.filter((node) => node < 0).length;
    if (homeless > 0)
      throw new Error(`${homeless} vbuckets have no active node: fail over or rebalance`);
    const copies = Math.min(...map.replicas.map((nodes) => nodes.length));
    return `logged in; ${map.nodes.length} nodes, ${map.active.length} vbuckets, ${copies} replicas`;
  }

  async nodes(): Promise<string> {
    const seen: string[] = [];
    await this.#visit(async (_features, version, name) => {
      seen.push(`${name} (${version})`);
    });
    return seen.join(", ");
  }

  async features(): Promise<string> {
    await this.#visit(async (features, _version, name) => {
      const missing = NEEDED_FEATURES.filter(([feature]) => !features.has(feature));
      if (missing.length === 0) return;
      const names = missing.map(([, feature]) => feature).join(", ");
      throw new Error(`${name} does not grant ${names}: Couchbase Server 7.0 or newer is needed`);
    });
    return NEEDED_FEATURES.map(([, name]) => name).join(", ");
  }

  /** Whether each node says how much of the vbuckets that it has a copy of is on its disk. */
  async persistence(bucket: CouchbaseBucket): Promise<string> {
    const map = this.#topology?.map;
    if (map === undefined || map.replicaCount === 0) {
      return "the bucket has no replicas, so nothing is held back";
    }
    const logs = await bucket.feed.failoverLogs();
    await this.#visit(async (_features, _version, name, connection) => {
      const place = map.nodes.findIndex((node) => nodeName(node) === name);
      const copies = (vb: number) => [map.active[vb], ...(map.replicas[vb] ?? [])];
      const vb = logs.findIndex((_, vb) => copies(vb).includes(place));
      if (vb < 0) return;
      const vbuuid = logs[vb]?.[0]?.vbuuid ?? "0";
      const answer = await connection.request(observeSeqnoRequest(vb, vbuuid));
      if (answer.status === Status.success) return;
      const status = nameOf(Status, answer.status);
      throw new Error(`${name} does not tell what is on its disk: ${status}`);
    });
    return `${map.nodes.length} nodes tell what is on their disks`;
  }

  async collections(): Promise<string> {
    const bucket = await this.open();
    const { names } = bucket;
    await bucket.close();
    return Object.entries(names)
      .map(([what, name]) => `${what} in ${name}`)
      .join(", ");
  }

  open(): Promise<CouchbaseBucket> {
    return openCouchbaseBucket(this.#options);
  }

  async #visit(
    look: (
      features: ReadonlySet<number>,
      version: string,
      name: string,
      connection: KvConnection,
    ) => Promise<void>,
  ): Promise<void> {
    const address = parseConnectionString(this.#options.connectionString);
    const connector = await connectorOf(this.#options, address, "tidegate check");
    const wanted = [...NEEDED_FEATURES.map(([feature]) => feature), Feature.selectBucket];
    for (const node of this.#topology?.map.nodes ?? []) {
      const ignore = { onServerFrame() {}, onClosed() {} };
      const { connection, features } = await connector.open(node, wanted, ignore);
      try {
        const answer = await connection.request({ opcode: Opcode.version });
        const version = answer.status === Status.success ? answer.value.toString() : "no version";
        await readManifest(connection);
        await look(features, version, nodeName(node), connection);
      } finally {
        connection.close();
      }
    }
  }
}

async function values(
  bucket: CouchbaseBucket,
  { random }: CouchbaseBucketOptions,
): Promise<string> {
  for (const collection of [bucket.metadata, bucket.index]) {
    const key = `_sync:check:${Buffer.from(random.bytes(8)).toString("hex")}`;
    const value = Buffer.from("a");
    const results = await collection.batch([
      { op: "insert", key, value },
      { op: "append", key, value },
      { op: "counter", key: `${key}:n`, delta: 1, initial: 1 },
    ]);
    const stored = await collection.get(key);
    await collection.batch([
      { op: "remove", key },
      { op: "remove", key: `${key}:n` },
    ]);
    const refused = results.find((result) => !result.ok);
    if (refused !== undefined) throw new Error(`a write was refused: ${JSON.stringify(refused)}`);
    if (Buffer.from(stored?.value ?? []).toString() !== "aa")
      throw new Error("read back otherwise");
  }
  return "metadata durable, index appended to";
}

async function documents(bucket: CouchbaseBucket): Promise<string> {
  const key = `_sync:check:${bucket.vbuckets}`;
  const before = await bucket.documents.get(key);
  if (before !== undefined) await bucket.documents.purge(key, before.cas);
  const write = async (cas: bigint, body: Uint8Array | null) => {
    const result = await bucket.documents.write({
      key,
      cas,
      body,
      xattrs: { _sync: { check: true } },
      macros: [{ path: ["_sync", "seq"], value: "seqno" }],
    });
    if (!result.ok) throw new Error(`a write was refused: ${result.refusal}`);
    return result;
  };
  const start = (await bucket.documents.get(key))?.cas ?? 0n;
  const made = await write(start, Buffer.from("{}"));
  const found = await bucket.documents.get(key);
  const seq = JSON.parse(found?.xattrs._sync ?? "{}").seq as string | undefined;
  if (Number(seq) !== made.seq) throw new Error(`the seqno macro gave ${seq}, not ${made.seq}`);
  const removed = await write(made.cas, null);
  const tombstone = await bucket.documents.get(key);
  if (!tombstone?.deleted || tombstone.xattrs._sync === undefined) {
    throw new Error("a tombstone does not keep its attribute");
  }
  await bucket.documents.purge(key, removed.cas);
  return `seq ${made.seq} of vbucket ${vbucketOf(key, bucket.vbuckets)} expanded`;
}

async function scans(bucket: CouchbaseBucket): Promise<string> {
  const keys = await bucket.metadata.keys("_sync:", { limit: 10 });
  return `${keys.length} keys of the gateway seen, in order`;
}

async function feed(bucket: CouchbaseBucket): Promise<string> {
  const high = await bucket.feed.highSeqs();
  const logs = await bucket.feed.failoverLogs();
  const failovers = logs.filter((log) => log.length > 1).length;
  const sum = high.reduce((total, seq) => total + seq, 0);
  return `${sum} mutations so far; ${failovers} vbuckets had a failover`;
}

async function latency(bucket: CouchbaseBucket, { time }: CouchbaseBucketOptions): Promise<string> {
  const took: number[] = [];
  for (let n = 0; n < LATENCY_READS; n++) {
    const start = time.monotonicMs();
    await bucket.index.get(`_sync:check:${n}`);
    took.push(time.monotonicMs() - start);
  }
  took.sort((a, b) => a - b);
  const at = (share: number) => (took[Math.floor(LATENCY_READS * share)] as number).toFixed(2);
  return `a read takes ${at(0.5)} ms (median), ${at(0.99)} ms (99 of 100)`;
}

/** The findings as lines for a person. */
export function findingLine({ what, ok, detail }: Finding): string {
  return `${ok ? "ok     " : "MISSING"} ${what}: ${detail}`;
}
