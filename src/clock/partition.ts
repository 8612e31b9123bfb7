// The clock of a partition with its vbuckets' branches, in binary: the message PartitionClock of
// proto/clock.proto. Who owns the partition, and when it may be written, is the controller's.

import { assert } from "../base/assert.ts";
import type { FailoverEntry } from "../bucket/feed.ts";
import { MAX_VBUCKETS } from "../bucket/vbucket.ts";
import { MalformedBytes } from "./bytes.ts";
import { tidegate } from "./clock.generated.js";
import { addPayload, encodePayload } from "./codec/payload.ts";
import { checkSeal, finish, openEnvelope, seal, USUAL_VBUCKETS } from "./envelope.ts";

const { PartitionClock: Message } = tidegate.clock;

/** A vbuuid is written as 8 bytes. */
const VBUUID_BYTES = 8;
const VBUUID = /^[0-9a-f]{16}$/;

/** Branches of one vbucket, at most; Couchbase keeps 25. */
export const MAX_BRANCHES = 256;

/** One vbucket of a partition. */
export interface PartitionVbucket {
  readonly vb: number;
  /** Everything up to here is indexed. */
  readonly seq: number;
  /** Its failover log, the newest branch first; at least one. */
  readonly branches: readonly FailoverEntry[];
}

/** The clock of a partition. */
export interface PartitionClock {
  /** The number of vbuckets of the whole bucket. */
  readonly vbuckets: number;
  /** Those of the partition, ascending; at least one. */
  readonly entries: readonly PartitionVbucket[];
}

/** Writes down a partition's clock. */
export function encodePartitionClock({ vbuckets, entries }: PartitionClock): Uint8Array {
  assert(entries.length > 0 && vbuckets <= MAX_VBUCKETS, "a partition has vbuckets");
  const branches = entries.flatMap((entry) => entry.branches);
  const vbuuids = new Uint8Array(branches.length * VBUUID_BYTES);
  for (const [index, { vbuuid }] of branches.entries()) {
    assert(VBUUID.test(vbuuid), "a vbuuid has 16 hexadecimal digits");
    vbuuids.set(Buffer.from(vbuuid, "hex"), index * VBUUID_BYTES);
  }
  const counts = entries.map((entry) => entry.branches.length);
  assert(
    counts.every((count) => count >= 1 && count <= MAX_BRANCHES),
    "a vbucket has a branch",
  );
  const branchSeqs = Float64Array.from(branches, ({ seq }) => seq);
  const encoded = Message.encode({
    vbuckets: vbuckets === USUAL_VBUCKETS ? 0 : vbuckets,
    vbucketGaps: entries.map(({ vb }, index) => vb - (entries[index - 1]?.vb ?? 0)),
    seqs: encodePayload(
      Float64Array.from(entries, ({ seq }) => seq),
      "fast",
    ),
    branchCounts: counts.every((count) => count === 1) ? [] : counts,
    vbuuids,
    branchSeqs: branchSeqs.every((seq) => seq === 0)
      ? new Uint8Array(0)
      : encodePayload(branchSeqs, "fast"),
    // Not zero, so that it is written: the seal goes into its place.
    check: 0xffffffff,
  });
  const message = finish(encoded);
  seal(message);
  return message;
}

/**
 * Reads what {@link encodePartitionClock} wrote, also in older versions.
 *
 * @throws MalformedBytes for anything else
 */
export function decodePartitionClock(bytes: Uint8Array): PartitionClock {
  checkSeal(bytes);
  const message = openEnvelope(Message, bytes);
  const vbuckets = message.vbuckets === 0 ? USUAL_VBUCKETS : message.vbuckets;
  const size = message.vbucketGaps.length;
  if (vbuckets > MAX_VBUCKETS || size < 1 || size > vbuckets) {
    throw new MalformedBytes("the number of its vbuckets is out of range");
  }
  const counts = message.branchCounts.length === 0 ? undefined : message.branchCounts;
  if (counts !== undefined && counts.length !== size)
    throw new MalformedBytes("branches are missing");
  const seqs = new Float64Array(size);
  addPayload(message.seqs, seqs);
  const logs = branchesOf(message.vbuuids, message.branchSeqs);
  let vb = 0;
  let next = 0;
  const entries = Array.from(seqs, (seq, index): PartitionVbucket => {
    const gap = message.vbucketGaps[index]!;
    vb += gap;
    if ((index > 0 && gap === 0) || vb >= vbuckets) {
      throw new MalformedBytes("its vbuckets are not in order");
    }
    const count = counts === undefined ? 1 : counts[index]!;
    if (count < 1 || count > MAX_BRANCHES) throw new MalformedBytes("a vbucket has no branch");
    next += count;
    return { vb, seq, branches: logs.slice(next - count, next) };
  });
  if (next !== logs.length) throw new MalformedBytes("branches are missing, or left over");
  return { vbuckets, entries };
}

function branchesOf(vbuuids: Uint8Array, payload: Uint8Array): FailoverEntry[] {
  if (vbuuids.length === 0 || vbuuids.length % VBUUID_BYTES !== 0) {
    throw new MalformedBytes("its vbuuids are cut short");
  }
  const seqs = new Float64Array(vbuuids.length / VBUUID_BYTES);
  if (payload.length > 0) addPayload(payload, seqs);
  return Array.from(seqs, (seq, index) => {
    const at = index * VBUUID_BYTES;
    return { vbuuid: Buffer.from(vbuuids.subarray(at, at + VBUUID_BYTES)).toString("hex"), seq };
  });
}
