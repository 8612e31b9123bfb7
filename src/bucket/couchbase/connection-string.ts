// Reading `couchbase://host[:port][,host…]/bucket` and `couchbases://…`.

import { TidegateError } from "../../base/errors.ts";
import type { ClusterNode } from "./cluster/cluster-map.ts";

/** The data service's ports where none is given. */
const PLAIN_PORT = 11210;
const TLS_PORT = 11207;

/** Where a bucket is. */
export interface BucketAddress {
  readonly tls: boolean;
  readonly nodes: readonly ClusterNode[];
  readonly bucket: string;
}

/** Takes a connection string apart. Throws `bad_config` saying what it should look like. */
export function parseConnectionString(text: string): BucketAddress {
  const match = /^(couchbases?):\/\/([^/?]+)\/([A-Za-z0-9._%-]+)$/.exec(text);
  if (match === null) {
    throw new TidegateError(
      "bad_config",
      `"${text}" is not a Couchbase bucket: expected couchbase://HOST[:PORT][,HOST…]/BUCKET, ` +
        "or couchbases://… for TLS.",
    );
  }
  const [, scheme, hosts, bucket] = match as unknown as [string, string, string, string];
  const tls = scheme === "couchbases";
  const nodes = hosts.split(",").map((host) => splitHost(host, tls ? TLS_PORT : PLAIN_PORT, text));
  return { tls, nodes, bucket: decodeURIComponent(bucket) };
}

/** The SDK's connection string: hosts without the bucket. */
export function sdkConnectionString(address: BucketAddress): string {
  const scheme = address.tls ? "couchbases" : "couchbase";
  const hosts = address.nodes.map(({ host, port }) =>
    host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
  );
  return `${scheme}://${hosts.join(",")}`;
}

function splitHost(text: string, defaultPort: number, whole: string): ClusterNode {
  const match = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+)(?::(\d+))?$/.exec(text);
  const port = match?.[2] === undefined ? defaultPort : Number(match[2]);
  if (match?.[1] === undefined || port < 1 || port > 65_535) {
    throw new TidegateError("bad_config", `"${whole}" has an address "${text}" that is none.`);
  }
  return { host: match[1].replace(/^\[|\]$/g, ""), port };
}
