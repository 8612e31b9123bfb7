// One pipelined connection to a Couchbase data node: requests matched to responses by opaque,
// frames that the server sends by itself handed on. It knows no bucket semantics.
//
//   open ──request()*──▶ open ──close() / socket ends / protocol error──▶ closed
//
// Requests written when the connection ends may or may not have been carried out: they reject with
// `ambiguous`. Requests not yet written reject with `unavailable`: nothing was changed by them.

import type { Socket } from "node:net";
import { TidegateError } from "../../../base/errors.ts";
import type { Cancel, Time } from "../../../runtime/time.ts";
import { encodeFrame, type Frame, type FrameParts } from "../wire/frame.ts";
import { FrameSplitter } from "../wire/splitter.ts";

/** Requests under way at once; further ones wait in the queue. */
export const MAX_REQUESTS_IN_FLIGHT = 4096;
/** Requests waiting; one more is refused with `unavailable`. */
export const MAX_REQUESTS_WAITING = 65_536;
/** How often requests are looked over for being too old. */
const TIMEOUT_SWEEP_MS = 500;

/** What a connection tells its owner. */
export interface KvConnectionEvents {
  /** A frame that answers no request: DCP messages, cluster map notifications. */
  onServerFrame(frame: Frame): void;
  /** All frames of one received chunk were handed on. */
  onChunkEnd?(): void;
  /** The connection is over; called once. */
  onClosed(reason: TidegateError): void;
}

interface PendingRequest {
  readonly parts: FrameParts;
  readonly answered: (frame: Frame) => "more" | "done";
  readonly failed: (error: TidegateError) => void;
  deadlineMs: number;
}

/** A connection over an open socket (plain or TLS). */
export class KvConnection {
  readonly #socket: Socket;
  readonly #time: Time;
  readonly #timeoutMs: number;
  readonly #events: KvConnectionEvents;
  readonly #splitter = new FrameSplitter();
  readonly #pending = new Map<number, PendingRequest>();
  #waiting: PendingRequest[] = [];
  #outgoing: Buffer[] = [];
  #flushScheduled = false;
  #opaque = 0;
  #closed = false;
  readonly #stopSweep: Cancel;

  /** @param options `timeoutMs`: how long a request may wait for its response */
  constructor(
    socket: Socket,
    options: { time: Time; timeoutMs: number },
    events: KvConnectionEvents,
  ) {
    this.#socket = socket;
    this.#time = options.time;
    this.#timeoutMs = options.timeoutMs;
    this.#events = events;
    this.#stopSweep = this.#time.every(TIMEOUT_SWEEP_MS, () => this.#sweep());
    socket.on("data", (chunk: Buffer) => this.#received(chunk));
    socket.on("error", (cause) => this.#end(`The connection broke: ${cause.message}.`, cause));
    socket.on("close", () => this.#end("The server closed the connection."));
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Requests without a response yet. */
  get inFlight(): number {
    return this.#pending.size + this.#waiting.length;
  }

  /** Sends a request and resolves with its response, whatever its status. */
  request(parts: FrameParts): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const answered = (frame: Frame) => {
        resolve(frame);
        return "done" as const;
      };
      this.call(parts, answered, reject);
    });
  }

  /**
   * As `request`, but `answered` runs before any later frame is looked at. A stream's first messages
   * may come in the same chunk as the response that opens it. When `answered` gives "more", further
   * frames with the same opaque belong to the answer.
   */
  call(
    parts: FrameParts,
    answered: (frame: Frame) => "more" | "done",
    failed: (error: TidegateError) => void,
  ): void {
    const request = { parts, answered, failed, deadlineMs: 0 };
    if (this.#closed) failed(notSent("the connection is closed"));
    else if (this.#pending.size < MAX_REQUESTS_IN_FLIGHT) this.#start(request);
    else if (this.#waiting.length < MAX_REQUESTS_WAITING) this.#waiting.push(request);
    else failed(notSent(`${MAX_REQUESTS_WAITING} requests wait already`));
  }

  /** Sends a frame that has no response: acknowledgements, answers to the server's requests. */
  send(parts: FrameParts): void {
    if (!this.#closed) this.#write(encodeFrame(parts));
  }

  /** Stops and starts reading from the socket: what makes backpressure reach the server. */
  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }

  /** Ends the connection; requests under way reject. */
  close(reason = "The connection was closed by the gateway."): void {
    this.#end(reason);
  }

  #start(request: PendingRequest): void {
    do this.#opaque = (this.#opaque + 1) >>> 0;
    while (this.#pending.has(this.#opaque));
    request.deadlineMs = this.#time.monotonicMs() + this.#timeoutMs;
    this.#pending.set(this.#opaque, request);
    this.#write(encodeFrame({ ...request.parts, opaque: this.#opaque }));
  }

  /** One write to the socket for all frames made in one turn of the event loop. */
  #write(bytes: Buffer): void {
    this.#outgoing.push(bytes);
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      if (this.#closed) return;
      const outgoing = this.#outgoing;
      this.#outgoing = [];
      this.#socket.write(outgoing.length === 1 ? (outgoing[0] as Buffer) : Buffer.concat(outgoing));
    });
  }

  #received(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      for (const frame of this.#splitter.push(chunk)) {
        if (!frame.isResponse) this.#events.onServerFrame(frame);
        else this.#settle(frame);
        if (this.#closed) return;
      }
      this.#events.onChunkEnd?.();
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      this.#end(`The connection was given up: ${message}`, cause);
    }
  }

  #settle(frame: Frame): void {
    const request = this.#pending.get(frame.opaque);
    // A response whose request timed out: the answer is no longer of use.
    if (request === undefined) return;
    // Taken out first and put back at the end: the order of the map is that of the deadlines.
    this.#pending.delete(frame.opaque);
    if (request.answered(frame) === "more" && !this.#closed) {
      request.deadlineMs = this.#time.monotonicMs() + this.#timeoutMs;
      this.#pending.set(frame.opaque, request);
      return;
    }
    const next = this.#waiting.shift();
    if (next !== undefined) this.#start(next);
  }

  /** Pending requests are in the order of their deadlines: only the oldest need a look. */
  #sweep(): void {
    const now = this.#time.monotonicMs();
    for (const [opaque, request] of this.#pending) {
      if (request.deadlineMs > now) return;
      this.#pending.delete(opaque);
      request.failed(ambiguous(`the server did not answer within ${this.#timeoutMs} ms`));
    }
  }

  #end(reason: string, cause?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopSweep();
    this.#socket.destroy();
    const pending = [...this.#pending.values()];
    const waiting = this.#waiting;
    this.#pending.clear();
    this.#waiting = [];
    this.#outgoing = [];
    for (const request of pending) request.failed(ambiguous(reason));
    for (const request of waiting) request.failed(notSent(reason));
    this.#events.onClosed(
      new TidegateError("unavailable", reason, cause === undefined ? {} : { cause }),
    );
  }
}

function ambiguous(why: string): TidegateError {
  return new TidegateError("ambiguous", `A request to Couchbase has no outcome: ${why}`);
}

function notSent(why: string): TidegateError {
  return new TidegateError("unavailable", `A request to Couchbase was not sent: ${why}`);
}
