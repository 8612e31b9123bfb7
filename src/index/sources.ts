// Where the entries of a channel are: which documents a read must look into. A channel's block
// lists say it for channels; the sequence documents of `*` have computed addresses and need no
// list.

import type { BranchPoint } from "./branch-table.ts";
import {
  type BlockList,
  branchesDecoder,
  entriesDecoder,
  ListGrid,
  listDecoder,
  rootDecoder,
} from "./decoders.ts";
import type { Wanted } from "./documents.ts";
import type { EntryTable, Range } from "./entry-codec.ts";
import type { Interval, Stripe } from "./interval.ts";
import { EXPECTED_DOCUMENT_BYTES } from "./limits.ts";
import {
  type BlockAddress,
  BRANCHES_KEY,
  blockKey,
  channelInKeys,
  type ListWindow,
  listKey,
  rangeOf,
  rootKey,
  type SequenceGrid,
  type Shape,
} from "./shape.ts";

/** A document with entries, wanted. */
export interface WantedEntries extends Wanted<readonly EntryTable[]> {
  readonly range: Range;
  /** Whether it is a sequence document: its records name channels. */
  readonly isSequences: boolean;
  /** Its address among the channel's blocks, when it is one. */
  readonly address?: BlockAddress;
}

/** Where the entries of one channel are that a read of one interval needs. */
export interface Source {
  /** About how many stored bytes each vbucket has. */
  bytesOfVbuckets(): Float64Array;
  /** The documents that may have entries of the interval in the vbuckets of `stripe`. */
  documents(stripe: Stripe): WantedEntries[];
}

/** What a block that is listed, or looked for, asks of {@link Documents}. */
export function wantBlock(channel: string, inKeys: string, address: BlockAddress): WantedEntries {
  const range = rangeOf(address);
  const decoder = entriesDecoder(range, false);
  const key = blockKey(inKeys, address);
  return { key, range, decoder, channel, isSequences: false, address };
}

/** The sequence document of a partition and window, wanted. */
export function wantSequences(
  grid: SequenceGrid,
  partition: number,
  window: number,
): WantedEntries {
  const tile = grid.tile(partition, window);
  return { key: tile.key, range: tile, decoder: entriesDecoder(tile, true), isSequences: true };
}

/** A channel's root, wanted. */
export function wantRoot(channel: string, vbuckets: number): Wanted<readonly ListWindow[]> {
  const range = { vbFrom: 0, vbTo: vbuckets, seqFrom: 0, seqTo: Number.MAX_SAFE_INTEGER };
  return { key: rootKey(channelInKeys(channel)), range, decoder: rootDecoder, channel };
}

function rangeOfWindow(window: ListWindow, vbuckets: number): Range {
  const length = 2 ** window.bits;
  const seqFrom = window.number * length;
  return { vbFrom: 0, vbTo: vbuckets, seqFrom, seqTo: seqFrom + length };
}

/** One of a channel's list windows, wanted. */
export function wantList(channel: string, window: ListWindow, vbuckets: number): Wanted<BlockList> {
  const range = rangeOfWindow(window, vbuckets);
  const decoder = listDecoder(window, vbuckets);
  return { key: listKey(channelInKeys(channel), window), range, decoder, channel };
}

/** The branches document, wanted. */
export function wantBranches(): Wanted<readonly BranchPoint[]> {
  return { key: BRANCHES_KEY, decoder: branchesDecoder };
}

/** The list windows, of those that exist, that may name blocks of the interval. */
export function wantLists(
  channel: string,
  windows: readonly ListWindow[],
  interval: Interval,
  vbuckets: number,
): Wanted<BlockList>[] {
  const everything = { vbFrom: 0, vbTo: vbuckets };
  return windows
    .filter((window) => interval.meets(rangeOfWindow(window, vbuckets), everything))
    .map((window) => wantList(channel, window, vbuckets));
}

/** To compute one candidate takes about as long as to look at so many vbuckets of a block. */
const VBUCKETS_FOR_ONE_CANDIDATE = 8;

/** Finds the blocks of one channel by its block lists. */
export class ChannelSource implements Source {
  readonly #channel: string;
  readonly #inKeys: string;
  readonly #lists: readonly BlockList[];
  readonly #interval: Interval;
  readonly #vbuckets: number;

  /** @param lists the list windows that the interval meets */
  constructor(channel: string, lists: readonly BlockList[], interval: Interval, vbuckets: number) {
    this.#channel = channel;
    this.#inKeys = channelInKeys(channel);
    this.#lists = lists;
    this.#interval = interval;
    this.#vbuckets = vbuckets;
  }

