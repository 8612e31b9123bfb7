// The HTTP listener on Bun. Only `http.ts` imports this file.

import type { Server, ServerWebSocket } from "bun";
import {
  type Connection,
  IDLE_LIMIT_SECONDS,
  type Listener,
  type ListenOptions,
  MAX_MESSAGE_BYTES,
  type ServerSocket,
} from "./http.ts";
import { addressError, within } from "./http-common.ts";
import { SocketQueue } from "./socket-queue.ts";

/** Seconds after which a silent WebSocket is pinged, and closed when it does not answer. */
const SOCKET_IDLE_SECONDS = 120;

/** One WebSocket: what Bun keeps for us beside it. */
class BunSocket implements ServerSocket {
  readonly #queue = new SocketQueue();
  readonly #open: (socket: ServerSocket) => Promise<void>;
  readonly #onError: (error: unknown) => void;
  #ws: ServerWebSocket<BunSocket> | undefined;
  #drained: (() => void) | undefined;

  constructor(open: (socket: ServerSocket) => Promise<void>, onError: (error: unknown) => void) {
    this.#open = open;
    this.#onError = onError;
  }

  get closed(): AbortSignal {
    return this.#queue.closed;
  }

  async send(text: string): Promise<boolean> {
    const ws = this.#ws;
    if (!ws || this.closed.aborted) return false;
    const sent = ws.send(text);
    if (sent > 0 || text.length === 0) return true;
    if (sent === 0) return false;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
    return !this.closed.aborted;
  }

  receive(): Promise<string | Uint8Array | undefined> {
    return this.#queue.receive();
  }

  close(code: number, reason: string): void {
    this.#ws?.close(code, reason);
  }

  opened(ws: ServerWebSocket<BunSocket>): void {
    this.#ws = ws;
    this.#open(this).catch((error) => {
      this.#onError(error);
      ws.close(1011, "internal error");
    });
  }

  received(message: string | Uint8Array): void {
    if (!this.#queue.push(message)) this.close(1008, "too many messages");
  }

  drained(): void {
    this.#drained?.();
    this.#drained = undefined;
  }

  ended(): void {
    this.#queue.end();
    this.drained();
  }
}

/** See `listen` of `http.ts`. */
export function listenOnBun(options: ListenOptions): Listener {
  const cut = new AbortController();
  const server = serve(options, cut.signal);
  return {
    host: options.host,
    port: server.port as number,
    async stop(graceMs) {
      if (await within(graceMs, server.stop(false))) return;
      cut.abort();
      await server.stop(true);
    },
  };
}

function serve(options: ListenOptions, cut: AbortSignal): Server<BunSocket> {
  try {
    return Bun.serve<BunSocket>({
      hostname: options.host,
      port: options.port,
      idleTimeout: IDLE_LIMIT_SECONDS,
      maxRequestBodySize: options.maxBodyBytes,
      fetch: (request, server) => answer(options, request, server, cut),
      error(error) {
        options.onError(error);
        return new Response(null, { status: 500 });
      },
      websocket: {
        open: (ws) => ws.data.opened(ws),
        message: (ws, message) => ws.data.received(message),
        drain: (ws) => ws.data.drained(),
        close: (ws) => ws.data.ended(),
        maxPayloadLength: MAX_MESSAGE_BYTES,
        // `send` waits for the drain by itself: nothing may be dropped.
        backpressureLimit: 0,
        idleTimeout: SOCKET_IDLE_SECONDS,
        perMessageDeflate: false,
      },
    });
  } catch (error) {
    throw addressError(options.host, options.port, error);
  }
}

async function answer(
  options: ListenOptions,
  request: Request,
  server: Server<BunSocket>,
  cut: AbortSignal,
): Promise<Response | undefined> {
  let upgraded = false;
  const connection: Connection = {
    get signal() {
      return AbortSignal.any([request.signal, cut]);
    },
    get remoteAddress() {
      return server.requestIP(request)?.address;
    },
    keepOpen: () => server.timeout(request, 0),
    upgrade(open) {
      if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") return undefined;
      upgraded = server.upgrade(request, { data: new BunSocket(open, options.onError) });
      return upgraded ? new Response(null) : undefined;
    },
  };
  const response = await options.fetch(request, connection);
  return upgraded ? undefined : response;
}
