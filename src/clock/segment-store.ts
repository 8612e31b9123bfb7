// Where the segments of the lookup map are: their keys in the index collection, which exist, and
// the ones read last. What is in them is segment.ts; what a tick resolves to is lookup-map.ts.

import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { KeyValueCollection } from "../bucket/bucket.ts";
import { Segment } from "./segment.ts";
import { MAX_TICK } from "./sequence.ts";
import type { Tick } from "./tick.ts";

/** Every segment's key starts with this. */
export const SEGMENT_PREFIX = "tick:";

/** Bytes of segments held in memory as read, per map; the one read last always is. */
const MAX_CACHED_BYTES = 1024 * 1024;

/** Damaged ticks that are remembered as reported, so that the log is not filled with them. */
const MAX_REPORTED = 1000;

/** Keys listed at once at the start. */
const KEYS_PAGE = 1000;

/** Digits of a tick in a key, so that keys sort as ticks do. */
const TICK_DIGITS = MAX_TICK.toString(36).length;

/** A segment that exists. */
export interface SegmentRef {
  readonly key: string;
  /** How often it was thinned: 0 has every tick. */
  readonly level: number;
  /** The tick of its first record. */
  readonly first: Tick;
}

/** The reference to the segment of `level` that begins with `first`. */
export function segmentRef(level: number, first: Tick): SegmentRef {
  const digits = first.toString(36).padStart(TICK_DIGITS, "0");
  return { key: `${SEGMENT_PREFIX}${digits}:${level}`, level, first };
}

/** The reference that `key` is of; undefined when it is not a segment's key. */
function parseKey(key: string): SegmentRef | undefined {
  const [digits = "", level = ""] = key.slice(SEGMENT_PREFIX.length).split(":");
  const ref = segmentRef(Number(level), Number.parseInt(digits, 36) as Tick);
  return ref.key === key ? ref : undefined;
}

/** The segments of a lookup map. */
export class SegmentStore {
  readonly #collection: KeyValueCollection;
  readonly #vbuckets: number;
  readonly #log: Log;
  /** By first tick, and of those that begin with the same tick the finest last. */
  #refs: SegmentRef[] = [];
  /** In the order of their last use. */
  readonly #cache = new Map<string, Segment>();
  #cachedBytes = 0;
  readonly #reported = new Set<string>();

  constructor(collection: KeyValueCollection, vbuckets: number, log: Log) {
    this.#collection = collection;
    this.#vbuckets = vbuckets;
    this.#log = log;
  }

  /** Lists the segments anew. */
  async list(): Promise<void> {
    const refs: SegmentRef[] = [];
    let after: string | undefined;
    for (;;) {
      const page = after === undefined ? { limit: KEYS_PAGE } : { after, limit: KEYS_PAGE };
      const keys = await this.#collection.keys(SEGMENT_PREFIX, page);
      for (const key of keys) {
        const ref = parseKey(key);
        if (ref === undefined) this.#log.warn({ key }, "not the key of a tick segment; left alone");
        else refs.push(ref);
      }
      if (keys.length < KEYS_PAGE) break;
      after = keys.at(-1)!;
    }
    this.#refs = refs.sort((a, b) => a.first - b.first || b.level - a.level);
  }

  /** The segments that exist, as far as is known, by their first tick. */
  get refs(): readonly SegmentRef[] {
    return this.#refs;
  }

