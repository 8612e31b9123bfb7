// Whether a consumer's position still lies on a vbucket's history: Couchbase's rules for resuming.

import { TidegateError } from "../../base/errors.ts";
import type { FailoverEntry, StreamPosition } from "../feed.ts";

/**
 * The seq to which a consumer at `position` must roll back; undefined when it may go on.
 *
 * A branch of the log reaches up to the seq after which the next newer branch began; the newest up
 * to the vbucket's highest seq. A position on a branch that the log does not have means 0. A
 * position whose whole snapshot lies within its branch may go on. Otherwise the state that the
 * consumer has is partly of a dead branch: when its snapshot began before the branch's end, only the
 * snapshot's start is a state that it surely shares with the server; else the branch's end is.
 *
 * @param log the vbucket's failover log, newest first
 * @param high the vbucket's highest seq
 */
export function rollbackOf(
  position: StreamPosition,
  log: readonly FailoverEntry[],
  high: number,
): number | undefined {
  const { seq, vbuuid } = position;
  if (seq === 0) return undefined;
  const place = log.findIndex((entry) => entry.vbuuid === vbuuid);
  if (place < 0) return 0;
  const branchEnd = place === 0 ? high : (log[place - 1] as FailoverEntry).seq;
  // A position at an edge of its snapshot is complete, and no snapshot is under way.
  const complete = seq === position.snapshotEnd || seq === position.snapshotStart;
  const start = complete ? seq : position.snapshotStart;
  const end = complete ? seq : position.snapshotEnd;
  if (end <= branchEnd) return undefined;
  return Math.min(start, branchEnd);
}

/**
 * Checks a position that came from a consumer.
 *
 * @throws TidegateError `bad_request`: no such vbucket, or the seq lies outside its snapshot
 */
export function checkPosition(position: StreamPosition, vbuckets: number): void {
  const { vb, seq, snapshotStart, snapshotEnd } = position;
  if (!Number.isInteger(vb) || vb < 0 || vb >= vbuckets) {
    throw new TidegateError("bad_request", `there is no vbucket ${vb}, only 0 to ${vbuckets - 1}`);
  }
  const whole = [seq, snapshotStart, snapshotEnd].every((n) => Number.isSafeInteger(n) && n >= 0);
  if (!whole || snapshotStart > seq || seq > snapshotEnd) {
    throw new TidegateError(
      "bad_request",
      `vbucket ${vb}: position ${seq} is not within its snapshot ${snapshotStart} to ${snapshotEnd}`,
    );
  }
}
