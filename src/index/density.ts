// How dense each channel is, and so which shape its next blocks take. In memory only: after a
// restart a channel's density is learned from the shape of its newest block.

import {
  GAP_WEIGHT,
  INITIAL_GAP,
  MAX_BLOCK_BYTES,
  MAX_BLOCK_SIZES,
  MAX_CHANNEL_STATES,
  MAX_SPREAD_BITS,
  SHAPE_HYSTERESIS_BITS,
  SPREAD_WEIGHT,
} from "./limits.ts";
import {
  channelHash,
  channelInKeys,
  fixedShape,
  gapOfShape,
  type Shape,
  type ShapeMode,
  shapeOfGap,
  shapeOfSlots,
} from "./shape.ts";
import type { ChannelHash } from "./types.ts";

/** What the writer keeps in mind of a channel. */
export interface ChannelState {
  readonly name: string;
  /** The name as it stands in keys. */
  readonly inKeys: string;
  readonly hash: ChannelHash;
  shape: Shape;
  /** Running mean of the mutations from one of this channel to the next. */
  gap: number;
  /** The writer's count of mutations at the last one of this channel. */
  lastAt: number;
}

/** The states of the channels written to most recently. */
export class Densities {
  readonly #vbuckets: number;
  readonly #fixed: Shape | undefined;
  readonly #states = new Map<string, ChannelState>();
  readonly #sizes = new Map<string, number>();
  #mutations = 0;
  readonly #spread = new Spread();

  constructor(mode: ShapeMode, vbuckets: number, partitions: number) {
    this.#vbuckets = vbuckets;
    this.#fixed = mode === "computed" ? undefined : fixedShape(mode, vbuckets, partitions);
  }

  /** Channels in mind now. */
  get size(): number {
    return this.#states.size;
  }

  /** Whether a channel's blocks must be looked up before its first write. */
  get learns(): boolean {
    return this.#fixed === undefined;
  }

  /** The state of a channel, undefined when it is not in mind. */
  find(channel: string): ChannelState | undefined {
    return this.#states.get(channel);
  }

  /** The channel's hash, kept for channels in mind. */
  hashOf(channel: string): ChannelHash {
    return this.#states.get(channel)?.hash ?? channelHash(channel);
  }

  /** Takes up a channel; `shape`: that of its newest block, when it has any. */
  add(channel: string, shape?: Shape): ChannelState {
    if (this.#states.size >= MAX_CHANNEL_STATES) {
      const oldest = this.#states.keys().next();
      if (!oldest.done) this.#states.delete(oldest.value);
    }
    const gap = shape ? gapOfShape(shape) : INITIAL_GAP;
    const state: ChannelState = {
      name: channel,
      inKeys: channelInKeys(channel),
      hash: channelHash(channel),
      shape: this.#fixed ?? shape ?? shapeOfGap(gap, this.#vbuckets, this.#spread.bits),
      gap,
      lastAt: this.#mutations,
    };
    this.#states.set(channel, state);
    return state;
  }

  /** Counts a mutation that is being written, with this seq in its vbucket. */
  mutation(seq: number): void {
    this.#mutations++;
    this.#spread.note(seq);
  }

  /** Counts a mutation of this channel, and lets the channel's shape follow. */
  note(state: ChannelState): void {
    const gap = Math.max(1, this.#mutations - state.lastAt);
    state.lastAt = this.#mutations;
    if (this.#fixed) return;
    state.gap += (gap - state.gap) * GAP_WEIGHT;
    const fits = shapeOfGap(state.gap, this.#vbuckets, this.#spread.bits);
    const longer = fits.seqBits - state.shape.seqBits;
    const larger = fits.vbBits - state.shape.vbBits + longer;
    const off = Math.max(Math.abs(larger), Math.abs(longer));
    if (off >= SHAPE_HYSTERESIS_BITS) state.shape = fits;
  }

  /** Says that `bytes` were added to a block of this channel: too many make the shape finer. */
  appended(state: ChannelState, key: string, bytes: number): void {
    if (this.#fixed) return;
    const size = (this.#sizes.get(key) ?? 0) + bytes;
    if (size > MAX_BLOCK_BYTES) {
      this.#sizes.delete(key);
      this.finer(state);
      return;
    }
    if (size === bytes && this.#sizes.size >= MAX_BLOCK_SIZES) {
      const oldest = this.#sizes.keys().next();
      if (!oldest.done) this.#sizes.delete(oldest.value);
    }
    this.#sizes.set(key, size);
  }

  /** Gives a channel a finer shape than it has: its blocks got too large. */
  finer(state: ChannelState): void {
    const bits = state.shape.vbBits + state.shape.seqBits;
    const fewer = Math.max(0, bits - SHAPE_HYSTERESIS_BITS);
    const shape = shapeOfSlots(fewer, this.#vbuckets, this.#spread.bits);
    state.shape = shape;
    state.gap = Math.min(state.gap, gapOfShape(shape));
  }
}

/** How far apart the seqs of the vbuckets are that are being written to: a running deviation. */
class Spread {
  #mean = 0;
  #variance = 0;

  note(seq: number): void {
    const off = seq - this.#mean;
    this.#mean += off * SPREAD_WEIGHT;
    this.#variance += (off * off - this.#variance) * SPREAD_WEIGHT;
  }

  /** The exponent of two deviations, the part of a normal spread in which most seqs are. */
  get bits(): number {
    const wide = Math.ceil(Math.log2(1 + 2 * Math.sqrt(this.#variance)));
    return Math.min(MAX_SPREAD_BITS, wide);
  }
}
