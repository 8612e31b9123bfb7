// What a feed needs of the engine that opened it.

import type { Branches } from "../clock/branches.ts";
import type { Clock, Stable } from "../clock/tick.ts";
import type { LookupMap } from "../controller/ports.ts";
import type { Actor, DocumentStore } from "../documents/types.ts";
import type { EagerRows } from "./eager.ts";
import type { Change } from "./merge.ts";
import type { ChangesOptions } from "./types.ts";

/** A place inside an interval: everything up to `(vb, seq)` in `(vb, seq)` order. */
export interface Place {
  readonly vb: number;
  readonly seq: number;
}

/** A feed that waits for a tick. */
export interface Waiting {
  /** A tick came that may concern this feed. `before` is the stable clock just before it. */
  wake(before: Stable): void;
  /** Something waits in the feed's `eager` rows. */
  nudge(): void;
}

/** The engine, as one feed sees it. */
export interface FeedSource {
  readonly options: ChangesOptions;
  readonly actor: Actor;
  readonly documents: DocumentStore;
  readonly lookup: LookupMap;
  readonly branches: Branches;
  /** Rows ahead of the stable clock, when the reader wants them. */
  readonly eager: EagerRows | undefined;
  /** The newest tick that this node knows. */
  head(): Stable;
  /** The changes of the reader's channels in `(from, to]` after `start`, merged. */
  changes(from: Clock, to: Clock, start: Place | undefined): AsyncIterable<readonly Change[]>;
  /** Whether the reader wants this change. */
  wants(change: Change): boolean;
  /** From now on `feed` is to be woken by ticks that may concern it, until `unwatch`. */
  watch(feed: Waiting): void;
  unwatch(feed: Waiting): void;
  /** The feed is over. */
  closed(): void;
}
