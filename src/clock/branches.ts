// The rollbacks that the gateway has seen, as the clocks need them: where a vbucket's history was
// cut, and which ticks were named before. Who stores them (src/index/) implements `Branches`.

import type { Clock, Tick } from "./tick.ts";

/** A vbucket's history was cut after `seq`, and went on as another branch. */
export interface Rollback {
  readonly vb: number;
  /** The branch point: the last seq that both branches have. */
  readonly seq: number;
  /**
   * The newest tick when the rollback was seen: clocks named by it and by older ticks may hold seqs
   * of the dead branch. A rollback is stored before the next tick is published.
   */
  readonly tick: Tick;
}

/** Every rollback seen so far. */
export interface Branches {
  /** Changes whenever {@link rollbacks} does: what was clamped before must be clamped again. */
  readonly version: number;
  /** All of them, in the order in which they were seen. */
  rollbacks(): readonly Rollback[];
}

/** A bucket that was never rolled back. */
export const noBranches: Branches = { version: 0, rollbacks: () => [] };

/**
 * Takes out of `clock`, which `tick` named, what later rollbacks have cut away:
 * `min(clock[vb], branch point)` for each. Changes `clock` in place, and gives it.
 */
export function clampToBranches(clock: Clock, tick: Tick, branches: Branches): Clock {
  for (const { vb, seq, tick: seenAt } of branches.rollbacks()) {
    if (tick <= seenAt && clock[vb]! > seq) clock[vb] = seq;
  }
  return clock;
}
