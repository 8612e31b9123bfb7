// Who depends on which channel. Finding whom a tick concerns costs as much as they are many.

import type { ChangedChannels } from "./ports.ts";

/** The channels that a feed looks at, as hashes; "all": every change concerns it. */
export type WatchedChannels = readonly number[] | "all";

/** Feeds that look at one channel. Most channels are one feed's alone: that takes no set. */
class Several<Feed> extends Set<Feed> {}

/** Waiting feeds by the hashes of their channels. */
export class WakeTable<Feed> {
  readonly #byHash = new Map<number, Feed | Several<Feed>>();
  readonly #watchingAll = new Set<Feed>();
  /** Feeds that look at some channels only. */
  readonly #watchingSome = new Set<Feed>();

  /** Feeds in the table. */
  get size(): number {
    return this.#watchingAll.size + this.#watchingSome.size;
  }

  add(feed: Feed, channels: WatchedChannels): void {
    if (channels === "all") {
      this.#watchingAll.add(feed);
      return;
    }
    this.#watchingSome.add(feed);
    for (const hash of channels) {
      const known = this.#byHash.get(hash);
      if (known instanceof Several) known.add(feed);
      else if (known === undefined || known === feed) this.#byHash.set(hash, feed);
      else this.#byHash.set(hash, new Several([known, feed]));
    }
  }

  remove(feed: Feed, channels: WatchedChannels): void {
    if (channels === "all") {
      this.#watchingAll.delete(feed);
      return;
    }
    this.#watchingSome.delete(feed);
    for (const hash of channels) {
      const known = this.#byHash.get(hash);
      if (known instanceof Several) known.delete(feed);
      if (known === feed || (known instanceof Several && known.size === 0)) {
        this.#byHash.delete(hash);
      }
    }
  }

  /** The feeds that a tick with these changed channels concerns, each once. */
  concerned(changed: ChangedChannels): Set<Feed> {
    const feeds = new Set(this.#watchingAll);
    if (changed === "unknown") {
      for (const feed of this.#watchingSome) feeds.add(feed);
      return feeds;
    }
    // The smaller of the two sides is walked.
    const hashes = changed.size <= this.#byHash.size ? changed : this.#byHash.keys();
    for (const hash of hashes) {
      if (!changed.has(hash)) continue;
      const known = this.#byHash.get(hash);
      if (known instanceof Several) for (const feed of known) feeds.add(feed);
      else if (known !== undefined) feeds.add(known);
    }
    return feeds;
  }
}
