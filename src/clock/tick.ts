// Ticks and what they name.

import type { SeqVector } from "../bucket/vbucket.ts";

/**
 * A vector clock: one sequence number per vbucket. Mutation `(vb, seq)` is in clock `C` when
 * `seq <= C[vb]`.
 */
export type Clock = SeqVector;

/**
 * The name of a published stable clock: milliseconds since the Unix epoch when it was published,
 * and at least one more than the tick before.
 */
export type Tick = number & { readonly tick: unique symbol };

/** A published stable clock with its name. */
export interface Stable {
  readonly tick: Tick;
  readonly clock: Clock;
}
