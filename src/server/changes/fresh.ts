// Waits until what was saved before a request is in the stable clock, so that a client that saves
// and then asks once for the changes finds what it saved, as it does with CouchDB.

import type { Database } from "../../gateway/types.ts";
import { sleep, type Time } from "../../runtime/time.ts";

/** A clock that moves is there within a tick or two. One that is stuck is not waited for. */
export const FRESH_LIMIT_MS = 500;

/**
 * Resolves when every mutation of this moment is stable, or {@link FRESH_LIMIT_MS} later, or when
 * `signal` is aborted. Rejects with what the bucket rejects with.
 */
export async function fresh(database: Database, time: Time, signal: AbortSignal): Promise<void> {
  const saved = await database.bucket.feed.highSeqs();
  const over = new AbortController();
  const late = sleep(time, FRESH_LIMIT_MS, AbortSignal.any([signal, over.signal]));
  // The wait rejects when it is ended: that is one of the ways for it to be over.
  const there = database.stable.reached(saved, over.signal).catch(() => {});
  await Promise.race([there, late]);
  over.abort();
}
