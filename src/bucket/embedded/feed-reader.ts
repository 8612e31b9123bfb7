// One consumer's streams of the feed: where each stands, and what it is told next.

import { assert } from "../../base/assert.ts";
import type { FeedEvent, FeedOptions, FeedReader, StreamPosition } from "../feed.ts";
import { MAX_SEQ } from "../vbucket.ts";
import type { EmbeddedFeed, FeedPage } from "./feed.ts";
import { MAX_READ_BYTES, MAX_READ_EVENTS } from "./limits.ts";
import { sizeOf } from "./recent.ts";
import { checkPosition, rollbackOf } from "./rollback.ts";

/** A stream of one vbucket. */
interface Stream {
  readonly vb: number;
  /** The branch on which the consumer stands. */
  vbuuid: string;
  /** Everything up to here was given. */
  seq: number;
  /** The snapshot under way, from the last consistent position; over when `seq` reached its end. */
  snapshotStart: number;
  snapshotEnd: number;
  readonly until: number;
  /** `new`: the position has not been checked; `off`: waits for `restart`; `ended`: at its end. */
  state: "new" | "on" | "off" | "ended";
}

/** The reader behind {@link EmbeddedFeed.open}. */
export class EmbeddedFeedReader implements FeedReader {
  readonly #feed: EmbeddedFeed;
  readonly #withBody: boolean;
  readonly #until: FeedOptions["until"];
  readonly #streams = new Map<number, Stream>();
  /** Vbuckets to look at, in turn. */
  readonly #pending = new Set<number>();
  #running = 0;
  #closed = false;
  #reading = false;
  #wake: (() => void) | undefined;

  constructor(feed: EmbeddedFeed, positions: readonly StreamPosition[], options: FeedOptions) {
    this.#feed = feed;
    this.#withBody = options.withBody ?? true;
    this.#until = options.until;
    for (const position of positions) this.#start(position);
  }

  async read(): Promise<readonly FeedEvent[]> {
    assert(!this.#reading, "a feed is read by one consumer at a time");
    this.#reading = true;
    try {
      while (!this.#closed && this.#running > 0) {
        if (this.#pending.size > 0) {
          const events = await this.#feed.reading(() => this.#collect());
          if (events.length > 0) return events;
        } else {
          await this.#wait();
        }
      }
      return [];
    } finally {
      this.#reading = false;
    }
  }

  restart(position: StreamPosition): void {
    if (this.#closed) return;
    this.#start(position);
    this.#wake?.();
  }

  close(): void {
    this.#closed = true;
    this.#feed.forget(this);
    this.#wake?.();
  }

  /** The vbuckets of these changes have something new. */
  changed(changes: readonly { readonly vb: number }[]): void {
    for (const { vb } of changes) {
      if (this.#streams.get(vb)?.state === "on") this.#pending.add(vb);
    }
    if (this.#pending.size > 0) this.#wake?.();
  }

  /** The file cannot be read: a consumer that waits must hear of it. */
  failed(): void {
    for (const stream of this.#streams.values()) {
      if (stream.state !== "on") continue;
      this.#pending.add(stream.vb);
      break;
    }
    this.#wake?.();
  }

  #start(position: StreamPosition): void {
    checkPosition(position, this.#feed.vbuckets.high.length);
    const before = this.#streams.get(position.vb);
    if (before === undefined || before.state === "ended") this.#running++;
    const until = this.#until?.[position.vb] ?? MAX_SEQ;
    this.#streams.set(position.vb, { ...position, until, state: "new" });
    this.#pending.add(position.vb);
  }

  #wait(): Promise<void> {
    this.#feed.waits();
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        this.#feed.waitsNoMore();
        resolve();
      };
    });
  }

