// The feed of a Couchbase bucket: one DCP connection a node, the streams of all vbuckets spread over
// them as the cluster map says, one queue to the consumer. Streams follow their vbucket when it
// moves; what the consumer has not finished is not acknowledged, so the server stops sending.

import { assert } from "../../../base/assert.ts";
import { TidegateError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Random } from "../../../runtime/random.ts";
import type { Cancel, Time } from "../../../runtime/time.ts";
import type { FeedEvent, FeedOptions, FeedReader, StreamPosition } from "../../feed.ts";
import { type ClusterNode, nodeName } from "../cluster/cluster-map.ts";
import type { Topology } from "../cluster/topology.ts";
import type { Connector } from "../connection/connector.ts";
import type { NodePool } from "../kv/node-pool.ts";
import { type HeldEvent, HeldEvents } from "./held-events.ts";
import { NodeConsumer } from "./node-consumer.ts";
import { PersistenceWatch } from "./persistence.ts";
import {
  type DcpSettings,
  MAX_EVENTS_PER_READ,
  RETRY_FIRST_MS,
  RETRY_LONGEST_MS,
} from "./settings.ts";
import { DcpStream } from "./stream.ts";

/** What a feed needs of the bucket. */
export interface DcpFeedParts {
  readonly connector: Connector;
  readonly topology: Topology;
  readonly settings: DcpSettings;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
  /** Rollback mitigation: whom to ask for what is on the disks. Undefined: it is off. */
  readonly mitigation?: NodePool;
}

interface QueuedEvents {
  readonly events: readonly FeedEvent[];
  readonly bytes: number;
  readonly consumer: NodeConsumer;
}

/** Streams of several vbuckets over as many connections as there are nodes. */
export class DcpFeedReader implements FeedReader {
  readonly #parts: DcpFeedParts;
  readonly #withBody: boolean;
  readonly #streams = new Map<number, DcpStream>();
  readonly #consumers = new Map<string, NodeConsumer>();
  /** Streams that wait for the next assignment to nodes. */
  #homeless = new Set<DcpStream>();
  /** With rollback mitigation: what waits for the disks, and who asks for these. */
  readonly #held: HeldEvents<NodeConsumer> | undefined;
  readonly #persistence: PersistenceWatch<NodeConsumer> | undefined;
  #queue: QueuedEvents[] = [];
  /** Where in the first element of the queue the next `read` begins. */
  #queueOffset = 0;
  #toFinish: QueuedEvents[] = [];
  #wake: (() => void) | undefined;
  #retry: Cancel | undefined;
  #failures = 0;
  #closed = false;
  readonly #stopListening: () => void;

