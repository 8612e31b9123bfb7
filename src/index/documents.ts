// The index's documents as they are fetched: decoded, kept in a cache of bounded size, and decoded
// further as they grow. Knows when a document in the cache needs no fetch. Says loudly what is
// damaged.

import type { Log } from "../base/log.ts";
import type { KeyValueCollection, StoredValue } from "../bucket/bucket.ts";
import { MalformedBytes } from "../clock/bytes.ts";
import type { Clock } from "../clock/tick.ts";
import type { Range } from "./entry-codec.ts";
import { type Damage, decodeHeader, type Frame, type Header, readFrames } from "./frame.ts";
import {
  MAX_CACHE_BYTES,
  MAX_DIFFERENCES,
  MAX_KNOWN_CLOCKS,
  MAX_LATE_DOCUMENTS,
  READ_PAGE_DOCUMENTS,
} from "./limits.ts";
import { checkChannel } from "./list-codec.ts";

/** How the frames of one kind of document are decoded. */
export interface Decoder<T> {
  /**
   * Adds what `frames` say to `previous`, which stays as it is. Damage inside a frame whose
   * checksum is right goes to `damaged`.
   */
  decode(
    frames: readonly Frame[],
    document: Uint8Array,
    previous: T | undefined,
    damaged: (damage: Damage) => void,
  ): T;
  /** About how many bytes a decoded document keeps in memory. */
  sizeOf(value: T): number;
}

/** A document that a reader wants. */
export interface Wanted<T> {
  readonly key: string;
  /**
   * What the document covers: it needs no fetch when it is known to have everything of that.
   * Without it, the document is always fetched.
   */
  readonly range?: Range;
  readonly decoder: Decoder<T>;
  /** The channel that the document must be of. */
  readonly channel?: string;
}

/** How documents are to be fetched. */
export interface FetchOptions {
  /** Nothing beyond this clock is wanted. Without it, every document is fetched. */
  readonly upTo?: Clock;
  /** Whether to keep the documents in the cache; true unless said. */
  readonly keep?: boolean;
}

interface Cached {
  cas: bigint;
  readonly generation: number;
  /** The bytes decoded so far. */
  readonly length: number;
  readonly value: unknown;
  readonly size: number;
  /** The number of the known clock that was newest when the document was asked for. */
  clockNumber: number;
  /** Whether that clock was beyond all that the document covers. */
  sealed: boolean;
}

/** What is counted of {@link Documents}. */
export interface DocumentCounts {
  fetched: number;
  spared: number;
  damaged: number;
}

/** The documents of one index. */
export class Documents {
  readonly collection: KeyValueCollection;
  readonly counts: DocumentCounts = { fetched: 0, spared: 0, damaged: 0 };
  readonly #log: Log;
  readonly #cache = new Map<string, Cached>();
  readonly #maxBytes: number;
  #bytes = 0;
  #clocks: Clock[] = [];
  #clockNumber = 0;
  readonly #reported = new Set<string>();
  /** Documents that were written to late, and the newest clock's number then. */
  readonly #lateAt = new Map<string, number>();

  constructor(collection: KeyValueCollection, log: Log, maxBytes = MAX_CACHE_BYTES) {
    this.collection = collection;
    this.#log = log;
    this.#maxBytes = maxBytes;
  }

  /** Bytes in the cache, about. */
  get cachedBytes(): number {
    return this.#bytes;
  }

