// A map of bounded size for caches and tables: what was used longest ago goes first.

import { assert } from "../base/assert.ts";

/** A map that keeps its newest and most recently used entries. */
export class BoundedMap<K, V> {
  readonly #limit: number;
  readonly #entries = new Map<K, V>();
  readonly #dropped: ((key: K, value: V) => void) | undefined;

  /**
   * @param limit the most entries
   * @param dropped hears of each entry that had to go, not of those that were removed
   */
  constructor(limit: number, dropped?: (key: K, value: V) => void) {
    assert(limit > 0, "a bounded map has room for something");
    this.#limit = limit;
    this.#dropped = dropped;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The value, which counts as used now. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  /** The value as it is; its place in the order stays. */
  peek(key: K): V | undefined {
    return this.#entries.get(key);
  }

  set(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#limit) return;
    const [oldest] = this.#entries;
    if (oldest === undefined) return;
    this.#entries.delete(oldest[0]);
    this.#dropped?.(oldest[0], oldest[1]);
  }

  delete(key: K): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }
}
