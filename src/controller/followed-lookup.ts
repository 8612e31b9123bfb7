// The lookup map of a node that may follow another node's ticks: it learns the head from outside, and
// reads the stored map again when asked for what it has not seen.

import { clampToBranches } from "../clock/branches.ts";
import { copyClock, includesClock } from "../clock/clock.ts";
import type { Clock, Stable, Tick } from "../clock/tick.ts";
import type { LookupMap } from "./ports.ts";
import type { Rollbacks } from "./rollbacks.ts";

/** A lookup map that can be opened again. */
export class FollowedLookup implements LookupMap {
  #map: LookupMap;
  readonly #open: () => Promise<LookupMap>;
  readonly #rollbacks: Rollbacks;
  /** The newest tick heard of, when it is newer than what the map has read. */
  #heard: Stable | undefined;
  #opening: Promise<void> | undefined;

  private constructor(map: LookupMap, open: () => Promise<LookupMap>, rollbacks: Rollbacks) {
    this.#map = map;
    this.#open = open;
    this.#rollbacks = rollbacks;
  }

  /** Opens the map. `open` is called again whenever it must be read anew. */
  static async open(open: () => Promise<LookupMap>, rollbacks: Rollbacks): Promise<FollowedLookup> {
    return new FollowedLookup(await open(), open, rollbacks);
  }

  newest(): Stable | undefined {
    return this.#heard ?? this.#map.newest();
  }

  /** Takes note of a tick that another node published. */
  heard(stable: Stable): void {
    if (stable.tick > (this.newest()?.tick ?? 0)) this.#heard = stable;
  }

  /** Reads the stored map anew. */
  refresh(): Promise<void> {
    this.#opening ??= this.#open()
      .then((map) => {
        this.#map = map;
        if ((map.newest()?.tick ?? 0) >= (this.#heard?.tick ?? 0)) this.#heard = undefined;
      })
      .finally(() => {
        this.#opening = undefined;
      });
    return this.#opening;
  }

  async resolve(tick: Tick): Promise<Stable> {
    const heard = this.#heard;
    if (heard === undefined) return this.#map.resolve(tick);
    if (tick >= heard.tick) {
      const clock = clampToBranches(copyClock(heard.clock), heard.tick, this.#rollbacks);
      return { tick: heard.tick, clock };
    }
    if (tick > (this.#map.newest()?.tick ?? 0)) await this.refresh();
    return this.#map.resolve(tick);
  }

  async append(tick: Tick, clock: Clock): Promise<void> {
    await this.#map.append(tick, clock);
    this.#heard = undefined;
  }

  async floor(clock: Clock): Promise<Stable> {
    const heard = this.#heard;
    if (heard !== undefined) {
      const newest = await this.resolve(heard.tick);
      if (includesClock(clock, newest.clock)) return newest;
      await this.refresh();
    }
    return this.#map.floor(clock);
  }
}
