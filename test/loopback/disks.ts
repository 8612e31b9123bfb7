// How much of each vbucket the loopback nodes are said to have on their disks. The one bucket beneath
// them is durable at once; a test makes the disks of single copies lag, or stop.

import type { Frame } from "../../src/bucket/couchbase/wire/frame.ts";
import { askedVbuuid, encodeSeqnoReport } from "../../src/bucket/couchbase/wire/observe-seqno.ts";
import { Status } from "../../src/bucket/couchbase/wire/opcodes.ts";
import type { LoopbackNode } from "./node.ts";
import type { Answer } from "./session.ts";

/** The disks of all nodes. */
export class Disks {
  /** Milliseconds that a mutation takes to a disk, from when that was first asked about. */
  delayMs = 0;
  /** Questions answered so far, by vbucket. */
  readonly asked = new Map<number, number>();
  readonly #stopped = new Map<string, number>();
  readonly #seen = new Map<string, { readonly atMs: number; readonly seq: number }[]>();

  /** From now on nothing of `vb` beyond `seq` reaches the disk of `node`. */
  stop(node: number, vb: number, seq: number): void {
    this.#stopped.set(`${node} ${vb}`, seq);
  }

  /** The disk of `node` catches up. */
  go(node: number, vb: number): void {
    this.#stopped.delete(`${node} ${vb}`);
  }

  /** What of `vb` is on the disk of `node`, whose memory has everything up to `high`. */
  persistedSeq(node: number, vb: number, high: number): number {
    const copy = `${node} ${vb}`;
    const now = performance.now();
    const seen = this.#seen.get(copy) ?? [];
    seen.push({ atMs: now, seq: high });
    const flushed = seen.findLastIndex(({ atMs }) => atMs <= now - this.delayMs);
    this.#seen.set(copy, seen.slice(Math.max(flushed, 0)));
    return Math.min(seen[flushed]?.seq ?? 0, this.#stopped.get(copy) ?? high, high);
  }

  /** The answer to OBSERVE_SEQNO at `node`. */
  report(node: LoopbackNode, frame: Frame): Answer {
    const { vb } = frame;
    const { cluster, index } = node;
    this.asked.set(vb, (this.asked.get(vb) ?? 0) + 1);
    if (!node.owns(vb) && !cluster.replicas[vb]!.includes(index)) {
      const value = Buffer.from(cluster.configText(index));
      return { vbOrStatus: Status.notMyVbucket, value, dataType: 1 };
    }
    const { vbuckets } = cluster.bucket.feed;
    const log = vbuckets.log(vb);
    const high = vbuckets.high[vb]!;
    const asked = askedVbuuid(frame.value);
    const at = log.findIndex(({ vbuuid }) => vbuuid === asked);
    if (at < 0) return { vbOrStatus: Status.keyNotFound };
    const persistedSeq = this.persistedSeq(index, vb, high);
    const report = { vb, vbuuid: log[0]!.vbuuid, persistedSeq, currentSeq: high };
    if (at === 0) return { value: encodeSeqnoReport(report) };
    const left = { vbuuid: asked, seq: log[at - 1]!.seq };
    return { value: encodeSeqnoReport({ ...report, left }) };
  }
}