  constructor(parts: DcpFeedParts, positions: readonly StreamPosition[], options: FeedOptions) {
    this.#parts = parts;
    this.#withBody = options.withBody ?? true;
    for (const position of positions) {
      const until = options.until?.[position.vb];
      const stream = new DcpStream(position, {
        withBody: this.#withBody,
        ...(until === undefined ? {} : { until }),
      });
      assert(!this.#streams.has(position.vb), `Two positions for vbucket ${position.vb}.`);
      this.#streams.set(position.vb, stream);
      this.#homeless.add(stream);
    }
    const { mitigation: pool } = parts;
    if (pool !== undefined) {
      this.#held = new HeldEvents(positions);
      this.#persistence = new PersistenceWatch({ ...parts, pool }, this.#held, {
        onReleased: (held) => this.#released(held),
        onBranchLeft: (vb) => this.#branchLeft(vb),
      });
    }
    this.#stopListening = parts.topology.onChange(() => this.#assignSoon(0));
    this.#assignSoon(0);
  }

  async read(): Promise<readonly FeedEvent[]> {
    this.#finish();
    while (!this.#closed) {
      const events = this.#take();
      if (events.length > 0) return events;
      if (this.#allEnded()) return [];
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return [];
  }

  restart(position: StreamPosition): void {
    const stream = this.#streams.get(position.vb);
    assert(stream !== undefined, `Vbucket ${position.vb} is not of this feed.`);
    stream.restart(position);
    this.#held?.restart(position);
    this.#homeless.add(stream);
    this.#assignSoon(0);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Events held back until all copies have them on disk, and the bytes of their frames. */
  get held(): { readonly events: number; readonly bytes: number } {
    return { events: this.#held?.count ?? 0, bytes: this.#held?.bytes ?? 0 };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#persistence?.close();
    this.#stopListening();
    this.#retry?.();
    for (const consumer of this.#consumers.values()) consumer.close();
    this.#consumers.clear();
    this.#queue = [];
    this.#wakeReader();
  }

  #allEnded(): boolean {
    if (this.#held !== undefined && this.#held.count > 0) return false;
    for (const stream of this.#streams.values()) if (stream.state !== "ended") return false;
    return true;
  }

  /** Takes up to a page of events; a queue element's bytes are finished with its last event. */
  #take(): FeedEvent[] {
    const out: FeedEvent[] = [];
    while (out.length < MAX_EVENTS_PER_READ) {
      const first = this.#queue[0];
      if (first === undefined) break;
      const room = MAX_EVENTS_PER_READ - out.length;
      const part = first.events.slice(this.#queueOffset, this.#queueOffset + room);
      out.push(...part);
      this.#queueOffset += part.length;
      if (this.#queueOffset < first.events.length) break;
      this.#toFinish.push(first);
      this.#queue.shift();
      this.#queueOffset = 0;
    }
    return out;
  }

  #finish(): void {
    for (const { consumer, bytes } of this.#toFinish) consumer.finished(bytes);
    this.#toFinish = [];
  }

  #wakeReader(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Plans the next assignment; an earlier plan is kept when it comes sooner. */
  #assignSoon(delayMs: number): void {
    if (this.#closed) return;
    if (this.#retry !== undefined && delayMs > 0) return;
    this.#retry?.();
    this.#retry = this.#parts.time.after(delayMs, () => {
      this.#retry = undefined;
      this.#assign().catch((error: unknown) => this.#failed("the cluster", error));
    });
  }

  async #assign(): Promise<void> {
    if (this.#failures > 0) await this.#parts.topology.refresh();
    const homeless = this.#homeless;
    this.#homeless = new Set();
    for (const stream of homeless) {
      const node = this.#parts.topology.nodeOf(stream.vb);
      if (node === undefined) this.#homeless.add(stream);
      else this.#consumerOf(node).add(stream);
    }
    if (this.#homeless.size > 0) this.#backOff();
  }

  #consumerOf(node: ClusterNode): NodeConsumer {
    const name = nodeName(node);
    const existing = this.#consumers.get(name);
    if (existing !== undefined) return existing;
    const { settings, time, connector } = this.#parts;
    let pending: { events: FeedEvent[]; bytes: number } = { events: [], bytes: 0 };
    const consumer = new NodeConsumer(
      node,
      { settings, withBody: this.#withBody, time },
      {
        onEvents: (events, bytes) => {
          let owed = bytes;
          for (const event of events) {
            if (this.#admit(event, owed, consumer)) pending.events.push(event);
            else owed = 0;
          }
          pending.bytes += owed;
          if (bytes > 0 || events.length > 0) this.#failures = 0;
        },
        onChunkEnd: () => {
          if (pending.bytes === 0 && pending.events.length === 0) return;
          this.#queue.push({ ...pending, consumer });
          pending = { events: [], bytes: 0 };
          this.#wakeReader();
        },
        onClusterMap: (frame) => this.#parts.topology.learnFrom(frame, node.host),
        onOrphans: (streams, delay) => this.#orphaned(streams, delay),
        onClosed: (reason) => {
          if (this.#consumers.get(name) === consumer) this.#consumers.delete(name);
          this.#failed(name, reason);
        },
      },
    );
    this.#consumers.set(name, consumer);
    consumer.open(connector).catch((error: unknown) => {
      if (this.#consumers.get(name) === consumer) this.#consumers.delete(name);
      consumer.abandon();
      this.#failed(name, error);
    });
    return consumer;
  }

  #orphaned(streams: readonly DcpStream[], delay: boolean): void {
    for (const stream of streams) {
      if (this.#held !== undefined) stream.rewind(this.#drop(stream.vb));
      this.#homeless.add(stream);
    }
    if (delay) this.#backOff();
    else this.#assignSoon(0);
  }

  /** Whether an event may go to the consumer now; else it is held, and `bytes` are owed with it. */
  #admit(event: FeedEvent, bytes: number, consumer: NodeConsumer): boolean {
    if (this.#held === undefined || this.#held.admit(event, bytes, consumer)) return true;
    if (this.#held.held(event.vb) === 1) this.#persistence?.look(event.vb);
    return false;
  }

  #released(held: readonly HeldEvent<NodeConsumer>[]): void {
    let at = 0;
    while (at < held.length) {
      const { origin: consumer } = held[at] as HeldEvent<NodeConsumer>;
      const events: FeedEvent[] = [];
      let bytes = 0;
      for (let one = held[at]; one !== undefined && one.origin === consumer; one = held[++at]) {
        events.push(one.event);
        bytes += one.bytes;
      }
      this.#queue.push({ events, bytes, consumer });
    }
    this.#wakeReader();
  }

  /** Gives up what is held of a vbucket. Gives where the consumer stands. */
  #drop(vb: number): StreamPosition {
    assert(this.#held !== undefined, "Something is dropped only where something is held.");
    const { position, dropped } = this.#held.drop(vb);
    for (const { origin, bytes } of dropped) origin.finished(bytes);
    return position;
  }

  /** The vbucket went on without what is held: its stream is asked for from where that began. */
  #branchLeft(vb: number): void {
    const stream = this.#streams.get(vb) as DcpStream;
    if (stream.state === "ended") {
      stream.restart(this.#drop(vb));
      this.#homeless.add(stream);
      this.#backOff();
      return;
    }
    for (const consumer of this.#consumers.values()) consumer.closeStream(vb);
  }

  #failed(what: string, error: unknown): void {
    if (this.#closed) return;
    const reason = error instanceof TidegateError ? error.message : String(error);
    this.#parts.log.warn({ what, reason, failures: this.#failures + 1 }, "a DCP connection failed");
    this.#backOff();
  }

  /** Waits longer after each failure in a row, never the same time on every gateway. */
  #backOff(): void {
    const longest = Math.min(RETRY_FIRST_MS * 2 ** this.#failures, RETRY_LONGEST_MS);
    this.#failures = Math.min(this.#failures + 1, 16);
    this.#assignSoon(longest * (0.5 + this.#parts.random.fraction() / 2));
  }
}
