// The interval of clocks that a read is about, and the vbuckets in which there is something in it.

import type { Clock } from "../clock/tick.ts";
import type { Range } from "./entry-codec.ts";

/** A position within an interval. */
export interface Position {
  readonly vb: number;
  readonly seq: number;
}

/** The mutations `(vb, seq)` with `after[vb] < seq <= upTo[vb]`. */
export class Interval {
  readonly after: Clock;
  readonly upTo: Clock;
  /** The vbuckets in which the interval is not empty, ascending. */
  readonly vbuckets: Uint32Array;

  private constructor(after: Clock, upTo: Clock, vbuckets: Uint32Array) {
    this.after = after;
    this.upTo = upTo;
    this.vbuckets = vbuckets;
  }

  /** The interval `(from, to]`, without what comes at or before `start` in `(vb, seq)` order. */
  static of(from: Clock, to: Clock, start?: Position): Interval {
    let after = from;
    if (start) {
      after = from.slice();
      for (let vb = 0; vb < start.vb && vb < after.length; vb++) after[vb] = to[vb]!;
      if (start.vb < after.length) after[start.vb] = Math.max(from[start.vb]!, start.seq);
    }
    let count = 0;
    for (let vb = 0; vb < to.length; vb++) if (to[vb]! > after[vb]!) count++;
    const vbuckets = new Uint32Array(count);
    for (let vb = 0, at = 0; vb < to.length; vb++) {
      if (to[vb]! > after[vb]!) vbuckets[at++] = vb;
    }
    return new Interval(after, to, vbuckets);
  }

  get empty(): boolean {
    return this.vbuckets.length === 0;
  }

  has(vb: number, seq: number): boolean {
    return seq > this.after[vb]! && seq <= this.upTo[vb]!;
  }

  /** Whether anything of `range`, within the vbuckets of `stripe`, lies in the interval. */
  meets(range: Range, stripe: Stripe): boolean {
    const end = Math.min(range.vbTo, stripe.vbTo);
    for (let vb = Math.max(range.vbFrom, stripe.vbFrom); vb < end; vb++) {
      const first = this.after[vb]! + 1;
      const last = this.upTo[vb]!;
      if (first <= last && first < range.seqTo && last >= range.seqFrom) return true;
    }
    return false;
  }
}

/** Vbuckets that are read together: `[vbFrom, vbTo)`. */
export interface Stripe {
  readonly vbFrom: number;
  readonly vbTo: number;
}

/** Cuts all vbuckets into stripes of about `limit` bytes, given the bytes of each vbucket. */
export function stripesOf(bytes: Float64Array, limit: number): Stripe[] {
  const stripes: Stripe[] = [];
  let vbFrom = 0;
  let sum = 0;
  for (let vb = 0; vb < bytes.length; vb++) {
    if (sum > 0 && sum + bytes[vb]! > limit) {
      stripes.push({ vbFrom, vbTo: vb });
      vbFrom = vb;
      sum = 0;
    }
    sum += bytes[vb]!;
  }
  stripes.push({ vbFrom, vbTo: bytes.length });
  return stripes;
}
