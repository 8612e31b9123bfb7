// What a client has, as clocks: a sequence looked up in this node's lookup map. When in doubt this
// rounds down: what is sent again is harmless.

import { TidegateError } from "../base/errors.ts";
import type { LookupMap } from "../controller/ports.ts";
import { type Branches, clampToBranches, noBranches } from "./branches.ts";
import { copyClock, meet } from "./clock.ts";
import { type Sequence, TICK_ZERO } from "./sequence.ts";
import type { Stable } from "./tick.ts";

/** What a client has. */
export interface Position {
  /**
   * It has everything in `from.clock`. `from.tick` names a clock that is not newer: the same one,
   * but for a `c_` sequence, where it is the newest that the client's own clock includes.
   */
  readonly from: Stable;
  /**
   * It stands in the middle of `(from.clock, to.clock]`, and has of that everything up to
   * `(vb, seq)` in `(vb, seq)` order. Undefined when it stands at `from`.
   */
  readonly within?: { readonly to: Stable; readonly vb: number; readonly seq: number };
}

/**
 * What a client has that says `sequence`. Ticks newer than the newest count as the newest, those
 * that are gone as the nearest older; clocks are clamped by the rollbacks since, and to the newest
 * clock.
 *
 * @throws TidegateError `bad_sequence` when it does not fit a bucket of `vbuckets` vbuckets
 */
export async function resolvePosition(
  sequence: Sequence,
  lookup: LookupMap,
  vbuckets: number,
  branches: Branches = noBranches,
): Promise<Position> {
  switch (sequence.kind) {
    case "tick":
      return { from: await lookup.resolve(sequence.tick) };
    case "eager":
      checkVbucket(sequence.vb, vbuckets);
      return { from: await lookup.resolve(sequence.tick) };
    case "interval": {
      checkVbucket(sequence.vb, vbuckets);
      const from = await lookup.resolve(sequence.from);
      const to = await lookup.resolve(sequence.to);
      // Both ends may round to one tick: then the client has that, and the interval is empty.
      if (to.tick <= from.tick) return { from };
      return { from, within: { to, vb: sequence.vb, seq: sequence.seq } };
    }
    case "clock": {
      if (sequence.clock.length !== vbuckets) {
        throw new TidegateError(
          "bad_sequence",
          `the sequence is a clock of ${sequence.clock.length} vbuckets, ` +
            `and this database has ${vbuckets}. Use a sequence of this database, or 0.`,
        );
      }
      const head = (await lookup.resolve(Number.MAX_SAFE_INTEGER as Stable["tick"])).clock;
      const clock = meet(copyClock(sequence.clock), head);
      // It does not say which branches its seqs are of: they may be of the dead ones.
      clampToBranches(clock, TICK_ZERO, branches);
      return { from: { tick: (await lookup.floor(clock)).tick, clock } };
    }
  }
}

function checkVbucket(vb: number, vbuckets: number): void {
  if (vb < vbuckets) return;
  throw new TidegateError(
    "bad_sequence",
    `the sequence names vbucket ${vb}, and this database has ${vbuckets}. ` +
      "Use a sequence of this database, or 0.",
  );
}
