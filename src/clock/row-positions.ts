// The positions of a batch of rows in binary: for a transport that is not text, where each row can
// name its own mutation for less than two bytes. A reader makes `S-T:vb.seq` of it when it needs a
// sequence.

import { assert } from "../base/assert.ts";
import { MAX_VBUCKETS } from "../bucket/vbucket.ts";
import { MalformedBytes } from "./bytes.ts";
import { BitReader, BitWriter } from "./codec/bits.ts";
import { bestExponent, readExponential, writeExponential } from "./codec/exponential.ts";

/** Rows of one batch, at most. */
export const MAX_ROWS = 65_536;

/** The mutation of a row. */
export interface RowPosition {
  readonly vb: number;
  readonly seq: number;
}

/** Rows of one vbucket. */
interface Group {
  readonly vb: number;
  readonly seqs: number[];
}

function groupsOf(rows: readonly RowPosition[]): Group[] {
  const groups: Group[] = [];
  for (const { vb, seq } of rows) {
    const last = groups.at(-1);
    if (last?.vb === vb) {
      assert(seq > last.seqs.at(-1)!, "rows are in the order of their seqs");
      last.seqs.push(seq);
    } else {
      assert(last === undefined || vb > last.vb, "rows are in the order of their vbuckets");
      groups.push({ vb, seqs: [seq] });
    }
  }
  return groups;
}

/**
 * Writes down the positions of rows that are in `(vb, seq)` order, without their ticks.
 *
 * Layout, in bits: gamma(rows + 1), and if there are rows: least first seq (sized), k of first seqs
 * 6, k of gaps 6, then for each vbucket: gamma(distance to the one before), gamma(its rows), first
 * seq less the least (exponential Golomb), and each further seq as its gap less 1 (exponential
 * Golomb).
 */
export function encodeRowPositions(rows: readonly RowPosition[]): Uint8Array {
  assert(rows.length <= MAX_ROWS, `a batch has at most ${MAX_ROWS} rows`);
  const bits = new BitWriter();
  bits.gamma(rows.length + 1);
  if (rows.length === 0) return bits.bytes();
  const groups = groupsOf(rows);
  const least = groups.reduce((min, { seqs }) => Math.min(min, seqs[0]!), Number.MAX_SAFE_INTEGER);
  const firsts = groups.map(({ seqs }) => seqs[0]! - least);
  const gaps = groups.flatMap(({ seqs }) => seqs.slice(1).map((seq, at) => seq - seqs[at]! - 1));
  const kFirst = bestExponent(firsts);
  const kGap = bestExponent(gaps);
  bits.sized(least);
  bits.write(kFirst, 6);
  bits.write(kGap, 6);
  let before = -1;
  let gap = 0;
  for (const [index, { vb, seqs }] of groups.entries()) {
    bits.gamma(vb - before);
    bits.gamma(seqs.length);
    writeExponential(bits, firsts[index]!, kFirst);
    for (let at = 1; at < seqs.length; at++) writeExponential(bits, gaps[gap++]!, kGap);
    before = vb;
  }
  return bits.bytes();
}

/**
 * Reads what {@link encodeRowPositions} wrote.
 *
 * @throws MalformedBytes for anything else
 */
export function decodeRowPositions(bytes: Uint8Array): RowPosition[] {
  const bits = new BitReader(bytes);
  const count = bits.gamma() - 1;
  if (count > MAX_ROWS) throw new MalformedBytes("more rows than a batch has");
  const rows: RowPosition[] = [];
  if (count > 0) {
    const least = bits.sized();
    const kFirst = bits.read(6);
    const kGap = bits.read(6);
    let vb = -1;
    while (rows.length < count) {
      vb += bits.gamma();
      const size = bits.gamma();
      if (vb >= MAX_VBUCKETS || size > count - rows.length) {
        throw new MalformedBytes("a vbucket, or the number of its rows, is out of range");
      }
      let seq = least + readExponential(bits, kFirst);
      for (let at = 0; at < size; at++) {
        if (at > 0) seq += readExponential(bits, kGap) + 1;
        if (!Number.isSafeInteger(seq)) throw new MalformedBytes("a seq is out of range");
        rows.push({ vb, seq });
      }
    }
  }
  bits.end();
  return rows;
}
