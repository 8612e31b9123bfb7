// Shapes and addresses: which block an entry goes to, which list window names that block, which
// sequence document holds a record. Pure arithmetic; which shape a channel takes: density.ts.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import type { Range } from "./entry-codec.ts";
import {
  FIXED_SHAPE_SLOTS_BITS,
  MAX_BLOCK_SEQ_BITS,
  MAX_BLOCKS_PER_LIST,
  MAX_SPREAD_BITS,
  SEQUENCE_DOCUMENT_SLOTS,
  TARGET_BLOCK_ENTRIES,
} from "./limits.ts";
import type { ChannelHash } from "./types.ts";

/** The size of a block: `2^vbBits` vbuckets × `2^seqBits` sequences. */
export interface Shape {
  readonly vbBits: number;
  readonly seqBits: number;
}

/** A block's address within its channel: its shape, and its place in the grid of that shape. */
export interface BlockAddress extends Shape {
  readonly vbTile: number;
  readonly seqTile: number;
}

/** Which shapes a database's channels take. */
export type ShapeMode = "computed" | "vbucket" | "partition";

/** A document of the index that holds entries: where it is and what it covers. */
export interface Tile extends Range {
  readonly key: string;
}

/** A list window of a channel: it names the blocks which begin in `2^bits` sequences. */
export interface ListWindow {
  readonly bits: number;
  readonly number: number;
}

/** The prefix of every key of the index. */
export const KEY_PREFIX = "ix:";
/** The prefixes of the keys of each kind of document. */
export const ROOT_PREFIX = `${KEY_PREFIX}r:`;
export const LIST_PREFIX = `${KEY_PREFIX}l:`;
export const BLOCK_PREFIX = `${KEY_PREFIX}b:`;
export const SEQUENCE_PREFIX = `${KEY_PREFIX}s:`;
export const BRANCHES_KEY = `${KEY_PREFIX}branches`;
export const LAYOUT_KEY = `${KEY_PREFIX}layout`;

/** Channel names up to this many bytes stand in keys as they are, longer ones as a hash. */
const MAX_LITERAL_NAME_BYTES = 180;
const NAME_HASH_DIGITS = 32;

/** The 32-bit hash of a channel's name, as records and heads carry it. */
export function channelHash(channel: string): ChannelHash {
  return crc32(channel);
}

/** A channel's name as it stands in keys: "=" and the name, or "#" and 128 bits of its hash. */
export function channelInKeys(channel: string): string {
  if (channel.length * 3 <= MAX_LITERAL_NAME_BYTES) return `=${channel}`;
  if (Buffer.byteLength(channel) <= MAX_LITERAL_NAME_BYTES) return `=${channel}`;
  return `#${createHash("sha256").update(channel).digest("hex").slice(0, NAME_HASH_DIGITS)}`;
}

/** The key of a channel's root. */
export function rootKey(inKeys: string): string {
  return ROOT_PREFIX + inKeys;
}

/** The key of one of a channel's list windows. */
export function listKey(inKeys: string, window: ListWindow): string {
  return `${LIST_PREFIX}${inKeys}:${window.bits}.${window.number.toString(36)}`;
}

/** The key of one of a channel's blocks. */
export function blockKey(inKeys: string, address: BlockAddress): string {
  const { vbBits, seqBits, vbTile, seqTile } = address;
  const place = `${vbTile.toString(36)}.${seqTile.toString(36)}`;
  return `${BLOCK_PREFIX}${inKeys}:${vbBits}.${seqBits}.${place}`;
}

/** The block of this shape that `(vb, seq)` belongs to. */
export function addressOf(shape: Shape, vb: number, seq: number): BlockAddress {
  const { vbBits, seqBits } = shape;
  return { vbBits, seqBits, vbTile: vb >>> vbBits, seqTile: Math.floor(seq / 2 ** seqBits) };
}

/** What the block at `address` covers. */
export function rangeOf(address: BlockAddress): Range {
  const length = 2 ** address.seqBits;
  return {
    vbFrom: address.vbTile << address.vbBits,
    vbTo: (address.vbTile + 1) << address.vbBits,
    seqFrom: address.seqTile * length,
    seqTo: (address.seqTile + 1) * length,
  };
}

