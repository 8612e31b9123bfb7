// The pipelined key-value connections: one a node, opened when first needed, opened again after a
// break. Requests that come while it opens wait for it.

import type { Log } from "../../../base/log.ts";
import { type ClusterNode, nodeName } from "../cluster/cluster-map.ts";
import type { Topology } from "../cluster/topology.ts";
import type { Connector } from "../connection/connector.ts";
import type { KvConnection } from "../connection/kv-connection.ts";
import { Feature } from "../wire/opcodes.ts";

const FEATURES = [
  Feature.tcpNoDelay,
  Feature.xerror,
  Feature.selectBucket,
  Feature.json,
  Feature.duplex,
  Feature.clusterMapNotification,
  Feature.alternateRequest,
  Feature.syncReplication,
  Feature.collections,
];

/** Connections to nodes by name. */
export class NodePool {
  readonly #connector: Connector;
  readonly #topology: Topology;
  readonly #log: Log;
  readonly #open = new Map<string, Promise<KvConnection>>();
  #closed = false;

  constructor(connector: Connector, topology: Topology, log: Log) {
    this.#connector = connector;
    this.#topology = topology;
    this.#log = log;
  }

  /** The connection to `node`. Rejects with the reason when it can't be opened now. */
  connection(node: ClusterNode): Promise<KvConnection> {
    const name = nodeName(node);
    const existing = this.#open.get(name);
    if (existing !== undefined) return existing;
    const opening = this.#connect(node, name);
    this.#open.set(name, opening);
    opening.catch(() => this.#forget(name, opening));
    return opening;
  }

  close(): void {
    this.#closed = true;
    for (const opening of this.#open.values()) {
      opening.then(
        (connection) => connection.close(),
        (error: unknown) => this.#log.debug({ error: String(error) }, "was not open at the end"),
      );
    }
    this.#open.clear();
  }

  async #connect(node: ClusterNode, name: string): Promise<KvConnection> {
    const { connection } = await this.#connector.open(node, FEATURES, {
      onServerFrame: (frame) => this.#topology.learnFrom(frame, node.host),
      onClosed: (reason) => {
        this.#open.delete(name);
        if (!this.#closed) this.#log.warn({ node: name, reason: reason.message }, "lost a node");
      },
    });
    return connection;
  }

  #forget(name: string, opening: Promise<KvConnection>): void {
    if (this.#open.get(name) === opening) this.#open.delete(name);
  }
}
