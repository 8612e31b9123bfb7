// HTTP/1.1 by hand over one kept-alive socket: the lightest client that can be had, so that the load
// generator does not become what is measured. Not for anything but benchmarks.

import { connect, type Socket } from "node:net";

/** An answer: its status, and its body when it was asked for. */
export interface RawAnswer {
  readonly status: number;
  readonly body: Buffer;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const EMPTY = Buffer.alloc(0);

/** The bytes of a request. */
export function requestBytes(
  method: string,
  path: string,
  body: string | Buffer = EMPTY,
  headers = "",
): Buffer {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  const type = bytes.length > 0 ? "content-type: application/json\r\n" : "";
  const head =
    `${method} ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n` +
    `${type}${headers}content-length: ${bytes.length}\r\n\r\n`;
  return bytes.length === 0 ? Buffer.from(head) : Buffer.concat([Buffer.from(head), bytes]);
}

/**
 * A PUT of a document without `_id` as text, for the hot path: only ASCII, and nothing is copied
 * but when it is written.
 */
export function putText(path: string, body: string): string {
  return (
    `PUT ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n` +
    `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
  );
}

/**
 * One connection, one request at a time. An error of the socket, or its end in the middle of an
 * answer, rejects the request in flight.
 */
export class RawConnection {
  readonly #socket: Socket;
  #pending: Buffer = EMPTY;
  #waiting: { resolve(answer: RawAnswer): void; reject(error: Error): void } | undefined;
  #parts: Buffer[] = [];
  /** Bytes of the body still to come; -1 while reading the head; -2 for chunks. */
  #left = -1;
  #status = 0;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("the server closed the connection")));
  }

  /** Connects to 127.0.0.1. */
  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.removeListener("error", reject);
        resolve(new RawConnection(socket));
      });
    });
  }

  /** Sends a request ({@link requestBytes}, {@link putText}) and resolves with the whole answer. */
  send(request: Buffer | string): Promise<RawAnswer> {
    if (this.#waiting) throw new Error("one request at a time");
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      if (typeof request === "string") this.#socket.write(request, "latin1");
      else this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.removeAllListeners("close");
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    if (this.#left === -1 && !this.#readHead()) return;
    if (this.#left === -2) {
      this.#readChunks();
      return;
    }
    const part = this.#pending.subarray(0, this.#left);
    this.#pending = this.#pending.subarray(part.length);
    this.#left -= part.length;
    if (part.length > 0) this.#parts.push(part);
    if (this.#left === 0) this.#finish();
  }

  #readHead(): boolean {
    const end = this.#pending.indexOf(HEAD_END);
    if (end < 0) return false;
    const head = this.#pending.toString("latin1", 0, end + 2).toLowerCase();
    this.#pending = this.#pending.subarray(end + 4);
    this.#status = Number(head.slice(9, 12));
    const at = head.indexOf("\r\ncontent-length:");
    if (at >= 0) this.#left = Number(head.slice(at + 17, head.indexOf("\r\n", at + 2)));
    else if (head.includes("\r\ntransfer-encoding: chunked")) this.#left = -2;
    else throw new Error(`an answer of unknown length:\n${head}`);
    return true;
  }

  #readChunks(): void {
    for (;;) {
      const line = this.#pending.indexOf("\r\n");
      if (line < 0) return;
      const size = Number.parseInt(this.#pending.toString("latin1", 0, line), 16);
      const next = line + 2 + size + 2;
      if (this.#pending.length < next) return;
      if (size > 0) this.#parts.push(this.#pending.subarray(line + 2, line + 2 + size));
      this.#pending = this.#pending.subarray(next);
      if (size > 0) continue;
      this.#finish();
      return;
    }
  }

  #finish(): void {
    const body = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
    const waiting = this.#waiting;
    this.#parts = [];
    this.#left = -1;
    this.#waiting = undefined;
    waiting?.resolve({ status: this.#status, body });
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }
}
