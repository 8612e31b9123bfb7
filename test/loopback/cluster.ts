// A Couchbase cluster on loopback for tests: real sockets, the real protocol, an embedded bucket
// underneath. Several nodes share the bucket; who is active for a vbucket is the cluster's word.

import type { AddressInfo } from "node:net";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import type { CollectionMade } from "./dcp-frames.ts";
import { Disks } from "./disks.ts";
import { LoopbackNode } from "./node.ts";
import type { Backfill } from "./preload.ts";

/** The collections of the loopback bucket: name -> id. The documents are in the default one. */
export const COLLECTIONS = { _default: 0, tidegate_metadata: 8, tidegate_index: 9 } as const;

/** Who may log in. */
export interface LoopbackUser {
  readonly username: string;
  readonly password: string;
}

/** The cluster: nodes, the map, the bucket. */
export class LoopbackCluster {
  readonly bucket: EmbeddedBucket;
  readonly user: LoopbackUser;
  readonly nodes: LoopbackNode[] = [];
  /** vbucket -> index of the node that is active for it. */
  readonly active: Int32Array;
  /** vbucket -> indexes of the nodes that have a replica. */
  readonly replicas: number[][];
  readonly disks = new Disks();
  /** The collection that documents are streamed from, and where in a vbucket it was made. */
  collection: { readonly id: number; readonly made?: CollectionMade } = {
    id: COLLECTIONS._default,
  };
  revision = 1;
  /** For benchmarks: what DCP streams from the beginning are answered with. */
  backfills: { readonly withBody: Backfill[]; readonly withoutBody: Backfill[] } | undefined;

  readonly #replicaCount: number;

  private constructor(bucket: EmbeddedBucket, user: LoopbackUser, replicaCount: number) {
    this.bucket = bucket;
    this.user = user;
    this.#replicaCount = replicaCount;
    this.active = new Int32Array(bucket.vbuckets);
    this.replicas = Array.from(this.active, () => []);
  }

  /** Starts `nodes` nodes on free ports; vbuckets are dealt out in turn. */
  static async start(
    bucket: EmbeddedBucket,
    options: { nodes?: number; replicas?: number; user?: LoopbackUser } = {},
  ): Promise<LoopbackCluster> {
    const user = options.user ?? { username: "gateway", password: "secret password" };
    const cluster = new LoopbackCluster(bucket, user, options.replicas ?? 0);
    const nodes = options.nodes ?? 1;
    for (let at = 0; at < nodes; at++) {
      cluster.nodes.push(await LoopbackNode.listen(cluster, at));
    }
    cluster.active.forEach((_, vb) => {
      cluster.active[vb] = vb % nodes;
      const places = Array.from({ length: options.replicas ?? 0 }, (_, n) => (vb + n + 1) % nodes);
      cluster.replicas[vb] = places;
    });
    return cluster;
  }

  /** The first node's address. */
  get address(): { host: string; port: number } {
    return { host: "127.0.0.1", port: this.nodes[0]!.port };
  }

  /** The terse bucket configuration, as the server publishes it. */
  configText(asking: number): string {
    const ports = this.nodes.map((node) => node.port);
    return JSON.stringify({
      rev: this.revision,
      revEpoch: 1,
      name: this.bucket.name,
      nodeLocator: "vbucket",
      uuid: "0123456789abcdef0123456789abcdef",
      bucketCapabilities: [
        "collections",
        "durableWrite",
        "tombstonedUserXAttrs",
        "dcp",
        "cbhello",
        "touch",
        "cccp",
        "nodesExt",
        "xattr",
        "subdoc.ReplaceBodyWithXattr",
        "subdoc.DocumentMacroSupport",
        "subdoc.ReviveDocument",
        "preserveExpiry",
        "rangeScan",
      ],
      bucketCapabilitiesVer: "",
      collectionsManifestUid: "1",
      nodes: ports.map((port) => ({ hostname: "127.0.0.1:8091", ports: { direct: port } })),
      nodesExt: this.#nodesExt(asking),
      clusterCapabilitiesVer: [1, 0],
      clusterCapabilities: {},
      vBucketServerMap: {
        hashAlgorithm: "CRC",
        numReplicas: this.#replicaCount,
        serverList: ports.map((port) => `127.0.0.1:${port}`),
        vBucketMap: [...this.active].map((node, vb) => {
          const missing = this.#replicaCount - this.replicas[vb]!.length;
          return [node, ...this.replicas[vb]!, ...Array.from({ length: missing }, () => -1)];
        }),
      },
    });
  }

  /** What a connection without a bucket is told: the nodes alone. */
  globalText(asking: number): string {
    const nodesExt = this.#nodesExt(asking);
    return JSON.stringify({ rev: this.revision, revEpoch: 1, nodesExt, clusterCapabilities: {} });
  }

  #nodesExt(asking: number): object[] {
    return this.nodes.map((node, at) => ({
      services: { kv: node.port, kvSSL: node.tlsPort },
      hostname: "127.0.0.1",
      ...(at === asking ? { thisNode: true } : {}),
    }));
  }

  /** Rebalance: `vbs` move to node `to`; streams end there, the new map is pushed. */
  move(vbs: Iterable<number>, to: number): void {
    const moved: number[] = [];
    for (const vb of vbs) {
      const from = this.active[vb]!;
      if (from === to) continue;
      this.active[vb] = to;
      this.replicas[vb] = this.replicas[vb]!.map((node) => (node === to ? from : node));
      moved.push(vb);
    }
    this.#publish(moved);
  }

  /** Failover: the replica at node `to` becomes active for `vb`, and has no replica for now. */
  failOver(vb: number, to: number): void {
    this.active[vb] = to;
    this.replicas[vb] = this.replicas[vb]!.filter((node) => node !== to);
    this.#publish([vb]);
  }

  /** Rebalance: `vbs` have their replicas at `nodes` from now on. */
  replicate(vbs: Iterable<number>, nodes: readonly number[]): void {
    for (const vb of vbs) this.replicas[vb] = nodes.filter((node) => node !== this.active[vb]);
    this.#publish([]);
  }

  #publish(moved: readonly number[]): void {
    this.revision++;
    for (const node of this.nodes) {
      node.vbucketsMoved(moved);
      node.pushConfig();
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }
}

/** The port of a listening server. */
export function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === "string") throw new Error("not listening on TCP");
  return address.port;
}
