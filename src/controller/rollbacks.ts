// The rollbacks that clocks are clamped by, as a list that stays small. Storing it: store.ts.

import type { Branches, Rollback } from "../clock/branches.ts";
import type { Tick } from "../clock/tick.ts";

/** The rollbacks seen so far, without those that a later one makes superfluous. */
export class Rollbacks implements Branches {
  #version: number;
  #list: Rollback[];

  constructor(version = 0, list: readonly Rollback[] = []) {
    this.#version = version;
    this.#list = [...list];
  }

  /** How many were ever seen. */
  get version(): number {
    return this.#version;
  }

  rollbacks(): readonly Rollback[] {
    return this.#list;
  }

  /** With one more. `this` is not changed. */
  with(added: readonly Rollback[]): Rollbacks {
    let list = this.#list;
    for (const { vb, seq, tick } of added) {
      // An earlier rollback to a higher seq clamps nothing that this one does not clamp lower.
      list = list.filter((old) => old.vb !== vb || old.seq < seq || old.tick > tick);
      list = [...list, { vb, seq, tick }];
    }
    return new Rollbacks(this.#version + added.length, list);
  }

  /** Takes over what another node, or the store, knows; never less than is known here. */
  replace(other: Rollbacks): void {
    if (other.#version < this.#version) return;
    this.#version = other.#version;
    this.#list = other.#list;
  }

  /** The clock position that `tick` may claim at most in `vb`: Infinity when it was never cut. */
  limit(vb: number, tick: Tick): number {
    let limit = Number.POSITIVE_INFINITY;
    for (const rollback of this.#list) {
      if (rollback.vb === vb && tick <= rollback.tick) limit = Math.min(limit, rollback.seq);
    }
    return limit;
  }
}
