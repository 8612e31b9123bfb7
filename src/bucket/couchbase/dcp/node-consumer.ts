// The DCP connection to one node: open, controls, stream requests, no-ops, flow control. It carries
// the streams of the vbuckets that are active there; when it breaks they are handed back.

import { TidegateError } from "../../../base/errors.ts";
import type { Cancel, Time } from "../../../runtime/time.ts";
import type { FeedEvent } from "../../feed.ts";
import type { ClusterNode } from "../cluster/cluster-map.ts";
import type { Connector, NodeConnection } from "../connection/connector.ts";
import { requireSuccess } from "../connection/handshake.ts";
import type { Frame } from "../wire/frame.ts";
import { DcpOpenFlag, Feature, Magic, nameOf, Opcode, Status } from "../wire/opcodes.ts";
import {
  ACKNOWLEDGE_SHARE,
  type DcpSettings,
  DEAD_AFTER_NOOP_INTERVALS,
  MAX_STREAM_REQUESTS,
} from "./settings.ts";
import type { DcpStream } from "./stream.ts";

/** The features that a DCP connection asks for. */
const FEATURES = [
  Feature.tcpNoDelay,
  Feature.xattr,
  Feature.xerror,
  Feature.selectBucket,
  Feature.snappy,
  Feature.json,
  Feature.duplex,
  Feature.clusterMapNotification,
  Feature.collections,
];

/** What a node's consumer tells the feed. */
export interface NodeConsumerEvents {
  /** Events to queue, in order; `bytes` are to be given back to `finished` when they are done. */
  onEvents(events: readonly FeedEvent[], bytes: number): void;
  /** A chunk of frames was handled: the moment to wake a waiting reader. */
  onChunkEnd(): void;
  /** A frame that carries a cluster map. */
  onClusterMap(frame: Frame): void;
  /** These streams want a place again; `delay`: not at once. */
  onOrphans(streams: readonly DcpStream[], delay: boolean): void;
  onClosed(reason: TidegateError): void;
}

/** One node's DCP connection. */
export class NodeConsumer {
  readonly node: ClusterNode;
  readonly #settings: DcpSettings;
  readonly #withBody: boolean;
  readonly #time: Time;
  readonly #events: NodeConsumerEvents;
  readonly #streams = new Map<number, DcpStream>();
  #wanting: DcpStream[] = [];
  #requestsInFlight = 0;
  #link: NodeConnection | undefined;
  #unacknowledgedBytes = 0;
  #lastHeardMs = 0;
  #stopWatch: Cancel = () => {};
  #closed = false;

  constructor(
    node: ClusterNode,
    options: { settings: DcpSettings; withBody: boolean; time: Time },
    events: NodeConsumerEvents,
  ) {
    this.node = node;
    this.#settings = options.settings;
    this.#withBody = options.withBody;
    this.#time = options.time;
    this.#events = events;
  }

  /** Connects and opens DCP. Throws what `Connector.open` throws, `unavailable` for a refusal. */
  async open(connector: Connector): Promise<void> {
    const link = await connector.open(this.node, FEATURES, {
      onServerFrame: (frame) => this.#serverFrame(frame),
      onChunkEnd: () => this.#events.onChunkEnd(),
      onClosed: (reason) => this.#lost(reason),
    });
    if (this.#closed) return link.connection.close();
    try {
      await this.#openDcp(link);
    } catch (error) {
      link.connection.close("DCP could not be opened.");
      throw error;
    }
    this.#link = link;
    this.#lastHeardMs = this.#time.monotonicMs();
    const deadAfterMs = this.#settings.noopIntervalSeconds * 1000 * DEAD_AFTER_NOOP_INTERVALS;
    this.#stopWatch = this.#time.every(deadAfterMs / DEAD_AFTER_NOOP_INTERVALS, () => {
      if (this.#time.monotonicMs() - this.#lastHeardMs < deadAfterMs) return;
      link.connection.close(`Nothing came for ${deadAfterMs} ms: the link is dead.`);
    });
    this.#requestStreams();
  }

  /** Takes over a stream that wants a place. */
  add(stream: DcpStream): void {
    this.#wanting.push(stream);
    this.#requestStreams();
  }

