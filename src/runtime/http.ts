// HTTP listeners as the server sees them, the same on Bun and on Deno: a fetch function, WebSockets
// with back-pressure, disconnects as abort signals, and a graceful stop. No routes, no protocol.

import { listenOnBun } from "./http-bun.ts";
import { listenOnDeno } from "./http-deno.ts";

/** What a handler may ask of the connection that a request came by. */
export interface Connection {
  /**
   * Aborted when the client has gone, or when the listener stops by force. On some runtimes also
   * when the answer was sent whole, so it says nothing about that.
   */
  readonly signal: AbortSignal;
  /** The client's address as text; undefined when the runtime does not say. */
  readonly remoteAddress: string | undefined;
  /** Takes the idle limit off this request: for answers that are silent for long. */
  keepOpen(): void;
  /**
   * Turns the request into a WebSocket. The handler must return the response that this gives back.
   * `open` is called with the socket once it is open; what it throws closes the socket (1011).
   * Gives undefined, and does nothing, when the request is not a WebSocket handshake.
   */
  upgrade(open: (socket: ServerSocket) => Promise<void>): Response | undefined;
}

/** A server's end of a WebSocket. */
export interface ServerSocket {
  /** Aborted when the socket is closed, by whichever side. */
  readonly closed: AbortSignal;
  /**
   * Sends one text. Resolves when the next may be sent: what waits for a slow client is at most the
   * one message. False: the socket is closed, the text was not sent.
   */
  send(text: string): Promise<boolean>;
  /**
   * The next message of the client, in order; undefined once the socket is closed. At most
   * {@link MAX_WAITING_MESSAGES} wait to be received: a client that sends more is closed (1008).
   */
  receive(): Promise<string | Uint8Array | undefined>;
  /** Closes the socket. `reason` has at most 123 bytes. Calling it again does nothing. */
  close(code: number, reason: string): void;
}

/** Options of {@link listen}. */
export interface ListenOptions {
  readonly host: string;
  /** 0: any free port; {@link Listener.port} says which. */
  readonly port: number;
  readonly fetch: (request: Request, connection: Connection) => Response | Promise<Response>;
  /** A request body above this is refused before the handler is done with it (Bun: 413). */
  readonly maxBodyBytes: number;
  /** Hears of what a handler threw; the client gets an empty 500. */
  readonly onError: (error: unknown) => void;
}

/** A listener that is open. */
export interface Listener {
  /** The address that clients on this machine use, for example `127.0.0.1`. */
  readonly host: string;
  readonly port: number;
  /**
   * Takes no more connections, lets the requests in flight finish for at most `graceMs`, and then
   * cuts what is left. Resolves when everything is closed.
   */
  stop(graceMs: number): Promise<void>;
}

/** The largest WebSocket message that is taken from a client. A larger one closes it (1009). */
export const MAX_MESSAGE_BYTES = 1024 * 1024;

/** The most messages of a client that wait to be received. */
export const MAX_WAITING_MESSAGES = 16;

/** A connection on which nothing moves for so long is closed, unless `keepOpen` was called. */
export const IDLE_LIMIT_SECONDS = 60;

/**
 * Opens a listener. Throws `bad_config` when the address cannot be had (in use, not this machine's,
 * not allowed): the message says what to change.
 */
export function listen(options: ListenOptions): Listener {
  return typeof Bun === "undefined" ? listenOnDeno(options) : listenOnBun(options);
}
