// Reads a feed at the pace of its transport: batches, and between them heartbeats or the end of
// the client's patience. All five kinds of `_changes` are told apart only by what they print.

import type { ChangesBatch, ChangesFeed } from "../../replication/types.ts";
import type { Time } from "../../runtime/time.ts";
import type { ChangesRequest } from "./options.ts";

/** What happens on a feed that waits. */
export type FeedStep =
  | { readonly kind: "batch"; readonly batch: ChangesBatch }
  /** Nothing came for a heartbeat's time: say that the feed lives. */
  | { readonly kind: "heartbeat" }
  /** Nothing came for as long as the client waits, or the feed's signal was aborted. */
  | { readonly kind: "over" };

/**
 * The steps of a feed, for ever: what is there, and then what comes. Ends after a batch that is
 * `done`, and after `over`. Nothing is read before the step before is taken.
 */
export async function* steps(
  feed: ChangesFeed,
  request: ChangesRequest,
  time: Time,
  signal: AbortSignal,
): AsyncGenerator<FeedStep, void, undefined> {
  let wait = false;
  while (!signal.aborted) {
    let batch: ChangesBatch | undefined;
    if (wait) batch = yield* waiting(feed, request, time, signal);
    else batch = await feed.read(false, signal);
    if (batch === undefined || signal.aborted) break;
    yield { kind: "batch", batch };
    if (batch.done) return;
    wait = batch.caughtUp;
  }
  yield { kind: "over" };
}

/** One waiting read with its heartbeats; undefined: patience is over. */
async function* waiting(
  feed: ChangesFeed,
  { heartbeatMs, timeoutMs }: ChangesRequest,
  time: Time,
  signal: AbortSignal,
): AsyncGenerator<FeedStep, ChangesBatch | undefined, undefined> {
  const patience = new AbortController();
  const stop = () => patience.abort();
  signal.addEventListener("abort", stop);
  if (signal.aborted) stop();
  const cancelTimeout = timeoutMs === undefined ? undefined : time.after(timeoutMs, stop);
  const beat = new Beat(time, heartbeatMs);
  try {
    const read = feed.read(true, patience.signal);
    for (;;) {
      const batch = await Promise.race([read, beat.next()]);
      if (batch === "beat") {
        yield { kind: "heartbeat" };
        continue;
      }
      return patience.signal.aborted && batch.rows.length === 0 ? undefined : batch;
    }
  } finally {
    beat.stop();
    cancelTimeout?.();
    signal.removeEventListener("abort", stop);
    stop();
  }
}

/** A clock that beats while somebody waits. */
class Beat {
  readonly #time: Time;
  readonly #ms: number | undefined;
  #cancel: (() => void) | undefined;

  constructor(time: Time, ms: number | undefined) {
    this.#time = time;
    this.#ms = ms;
  }

  /** Resolves at the next beat; never when there are none. */
  next(): Promise<"beat"> {
    this.#cancel?.();
    return new Promise((resolve) => {
      const ms = this.#ms;
      if (ms !== undefined) this.#cancel = this.#time.after(ms, () => resolve("beat"));
    });
  }

  stop(): void {
    this.#cancel?.();
  }
}
