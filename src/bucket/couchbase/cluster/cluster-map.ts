// The cluster map: which node holds which vbucket, as the server publishes it. Parsing and
// comparing only; fetching and following it is the connection pool's affair.

import { z } from "zod";
import { TidegateError } from "../../../base/errors.ts";
import { MAX_VBUCKETS } from "../../vbucket.ts";

const schema = z.object({
  rev: z.number().int(),
  revEpoch: z.number().int().optional(),
  nodesExt: z
    .array(
      z.object({
        hostname: z.string().optional(),
        services: z.object({ kv: z.number().int().optional(), kvSSL: z.number().int().optional() }),
      }),
    )
    .optional(),
  vBucketServerMap: z.object({
    numReplicas: z.number().int().min(0).optional(),
    serverList: z.array(z.string()),
    vBucketMap: z.array(z.array(z.number().int())).max(MAX_VBUCKETS),
    vBucketMapForward: z.array(z.array(z.number().int())).max(MAX_VBUCKETS).optional(),
  }),
});

/** One data node. */
export interface ClusterNode {
  readonly host: string;
  readonly port: number;
}

/** A version of the cluster map. */
export interface ClusterMap {
  /** Versions are compared by epoch first, then by revision. */
  readonly epoch: number;
  readonly revision: number;
  readonly nodes: readonly ClusterNode[];
  /** Replicas that the bucket is to have; some may not exist now. */
  readonly replicaCount: number;
  /** vbucket -> index into `nodes` of its active copy; -1 while it has none. */
  readonly active: Int32Array;
  /** vbucket -> indexes into `nodes` of its replicas, those that exist. */
  readonly replicas: readonly (readonly number[])[];
}

/**
 * Reads a map's JSON text.
 *
 * @param text the payload of GET_CLUSTER_CONFIG, of a not-my-vbucket answer or of a notification
 * @param peerHost the host that it came from: what `$HOST` and missing host names stand for
 * @param tls whether to take the nodes' encrypted ports
 *
 * Throws `corrupt` when it is not a cluster map of a Couchbase bucket.
 */
export function parseClusterMap(text: string, peerHost: string, tls: boolean): ClusterMap {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new TidegateError("corrupt", "The server's cluster map is not JSON.", { cause });
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new TidegateError(
      "corrupt",
      `The server's cluster map is not one of a Couchbase bucket: ${issue?.path.join(".")}: ${issue?.message}.`,
    );
  }
  const { rev, revEpoch, nodesExt, vBucketServerMap } = parsed.data;
  const nodes = vBucketServerMap.serverList.map((address) => {
    const node = splitAddress(address.replace("$HOST", peerHost), peerHost);
    if (!tls) return node;
    const services = nodesExt?.find(
      (ext) => ext.services.kv === node.port && (ext.hostname ?? peerHost) === node.host,
    )?.services;
    if (services?.kvSSL === undefined) {
      throw new TidegateError("unavailable", `Node ${nodeName(node)} has no encrypted port.`);
    }
    return { host: node.host, port: services.kvSSL };
  });
  const rows = vBucketServerMap.vBucketMap;
  const known = (node: number | undefined): node is number =>
    node !== undefined && node >= 0 && node < nodes.length;
  return {
    epoch: revEpoch ?? 0,
    revision: rev,
    nodes,
    replicaCount: vBucketServerMap.numReplicas ?? 0,
    active: Int32Array.from(rows, ([active]) => (known(active) ? active : -1)),
    replicas: rows.map((row) => row.slice(1).filter(known)),
  };
}

/** Whether `next` was published after `current`. */
export function isNewer(next: ClusterMap, current: ClusterMap): boolean {
  if (next.epoch !== current.epoch) return next.epoch > current.epoch;
  return next.revision > current.revision;
}

/** A node's name in messages and as a key. */
export function nodeName(node: ClusterNode): string {
  return node.host.includes(":") ? `[${node.host}]:${node.port}` : `${node.host}:${node.port}`;
}

function splitAddress(address: string, peerHost: string): ClusterNode {
  const colon = address.lastIndexOf(":");
  const port = Number(address.slice(colon + 1));
  if (colon < 0 || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new TidegateError("corrupt", `The cluster map has a node "${address}" without a port.`);
  }
  const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
  return { host: host === "" ? peerHost : host, port };
}