  /** Says that everything in `clock` is completely indexed: what is fetched from now on has it. */
  passed(clock: Clock): void {
    const last = this.#clocks.at(-1);
    if (last === clock) return;
    // A clock that goes back says that one before was wrong: something was lost, or cut away.
    if (last?.some((seq, vb) => seq > clock[vb]!)) this.distrust();
    this.#clocks.push(clock);
    this.#clockNumber++;
    if (this.#clocks.length > MAX_KNOWN_CLOCKS) this.#clocks.shift();
  }

  /**
   * Says that something was written to these documents which the known clocks had passed already: a
   * heal of what was lost. A fetch of them that is under way now does not count.
   */
  late(keys: Iterable<string>): void {
    const before = this.#clockNumber;
    for (const key of keys) {
      this.#lateAt.set(key, before);
      const cached = this.#cache.get(key);
      if (!cached) continue;
      cached.clockNumber = -1;
      cached.sealed = false;
    }
    const clock = this.#clocks.at(-1);
    if (this.#lateAt.size > MAX_LATE_DOCUMENTS || !clock) {
      this.distrust();
      return;
    }
    this.#clocks.push(clock);
    this.#clockNumber++;
    if (this.#clocks.length > MAX_KNOWN_CLOCKS) this.#clocks.shift();
  }

  /** Says that a vbucket's history was cut: nothing fetched before is known to be complete. */
  distrust(): void {
    this.#clocks = [];
    this.#lateAt.clear();
    this.#clockNumber++;
    for (const cached of this.#cache.values()) {
      cached.clockNumber = -1;
      cached.sealed = false;
    }
  }

  /** The documents wanted, in their order; undefined where there is none. */
  async fetch<T>(
    wanted: readonly Wanted<T>[],
    options: FetchOptions = {},
  ): Promise<(T | undefined)[]> {
    const found = new Array<T | undefined>(wanted.length);
    const missing: number[] = [];
    for (const [index, want] of wanted.entries()) {
      const cached = this.#cache.get(want.key);
      if (
        cached &&
        options.upTo &&
        want.range &&
        this.#complete(cached, want.range, options.upTo)
      ) {
        this.counts.spared++;
        this.#touch(want.key, cached);
        found[index] = cached.value as T;
      } else {
        missing.push(index);
      }
    }
    for (let at = 0; at < missing.length; at += READ_PAGE_DOCUMENTS) {
      const page = missing.slice(at, at + READ_PAGE_DOCUMENTS);
      const clockNumber = this.#clockNumber;
      const stored = await this.collection.getMany(page.map((index) => wanted[index]!.key));
      this.counts.fetched += page.length;
      for (const [i, index] of page.entries()) {
        const value = stored[i];
        if (value) found[index] = this.#take(wanted[index]!, value, clockNumber, options.keep);
      }
    }
    return found;
  }

  /** Decodes a document that was fetched by other means, without keeping it. */
  decode<T>(want: Wanted<T>, document: Uint8Array): T {
    const header = this.#header(want, document);
    return this.#decode(want, document, header?.end ?? 0, undefined);
  }

  #take<T>(want: Wanted<T>, stored: StoredValue, clockNumber: number, keep = true): T {
    const cached = this.#cache.get(want.key);
    if (cached && stored.cas <= cached.cas) {
      this.#fresh(want, cached, clockNumber);
      this.#touch(want.key, cached);
      return cached.value as T;
    }
    const document = stored.value;
    const header = this.#header(want, document);
    const generation = header?.generation ?? -1;
    const grown =
      cached !== undefined && cached.generation === generation && cached.length <= document.length;
    const from = grown ? cached.length : (header?.end ?? 0);
    const previous = grown ? (cached.value as T) : undefined;
    const value = this.#decode(want, document, from, previous);
    if (!keep && !cached) return value;
    const size = want.decoder.sizeOf(value) + want.key.length + 100;
    const entry: Cached = {
      cas: stored.cas,
      generation,
      length: document.length,
      value,
      size,
      clockNumber: -1,
      sealed: false,
    };
    this.#fresh(want, entry, clockNumber);
    this.#bytes += size - (cached?.size ?? 0);
    this.#touch(want.key, entry);
    this.#evict();
    return value;
  }

  #header<T>(want: Wanted<T>, document: Uint8Array): Header | undefined {
    try {
      const header = decodeHeader(document);
      if (want.channel !== undefined) checkChannel(header, want.channel, want.key);
      return header;
    } catch (error) {
      if (!(error instanceof MalformedBytes)) throw error;
      this.#damaged(want.key, { at: 0, length: 0, reason: error.message });
      return undefined;
    }
  }

  #decode<T>(want: Wanted<T>, document: Uint8Array, from: number, previous: T | undefined): T {
    const damaged = (damage: Damage) => this.#damaged(want.key, damage);
    const frames = readFrames(document, from, damaged);
    return want.decoder.decode(frames, document, previous, damaged);
  }

  #damaged(key: string, damage: Damage): void {
    const name = `${key}@${damage.at}`;
    if (this.#reported.has(name)) return;
    if (this.#reported.size >= MAX_DIFFERENCES) this.#reported.clear();
    this.#reported.add(name);
    this.counts.damaged++;
    this.#log.error(
      { key, ...damage },
      "a part of an index document is damaged and was skipped: check the index",
    );
  }

  /** Notes that the document was asked for when clock `clockNumber` was the newest known one. */
  #fresh({ key, range }: Wanted<unknown>, cached: Cached, clockNumber: number): void {
    if (range === undefined || (this.#lateAt.get(key) ?? -1) >= clockNumber) return;
    if (clockNumber <= cached.clockNumber || cached.sealed) return;
    const clock = this.#known(clockNumber);
    if (!clock) return;
    cached.clockNumber = clockNumber;
    cached.sealed = covers(clock, range, undefined);
  }

  #known(clockNumber: number): Clock | undefined {
    return this.#clocks[this.#clocks.length - 1 - (this.#clockNumber - clockNumber)];
  }

  #complete(cached: Cached, range: Range, upTo: Clock): boolean {
    if (cached.sealed) return true;
    const clock = this.#known(cached.clockNumber);
    return clock !== undefined && covers(clock, range, upTo);
  }

  #touch(key: string, cached: Cached): void {
    this.#cache.delete(key);
    this.#cache.set(key, cached);
  }

  #evict(): void {
    for (const [key, cached] of this.#cache) {
      if (this.#bytes <= this.#maxBytes) return;
      this.#cache.delete(key);
      this.#bytes -= cached.size;
    }
  }
}

/** Whether `clock` has everything of `range`, or everything of it up to `upTo`. */
function covers(clock: Clock, range: Range, upTo: Clock | undefined): boolean {
  const last = range.seqTo - 1;
  for (let vb = range.vbFrom; vb < range.vbTo; vb++) {
    const want = upTo === undefined ? last : Math.min(last, upTo[vb]!);
    if (want >= range.seqFrom && clock[vb]! < want) return false;
  }
  return true;
}
