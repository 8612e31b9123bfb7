// How many items a collection has, by the servers' own statistics: no scan, no query service.

import { TidegateError } from "../../../base/errors.ts";
import type { Topology } from "../cluster/topology.ts";
import type { NodePool } from "../kv/node-pool.ts";
import type { Frame } from "../wire/frame.ts";
import { nameOf, Opcode, Status } from "../wire/opcodes.ts";

/** The number of live items of a collection, summed over the nodes' active vbuckets. */
export async function itemCount(
  topology: Topology,
  pool: NodePool,
  collectionId: number,
): Promise<number> {
  const suffix = `:0x${collectionId.toString(16)}:items`;
  const counts = await Promise.all(
    topology.map.nodes.map(async (node) => {
      const connection = await pool.connection(node);
      return new Promise<number>((resolve, reject) => {
        let items = 0;
        // One frame a figure; the one without a key is the end.
        const answered = (frame: Frame) => {
          if (frame.status !== Status.success) {
            const status = nameOf(Status, frame.status);
            reject(new TidegateError("unavailable", `Couchbase answered STAT with ${status}.`));
            return "done";
          }
          if (frame.keyBytes === 0) {
            resolve(items);
            return "done";
          }
          if (frame.key.toString("utf8").endsWith(suffix)) items += Number(frame.value.toString());
          return "more";
        };
        const key = Buffer.from("collections");
        connection.call({ opcode: Opcode.stat, key }, answered, reject);
      });
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}
