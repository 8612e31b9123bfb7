// The feed of a Couchbase bucket as the floors above see it: readers, and the two questions about
// where the vbuckets stand, put to each node for what is active there.

import { TidegateError } from "../../../base/errors.ts";
import type { FailoverEntry, Feed, FeedOptions, FeedReader, StreamPosition } from "../../feed.ts";
import type { SeqVector } from "../../vbucket.ts";
import type { ClusterNode } from "../cluster/cluster-map.ts";
import { requireSuccess } from "../connection/handshake.ts";
import type { KvConnection } from "../connection/kv-connection.ts";
import type { NodePool } from "../kv/node-pool.ts";
import { patiently } from "../kv/retry.ts";
import { DcpOpenFlag, Feature, Opcode } from "../wire/opcodes.ts";
import { type DcpFeedParts, DcpFeedReader } from "./feed.ts";
import { parseFailoverLog } from "./stream.ts";

/** How long a question about where the vbuckets stand is put again. */
const QUESTION_LIMIT_MS = 10_000;
/** "Active vbuckets" in GET_ALL_VB_SEQNOS. */
const STATE_ACTIVE = 1;

/** What the feed is made of. */
export interface CouchbaseFeedParts extends DcpFeedParts {
  /** For questions about where the vbuckets stand. */
  readonly pool: NodePool;
}

/** The feed of a Couchbase bucket. */
export class CouchbaseFeed implements Feed {
  readonly #parts: CouchbaseFeedParts;
  readonly #readers = new Set<DcpFeedReader>();

  constructor(parts: CouchbaseFeedParts) {
    this.#parts = parts;
  }

  /** Throws `unavailable` when some vbucket's active node can't be asked for a while. */
  highSeqs(): Promise<SeqVector> {
    return this.#patiently(() => this.#askHighSeqs());
  }

  /** Throws `unavailable` when some vbucket's active node can't be asked for a while. */
  failoverLogs(): Promise<readonly (readonly FailoverEntry[])[]> {
    return this.#patiently(() => this.#askFailoverLogs());
  }

  /** Asks again what only reads, while connections break and vbuckets move. */
  #patiently<T>(ask: () => Promise<T>): Promise<T> {
    const { time, random } = this.#parts;
    return patiently({ time, random, timeoutMs: QUESTION_LIMIT_MS }, ask);
  }

  /**
   * Over the connections that are there, by the map that is known: every one-shot request for
   * changes asks this. A map that is old leaves some vbucket without an answer.
   */
  async #askHighSeqs(): Promise<SeqVector> {
    const { pool, topology } = this.#parts;
    const { map } = topology;
    const high = new Float64Array(map.active.length).fill(-1);
    const { collectionId } = this.#parts.settings;
    const extras = Buffer.alloc(collectionId === undefined ? 4 : 8);
    extras.writeUInt32BE(STATE_ACTIVE, 0);
    if (collectionId !== undefined) extras.writeUInt32BE(collectionId, 4);
    const ask = async (node: ClusterNode, place: number) => {
      const connection = await pool.connection(node);
      const answer = await connection.request({ opcode: Opcode.getAllVbSeqnos, extras });
      requireSuccess(answer, "GET_ALL_VB_SEQNOS");
      for (let at = 0; at + 10 <= answer.value.length; at += 10) {
        const vb = answer.value.readUInt16BE(at);
        // Not the word of a node that was failed over and does not know it.
        if (map.active[vb] === place) high[vb] = Number(answer.value.readBigUInt64BE(at + 2));
      }
    };
    const asked = await Promise.allSettled(map.nodes.map(ask));
    const missing = high.indexOf(-1);
    if (missing < 0) return high;
    await topology.refresh();
    for (const one of asked) if (one.status === "rejected") throw one.reason;
    throw new TidegateError("unavailable", `Vbucket ${missing} has no active node now.`);
  }

  async #askFailoverLogs(): Promise<readonly (readonly FailoverEntry[])[]> {
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
    for (const reader of this.#readers) if (reader.closed) this.#readers.delete(reader);
    const reader = new DcpFeedReader(this.#parts, positions, options);
    this.#readers.add(reader);
    return reader;
  }

  /** Events that rollback mitigation holds back now, and the bytes of their frames. */
  get held(): { readonly events: number; readonly bytes: number } {
    const held = [...this.#readers].filter((reader) => !reader.closed).map(({ held }) => held);
    return {
      events: held.reduce((sum, { events }) => sum + events, 0),
      bytes: held.reduce((sum, { bytes }) => sum + bytes, 0),
    };
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
