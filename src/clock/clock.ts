// What can be done with clocks: loops over typed arrays that allocate nothing.
// How clocks are written down lives in the codecs beside this file, not here.

import { assert } from "../base/assert.ts";
import type { SeqVector } from "../bucket/vbucket.ts";
import type { Clock } from "./tick.ts";

/** How two clocks stand to each other; "concurrent": each has something that the other lacks. */
export type ClockOrder = "equal" | "before" | "after" | "concurrent";

const SAME_VBUCKETS = "clocks that are put together have the same number of vbuckets";

/** The clock of `vbuckets` vbuckets in which nothing is. */
export function zeroClock(vbuckets: number): Clock {
  return new Float64Array(vbuckets);
}

/** A clock of its own with the same content. */
export function copyClock(clock: Clock): Clock {
  return clock.slice();
}

/** Whether mutation `(vb, seq)` is in `clock`. */
export function includes(clock: Clock, vb: number, seq: number): boolean {
  return seq <= clock[vb]!;
}

/** Whether every mutation in `inner` is in `outer` too. */
export function includesClock(outer: Clock, inner: Clock): boolean {
  assert(outer.length === inner.length, SAME_VBUCKETS);
  return !hasMore(inner, outer, 0);
}

/** How `a` stands to `b`: "before" when `b` has all that `a` has, and more. */
export function compare(a: Clock, b: Clock): ClockOrder {
  assert(a.length === b.length, SAME_VBUCKETS);
  const vb = firstDifference(a, b);
  if (vb === a.length) return "equal";
  if (a[vb]! < b[vb]!) return hasMore(a, b, vb) ? "concurrent" : "before";
  return hasMore(b, a, vb) ? "concurrent" : "after";
}

// The two loops below look at several vbuckets a round, with few branches: a third faster than one.

/** Vbuckets that are looked at together for a difference. */
const BLOCK = 32;

/** The first vbucket in which the clocks differ; their length when there is none. */
function firstDifference(a: Clock, b: Clock): number {
  const end = a.length - (a.length % BLOCK);
  let from = 0;
  while (from < end && !differs(a, b, from)) from += BLOCK;
  while (from < a.length && a[from] === b[from]) from++;
  return from;
}

/** Whether the clocks differ in one of the vbuckets of a block. */
function differs(a: Clock, b: Clock, from: number): boolean {
  // Squares add up, so that differences of opposite signs do not cancel out.
  let squares = 0;
  for (let vb = from; vb < from + BLOCK; vb += 4) {
    const one = a[vb]! - b[vb]!;
    const two = a[vb + 1]! - b[vb + 1]!;
    const three = a[vb + 2]! - b[vb + 2]!;
    const four = a[vb + 3]! - b[vb + 3]!;
    squares += one * one + two * two + (three * three + four * four);
  }
  return squares !== 0;
}

/** Whether `a` has more than `b` in some vbucket from `from` on. */
function hasMore(a: Clock, b: Clock, from: number): boolean {
  const end = a.length & ~3;
  let vb = from & ~3;
  for (; vb < end; vb += 4) {
    if (
      a[vb]! > b[vb]! ||
      a[vb + 1]! > b[vb + 1]! ||
      a[vb + 2]! > b[vb + 2]! ||
      a[vb + 3]! > b[vb + 3]!
    ) {
      return true;
    }
  }
  for (; vb < a.length; vb++) if (a[vb]! > b[vb]!) return true;
  return false;
}

/** Whether `a` and `b` are the same clock. */
export function equals(a: Clock, b: Clock): boolean {
  assert(a.length === b.length, SAME_VBUCKETS);
  return firstDifference(a, b) === a.length;
}

/** Puts into `target` what either clock has: the larger seq of each vbucket. Gives `target`. */
export function join(target: Clock, other: Clock): Clock {
  assert(target.length === other.length, SAME_VBUCKETS);
  for (let vb = 0; vb < target.length; vb++) {
    const seq = other[vb]!;
    if (seq > target[vb]!) target[vb] = seq;
  }
  return target;
}

/** Leaves in `target` what both clocks have: the smaller seq of each vbucket. Gives `target`. */
export function meet(target: Clock, other: Clock): Clock {
  assert(target.length === other.length, SAME_VBUCKETS);
  for (let vb = 0; vb < target.length; vb++) {
    const seq = other[vb]!;
    if (seq < target[vb]!) target[vb] = seq;
  }
  return target;
}

/**
 * Writes `to[vb] - from[vb]` for each vbucket into `target` (which may be one of the two): how many
 * sequence numbers lie in the interval `(from, to]`; negative where `to` is behind. Gives `target`.
 */
export function difference(target: SeqVector, from: Clock, to: Clock): SeqVector {
  assert(from.length === to.length && target.length === to.length, SAME_VBUCKETS);
  for (let vb = 0; vb < to.length; vb++) target[vb] = to[vb]! - from[vb]!;
  return target;
}

/**
 * Writes the vbuckets in which the two clocks differ into `target`, ascending, and gives their
 * number.
 *
 * @param target has room for all of them: as long as the clocks
 */
export function changedVbuckets(target: Uint16Array | Uint32Array, from: Clock, to: Clock): number {
  assert(from.length === to.length && target.length >= to.length, SAME_VBUCKETS);
  let count = 0;
  for (let vb = 0; vb < to.length; vb++) {
    target[count] = vb;
    count += from[vb] === to[vb] ? 0 : 1;
  }
  return count;
}

/**
 * The sum of the seqs: about the number of mutations in `clock` (a double; not exact above 2^53).
 */
export function total(clock: Clock): number {
  let sum = 0;
  for (let vb = 0; vb < clock.length; vb++) sum += clock[vb]!;
  return sum;
}
