// Compacts the index of a database while this node owns it: a little at a time, so that saves and
// readers hardly notice. What is compacted, and why readers stay right, is src/index/compaction.ts.

import type { Clock } from "../clock/tick.ts";
import type { Problems } from "../controller/problems.ts";
import { sleep, type Time } from "../runtime/time.ts";

/** Index documents looked at in one piece. */
export const COMPACTION_PIECE = 64;

/** The pause after a piece is this many times as long as the piece took … */
const PAUSE_FACTOR = 10;
/** … but at least this long, and this long when there was nothing to do. */
const MIN_PAUSE_MS = 200;
const IDLE_PAUSE_MS = 5000;

/** What {@link compactInBackground} needs. */
export interface CompactionLoopOptions {
  readonly time: Time;
  readonly problems: Problems;
  /** The stable clock, when this node is the one to compact; otherwise undefined. */
  readonly stable: () => Clock | undefined;
  /** Compacts a piece. Gives whether nothing is left to do. */
  readonly compact: (stable: Clock, budget: { readonly documents: number }) => Promise<boolean>;
}

/** Compacts until `signal` is aborted. A failure is shown, and tried again. */
export async function compactInBackground(
  { time, problems, stable, compact }: CompactionLoopOptions,
  signal: AbortSignal,
): Promise<void> {
  let pauseMs = IDLE_PAUSE_MS;
  for (;;) {
    await sleep(time, pauseMs, signal);
    if (signal.aborted) return;
    pauseMs = IDLE_PAUSE_MS;
    const clock = stable();
    if (clock === undefined) continue;
    const startedMs = time.monotonicMs();
    try {
      const done = await compact(clock, { documents: COMPACTION_PIECE });
      const tookMs = time.monotonicMs() - startedMs;
      if (!done) pauseMs = Math.max(MIN_PAUSE_MS, tookMs * PAUSE_FACTOR);
      problems.clear("compaction");
    } catch (error) {
      problems.raise("compaction", error);
    }
  }
}
