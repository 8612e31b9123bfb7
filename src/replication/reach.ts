// What a reader may be sent: the channels of each interval by its access, by what it asks for, and by
// what it has already (DESIGN part 6). Pure, apart from asking the access, which must be refreshed.

import type { Access } from "../access/types.ts";
import type { Stable } from "../clock/tick.ts";
import { isPseudoChannel } from "../index/pseudo-channel.ts";
import { ALL_CHANNEL } from "../index/types.ts";

/** A set of channels; with `*` in it, it is every channel. */
export type Channels = ReadonlySet<string>;

/** What of an interval `(from, to]` a reader is sent. */
export interface Plan {
  readonly from: Stable;
  readonly to: Stable;
  /** The channels that are sent: visible at `to`, and visible now. */
  readonly channels: Channels;
  /** Those of `channels` whose past the reader may lack: they are read from the zero clock on. */
  readonly backfilled: Channels;
  /**
   * Those of `backfilled` that were visible at `from`: the reader may have a part of them, and is
   * told what left them. Of the others it has nothing that could have left.
   */
  readonly doubtful: Channels;
  /** Visible at `from`, and not at `to`; empty unless the reader wants to hear of it. */
  readonly revoked: Channels;
  /**
   * Visible at `to` and known before, and not visible now: what left them in the interval is told as
   * revoked, since at the next tick it is not there any more. Empty unless the reader wants it.
   */
  readonly dropped: Channels;
  /** What decides on `backfilled`: the same for everybody who resumes in this interval. */
  readonly known: Channels;
  /** The channels that the reader has, whole, up to `from`. */
  readonly has: Channels;
  /** Whether all of `channels` is what the reader has, whole, when the interval is sent. */
  readonly whole: boolean;
  /** What was visible when the plan was made: it holds as long as this is the same. */
  readonly now: Channels;
}

const EVERYTHING: Channels = new Set([ALL_CHANNEL]);
const NOTHING: Channels = new Set();

/** Finds out what one feed is sent. */
export class Reach {
  readonly #access: Access;
  /** The channels asked for; undefined: all. */
  readonly #asked: Channels | undefined;
  readonly #revocations: boolean;
  /** Narrowed sets by the set that they come from: access gives the same ones again and again. */
  readonly #narrowed = new WeakMap<Channels, Channels>();

  constructor(access: Access, asked: readonly string[] | undefined, revocations: boolean) {
    this.#access = access;
    // What principals are granted is nobody's to read, not even who sees all documents.
    const all = asked === undefined || asked.includes(ALL_CHANNEL);
    this.#asked = all ? undefined : new Set(asked.filter((name) => !isPseudoChannel(name)));
    this.#revocations = revocations;
  }

  /** The channels that would be sent of an interval that ends now. */
  now(): Channels {
    return this.#narrow(this.#access.now());
  }

  /**
   * The plan for `(from, to]`.
   *
   * @param has the channels that the reader is known to have, whole, up to `from`; undefined: only
   *   the clock tells
   * @param newest a clock at or after `to` that the access has taken in
   */
  plan(from: Stable, to: Stable, has: Channels | undefined, newest: Stable): Plan {
    const access = this.#access;
    const at = this.#narrow(access.at(to.clock));
    const now = this.#narrow(access.now());
    const channels = meet(at, now);
    // What is read of an interval must be the same whoever resumes in it, and whenever. Who was
    // refused a channel while it was away, or in the middle of a page, may lack a part of it.
    const known = has ?? this.#narrow(access.heldThrough(from.clock, to.clock));
    const backfilled = without(channels, known);
    return {
      from,
      to,
      channels,
      backfilled,
      doubtful: this.#doubtful(backfilled, from),
      known,
      revoked: this.#revocations ? without(this.#narrow(access.at(from.clock)), at) : NOTHING,
      dropped: this.#dropped(at, known, now),
      has: has ?? this.#narrow(access.heldThrough(from.clock, newest.clock)),
      whole: to.tick >= newest.tick,
      now,
    };
  }

  /**
   * The plan to go on with: the same one, unless the reader has lost one of its channels since it was
   * made.
   */
  renewed(plan: Plan): Plan {
    const now = this.#narrow(this.#access.now());
    if (now === plan.now) return plan;
    const channels = meet(plan.channels, now);
    const same =
      channels.size === plan.channels.size &&
      channels.has(ALL_CHANNEL) === plan.channels.has(ALL_CHANNEL);
    if (same) return { ...plan, now };
    const backfilled = without(channels, plan.known);
    const at = this.#narrow(this.#access.at(plan.to.clock));
    return {
      ...plan,
      channels,
      backfilled,
      doubtful: this.#doubtful(backfilled, plan.from),
      dropped: this.#dropped(at, plan.known, now),
      now,
    };
  }

  #doubtful(backfilled: Channels, from: Stable): Channels {
    if (backfilled.size === 0) return NOTHING;
    return meet(backfilled, this.#narrow(this.#access.at(from.clock)));
  }

  #dropped(at: Channels, known: Channels, now: Channels): Channels {
    return this.#revocations && at !== now ? without(meet(at, known), now) : NOTHING;
  }

  #narrow(channels: Channels): Channels {
    const all = channels.has(ALL_CHANNEL);
    const asked = this.#asked;
    if (asked === undefined) return all ? EVERYTHING : channels;
    if (all) return asked;
    const known = this.#narrowed.get(channels);
    if (known) return known;
    const narrowed = meet(asked, channels);
    this.#narrowed.set(channels, narrowed);
    return narrowed;
  }
}

/** Whether a document in `channels` is in one of `some`. */
export function meets(some: Channels, channels: readonly string[]): boolean {
  return some.has(ALL_CHANNEL) || channels.some((channel) => some.has(channel));
}

/** What is in both. */
function meet(one: Channels, other: Channels): Channels {
  if (one === other || one.has(ALL_CHANNEL)) return other;
  if (other.has(ALL_CHANNEL)) return one;
  const [few, many] = one.size <= other.size ? [one, other] : [other, one];
  const both = new Set<string>();
  for (const channel of few) if (many.has(channel)) both.add(channel);
  return both.size === few.size ? few : both;
}

/** What is in `channels` and not covered by `other`. */
function without(channels: Channels, other: Channels): Channels {
  if (channels === other || other.has(ALL_CHANNEL)) return NOTHING;
  let rest: Set<string> | undefined;
  for (const channel of channels) {
    if (other.has(channel)) continue;
    rest ??= new Set();
    rest.add(channel);
  }
  return rest ?? NOTHING;
}
