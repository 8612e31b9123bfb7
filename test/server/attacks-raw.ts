// Requests byte by byte, as no honest client sends them.

import { connect, type Socket } from "node:net";

/** What came back by the end of a connection. */
export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  readonly status: number;
  readonly head: string;
  readonly body: string;
  /** Whether the server closed the connection. */
  readonly closed: boolean;
  /** Every answer's status line, when several came. */
  readonly statuses: readonly number[];
}

/** A connection to a port of this machine. */
export function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.off("error", reject);
      // What a server that has enough does to it.
      socket.on("error", () => {});
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

/** Everything that comes by `socket` until it is closed, or for `limitMs`. */
export function received(socket: Socket, limitMs = 5000): Promise<RawAnswer> {
  return new Promise((resolve) => {
    let text = "";
    const over = (closed: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      const end = text.indexOf("\r\n\r\n");
      const statuses = [...text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map((m) => Number(m[1]));
      const head = end < 0 ? text : text.slice(0, end);
      resolve({ status: statuses[0] ?? 0, head, body: text.slice(end + 4), closed, statuses });
    };
    const timer = setTimeout(() => over(false), limitMs);
    socket.setEncoding("latin1");
    socket.on("data", (data) => {
      text += data;
    });
    socket.on("close", () => over(true));
  });
}

/** Sends `bytes` (as Latin-1) on a connection of its own. */
export async function raw(port: number, bytes: string, limitMs?: number): Promise<RawAnswer> {
  const socket = await open(port);
  socket.write(bytes, "latin1");
  return received(socket, limitMs);
}

/** A request line and headers, Host and `Connection: close` among them. */
export function head(line: string, ...headers: readonly string[]): string {
  const all = ["Host: localhost", "Connection: close", ...headers];
  return `${line} HTTP/1.1\r\n${all.map((one) => `${one}\r\n`).join("")}\r\n`;
}
