// Which answers of a data node are worth asking again, and how long to wait before doing so.

import { isTidegateError, TidegateError } from "../../../base/errors.ts";
import type { Random } from "../../../runtime/random.ts";
import { sleep, type Time } from "../../../runtime/time.ts";
import { Status } from "../wire/opcodes.ts";

/** The first wait and the longest one; doubled in between, with jitter. */
export const RETRY_FIRST_MS = 5;
export const RETRY_LONGEST_MS = 1_000;

/** Answers that mean "nothing was changed, it may pass". */
const PASSING: ReadonlySet<number> = new Set([
  Status.temporaryFailure,
  Status.busy,
  Status.outOfMemory,
  Status.locked,
  Status.noCollectionsManifest,
]);

/** Whether the same request may succeed later. Nothing was changed by it. */
export function mayPass(status: number): boolean {
  return PASSING.has(status);
}

/** How long to wait before try number `attempt` (the first repetition is 1). */
export function retryDelayMs(attempt: number, random: Random): number {
  const longest = Math.min(RETRY_FIRST_MS * 2 ** Math.min(attempt - 1, 16), RETRY_LONGEST_MS);
  return longest * (0.5 + random.fraction() / 2);
}

/** How long and with what clock something is tried again. */
export interface Patience {
  readonly time: Time;
  readonly random: Random;
  readonly timeoutMs: number;
}

/**
 * Runs what changes nothing, again and again while it fails in a way that may pass: a node that is
 * gone or busy, a connection that broke. Rejects with `unavailable` and the last reason when the time
 * is up, and at once with any other error.
 */
export async function patiently<T>(patience: Patience, run: () => Promise<T>): Promise<T> {
  const { time, random, timeoutMs } = patience;
  const deadlineMs = time.monotonicMs() + timeoutMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await run();
    } catch (error) {
      const passing = isTidegateError(error, "unavailable") || isTidegateError(error, "ambiguous");
      if (!passing) throw error;
      if (time.monotonicMs() >= deadlineMs) {
        const message = `Couchbase did not answer within ${timeoutMs} ms. Last: ${error.message}`;
        throw new TidegateError("unavailable", message, { cause: error });
      }
      await sleep(time, retryDelayMs(attempt, random));
    }
  }
}
