// Rollback mitigation, its core: events of the feed wait here until every copy of their vbucket has
// them on disk, so that a failover can't take back what a consumer saw. It asks nobody: what is on
// the disks comes from `persistence.ts`.
//
// For each vbucket:
//
//   received ──▶ held ──persisted()──▶ released, in order
//                  │
//                  └──drop(): the stream broke off. What was held never was: the stream goes on
//                     from the position released, and the server says whether that is a rollback.
//
// How much is held is bounded by flow control: a held event's bytes are not acknowledged, so a node
// stops sending when `bufferBytes` of its events wait here or in the consumer's queue.

import { assert } from "../../../base/assert.ts";
import type { FeedEvent, StreamPosition } from "../../feed.ts";

/** An event with what is owed to the server for it, and to which connection. */
export interface HeldEvent<Origin> {
  readonly event: FeedEvent;
  readonly bytes: number;
  readonly origin: Origin;
}

interface Vbucket<Origin> {
  /** The oldest first; what was released is cut off in one piece. */
  held: HeldEvent<Origin>[];
  /** Everything up to this seq of the branch is on the disks of all copies. */
  persistedSeq: number;
  /** What the consumer was led to. */
  released: StreamPosition;
}

/** The events that wait for the disks. */
export class HeldEvents<Origin> {
  readonly #vbuckets = new Map<number, Vbucket<Origin>>();
  #count = 0;
  #bytes = 0;

  constructor(positions: readonly StreamPosition[]) {
    for (const position of positions) this.restart(position);
  }

  /** Events held now. */
  get count(): number {
    return this.#count;
  }
  /** Bytes of the frames that they came in. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Takes an event of a stream. Gives whether it may go to the consumer at once. */
  admit(event: FeedEvent, bytes: number, origin: Origin): boolean {
    const vbucket = this.#of(event.vb);
    if (vbucket.held.length === 0 && passes(event, vbucket.persistedSeq)) {
      vbucket.released = moved(vbucket.released, event);
      if (event.kind === "failover") vbucket.persistedSeq = 0;
      return true;
    }
    assert(event.kind !== "rollback", "A rollback comes when nothing of its vbucket is held.");
    vbucket.held.push({ event, bytes, origin });
    this.#count++;
    this.#bytes += bytes;
    return false;
  }

  /**
   * All copies have branch `vbuuid` up to `seq` on disk. Gives what may go to the consumer now. It
   * may be less than what was said before: a copy was added.
   */
  persisted(vb: number, vbuuid: string, seq: number): readonly HeldEvent<Origin>[] {
    const vbucket = this.#of(vb);
    if (vbucket.released.vbuuid !== vbuuid) return [];
    vbucket.persistedSeq = seq;
    const { held } = vbucket;
    let end = 0;
    while (end < held.length && passes((held[end] as HeldEvent<Origin>).event, seq)) end++;
    if (end === 0) return [];
    const out = held.slice(0, end);
    vbucket.held = held.slice(end);
    for (const { event } of out) vbucket.released = moved(vbucket.released, event);
    this.#uncount(out);
    return out;
  }

  /** The stream of `vb` broke off. Gives what was held, and where the stream is to go on. */
  drop(vb: number): { position: StreamPosition; dropped: readonly HeldEvent<Origin>[] } {
    const vbucket = this.#of(vb);
    const dropped = vbucket.held;
    vbucket.held = [];
    vbucket.persistedSeq = 0;
    this.#uncount(dropped);
    return { position: vbucket.released, dropped };
  }

  /** The consumer goes on from `position`. */
  restart(position: StreamPosition): void {
    assert(this.held(position.vb) === 0, "What is held of a vbucket is dropped before a restart.");
    this.#vbuckets.set(position.vb, { held: [], persistedSeq: 0, released: position });
  }

  /** How many events of `vb` wait. */
  held(vb: number): number {
    return this.#vbuckets.get(vb)?.held.length ?? 0;
  }

  /** The branch that the stream of `vb` is on. */
  branch(vb: number): string {
    return this.#of(vb).released.vbuuid;
  }

  /** The vbuckets with events that wait. */
  *waiting(): IterableIterator<number> {
    if (this.#count === 0) return;
    for (const [vb, { held }] of this.#vbuckets) if (held.length > 0) yield vb;
  }

  #uncount(gone: readonly HeldEvent<Origin>[]): void {
    this.#count -= gone.length;
    for (const { bytes } of gone) this.#bytes -= bytes;
  }

  #of(vb: number): Vbucket<Origin> {
    const vbucket = this.#vbuckets.get(vb);
    assert(vbucket !== undefined, `Vbucket ${vb} is not of this feed.`);
    return vbucket;
  }
}

/** Whether `event`, the oldest of its vbucket, need not wait. Markers change nothing by themselves. */
function passes(event: FeedEvent, persistedSeq: number): boolean {
  switch (event.kind) {
    case "mutation":
    case "deletion":
    case "expiration":
    case "advanced":
      return event.seq <= persistedSeq;
    default:
      return true;
  }
}

/** Where a consumer is after `event`. */
function moved(position: StreamPosition, event: FeedEvent): StreamPosition {
  switch (event.kind) {
    case "mutation":
    case "deletion":
    case "expiration":
    case "advanced":
      return { ...position, seq: event.seq };
    case "snapshot": {
      const snapshotStart = Math.min(event.start, position.seq);
      return { ...position, snapshotStart, snapshotEnd: event.end };
    }
    case "failover":
      return { ...position, vbuuid: event.log[0]?.vbuuid ?? position.vbuuid };
    default:
      return position;
  }
}
