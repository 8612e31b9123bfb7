// What a feed needs of the engine that opened it.

import type { Branches } from "../clock/branches.ts";
import type { Stable } from "../clock/tick.ts";
import type { LookupMap } from "../controller/ports.ts";
import type { Actor, DocumentStore } from "../documents/types.ts";
import type { Audience, EagerListener, Listener } from "./audience.ts";
import type { Change } from "./merge.ts";
import type { Channels, Plan, Reach } from "./reach.ts";
import type { ChangesOptions } from "./types.ts";

/** A place inside an interval: everything up to `(vb, seq)` in `(vb, seq)` order. */
export interface Place {
  readonly vb: number;
  readonly seq: number;
}

/** The engine, as one feed sees it. */
export interface FeedSource {
  readonly options: ChangesOptions;
  readonly actor: Actor;
  readonly documents: DocumentStore;
  readonly lookup: LookupMap;
  readonly branches: Branches;
  /** What the reader is sent. */
  readonly reach: Reach;
  /** The newest tick that this node knows. */
  head(): Stable;
  /**
   * The changes that the plan says, after `start`, merged.
   *
   * @param vbuckets only in these vbuckets
   */
  changes(
    plan: Plan,
    start: Place | undefined,
    vbuckets?: ReadonlySet<number>,
  ): AsyncIterable<readonly Change[]>;
  /** Whether the reader wants this change. */
  wants(change: Change): boolean;
  /** Joins whoever looks at `channels`, also for saves when `eager` is given, until `leave`. */
  join(channels: Channels, eager: EagerListener | undefined): Audience;
  leave(audience: Audience, eager: EagerListener | undefined): void;
  /** From now on `feed` is woken by ticks that may concern it, until `unwatch`. */
  watch(feed: Listener, audience: Audience, others: readonly string[]): void;
  unwatch(feed: Listener, audience: Audience, others: readonly string[]): void;
  /** The feed is over. */
  closed(): void;
}