  bytesOfVbuckets(): Float64Array {
    const bytes = new Float64Array(this.#vbuckets);
    const all = { vbFrom: 0, vbTo: this.#vbuckets };
    for (const address of this.#addresses(all)) {
      const { vbFrom, vbTo } = rangeOf(address);
      const share = EXPECTED_DOCUMENT_BYTES / (vbTo - vbFrom);
      for (let vb = vbFrom; vb < vbTo; vb++) bytes[vb]! += share;
    }
    return bytes;
  }

  documents(stripe: Stripe): WantedEntries[] {
    return this.#addresses(stripe).map((address) => {
      return wantBlock(this.#channel, this.#inKeys, address);
    });
  }

  #addresses(stripe: Stripe): BlockAddress[] {
    const addresses: BlockAddress[] = [];
    for (const { window, shapes } of this.#lists) {
      for (const { shape, places } of shapes) {
        const grid = new ListGrid(window, shape, this.#vbuckets);
        if (
          !this.#isShort(places.length, shape) &&
          this.#candidates(window, grid, stripe, places.length, (address) => {
            const place = grid.place(address.vbTile, address.seqTile);
            if (contains(places, place)) addresses.push(address);
          })
        ) {
          continue;
        }
        for (const place of places) {
          const address = grid.address(place);
          if (this.#interval.meets(rangeOf(address), stripe)) addresses.push(address);
        }
      }
    }
    return addresses;
  }

  /** Whether looking at every block listed is less than looking at every vbucket of the interval. */
  #isShort(listed: number, { vbBits }: Shape): boolean {
    return listed * 2 ** vbBits <= VBUCKETS_FOR_ONE_CANDIDATE * this.#interval.vbuckets.length;
  }

  /**
   * Computes which blocks of this shape and window the interval meets, when these are fewer than
   * the blocks listed: so a small interval costs by its own size, not by the length of the list.
   */
  #candidates(
    window: ListWindow,
    grid: ListGrid,
    stripe: Stripe,
    listed: number,
    found: (address: BlockAddress) => void,
  ): boolean {
    const { after, upTo, vbuckets } = this.#interval;
    const { seqBits, vbBits } = grid.shape;
    const length = 2 ** seqBits;
    const firstTile = window.number * 2 ** (window.bits - seqBits);
    const lastTile = firstTile + 2 ** (window.bits - seqBits) - 1;
    const seen = new Set<number>();
    for (const vb of vbuckets) {
      if (vb < stripe.vbFrom || vb >= stripe.vbTo) continue;
      const from = Math.max(firstTile, Math.floor((after[vb]! + 1) / length));
      const to = Math.min(lastTile, Math.floor(upTo[vb]! / length));
      for (let seqTile = from; seqTile <= to; seqTile++) {
        seen.add(grid.place(vb >>> vbBits, seqTile));
        if (seen.size > listed) return false;
      }
    }
    for (const place of seen) found(grid.address(place));
    return true;
  }
}

function contains(sorted: Uint32Array, value: number): boolean {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}

/** Stored bytes of one record, about: for the size of stripes. */
const EXPECTED_RECORD_BYTES = 64;

/** Finds the sequence documents of an interval: the channel `*`. */
export class SequenceSource implements Source {
  readonly #grid: SequenceGrid;
  readonly #interval: Interval;

  constructor(grid: SequenceGrid, interval: Interval) {
    this.#grid = grid;
    this.#interval = interval;
  }

  bytesOfVbuckets(): Float64Array {
    const { after, upTo, vbuckets } = this.#interval;
    const bytes = new Float64Array(this.#grid.vbuckets);
    for (const vb of vbuckets) bytes[vb] = (upTo[vb]! - after[vb]!) * EXPECTED_RECORD_BYTES;
    return bytes;
  }

  documents(stripe: Stripe): WantedEntries[] {
    const { after, upTo, vbuckets } = this.#interval;
    const grid = this.#grid;
    const windows = new Map<number, Set<number>>();
    for (const vb of vbuckets) {
      if (vb < stripe.vbFrom || vb >= stripe.vbTo) continue;
      const partition = grid.partitionOf(vb);
      const numbers = windows.get(partition) ?? new Set();
      windows.set(partition, numbers);
      const last = grid.windowOf(upTo[vb]!);
      for (let window = grid.windowOf(after[vb]! + 1); window <= last; window++) {
        numbers.add(window);
      }
    }
    const wanted: WantedEntries[] = [];
    for (const [partition, numbers] of windows) {
      for (const window of [...numbers].sort((one, other) => one - other)) {
        wanted.push(wantSequences(grid, partition, window));
      }
    }
    return wanted;
  }
}

/** The documents that hold the records of these mutations, each once. */
export function sequenceDocumentsOf(
  grid: SequenceGrid,
  mutations: readonly { vb: number; seq: number }[],
): WantedEntries[] {
  const wanted = new Map<string, WantedEntries>();
  for (const { vb, seq } of mutations) {
    const want = wantSequences(grid, grid.partitionOf(vb), grid.windowOf(seq));
    wanted.set(want.key, want);
  }
  return [...wanted.values()];
}
