// The state of one vbucket's DCP stream: a core that turns the server's messages into feed events
// and knows where to go on after a break. It owns no socket.
//
//                  ┌──────────── connection lost, moved, slow, state changed ───────────┐
//                  ▼                                                                    │
//   start ──▶ wanting ──requested()──▶ requested ──accepted()──▶ streaming ──streamEnd()┤
//                  ▲                       │                                            ├──▶ ended
//                  │                       └──rollback()──▶ rolledBack                  │ (the end
//                  └────────── restart(position) ────────────────┘                      ▼  was asked)
//
// A position is where the consumer was led to, with the bounds of the snapshot it lies in. Sequence
// numbers skip (deduplication, prepares, other collections): only going back is a fault.

import { assert } from "../../../base/assert.ts";
import { TidegateError } from "../../../base/errors.ts";
import type { FailoverEntry, FeedEvent, FeedMutation, StreamPosition } from "../../feed.ts";
import { MAX_SEQ } from "../../vbucket.ts";
import type { Frame } from "../wire/frame.ts";
import { Opcode } from "../wire/opcodes.ts";
import { decodeCollectionKey, splitValue } from "../wire/values.ts";

/** "No end": a stream that goes on live. */
const NO_END = 0xffff_ffff_ffff_ffffn;

/** Why the server ended a stream. */
export const StreamEndReason = {
  ok: 0x00,
  closed: 0x01,
  stateChanged: 0x02,
  disconnected: 0x03,
  tooSlow: 0x04,
  backfillFailed: 0x05,
  rollback: 0x06,
  filterEmpty: 0x07,
  lostPrivileges: 0x08,
} as const;

/** Where a stream is. */
export type StreamState = "wanting" | "requested" | "streaming" | "rolledBack" | "ended";

/** Whether mutations carry their body. */
export interface StreamOptions {
  readonly withBody: boolean;
  /** The last seq wanted; undefined: live. */
  readonly until?: number;
}

/** One vbucket's stream. */
export class DcpStream {
  readonly vb: number;
  readonly #options: StreamOptions;
  #state: StreamState = "wanting";
  #position: StreamPosition;
  #failoverLog: readonly FailoverEntry[] = [];
  /** The end of the stream that is being requested came before the answer. */
  #endedEarly = false;

  constructor(position: StreamPosition, options: StreamOptions) {
    this.vb = position.vb;
    this.#position = position;
    this.#options = options;
  }

  get state(): StreamState {
    return this.#state;
  }
  get position(): StreamPosition {
    return this.#position;
  }

