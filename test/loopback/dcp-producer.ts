// The server's half of DCP at a loopback node, over the embedded bucket's own feed.

import { StreamEndReason } from "../../src/bucket/couchbase/dcp/stream.ts";
import type { Frame, FrameParts } from "../../src/bucket/couchbase/wire/frame.ts";
import { HEADER_BYTES } from "../../src/bucket/couchbase/wire/frame.ts";
import {
  DataType,
  DcpOpenFlag,
  Magic,
  Opcode,
  SnapshotFlag,
  Status,
} from "../../src/bucket/couchbase/wire/opcodes.ts";
import { rollbackOf } from "../../src/bucket/embedded/rollback.ts";
import type { FeedEvent, FeedReader } from "../../src/bucket/feed.ts";
import {
  advancedFrame,
  bodyBytes,
  collectionMadeFrame,
  firstMarkerFlags,
  markerFrame,
  mutationFrame,
  streamEndFrame,
} from "./dcp-frames.ts";
import type { LoopbackNode } from "./node.ts";
import type { Backfill } from "./preload.ts";
import type { Answer, Session } from "./session.ts";

interface Stream {
  readonly vb: number;
  readonly opaque: number;
  readonly position: { seq: number; vbuuid: string; snapshotStart: number; snapshotEnd: number };
  readonly until: number;
  /** Whether what it begins with is not in the server's memory any more. */
  readonly fromDisk: boolean;
  /** No snapshot was announced yet. */
  first: boolean;
  /** A snapshot that was not announced yet: that waits for its first mutation. */
  marker?: { readonly start: number; readonly end: number } | undefined;
  /** The last seq sent. */
  sent: number;
  /** Whether the answer to its request is out. */
  answered: boolean;
  ended: boolean;
  /** Why it ended before its request was answered: the end follows the answer, as on a server. */
  endReason?: number;
}

/** The producer of one DCP connection. */
export class DcpProducer {
  readonly #session: Session;
  readonly #withBody: boolean;
  readonly #streams = new Map<number, Stream>();
  readonly #readers = new Set<FeedReader>();
  #toOpen: Stream[] = [];
  #bufferBytes = Number.POSITIVE_INFINITY;
  #snappy = false;
  #noop: ReturnType<typeof setInterval> | undefined;
  unacknowledgedBytes = 0;
  #room: (() => void)[] = [];
  #closed = false;
  #preloaded: Promise<void> = Promise.resolve();

  constructor(session: Session, flags: number) {
    this.#session = session;
    this.#withBody = (flags & DcpOpenFlag.noValue) === 0;
  }

