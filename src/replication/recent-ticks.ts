// Which channels the last ticks have changed: so that a live feed of many channels reads only those.

import type { Tick } from "../clock/tick.ts";
import type { ChangedChannels } from "../controller/ports.ts";
import { MAX_RECENT_HASHES, MAX_RECENT_TICKS } from "./limits.ts";

/** The changed channels of the last ticks, bounded in ticks and in hashes. */
export class RecentTicks {
  /** The newest tick before the oldest that is remembered. */
  #since: Tick;
  #ticks: { readonly tick: Tick; readonly changed: ReadonlySet<number> }[] = [];
  #hashes = 0;

  /** @param since the newest tick now */
  constructor(since: Tick) {
    this.#since = since;
  }

  add(tick: Tick, changed: ChangedChannels): void {
    if (changed === "unknown" || changed.size > MAX_RECENT_HASHES) {
      this.forget(tick);
      return;
    }
    this.#ticks.push({ tick, changed });
    this.#hashes += changed.size;
    while (this.#ticks.length > MAX_RECENT_TICKS || this.#hashes > MAX_RECENT_HASHES) {
      const oldest = this.#ticks.shift();
      if (oldest === undefined) return;
      this.#since = oldest.tick;
      this.#hashes -= oldest.changed.size;
    }
  }

  /** Forgets everything up to `tick`. */
  forget(tick: Tick): void {
    this.#since = tick;
    this.#ticks = [];
    this.#hashes = 0;
  }

  /** The hashes of the channels changed in ticks after `from` up to `to`; "unknown": any. */
  changed(from: Tick, to: Tick): ChangedChannels {
    if (from < this.#since) return "unknown";
    const ticks = this.#ticks.filter(({ tick }) => tick > from && tick <= to);
    const [only] = ticks;
    if (only && ticks.length === 1) return only.changed;
    const all = new Set<number>();
    for (const { changed } of ticks) for (const hash of changed) all.add(hash);
    return all;
  }
}
