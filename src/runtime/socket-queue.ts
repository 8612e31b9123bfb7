// The part of a server's WebSocket that Bun and Deno share: messages wait here, bounded in number,
// until they are received.

import { MAX_WAITING_MESSAGES } from "./http.ts";

type Message = string | Uint8Array;

/** Messages of one client in order; and the end of them. */
export class SocketQueue {
  readonly #waiting: Message[] = [];
  readonly #closed = new AbortController();
  #receiver: ((message: Message | undefined) => void) | undefined;

  /** Aborted by {@link end}. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** Takes a message in; false: there are too many, the client must be closed. */
  push(message: Message): boolean {
    const receiver = this.#receiver;
    if (receiver) {
      this.#receiver = undefined;
      receiver(message);
      return true;
    }
    if (this.#waiting.length >= MAX_WAITING_MESSAGES) return false;
    this.#waiting.push(message);
    return true;
  }

  /** Says that no more will come. */
  end(): void {
    this.#receiver?.(undefined);
    this.#receiver = undefined;
    this.#closed.abort();
  }

  /** The next message; undefined after the end. One receiver at a time. */
  receive(): Promise<Message | undefined> {
    const message = this.#waiting.shift();
    if (message !== undefined || this.#closed.signal.aborted) return Promise.resolve(message);
    return new Promise((resolve) => {
      this.#receiver = resolve;
    });
  }
}
