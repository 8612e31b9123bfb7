// What changed in the last ticks: the owner writes it into the head document, a follower reads from
// it what changed since the tick that it knew.

import type { Tick } from "../clock/tick.ts";
import type { ChangedChannels } from "./ports.ts";
import type { HeadRecord } from "./records.ts";
import { MAX_HEAD_HASHES, MAX_HEAD_TICKS } from "./settings.ts";

/** The changed channels of the last ticks, bounded in ticks and in hashes. */
export class HeadRing {
  #since: Tick;
  readonly #recent: { tick: Tick; changed: ChangedChannels }[] = [];
  #hashes = 0;

  /** @param since the newest tick before the first that will be added */
  constructor(since: Tick) {
    this.#since = since;
  }

  /** Adds a tick. More hashes than the head carries are "unknown". */
  add(tick: Tick, changed: ChangedChannels): void {
    const bounded = changed !== "unknown" && changed.size > MAX_HEAD_HASHES ? "unknown" : changed;
    this.#recent.push({ tick, changed: bounded });
    this.#hashes += size(bounded);
    while (this.#recent.length > MAX_HEAD_TICKS || this.#hashes > MAX_HEAD_HASHES) {
      const dropped = this.#recent.shift();
      if (dropped === undefined) break;
      this.#since = dropped.tick;
      this.#hashes -= size(dropped.changed);
    }
  }

  /** The part of the head document. */
  record(): Pick<HeadRecord, "since" | "recent"> {
    return { since: this.#since, recent: this.#recent };
  }
}

/** What changed after `known`, as `head` tells it; "unknown" when it does not reach back so far. */
export function changedSince(
  head: Pick<HeadRecord, "since" | "recent">,
  known: Tick,
): ChangedChannels {
  if (known < head.since) return "unknown";
  const all = new Set<number>();
  for (const { tick, changed } of head.recent) {
    if (tick <= known) continue;
    if (changed === "unknown") return "unknown";
    for (const hash of changed) all.add(hash);
  }
  return all;
}

function size(changed: ChangedChannels): number {
  return changed === "unknown" ? 0 : changed.size;
}