  /** The consumer is done with `bytes` of events: the server may send as many more. */
  finished(bytes: number): void {
    this.#unacknowledgedBytes += bytes;
    if (this.#unacknowledgedBytes < this.#settings.bufferBytes * ACKNOWLEDGE_SHARE) return;
    const extras = Buffer.alloc(4);
    extras.writeUInt32BE(this.#unacknowledgedBytes, 0);
    this.#unacknowledgedBytes = 0;
    this.#link?.connection.send({ opcode: Opcode.dcpBufferAcknowledgement, extras });
  }

  /** Ends the stream of `vb`, if there is one here: its end comes, then it wants a place again. */
  closeStream(vb: number): void {
    const link = this.#link;
    if (link === undefined || this.#streams.get(vb)?.state !== "streaming") return;
    link.connection.call(
      { opcode: Opcode.dcpCloseStream, vbOrStatus: vb },
      // Whether there was a stream any more makes no difference: its end is sent either way.
      () => "done",
      (error) => link.connection.close(`A stream could not be closed: ${error.message}`),
    );
  }

  /** The connection could not be opened: hands back the streams that waited for it. */
  abandon(): void {
    this.#lost(new TidegateError("unavailable", "The DCP connection could not be opened."));
  }

  close(): void {
    this.#closed = true;
    this.#stopWatch();
    this.#link?.connection.close();
  }

  async #openDcp({ connection, features }: NodeConnection): Promise<void> {
    for (const [feature, name] of [
      [Feature.xattr, "extended attributes"],
      [Feature.collections, "collections"],
    ] as const) {
      if (!features.has(feature)) {
        throw new TidegateError("unavailable", `The Couchbase server did not grant ${name}.`);
      }
    }
    const extras = Buffer.alloc(8);
    const flags =
      DcpOpenFlag.producer | DcpOpenFlag.includeXattrs | (this.#withBody ? 0 : DcpOpenFlag.noValue);
    extras.writeUInt32BE(flags, 4);
    const key = Buffer.from(this.#settings.connectionName);
    requireSuccess(await connection.request({ opcode: Opcode.dcpOpen, extras, key }), "DCP_OPEN");
    const controls: readonly (readonly [name: string, value: string])[] = [
      ["enable_noop", "true"],
      ["set_noop_interval", String(this.#settings.noopIntervalSeconds)],
      ["connection_buffer_size", String(this.#settings.bufferBytes)],
      ["send_stream_end_on_client_close_stream", "true"],
      ["enable_expiry_opcode", "true"],
    ];
    for (const [name, value] of controls) {
      const answer = await connection.request({
        opcode: Opcode.dcpControl,
        key: Buffer.from(name),
        value: Buffer.from(value),
      });
      requireSuccess(answer, `DCP_CONTROL ${name}`);
    }
  }

  #requestStreams(): void {
    if (this.#link === undefined || this.#closed) return;
    while (this.#requestsInFlight < MAX_STREAM_REQUESTS) {
      const stream = this.#wanting.shift();
      if (stream === undefined) return;
      this.#requestsInFlight++;
      this.#streams.set(stream.vb, stream);
      this.#requestStream(stream, this.#link);
    }
  }

  #requestStream(stream: DcpStream, link: NodeConnection): void {
    const { collectionId } = this.#settings;
    const filter =
      collectionId === undefined ? "" : `{"collections":["${collectionId.toString(16)}"]}`;
    link.connection.call(
      {
        opcode: Opcode.dcpStreamRequest,
        vbOrStatus: stream.vb,
        extras: stream.requested(),
        value: Buffer.from(filter),
      },
      (answer) => {
        this.#requestsInFlight--;
        this.#streamAnswered(stream, answer);
        this.#requestStreams();
        return "done";
      },
      // A lost connection hands back all its streams in `#lost`; a time-out is made to end so too.
      (error) => link.connection.close(`A stream request failed: ${error.message}`),
    );
  }

  #streamAnswered(stream: DcpStream, answer: Frame): void {
    if (answer.status === Status.success) {
      this.#events.onEvents(stream.accepted(answer.value), 0);
      if (stream.state !== "streaming") this.#left(stream);
      return;
    }
    this.#streams.delete(stream.vb);
    if (answer.status === Status.rollback) {
      this.#events.onEvents(stream.rollback(answer.value), 0);
      return;
    }
    stream.interrupted();
    if (answer.status === Status.notMyVbucket) this.#events.onClusterMap(answer);
    else this.#refused(stream, answer.status);
    this.#events.onOrphans([stream], true);
  }

  #refused(stream: DcpStream, status: number): void {
    const passing: readonly number[] = [Status.temporaryFailure, Status.busy, Status.keyExists];
    if (passing.includes(status)) return;
    // Not something that asking again is known to mend: let it be seen, and start afresh.
    const why = `The stream request of vbucket ${stream.vb} was answered ${nameOf(Status, status)}.`;
    this.#link?.connection.close(why);
  }

  #serverFrame(frame: Frame): void {
    this.#lastHeardMs = this.#time.monotonicMs();
    if (frame.magic === Magic.serverRequest) {
      this.#events.onClusterMap(frame);
      return;
    }
    if (frame.opcode === Opcode.dcpNoop) {
      this.#link?.connection.send({
        magic: Magic.response,
        opcode: Opcode.dcpNoop,
        opaque: frame.opaque,
      });
      return;
    }
    const stream = this.#streams.get(frame.vb);
    const events = stream === undefined ? [] : stream.message(frame);
    this.#events.onEvents(events, frame.length);
    if (stream?.state === "ended" || stream?.state === "wanting") this.#left(stream);
  }

  /** A stream is over here: the vbucket moved, or it came to its end. */
  #left(stream: DcpStream): void {
    this.#streams.delete(stream.vb);
    if (stream.state === "wanting") this.#events.onOrphans([stream], true);
  }

  #lost(reason: TidegateError): void {
    this.#stopWatch();
    this.#link = undefined;
    // What was read before the break is delivered: the streams' positions count it as such.
    this.#events.onChunkEnd();
    const orphans = [...this.#streams.values(), ...this.#wanting];
    this.#streams.clear();
    this.#wanting = [];
    for (const stream of orphans) stream.interrupted();
    if (this.#closed) return;
    this.#closed = true;
    this.#events.onOrphans(
      orphans.filter((stream) => stream.state === "wanting"),
      true,
    );
    this.#events.onClosed(reason);
  }
}