  /** The extras of the stream request from here (48 bytes, see Couchbase's DCP specification). */
  requested(): Buffer {
    assert(this.#state === "wanting", `A ${this.#state} stream is not requested.`);
    this.#state = "requested";
    this.#endedEarly = false;
    const { seq, vbuuid, snapshotStart, snapshotEnd } = this.#position;
    const extras = Buffer.alloc(48);
    extras.writeBigUInt64BE(BigInt(seq), 8);
    const until = this.#options.until;
    extras.writeBigUInt64BE(until === undefined ? NO_END : BigInt(until), 16);
    extras.writeBigUInt64BE(BigInt(`0x${vbuuid}`), 24);
    // A complete snapshot is asked for as the point itself: the server wants start <= seq <= end.
    const complete = seq === snapshotEnd;
    extras.writeBigUInt64BE(BigInt(complete ? seq : snapshotStart), 32);
    extras.writeBigUInt64BE(BigInt(snapshotEnd), 40);
    return extras;
  }

  /** The server took the request. Gives the failover log when it is new to the consumer. */
  accepted(value: Buffer): FeedEvent[] {
    assert(this.#state === "requested", `A ${this.#state} stream was accepted.`);
    const log = parseFailoverLog(value);
    this.#state = "streaming";
    const newest = log[0];
    if (newest === undefined) throw corrupt(this.vb, "an empty failover log");
    this.#position = { ...this.#position, vbuuid: newest.vbuuid };
    const known = sameLog(log, this.#failoverLog);
    this.#failoverLog = log;
    if (this.#endedEarly) this.#state = "wanting";
    this.#endedEarly = false;
    return known ? [] : [{ kind: "failover", vb: this.vb, log }];
  }

  /** The server says that the position is on a dead branch beyond `value`'s seq. */
  rollback(value: Buffer): FeedEvent[] {
    assert(this.#state === "requested", `A ${this.#state} stream was rolled back.`);
    if (value.length !== 8) throw corrupt(this.vb, "a rollback without a sequence number");
    this.#state = "rolledBack";
    return [{ kind: "rollback", vb: this.vb, seq: readSeq(value, 0, this.vb) }];
  }

  /** The consumer goes on from `position`: after a rollback or an end. */
  restart(position: StreamPosition): void {
    assert(position.vb === this.vb, "A stream is restarted for its own vbucket.");
    assert(
      this.#state === "rolledBack" || this.#state === "ended",
      `A ${this.#state} stream is not restarted.`,
    );
    this.#position = position;
    this.#state = "wanting";
  }

  /** What came beyond `position` never reached the consumer, and is to come again. */
  rewind(position: StreamPosition): void {
    assert(this.#state === "wanting", `A ${this.#state} stream is not rewound.`);
    assert(position.vb === this.vb, "A stream is rewound in its own vbucket.");
    assert(position.seq <= this.#position.seq, "A stream is never rewound forward.");
    this.#position = position;
  }

  /** The connection or the vbucket's place was lost: to be requested again from the position. */
  interrupted(): void {
    if (this.#state === "requested" || this.#state === "streaming") this.#state = "wanting";
  }

  /** A message of the stream. Throws `corrupt` when it can't be one of this stream. */
  message(frame: Frame): FeedEvent[] {
    // An end that overtakes the answer must not be lost: the stream would be waited for for ever.
    this.#endedEarly ||= this.#state === "requested" && frame.opcode === Opcode.dcpStreamEnd;
    if (this.#state !== "streaming") return [];
    switch (frame.opcode) {
      case Opcode.dcpSnapshotMarker:
        return this.#snapshot(frame);
      case Opcode.dcpMutation:
      case Opcode.dcpDeletion:
      case Opcode.dcpExpiration:
        if (this.#isBeyondEnd(frame)) return this.#end(StreamEndReason.ok);
        return [this.#mutation(frame)];
      case Opcode.dcpSystemEvent:
      case Opcode.dcpSeqnoAdvanced: {
        if (this.#isBeyondEnd(frame)) return this.#end(StreamEndReason.ok);
        const seq = readSeq(frame.extras, 0, this.vb);
        this.#moveTo(seq);
        return [{ kind: "advanced", vb: this.vb, seq }];
      }
      case Opcode.dcpStreamEnd:
        return this.#end(frame.extras.length >= 4 ? frame.extras.readUInt32BE(0) : 0);
      default:
        throw corrupt(this.vb, `a message 0x${frame.opcode.toString(16)}`);
    }
  }

  #snapshot(frame: Frame): FeedEvent[] {
    // The second form of the marker has its numbers in the value, a version before them.
    const numbers = frame.extras.length >= 20 ? frame.extras : frame.value;
    const start = readSeq(numbers, 0, this.vb);
    const end = readSeq(numbers, 8, this.vb);
    if (end < start || end < this.#position.seq) {
      throw corrupt(this.vb, `a snapshot ${start}..${end} behind seq ${this.#position.seq}`);
    }
    // A marker's start may lie before the position (a resumed disk snapshot), never after it as far
    // as the next request is concerned: the position must lie within the bounds.
    const snapshotStart = Math.min(start, this.#position.seq);
    this.#position = { ...this.#position, snapshotStart, snapshotEnd: end };
    return [{ kind: "snapshot", vb: this.vb, start, end }];
  }

  /** A server sends the whole of a snapshot that has the end asked for in it. */
  #isBeyondEnd(frame: Frame): boolean {
    const { until } = this.#options;
    return until !== undefined && readSeq(frame.extras, 0, this.vb) > until;
  }

  #mutation(frame: Frame): FeedMutation {
    const seq = readSeq(frame.extras, 0, this.vb);
    const { key } = decodeCollectionKey(frame.key);
    const { xattrs, body } = splitValue(frame.value, frame.dataType);
    // Last of all: a message that can't be read must not count as delivered.
    this.#moveTo(seq);
    const isMutation = frame.opcode === Opcode.dcpMutation;
    return {
      kind: isMutation
        ? "mutation"
        : frame.opcode === Opcode.dcpExpiration
          ? "expiration"
          : "deletion",
      vb: this.vb,
      seq,
      key,
      cas: frame.cas,
      // Views of received bytes would keep a whole chunk alive for one body.
      body: isMutation && this.#options.withBody ? Uint8Array.from(body) : undefined,
      deleted: !isMutation,
      xattrs,
      expiry: isMutation && frame.extras.length >= 24 ? frame.extras.readUInt32BE(20) : 0,
    };
  }

  #moveTo(seq: number): void {
    const { seq: before, snapshotEnd } = this.#position;
    if (seq <= before) throw corrupt(this.vb, `seq ${seq} after seq ${before}`);
    if (seq > snapshotEnd) throw corrupt(this.vb, `seq ${seq} beyond its snapshot ${snapshotEnd}`);
    this.#position = { ...this.#position, seq };
  }

  #end(reason: number): FeedEvent[] {
    if (reason === StreamEndReason.ok && this.#options.until !== undefined) {
      this.#state = "ended";
      return [{ kind: "end", vb: this.vb, reason: "ended" }];
    }
    if (reason === StreamEndReason.filterEmpty || reason === StreamEndReason.lostPrivileges) {
      this.#state = "ended";
      return [{ kind: "end", vb: this.vb, reason: "closed" }];
    }
    // State changed, disconnected, too slow, backfill failed, rollback: ask again, wherever the
    // vbucket is now; the answer to that request says whether there is a rollback.
    this.#state = "wanting";
    return [];
  }
}

/** Reads a failover log: 16 bytes an entry, vbuuid then seq, newest first. */
export function parseFailoverLog(value: Buffer): FailoverEntry[] {
  if (value.length % 16 !== 0) {
    throw new TidegateError("corrupt", `A failover log has ${value.length} bytes.`);
  }
  const log: FailoverEntry[] = [];
  for (let at = 0; at < value.length; at += 16) {
    const seq = Number(value.readBigUInt64BE(at + 8));
    if (!Number.isSafeInteger(seq)) {
      throw new TidegateError("corrupt", "A failover log names a sequence number over 2^53-1.");
    }
    log.push({ vbuuid: value.subarray(at, at + 8).toString("hex"), seq });
  }
  return log;
}

function sameLog(a: readonly FailoverEntry[], b: readonly FailoverEntry[]): boolean {
  return (
    a.length === b.length &&
    a.every((entry, at) => entry.vbuuid === b[at]?.vbuuid && entry.seq === b[at]?.seq)
  );
}

function readSeq(bytes: Buffer, at: number, vb: number): number {
  if (bytes.length < at + 8) throw corrupt(vb, "a message too short for its sequence number");
  const seq = Number(bytes.readBigUInt64BE(at));
  if (seq > MAX_SEQ) throw corrupt(vb, `a sequence number over ${MAX_SEQ}`);
  return seq;
}

function corrupt(vb: number, what: string): TidegateError {
  return new TidegateError("corrupt", `The DCP stream of vbucket ${vb} sent ${what}.`);
}