  /** Takes what has no answer. Gives whether it was such a frame. */
  message(frame: Frame): boolean {
    if (frame.opcode !== Opcode.dcpBufferAcknowledgement) return false;
    this.unacknowledgedBytes -= frame.extras.readUInt32BE(0);
    if (this.unacknowledgedBytes < this.#bufferBytes) for (const go of this.#room.splice(0)) go();
    return true;
  }

  async request(frame: Frame): Promise<Answer> {
    switch (frame.opcode) {
      case Opcode.dcpControl:
        return this.#control(frame);
      case Opcode.dcpGetFailoverLog:
        return { value: await this.#failoverLog(frame.vb) };
      case Opcode.dcpStreamRequest:
        return this.#streamRequest(frame);
      case Opcode.dcpCloseStream:
        return this.#streams.has(frame.vb) ? {} : { vbOrStatus: Status.keyNotFound };
      default:
        return { vbOrStatus: Status.unknownCommand };
    }
  }

  /** The answer to a request is out: what it brings about may follow. */
  answered({ opcode, vb }: Frame): void {
    if (opcode === Opcode.dcpStreamRequest) this.#opened(vb);
    if (opcode === Opcode.dcpCloseStream) this.#end(vb, StreamEndReason.closed);
  }

  #opened(vb: number): void {
    const stream = this.#streams.get(vb);
    if (stream === undefined) return;
    stream.answered = true;
    if (stream.endReason !== undefined) {
      this.#end(vb, stream.endReason);
      return;
    }
    const { backfills } = this.#session.node.cluster;
    if (backfills !== undefined && stream.position.seq === 0) {
      const backfill = (this.#withBody ? backfills.withBody : backfills.withoutBody)[vb]!;
      this.#preloaded = this.#preloaded.then(() => this.#sendPreloaded(stream, backfill));
      return;
    }
    this.#toOpen.push(stream);
    if (this.#toOpen.length === 1) setImmediate(() => void this.#openReader());
  }

  /** One vbucket after the other, in large pieces: nothing is encoded here. */
  async #sendPreloaded(stream: Stream, backfill: Backfill): Promise<void> {
    for (const { bytes, starts } of backfill.pieces) {
      while (this.unacknowledgedBytes >= this.#bufferBytes && !this.#closed) {
        await new Promise<void>((resolve) => this.#room.push(resolve));
      }
      if (this.#closed || stream.ended) return;
      for (const at of starts) bytes.writeUInt32BE(stream.opaque, at + 12);
      this.unacknowledgedBytes += bytes.length;
      if (!this.#session.write(bytes)) await this.#session.drained();
    }
  }

  /** Ends the stream of `vb`: the vbucket is active elsewhere now, unless another reason is given. */
  endStream(vb: number, reason: number = StreamEndReason.stateChanged): void {
    this.#end(vb, reason);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#noop);
    for (const reader of this.#readers) reader.close();
    for (const go of this.#room.splice(0)) go();
  }

  #control(frame: Frame): Answer {
    const value = frame.value.toString("utf8");
    if (frame.key.toString("utf8") === "connection_buffer_size") this.#bufferBytes = Number(value);
    if (frame.key.toString("utf8") === "force_value_compression") this.#snappy = value === "true";
    if (frame.key.toString("utf8") === "set_noop_interval") {
      clearInterval(this.#noop);
      const noop = () =>
        this.#session.send({ magic: Magic.request, opcode: Opcode.dcpNoop, opaque: 0xffff });
      this.#noop = setInterval(noop, Number(value) * 1000);
    }
    return {};
  }

  async #failoverLog(vb: number): Promise<Buffer> {
    const log = (await this.#session.node.cluster.bucket.feed.failoverLogs())[vb] ?? [];
    const out = Buffer.alloc(log.length * 16);
    log.forEach(({ vbuuid, seq }, at) => {
      out.write(vbuuid, at * 16, "hex");
      out.writeBigUInt64BE(BigInt(seq), at * 16 + 8);
    });
    return out;
  }

  async #streamRequest(frame: Frame): Promise<Answer> {
    const { node } = this.#session;
    if (!node.owns(frame.vb)) {
      const value = Buffer.from(node.cluster.configText(node.index));
      return { vbOrStatus: Status.notMyVbucket, value, dataType: DataType.json };
    }
    if (this.#streams.has(frame.vb)) return { vbOrStatus: Status.keyExists };
    const at = (offset: number) => Number(frame.extras.readBigUInt64BE(offset));
    const [seq, until, snapshotStart, snapshotEnd] = [at(8), at(16), at(32), at(40)];
    if (snapshotStart > seq || seq > snapshotEnd) return { vbOrStatus: Status.rangeError };
    const vbuuid = frame.extras.subarray(24, 32).toString("hex");
    const position = { vb: frame.vb, seq, vbuuid, snapshotStart, snapshotEnd };
    const { feed } = node.cluster.bucket;
    const log = (await feed.failoverLogs())[frame.vb] ?? [];
    const high = (await feed.highSeqs())[frame.vb] ?? 0;
    const rollback = rollbackOf(position, log, high);
    if (rollback !== undefined) {
      const value = Buffer.alloc(8);
      value.writeBigUInt64BE(BigInt(rollback), 0);
      return { vbOrStatus: Status.rollback, value };
    }
    this.#streams.set(frame.vb, {
      vb: frame.vb,
      opaque: frame.opaque,
      position,
      // What is in the snapshot with the end that was asked for comes whole, as a server sends it.
      until: Math.max(until, high),
      fromDisk: seq < log[0]!.seq,
      sent: seq,
      first: true,
      answered: false,
      ended: false,
    });
    return { value: await this.#failoverLog(frame.vb) };
  }

  /** One reader of the bucket's feed for all streams asked for in one burst. */
  async #openReader(): Promise<void> {
    const streams = this.#toOpen;
    this.#toOpen = [];
    const { bucket } = this.#session.node.cluster;
    const until = new Float64Array(bucket.vbuckets).fill(Number.MAX_SAFE_INTEGER);
    for (const stream of streams) until[stream.vb] = Math.min(stream.until, until[stream.vb]!);
    const reader = bucket.feed.open(
      streams.map(({ vb, position }) => ({
        vb,
        ...position,
        vbuuid: position.seq === 0 ? "0" : position.vbuuid,
      })),
      { withBody: this.#withBody, until },
    );
    this.#readers.add(reader);
    const byVb = new Map(streams.map((stream) => [stream.vb, stream]));
    for (;;) {
      const events = await reader.read();
      if (events.length === 0 || this.#closed) break;
      for (const event of events) {
        const stream = byVb.get(event.vb);
        if (stream === undefined || stream.ended) continue;
        await this.#sendEvent(stream, event);
        if (this.#closed) break;
      }
    }
    this.#readers.delete(reader);
    reader.close();
  }

  async #sendEvent(stream: Stream, event: FeedEvent): Promise<void> {
    switch (event.kind) {
      case "snapshot":
        await this.#announce(stream);
        stream.marker = event;
        return;
      case "mutation":
      case "deletion":
      case "expiration": {
        await this.#announce(stream, event.seq);
        const collectionId = this.#session.node.cluster.collection.id;
        const style = { withBody: this.#withBody, collectionId, snappy: this.#snappy };
        return this.#send(stream, mutationFrame(event, style));
      }
      case "advanced":
        await this.#announce(stream, event.seq);
        return this.#send(stream, advancedFrame(event.seq));
      // The branch changed under the stream: a real server ends it, and answers the next request.
      case "rollback":
      case "failover":
        if (!stream.first || event.kind === "rollback") {
          this.#end(stream.vb, StreamEndReason.stateChanged);
        }
        return;
      case "end":
        await this.#announce(stream);
        this.#end(stream.vb, StreamEndReason.ok);
    }
  }

  /**
   * Sends the marker that waits. The first one of a stream begins where the stream does, one that
   * extends a snapshot where that one did, and any other at its first mutation.
   */
  async #announce(stream: Stream, firstSeq?: number): Promise<void> {
    const { marker, sent } = stream;
    stream.sent = firstSeq ?? sent;
    if (marker === undefined) return;
    stream.marker = undefined;
    let start = stream.first || sent > marker.start ? marker.start : (firstSeq ?? marker.end);
    let flags: number = SnapshotFlag.memory;
    if (stream.first) {
      stream.first = false;
      flags = firstMarkerFlags(stream.fromDisk);
      const { id, made } = this.#session.node.cluster.collection;
      if (made !== undefined && made.vb === stream.vb && stream.position.seq < made.seq) {
        await this.#send(stream, markerFrame(start, made.seq, flags));
        await this.#send(stream, collectionMadeFrame(made, id));
        start = made.seq + 1;
      }
    }
    await this.#send(stream, markerFrame(start, marker.end, flags));
  }

  async #send(stream: Stream, parts: FrameParts): Promise<void> {
    const bytes = HEADER_BYTES + bodyBytes(parts);
    while (this.unacknowledgedBytes >= this.#bufferBytes && !this.#closed) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
    if (this.#closed || stream.ended) return;
    this.unacknowledgedBytes += bytes;
    const more = this.#session.send({ ...parts, vbOrStatus: stream.vb, opaque: stream.opaque });
    if (!more) await this.#session.drained();
  }

  #end(vb: number, reason: number): void {
    const stream = this.#streams.get(vb);
    if (stream === undefined) return;
    if (!stream.answered) {
      stream.endReason = reason;
      return;
    }
    stream.ended = true;
    this.#streams.delete(vb);
    const end = streamEndFrame(reason);
    this.unacknowledgedBytes += HEADER_BYTES + bodyBytes(end);
    this.#session.send({ ...end, vbOrStatus: vb, opaque: stream.opaque });
  }
}

/** The answer to GET_ALL_VB_SEQNOS: vbucket and highest seq of what is active at `node`. */
export async function activeSeqnos(node: LoopbackNode): Promise<Answer> {
  const high = await node.cluster.bucket.feed.highSeqs();
  const out: Buffer[] = [];
  high.forEach((seq, vb) => {
    if (!node.owns(vb)) return;
    const row = Buffer.alloc(10);
    row.writeUInt16BE(vb, 0);
    row.writeBigUInt64BE(BigInt(seq), 2);
    out.push(row);
  });
  return { value: Buffer.concat(out) };
}
