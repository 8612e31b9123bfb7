// Who looks at the same channels: feeds that wait, and eager feeds. They are woken together, so that
// ten thousand channels of one user stand in the wake table once, however often its feeds wait.

import type { Stable } from "../clock/tick.ts";
import type { ChangedChannels } from "../controller/ports.ts";
import { WakeTable, type WatchedChannels } from "../controller/wake-table.ts";
import { touchedChannels } from "../index/touched.ts";
import { ALL_CHANNEL, type IndexMutation } from "../index/types.ts";
import type { EagerRows } from "./eager.ts";
import type { Channels } from "./reach.ts";

/** Something that a tick or a save may concern. */
export interface Listener {
  /** A tick came that may concern it. `before` is the stable clock just before it. */
  wake(before: Stable): void;
}

/** A feed that also listens to saves. */
export interface EagerListener {
  readonly rows: EagerRows;
  /** Something waits in `rows`. */
  nudge(): void;
}

/** Feeds that look at one set of channels. */
export class Audience implements Listener {
  readonly channels: Channels;
  readonly hashes: WatchedChannels;
  /** Feeds that wait now. */
  readonly waiting = new Set<Listener>();
  /** Eager feeds, when there are any. */
  eager: Set<EagerListener> | undefined;
  /** Feeds that have joined. */
  members = 0;

  constructor(channels: Channels, channelHash: (channel: string) => number) {
    this.channels = channels;
    this.hashes = channels.has(ALL_CHANNEL) ? "all" : Array.from(channels, channelHash);
  }

  wake(before: Stable): void {
    for (const feed of [...this.waiting]) feed.wake(before);
  }
}

/** The audiences of one database. */
export class Audiences {
  readonly #channelHash: (channel: string) => number;
  readonly #table = new WakeTable<Listener>();
  readonly #bySet = new WeakMap<Channels, Audience>();
  /** The audiences with eager feeds. */
  readonly #eager = new WakeTable<Audience>();

  constructor(channelHash: (channel: string) => number) {
    this.#channelHash = channelHash;
  }

  /** Joins whoever looks at `channels`; undone by {@link leave}. */
  join(channels: Channels, eager: EagerListener | undefined): Audience {
    let audience = this.#bySet.get(channels);
    if (audience === undefined) {
      audience = new Audience(channels, this.#channelHash);
      this.#bySet.set(channels, audience);
    }
    if (audience.members++ === 0) this.#table.add(audience, audience.hashes);
    if (eager) {
      if (audience.eager === undefined) this.#eager.add(audience, audience.hashes);
      audience.eager ??= new Set();
      audience.eager.add(eager);
    }
    return audience;
  }

  leave(audience: Audience, eager: EagerListener | undefined): void {
    if (--audience.members === 0) this.#table.remove(audience, audience.hashes);
    if (eager === undefined || audience.eager === undefined) return;
    audience.eager.delete(eager);
    if (audience.eager.size > 0) return;
    audience.eager = undefined;
    this.#eager.remove(audience, audience.hashes);
  }

  /** From now on `feed` is woken by ticks that concern its audience, or one of `others`. */
  watch(feed: Listener, audience: Audience, others: readonly string[]): void {
    audience.waiting.add(feed);
    if (others.length > 0) this.#table.add(feed, others.map(this.#channelHash));
  }

  /** Ends {@link watch}, with the same audience and others. */
  unwatch(feed: Listener, audience: Audience, others: readonly string[]): void {
    audience.waiting.delete(feed);
    if (others.length > 0) this.#table.remove(feed, others.map(this.#channelHash));
  }

  /** Wakes whom a tick concerns. */
  ticked(before: Stable, changed: ChangedChannels): void {
    for (const listener of this.#table.concerned(changed)) listener.wake(before);
  }

  /** Hands a save to the eager feeds that it concerns. */
  saved(mutation: IndexMutation): void {
    if (this.#eager.size === 0) return;
    const hashes = new Set(Array.from(touchedChannels(mutation), this.#channelHash));
    for (const { eager } of this.#eager.concerned(hashes)) {
      for (const feed of eager ?? []) {
        feed.rows.saved(mutation);
        if (feed.rows.waiting) feed.nudge();
      }
    }
  }
}
