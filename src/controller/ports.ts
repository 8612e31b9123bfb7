// What the controller needs of the floors above it, and what it offers them. The controller is a
// core without input or output of its own: the gateway hands these in.

import type { FeedMutation } from "../bucket/feed.ts";
import type { Clock, Stable, Tick } from "../clock/tick.ts";

/** The index's journal, as the controller reads it. Implemented by `src/index/`. */
export interface Journal {
  /**
   * For each mutation the hashes of its channels when its record is in the sequence document, and
   * undefined when it is not (yet) there. What the node's own writer was acknowledged is answered
   * from memory; otherwise the sequence documents are read.
   *
   * @param where "memory": only what this node's own writer was acknowledged, without reading
   *   anything; "stored" (the default): the sequence documents too
   */
  recorded(
    mutations: readonly { vb: number; seq: number; vbuuid: string }[],
    where?: "memory" | "stored",
  ): Promise<(readonly number[] | undefined)[]>;
  /** Calls `listener` with the mutations whose records this node's writer had acknowledged. */
  onRecorded(listener: (written: readonly { vb: number; seq: number }[]) => void): () => void;
  /** Says that the stable clock has passed `clock`: what is remembered below it may be forgotten. */
  passed(clock: Clock): void;
  /** Says that a vbucket's history was cut at `seq` and goes on as branch `vbuuid`. */
  branched(vb: number, vbuuid: string, seq: number): Promise<void>;
  /**
   * Says that this node has looked at every mutation of the vbucket's feed in `(from, to]`: each was
   * found by `recorded`, or healed by this node. To be called when the vbucket's clock moves from one
   * seq to the other, before the tick is published. Optional: without it, live reads go to the bucket
   * instead of to the memory of what this node wrote itself.
   */
  validated?(vb: number, from: number, to: number): void;
}

/** Writes what a front-end did not: implemented above, by documents and index together. */
export interface Healer {
  /**
   * Writes everything that the index lacks of these mutations, each from its `_sync` attribute
   * alone, and imports those that no gateway wrote. Gives the hashes of the channels touched for
   * each, or "imported" when the mutation was superseded by the import's own.
   *
   * @param vbuuids the branch that each mutation came on: what is written for one that a rollback
   *   has cut away meanwhile must not pass for the new branch's. By default that of the newest log.
   */
  heal(
    mutations: readonly FeedMutation[],
    vbuuids?: readonly string[],
  ): Promise<(readonly number[] | "imported")[]>;
}

/** The hashes of the channels that something changed in; "unknown": look at all. */
export type ChangedChannels = ReadonlySet<number> | "unknown";

/** Hears of each tick: the new stable clock, and the hashes of the channels changed since the last. */
export type TickListener = (stable: Stable, changed: ChangedChannels) => void;

/** What the controller offers: the stable clock as this node knows it. */
export interface StableClock {
  /** The newest tick that this node knows. */
  head(): Stable;
  /** Calls `listener` after each tick. Gives back a function that ends it. */
  subscribe(listener: TickListener): () => void;
  /** Resolves when the stable clock has reached `clock` (for tests, `_resync`, and graceful stop). */
  reached(clock: Clock, signal?: AbortSignal): Promise<void>;
}

/** The stable clock's history: which clock a tick names. Implemented by `src/clock/`. */
export interface LookupMap {
  /**
   * The clock named by `tick`, or by the nearest older tick kept, clamped by the rollbacks since;
   * the zero clock (tick 0) before the first. A tick newer than the newest gives the newest.
   */
  resolve(tick: Tick): Promise<Stable>;
  /** The newest pair, undefined when nothing was ever published. */
  newest(): Stable | undefined;
  /** Stores that `tick` names `clock`. Resolves when it is stored. Ticks must grow. */
  append(tick: Tick, clock: Clock): Promise<void>;
  /** The newest pair whose clock `clock` includes; the zero clock (tick 0) when there is none. */
  floor(clock: Clock): Promise<Stable>;
}

/** The lookup map as the controller holds it: it follows other nodes' ticks, and is closed. */
export interface FollowedLookupMap extends LookupMap {
  /** Another node published this: it is the newest now. */
  observe(stable: Stable): void;
  /** Ends what it does in the background. */
  close(): Promise<void>;
}
