// The cluster map as this gateway knows it now: bootstrapped from the addresses given, then kept
// new by whatever brings a newer one (a not-my-vbucket answer, a notification, a look after a break).

import { TidegateError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Connector } from "../connection/connector.ts";
import { requireSuccess } from "../connection/handshake.ts";
import type { Frame } from "../wire/frame.ts";
import { Feature, Opcode } from "../wire/opcodes.ts";
import {
  type ClusterMap,
  type ClusterNode,
  isNewer,
  nodeName,
  parseClusterMap,
} from "./cluster-map.ts";

/** Hears of a newer map. */
export type TopologyListener = (map: ClusterMap) => void;

/** The newest cluster map known. */
export class Topology {
  readonly #connector: Connector;
  readonly #log: Log;
  readonly #seeds: readonly ClusterNode[];
  readonly #listeners = new Set<TopologyListener>();
  #map: ClusterMap | undefined;
  #refreshing: Promise<ClusterMap> | undefined;

  /** @param seeds the addresses that the operator gave: asked when no known node answers */
  constructor(connector: Connector, seeds: readonly ClusterNode[], log: Log) {
    this.#connector = connector;
    this.#seeds = seeds;
    this.#log = log;
  }

  /** The newest map. Throws `unavailable` before the first `refresh`. */
  get map(): ClusterMap {
    if (this.#map === undefined) {
      throw new TidegateError("unavailable", "The cluster map was not read yet.");
    }
    return this.#map;
  }

  /** The node of a vbucket's active copy; undefined while it has none. */
  nodeOf(vb: number): ClusterNode | undefined {
    const { active, nodes } = this.map;
    return nodes[active[vb] ?? -1];
  }

  /** Calls `listener` on each newer map. Gives back a function that ends it. */
  onChange(listener: TopologyListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes a map's JSON text; one that is not newer is passed over. */
  learn(text: string, peerHost: string): void {
    const next = parseClusterMap(text, peerHost, this.#connector.settings.tls !== undefined);
    if (this.#map !== undefined && !isNewer(next, this.#map)) return;
    this.#map = next;
    this.#log.info(
      { revision: next.revision, nodes: next.nodes.map(nodeName) },
      "took a new cluster map",
    );
    for (const listener of this.#listeners) listener(next);
  }

  /** Takes the map that a notification or a not-my-vbucket answer carries; some carry none. */
  learnFrom(frame: Frame, peerHost: string): void {
    if (frame.value.length > 0) this.learn(frame.value.toString("utf8"), peerHost);
  }

  /** Asks the nodes known, then the seeds, for the map. Throws the last node's error. */
  refresh(): Promise<ClusterMap> {
    this.#refreshing ??= this.#ask().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #ask(): Promise<ClusterMap> {
    let last: unknown = new TidegateError(
      "unavailable",
      "No address of a Couchbase node is known.",
    );
    for (const node of [...(this.#map?.nodes ?? []), ...this.#seeds]) {
      try {
        await this.#askNode(node);
        return this.map;
      } catch (error) {
        last = error;
        this.#log.warn(
          { node: nodeName(node), error: String(error) },
          "no cluster map from a node",
        );
      }
    }
    throw last;
  }

  async #askNode(node: ClusterNode): Promise<void> {
    const features = [Feature.selectBucket, Feature.xerror, Feature.json];
    const ignore = { onServerFrame() {}, onClosed() {} };
    const { connection } = await this.#connector.open(node, features, ignore);
    try {
      const answer = await connection.request({ opcode: Opcode.getClusterConfig });
      requireSuccess(answer, "GET_CLUSTER_CONFIG");
      this.learn(answer.value.toString("utf8"), node.host);
    } finally {
      connection.close();
    }
  }
}
