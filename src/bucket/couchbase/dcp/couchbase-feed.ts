// The feed of a Couchbase bucket as the floors above see it: readers, and the two questions about
// where the vbuckets stand, put to each node for what is active there.

import { TidegateError } from "../../../base/errors.ts";
import type { FailoverEntry, Feed, FeedOptions, FeedReader, StreamPosition } from "../../feed.ts";
import type { SeqVector } from "../../vbucket.ts";
import type { ClusterNode } from "../cluster/cluster-map.ts";
import { requireSuccess } from "../connection/handshake.ts";
import type { KvConnection } from "../connection/kv-connection.ts";
import { DcpOpenFlag, Feature, Opcode } from "../wire/opcodes.ts";
import { type DcpFeedParts, DcpFeedReader } from "./feed.ts";
import { parseFailoverLog } from "./stream.ts";

/** "Active vbuckets" in GET_ALL_VB_SEQNOS. */
const STATE_ACTIVE = 1;

/** The feed of a Couchbase bucket. */
export class CouchbaseFeed implements Feed {
  readonly #parts: DcpFeedParts;
  readonly #readers = new Set<DcpFeedReader>();

  constructor(parts: DcpFeedParts) {
    this.#parts = parts;
  }

  /** Throws `unavailable` when a vbucket has no active node now. */
  async highSeqs(): Promise<SeqVector> {
    const map = await this.#parts.topology.refresh();
    const high = new Float64Array(map.active.length).fill(-1);
    const { collectionId } = this.#parts.settings;
    const extras = Buffer.alloc(collectionId === undefined ? 4 : 8);
    extras.writeUInt32BE(STATE_ACTIVE, 0);
    if (collectionId !== undefined) extras.writeUInt32BE(collectionId, 4);
    await Promise.all(
      map.nodes.map((node) =>
        this.#visit(node, async (connection) => {
          const answer = await connection.request({ opcode: Opcode.getAllVbSeqnos, extras });
          requireSuccess(answer, "GET_ALL_VB_SEQNOS");
          for (let at = 0; at + 10 <= answer.value.length; at += 10) {
            high[answer.value.readUInt16BE(at)] = Number(answer.value.readBigUInt64BE(at + 2));
          }
        }),
      ),
    );
    const missing = high.indexOf(-1);
    if (missing >= 0) {
      throw new TidegateError("unavailable", `Vbucket ${missing} has no active node now.`);
    }
    return high;
  }

  /** Throws `unavailable` when a vbucket has no active node now. */
  async failoverLogs(): Promise<readonly (readonly FailoverEntry[])[]> {
    const map = await this.#parts.topology.refresh();
    const logs: FailoverEntry[][] = Array.from(map.active, () => []);
    await Promise.all(
      map.nodes.map((node, place) =>
        this.#visit(node, async (connection) => {
          await this.#openDcp(connection);
          const vbs = [...map.active.keys()].filter((vb) => map.active[vb] === place);
          await Promise.all(
            vbs.map(async (vb) => {
              const answer = await connection.request({
                opcode: Opcode.dcpGetFailoverLog,
                vbOrStatus: vb,
              });
              requireSuccess(answer, `the failover log of vbucket ${vb}`);
              logs[vb] = parseFailoverLog(answer.value);
            }),
          );
        }),
      ),
    );
    const missing = logs.findIndex((log) => log.length === 0);
    if (missing >= 0) {
      throw new TidegateError("unavailable", `Vbucket ${missing} has no active node now.`);
    }
    return logs;
  }

  open(positions: readonly StreamPosition[], options: FeedOptions = {}): FeedReader {
    const reader = new DcpFeedReader(this.#parts, positions, options);
    this.#readers.add(reader);
    return reader;
  }

  close(): void {
    for (const reader of this.#readers) reader.close();
  }

  /** A server gives failover logs only to connections that opened DCP. */
  async #openDcp(connection: KvConnection): Promise<void> {
    const extras = Buffer.alloc(8);
    extras.writeUInt32BE(DcpOpenFlag.producer, 4);
    const key = Buffer.from(`${this.#parts.settings.connectionName}-logs`);
    requireSuccess(await connection.request({ opcode: Opcode.dcpOpen, extras, key }), "DCP_OPEN");
  }

  async #visit(node: ClusterNode, run: (connection: KvConnection) => Promise<void>): Promise<void> {
    const features = [Feature.selectBucket, Feature.xerror, Feature.json, Feature.collections];
    const ignore = { onServerFrame() {}, onClosed() {} };
    const { connection } = await this.#parts.connector.open(node, features, ignore);
    try {
      await run(connection);
    } finally {
      connection.close();
    }
  }
}