/** How many sequences (as exponent) a list window spans which names blocks of this shape. */
export function listBits(shape: Shape, vbuckets: number): number {
  const blocksInARow = Math.max(1, vbuckets / 2 ** shape.vbBits);
  return shape.seqBits + Math.max(0, Math.floor(Math.log2(MAX_BLOCKS_PER_LIST / blocksInARow)));
}

/** The list window that names the block at `address`. */
export function windowOf(address: BlockAddress, vbuckets: number): ListWindow {
  const bits = listBits(address, vbuckets);
  return { bits, number: Math.floor(address.seqTile / 2 ** (bits - address.seqBits)) };
}

/**
 * The shape that fits a channel of which `slots` bits of slots `(vb, seq)` make a block: as long as
 * vbuckets are apart first, then wider, up to all vbuckets, then longer.
 *
 * A block is written to while some vbucket's seq is within it. Longer than vbuckets are apart, it
 * is written to for longer than it needs, and many blocks are open at once: each save goes to
 * another.
 *
 * @param spreadBits how far apart the vbuckets' seqs are now, as exponent
 */
export function shapeOfSlots(
  slotsBits: number,
  vbuckets: number,
  spreadBits: number = MAX_SPREAD_BITS,
): Shape {
  const widest = Math.log2(vbuckets);
  const long = Math.min(slotsBits, spreadBits);
  const vbBits = Math.min(slotsBits - long, widest);
  return { vbBits, seqBits: Math.min(slotsBits - vbBits, MAX_BLOCK_SEQ_BITS) };
}

/** The shape of a channel in which every `gap`-th mutation is, on average. */
export function shapeOfGap(gap: number, vbuckets: number, spreadBits?: number): Shape {
  const bits = Math.round(Math.log2(TARGET_BLOCK_ENTRIES * Math.max(1, gap)));
  return shapeOfSlots(bits, vbuckets, spreadBits);
}

/** The average gap between mutations of a channel for which this shape is the right one. */
export function gapOfShape(shape: Shape): number {
  return Math.max(1, 2 ** (shape.vbBits + shape.seqBits) / TARGET_BLOCK_ENTRIES);
}

/** The one shape of all blocks in the fixed modes, kept for comparison. */
export function fixedShape(
  mode: "vbucket" | "partition",
  vbuckets: number,
  partitions: number,
): Shape {
  const vbBits = mode === "vbucket" ? 0 : Math.floor(Math.log2(vbuckets / partitions));
  return { vbBits, seqBits: Math.max(0, FIXED_SHAPE_SLOTS_BITS - vbBits) };
}

/** How the sequence documents are cut: fixed when an index is made. */
export class SequenceGrid {
  readonly vbuckets: number;
  readonly partitions: number;
  /** A window has `2^seqBits` sequences. */
  readonly seqBits: number;
  readonly #window: number;

  constructor(vbuckets: number, partitions: number, seqBits: number) {
    assert(partitions >= 1 && partitions <= vbuckets, "more partitions than vbuckets");
    this.vbuckets = vbuckets;
    this.partitions = partitions;
    this.seqBits = seqBits;
    this.#window = 2 ** seqBits;
  }

  /** The grid for new indexes. */
  static fitting(vbuckets: number, partitions: number): SequenceGrid {
    const slots = SEQUENCE_DOCUMENT_SLOTS / (vbuckets / partitions);
    return new SequenceGrid(vbuckets, partitions, Math.max(0, Math.round(Math.log2(slots))));
  }

  /** The partition of a vbucket: contiguous ranges, as equal as they can be. */
  partitionOf(vb: number): number {
    return Math.floor((vb * this.partitions) / this.vbuckets);
  }

  /** The first vbucket of a partition; of `partitions`: the number of vbuckets. */
  firstVb(partition: number): number {
    return Math.ceil((partition * this.vbuckets) / this.partitions);
  }

  /** The window that `seq` lies in. */
  windowOf(seq: number): number {
    return Math.floor(seq / this.#window);
  }

  /** The sequence document of a partition and window. */
  tile(partition: number, window: number): Tile {
    return {
      key: `${SEQUENCE_PREFIX}${partition.toString(36)}.${window.toString(36)}`,
      vbFrom: this.firstVb(partition),
      vbTo: this.firstVb(partition + 1),
      seqFrom: window * this.#window,
      seqTo: (window + 1) * this.#window,
    };
  }
}