  /** The place in {@link refs} of the last segment that begins at or before `tick`; -1: none. */
  indexOf(tick: Tick): number {
    let low = 0;
    let high = this.#refs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#refs[middle]!.first <= tick) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Makes a new segment that may be appended to; false when there is one of that key. */
  async insert(ref: SegmentRef, bytes: Uint8Array): Promise<boolean> {
    const [result] = await this.#collection.batch([{ op: "insert", key: ref.key, value: bytes }]);
    if (!result?.ok) return false;
    this.#add(ref);
    this.put(ref, new Segment(bytes, this.#vbuckets));
    return true;
  }

  /** Appends a record to a segment; false when it is gone. */
  async append(ref: SegmentRef, record: Uint8Array): Promise<boolean> {
    const [result] = await this.#collection.batch([{ op: "append", key: ref.key, value: record }]);
    return result?.ok === true;
  }

  /** Writes a segment that nobody will append to. May be repeated. */
  async write(ref: SegmentRef, bytes: Uint8Array): Promise<void> {
    const [result] = await this.#collection.batch([{ op: "upsert", key: ref.key, value: bytes }]);
    if (!result?.ok) {
      throw new TidegateError("unavailable", `${ref.key} could not be written: ${result?.refusal}`);
    }
    this.forget(ref);
    this.#add(ref);
  }

  /** Removes segments, from the list as soon as they are gone. */
  async remove(refs: readonly SegmentRef[]): Promise<void> {
    await this.#collection.batch(refs.map(({ key }) => ({ op: "remove", key })));
    const gone = new Set(refs.map(({ key }) => key));
    for (const key of gone) this.#forget(key);
    this.#refs = this.#refs.filter(({ key }) => !gone.has(key));
  }

  /** Keeps a segment in memory, in place of an older reading of it. */
  put(ref: SegmentRef, segment: Segment): void {
    this.forget(ref);
    this.#cache.set(ref.key, segment);
    this.#cachedBytes += segment.bytes;
    while (this.#cachedBytes > MAX_CACHED_BYTES && this.#cache.size > 1) {
      this.#forget(this.#cache.keys().next().value!);
    }
  }

  /** Takes a segment off the list: it is gone. */
  drop(ref: SegmentRef): void {
    this.forget(ref);
    this.#refs = this.#refs.filter(({ key }) => key !== ref.key);
  }

  /** Forgets what is in memory of a segment: another node may have appended to it. */
  forget(ref: SegmentRef): void {
    this.#forget(ref.key);
  }

  #forget(key: string): void {
    this.#cachedBytes -= this.#cache.get(key)?.bytes ?? 0;
    this.#cache.delete(key);
  }

  /** Says in the log that a tick's clock is damaged, once for each. */
  reportDamage(ref: SegmentRef, tick: Tick, damage: string): void {
    const name = `${ref.key} ${tick}`;
    if (this.#reported.has(name)) return;
    if (this.#reported.size >= MAX_REPORTED) this.#reported.clear();
    this.#reported.add(name);
    const fields = { key: ref.key, tick, damage };
    this.#log.warn(fields, "a tick's clock is damaged: it rounds down");
  }

  /** The segment as it was read last, or from the collection; undefined when it is gone. */
  async read(ref: SegmentRef): Promise<Segment | undefined> {
    const cached = this.#cache.get(ref.key);
    if (cached !== undefined) {
      this.put(ref, cached);
      return cached;
    }
    const segment = await this.peek(ref);
    if (segment !== undefined) this.put(ref, segment);
    return segment;
  }

  /** Reads a segment past the cache; undefined when it is gone. */
  async peek(ref: SegmentRef): Promise<Segment | undefined> {
    const found = await this.#collection.get(ref.key);
    if (found === undefined) return undefined;
    const segment = new Segment(found.value, this.#vbuckets);
    if (segment.damage !== undefined) {
      // What lies beyond cannot be told: it rounds down to the last tick before the damage.
      const last = segment.size === 0 ? ref.first : segment.tickAt(segment.size - 1);
      this.reportDamage(ref, last, `after this tick: ${segment.damage}`);
    }
    return segment;
  }

  #add(ref: SegmentRef): void {
    let at = this.indexOf(ref.first) + 1;
    while (at > 0) {
      const before = this.#refs[at - 1]!;
      if (before.first !== ref.first || before.level > ref.level) break;
      if (before.key === ref.key) return;
      at--;
    }
    this.#refs.splice(at, 0, ref);
  }
}
