// Which answers of a data node are worth asking again, and how long to wait before doing so.

import type { Random } from "../../../runtime/random.ts";
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
