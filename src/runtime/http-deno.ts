// The HTTP listener on Deno. Only `http.ts` imports this file.

import {
  type Connection,
  type Listener,
  type ListenOptions,
  MAX_MESSAGE_BYTES,
  type ServerSocket,
} from "./http.ts";
import { addressError, within } from "./http-common.ts";
import { SocketQueue } from "./socket-queue.ts";

/** What this file uses of Deno; its own types are not loaded beside Bun's. */
interface DenoRuntime {
  serve(
    options: { hostname: string; port: number; signal: AbortSignal; onListen(): void },
    handler: (request: Request, info: DenoRequestInfo) => Response | Promise<Response>,
  ): { addr: { port: number }; finished: Promise<void>; shutdown(): Promise<void> };
  upgradeWebSocket(
    request: Request,
    options: { idleTimeout: number },
  ): { socket: WebSocket; response: Response };
}

interface DenoRequestInfo {
  readonly remoteAddr: { readonly hostname?: string };
  /** Settles when the answer was sent, or could not be. */
  readonly completed: Promise<void>;
}

declare const Deno: DenoRuntime;

/** Bytes that may wait in a socket before `send` waits too. */
const MAX_BUFFERED_BYTES = 64 * 1024;

/** Deno has no event for a drained socket: how often we look. */
const DRAIN_POLL_MS = 5;

/** Seconds after which a silent WebSocket is pinged, and closed when it does not answer. */
const SOCKET_IDLE_SECONDS = 120;

class DenoSocket implements ServerSocket {
  readonly #queue = new SocketQueue();
  readonly #ws: WebSocket;

  constructor(
    ws: WebSocket,
    open: (socket: ServerSocket) => Promise<void>,
    onError: (error: unknown) => void,
  ) {
    this.#ws = ws;
    ws.binaryType = "arraybuffer";
    ws.onopen = () => {
      open(this).catch((error) => {
        onError(error);
        this.close(1011, "internal error");
      });
    };
    ws.onmessage = (event) => this.#received(event.data as string | ArrayBuffer);
    ws.onclose = () => this.#queue.end();
    ws.onerror = () => this.#queue.end();
  }

  get closed(): AbortSignal {
    return this.#queue.closed;
  }

  async send(text: string): Promise<boolean> {
    if (this.#ws.readyState !== WebSocket.OPEN) return false;
    this.#ws.send(text);
    while (this.#ws.readyState === WebSocket.OPEN && this.#ws.bufferedAmount > MAX_BUFFERED_BYTES) {
      await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
    }
    return this.#ws.readyState === WebSocket.OPEN;
  }

  receive(): Promise<string | Uint8Array | undefined> {
    return this.#queue.receive();
  }

  close(code: number, reason: string): void {
    if (this.#ws.readyState <= WebSocket.OPEN) this.#ws.close(code, reason);
  }

  #received(data: string | ArrayBuffer): void {
    const message = typeof data === "string" ? data : new Uint8Array(data);
    if (message.length > MAX_MESSAGE_BYTES) this.close(1009, "message too large");
    else if (!this.#queue.push(message)) this.close(1008, "too many messages");
  }
}

/** See `listen` of `http.ts`. */
export function listenOnDeno(options: ListenOptions): Listener {
  const cut = new AbortController();
  const server = serve(options, cut.signal);
  return {
    host: options.host,
    port: server.addr.port,
    async stop(graceMs) {
      if (await within(graceMs, server.shutdown())) return;
      cut.abort();
      await server.finished;
    },
  };
}

function serve(options: ListenOptions, cut: AbortSignal): ReturnType<DenoRuntime["serve"]> {
  try {
    return Deno.serve(
      { hostname: options.host, port: options.port, signal: cut, onListen() {} },
      (request, info) => answer(options, request, info, cut),
    );
  } catch (error) {
    throw addressError(options.host, options.port, error);
  }
}

/**
 * Aborted when the answer is over. The request's own signal is silent when the client's going is
 * noticed by a failed write.
 */
function completion(info: DenoRequestInfo): AbortSignal {
  const over = new AbortController();
  const end = () => over.abort();
  info.completed.then(end, end);
  return over.signal;
}

async function answer(
  options: ListenOptions,
  request: Request,
  info: DenoRequestInfo,
  cut: AbortSignal,
): Promise<Response> {
  let upgraded: Response | undefined;
  const connection: Connection = {
    get signal() {
      return AbortSignal.any([request.signal, completion(info), cut]);
    },
    remoteAddress: info.remoteAddr.hostname,
    // Deno has no idle limit on requests.
    keepOpen() {},
    upgrade(open) {
      if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return undefined;
      const made = Deno.upgradeWebSocket(request, { idleTimeout: SOCKET_IDLE_SECONDS });
      new DenoSocket(made.socket, open, options.onError);
      upgraded = made.response;
      return upgraded;
    },
  };
  try {
    const response = await options.fetch(request, connection);
    return upgraded ?? response;
  } catch (error) {
    options.onError(error);
    return new Response(null, { status: 500 });
  }
}