  /** Goes round the vbuckets that have something, a page of each, until there is enough. */
  #collect(): FeedEvent[] {
    this.#feed.refresh();
    const events: FeedEvent[] = [];
    let bytes = 0;
    for (const vb of this.#pending) {
      if (events.length >= MAX_READ_EVENTS || bytes >= MAX_READ_BYTES) break;
      const stream = this.#streams.get(vb);
      assert(stream !== undefined, "a pending vbucket has a stream");
      let more = false;
      try {
        const taken = this.#advance(stream, events, MAX_READ_BYTES - bytes);
        bytes += taken.bytes;
        more = taken.more;
      } catch (error) {
        // What was collected is given first; the vbucket stays pending and fails again.
        if (events.length > 0) break;
        throw error;
      }
      this.#pending.delete(vb);
      if (more) this.#pending.add(vb);
    }
    return events;
  }

  /** The next events of one stream, added to `events`; `more`: there is something left to read. */
  #advance(
    stream: Stream,
    events: FeedEvent[],
    maxBytes: number,
  ): { bytes: number; more: boolean } {
    const nothing = { bytes: 0, more: false };
    const { vb } = stream;
    if (stream.state === "off" || stream.state === "ended") return nothing;
    const fresh = stream.state === "new";
    if (fresh || stream.vbuuid !== this.#feed.vbuckets.vbuuid[vb]) {
      if (!this.#settleBranch(stream, events)) return nothing;
    }
    if (fresh && stream.seq >= stream.until) {
      this.#end(stream, events);
      return nothing;
    }
    if ((this.#feed.vbuckets.high[vb] as number) <= stream.seq) return nothing;
    const page = this.#feed.page(vb, stream.seq, stream.until, this.#withBody, maxBytes);
    // Reading may have shown that another process has cut the vbucket: begin again.
    if (stream.vbuuid !== this.#feed.vbuckets.vbuuid[vb]) return { bytes: 0, more: true };
    const bytes = this.#give(stream, page, events);
    return { bytes, more: !page.complete };
  }

  /** Compares the stream with the vbucket's branches; false when it must wait for a restart. */
  #settleBranch(stream: Stream, events: FeedEvent[]): boolean {
    const { vb } = stream;
    const log = this.#feed.vbuckets.log(vb);
    const seq = rollbackOf(stream, log, this.#feed.vbuckets.high[vb] as number);
    const vbuuid = this.#feed.vbuckets.vbuuid[vb] as string;
    if (seq !== undefined) {
      events.push({ kind: "failover", vb, log }, { kind: "rollback", vb, seq });
      stream.state = "off";
      return false;
    }
    if (stream.vbuuid !== vbuuid) {
      events.push({ kind: "failover", vb, log });
      // What is common to both branches ends a snapshot of the old one.
      stream.snapshotStart = stream.seq;
      stream.snapshotEnd = stream.seq;
    }
    stream.vbuuid = vbuuid;
    stream.state = "on";
    return true;
  }

  /** Turns a page into events. */
  #give(stream: Stream, page: FeedPage, events: FeedEvent[]): number {
    const { vb } = stream;
    const last = page.mutations.at(-1)?.seq ?? stream.seq;
    // A document that was changed while its snapshot was being read is missing from it: the state at
    // the end that was announced never comes. So the snapshot is extended to a later end, and it
    // ends with a page that holds everything up to the vbucket's highest seq.
    const between = stream.seq >= stream.snapshotEnd;
    const reachesEnd = page.complete || last >= stream.snapshotEnd;
    if (between) stream.snapshotStart = stream.seq;
    if (between || (reachesEnd && page.high > stream.snapshotEnd)) {
      stream.snapshotEnd = page.high;
      events.push({ kind: "snapshot", vb, start: stream.snapshotStart, end: page.high });
    }
    let bytes = 0;
    for (const mutation of page.mutations) {
      events.push(mutation);
      bytes += sizeOf(mutation);
    }
    stream.seq = page.complete ? Math.min(page.high, stream.until) : last;
    if (page.complete && stream.seq > last) {
      events.push({ kind: "advanced", vb, seq: stream.seq });
    }
    if (stream.seq >= stream.until) this.#end(stream, events);
    return bytes;
  }

  #end(stream: Stream, events: FeedEvent[]): void {
    stream.state = "ended";
    this.#running--;
    events.push({ kind: "end", vb: stream.vb, reason: "ended" });
  }
}
