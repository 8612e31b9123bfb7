// The feeds that are open on the listeners: counted, bounded, and told when the gateway stops.

import { TidegateError } from "../../base/errors.ts";
import type { FeedGuard } from "../auth/feed-guard.ts";

/** Bytes of document ids and channels that all open feeds may keep. */
export const MAX_KEPT_BYTES = 128 * 1024 * 1024;

/** One open feed: its signal ends it, `release` says that it is over. */
export interface OpenFeed {
  /** Aborted when the client has gone, and when the gateway stops. */
  readonly signal: AbortSignal;
  /** Whether the gateway stops: the client is told, it may come back. */
  readonly stopping: boolean;
  /** Whether the login that it was opened with is over. */
  readonly refused: boolean;
  /** So many bytes are kept for the feed. Throws `unavailable` when all feeds keep too many. */
  keep(bytes: number): void;
  /** Ends the feed: for the transport that knows that its client has gone. */
  abort(): void;
  /** Gives the place back. Calling it again does nothing. */
  release(): void;
}

/** All of them. */
export class OpenFeeds {
  readonly #limit: number;
  readonly #open = new Set<AbortController>();
  #kept = 0;
  #stopping = false;

  /** @param limit the most that may be open at once */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Feeds open now. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * Takes a place for a feed. Throws `unavailable` when there is none, or when the gateway stops.
   *
   * @param gone aborted when the client has gone
   * @param guard ends the feed when its login is over
   */
  take(gone: AbortSignal, guard?: FeedGuard): OpenFeed {
    if (this.#stopping) throw new TidegateError("unavailable", "the gateway is stopping");
    if (this.#open.size >= this.#limit) {
      const reason = `${this.#limit} feeds are open (limits.openFeeds); try again later`;
      throw new TidegateError("unavailable", reason);
    }
    const controller = new AbortController();
    const abort = () => controller.abort();
    this.#open.add(controller);
    gone.addEventListener("abort", abort);
    if (gone.aborted) abort();
    const stopping = () => this.#stopping;
    let refused = false;
    let kept = 0;
    const unguard = guard?.watch(() => {
      refused = true;
      abort();
    });
    return {
      signal: controller.signal,
      get stopping() {
        return stopping();
      },
      get refused() {
        return refused;
      },
      keep: (bytes) => {
        if (this.#kept + bytes > MAX_KEPT_BYTES) {
          const reason = `open feeds keep ${this.#kept} bytes of ids and channels; try again later`;
          throw new TidegateError("unavailable", reason);
        }
        this.#kept += bytes;
        kept += bytes;
      },
      abort,
      release: () => {
        this.#kept -= kept;
        kept = 0;
        unguard?.();
        gone.removeEventListener("abort", abort);
        this.#open.delete(controller);
      },
    };
  }

  /** Ends every feed and takes no more. */
  stop(): void {
    this.#stopping = true;
    for (const controller of this.#open) controller.abort();
  }
}
