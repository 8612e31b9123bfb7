// The codec of clocks that follow a distribution: per block of vbuckets a family, its parameters
// and where it is centred, then the entropy-coded values. For evenly spread writes: close to the
// bound.
//
// Layout, in bits: codec 3, blocks? 1 [log2(number of blocks) 3], per block: family 2 and
//   constant:  value (sign, sized)
//   Gaussian:  width step 4, log2(bin width) 6, start of the lowest bin (sign, sized)
//   Poisson:   mean step 8, start? 1 [sign, sized]
//   binomial:  mean step 8, shape step 5, log2(bin width) 6, start? 1 [sign, sized]
// and then what rans.ts lays out.

import { MalformedBytes } from "../bytes.ts";
import { BitReader, BitWriter } from "./bits.ts";
import { coderOf, Family, type Parameters, readParameters, writeParameters } from "./families.ts";
import { type Block, planBlock } from "./fit.ts";
import { CODEC_BITS, CodecId, type Plan, type Summary } from "./plan.ts";
import { encodeRuns } from "./rans.ts";
import { beginRuns, endRuns, readRun } from "./rans-decoder.ts";

/** log2 of the most blocks, and the fewest vbuckets in a block. */
const MAX_LOG_BLOCKS = 5;
const MIN_BLOCK = 16;

/** What the coder's last state takes, less what it says. */
const STATE_BITS = 24;

/** Blocks of many for which families of spread out values are tried: their tables take time. */
const MAX_SPREAD_BLOCKS = 4;

/** About what one more block costs in its header. */
const BLOCK_BITS = 40;

/**
 * How the values are written down in a number of blocks that promises the least; undefined when they
 * lie too far apart.
 */
export function planParametric(summary: Summary): Plan | undefined {
  const one = planBlocks(summary, 0);
  const logBlocks = bestBlocks(summary.values);
  if (logBlocks === 0) return one;
  const many = planBlocks(summary, logBlocks);
  if (one === undefined || many === undefined) return one ?? many;
  return many.bits < one.bits ? many : one;
}

function planBlocks({ values, sorted }: Summary, logBlocks: number): Plan | undefined {
  const blocks: Block[] = [];
  let spreadBlocks = 0;
  let bits = CODEC_BITS + (logBlocks === 0 ? 1 : 4) + STATE_BITS;
  for (let index = 0; index < 1 << logBlocks; index++) {
    const [from, to] = blockAt(values.length, logBlocks, index);
    const own = logBlocks === 0 ? sorted : values.slice(from, to).sort();
    const spread = logBlocks === 0 || (isSpread(own) && spreadBlocks++ < MAX_SPREAD_BLOCKS);
    const block = planBlock(from, to, own, spread);
    if (block === undefined) return undefined;
    blocks.push(block);
    bits += block.bits;
  }
  return {
    bits,
    encode() {
      const writer = new BitWriter();
      writer.write(CodecId.model, CODEC_BITS);
      writer.write(logBlocks === 0 ? 0 : 1, 1);
      if (logBlocks > 0) writer.write(logBlocks, 3);
      for (const { parameters } of blocks) writeParameters(writer, parameters);
      const runs = blocks.filter(({ parameters }) => parameters.family !== Family.constant);
      return encodeRuns(writer, values, runs);
    },
  };
}

/** Whether the quarters of the values lie far apart for their middle: two ranges in one block. */
function isSpread(sorted: Float64Array): boolean {
  const quarter = sorted.length >>> 2;
  const middle = sorted[sorted.length >>> 1]!;
  const width = sorted[sorted.length - 1 - quarter]! - sorted[quarter]!;
  return width > 0.5 * (middle + 1);
}

/** Where block `index` of 2^logBlocks begins and ends: their lengths differ by at most one. */
function blockAt(length: number, logBlocks: number, index: number): [from: number, to: number] {
  const blocks = 1 << logBlocks;
  return [Math.floor((length * index) / blocks), Math.floor((length * (index + 1)) / blocks)];
}

/** log2 of the number of blocks that lowers the variances most, against what their headers cost. */
function bestBlocks(values: Float64Array): number {
  let logBlocks = 0;
  while (logBlocks < MAX_LOG_BLOCKS && values.length >= (2 << logBlocks) * MIN_BLOCK) logBlocks++;
  // Sums over the smallest blocks; those of larger ones are made of them.
  const sums = new Float64Array(1 << logBlocks);
  const squares = new Float64Array(1 << logBlocks);
  const origin = values[0]!;
  for (let index = 0; index < sums.length; index++) {
    const [from, to] = blockAt(values.length, logBlocks, index);
    for (let at = from; at < to; at++) {
      const distance = values[at]! - origin;
      sums[index] = sums[index]! + distance;
      squares[index] = squares[index]! + distance * distance;
    }
  }
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (; logBlocks >= 0; logBlocks--) {
    const blocks = 1 << logBlocks;
    let bits = blocks * BLOCK_BITS;
    for (let index = 0; index < blocks; index++) {
      const [from, to] = blockAt(values.length, logBlocks, index);
      const mean = sums[index]! / (to - from);
      const variance = Math.max(0, squares[index]! / (to - from) - mean * mean);
      bits += (to - from) * 0.5 * Math.log2(variance + 0.1);
    }
    if (bits <= least) {
      least = bits;
      best = logBlocks;
    }
    for (let index = 0; index < blocks / 2; index++) {
      sums[index] = sums[2 * index]! + sums[2 * index + 1]!;
      squares[index] = squares[2 * index]! + squares[2 * index + 1]!;
    }
  }
  return best;
}

/** Adds what {@link planParametric} wrote to `target`. */
export function readParametric(bytes: Uint8Array, target: Float64Array): void {
  const reader = new BitReader(bytes, CODEC_BITS);
  const logBlocks = reader.read(1) === 0 ? 0 : reader.read(3);
  if (logBlocks > MAX_LOG_BLOCKS) throw new MalformedBytes("too many blocks");
  const blocks: Parameters[] = [];
  for (let index = 0; index < 1 << logBlocks; index++) blocks.push(readParameters(reader));
  beginRuns(bytes, reader.at);
  for (let index = 0; index < blocks.length; index++) {
    const [from, to] = blockAt(target.length, logBlocks, index);
    const parameters = blocks[index]!;
    if (parameters.family === Family.constant) {
      for (let vb = from; vb < to; vb++) target[vb] = target[vb]! + parameters.start;
    } else {
      const { table, bins } = coderOf(parameters);
      readRun(target, from, to, parameters.start, table, bins);
    }
  }
  endRuns();
}
