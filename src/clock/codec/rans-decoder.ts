// The reading half of the entropy coder (rans.ts says what it reads): the hot loops of this floor.
// They are plain functions over typed arrays, without calls, and their reads never leave the
// arrays, however wrong the bytes are: what is wrong is found when all is read.

import { assert } from "../../base/assert.ts";
import { MalformedBytes } from "../bytes.ts";
import { BitReader } from "./bits.ts";
import { ABOVE, BELOW, type Bins, STATE_MIN } from "./rans.ts";
import { SLOT_BITS, SLOTS, type SymbolTable } from "./symbol-table.ts";

/** Low bits that are read at once; wider ones take the slow path. */
const FAST_BITS = 22;

/** Words of 16 and of 32 bits are read in place. */
assert(new Uint8Array(Uint16Array.of(1).buffer)[0] === 1, "this machine is little-endian");

// Bytes are copied here before they are decoded, so that they can be read as words. Decoding never
// yields, so one is enough; it grows to the largest payload, in powers of two.
let scratch = new Uint32Array(4096);
let words = new Uint16Array(scratch.buffer);
let raw = new Int32Array(scratch.buffer);
let octets = new Uint8Array(scratch.buffer);

/**
 * Where the decoder stands: its state, the place of the next word (counting down), the next bit.
 */
const cursor = new Int32Array(3);
const STATE = 0;
const WORD = 1;
const BIT = 2;

/**
 * Begins to read a payload, in place of any before.
 *
 * @param bytes the whole payload
 * @param headerBits the bits that the codec's own header took
 */
export function beginRuns(bytes: Uint8Array, headerBits: number): void {
  if (bytes.length < 4) throw new MalformedBytes("they end too early");
  if (bytes.length + 16 > scratch.byteLength) {
    scratch = new Uint32Array(2 ** Math.ceil(Math.log2(bytes.length / 4 + 4)));
    words = new Uint16Array(scratch.buffer);
    raw = new Int32Array(scratch.buffer);
    octets = new Uint8Array(scratch.buffer);
  }
  // Their end comes to lie at an even address.
  const offset = bytes.length & 1;
  octets.set(bytes, offset);
  const last = (offset + bytes.length) / 2 - 1;
  cursor[STATE] = (words[last]! << 16) | words[last - 1]!;
  cursor[WORD] = last - 2;
  cursor[BIT] = offset * 8 + headerBits;
  if (cursor[STATE]! < STATE_MIN) throw new MalformedBytes("the coder's state is out of range");
}

/** Adds `plus` and the decoded value to each of `target[from..to)`. */
export function readRun(
  target: Float64Array,
  from: number,
  to: number,
  plus: number,
  table: SymbolTable,
  bins: Bins,
): void {
  if (bins.even !== undefined && bins.even.shift <= FAST_BITS) {
    readEven(target, from, to, plus, table, bins);
  } else {
    readUneven(target, from, to, plus, table, bins);
  }
}

/** Says that everything must have been used, and nothing more. */
export function endRuns(): void {
  const bit = cursor[BIT]!;
  const meet = (bit + 7) >> 3;
  if (cursor[STATE] !== STATE_MIN || meet !== (cursor[WORD]! + 1) * 2) {
    throw new MalformedBytes("the coded values do not end where they should");
  }
  if ((bit & 7) !== 0 && octets[meet - 1]! >>> (bit & 7) !== 0) {
    throw new MalformedBytes("the last raw byte is not filled with zeros");
  }
}

/** The loop for bins of one width: one look into the table gives symbol, slots and first slot. */
function readEven(
  target: Float64Array,
  from: number,
  to: number,
  plus: number,
  table: SymbolTable,
  bins: Bins,
): void {
  const { shift, lowest, below, above } = bins.even!;
  const { packed } = table;
  const [someWords, someRaw] = [words, raw];
  const wordMask = someWords.length - 1;
  const rawMask = someRaw.length - 1;
  const lowMask = (1 << shift) - 1;
  const start = plus - lowest * (1 << shift);
  let state = cursor[STATE]!;
  let word = cursor[WORD]!;
  let bit = cursor[BIT]!;
  for (let at = from; at < to; at++) {
    const entry = packed[state & (SLOTS - 1)]!;
    state = (Math.imul((entry >>> 20) + 1, state >>> SLOT_BITS) + ((entry >>> 8) & 0xfff)) | 0;
    if (state < STATE_MIN) state = (state << 16) | someWords[word-- & wordMask]!;
    const symbol = entry & 0xff;
    if (symbol === below || symbol === above) {
      cursor[BIT] = bit;
      cursor[WORD] = word;
      target[at] = target[at]! + readRest(plus + bins.base[symbol]!, bins.extra[symbol]!);
      bit = cursor[BIT]!;
      continue;
    }
    const index = bit >> 5;
    const used = bit & 31;
    const high = (someRaw[(index + 1) & rawMask]! << (31 - used)) << 1;
    const low = ((someRaw[index & rawMask]! >>> used) | high) & lowMask;
    bit = (bit + shift) | 0;
    target[at] = target[at]! + (start + ((symbol << shift) | low));
  }
  cursor[STATE] = state;
  cursor[WORD] = word;
  cursor[BIT] = bit;
}

/** The loop for bins of any widths. */
function readUneven(
  target: Float64Array,
  from: number,
  to: number,
  plus: number,
  table: SymbolTable,
  bins: Bins,
): void {
  const { slots, first, symbolAt } = table;
  const { base, extra } = bins;
  const [someWords, someRaw] = [words, raw];
  const wordMask = someWords.length - 1;
  const rawMask = someRaw.length - 1;
  let state = cursor[STATE]!;
  let word = cursor[WORD]!;
  let bit = cursor[BIT]!;
  for (let at = from; at < to; at++) {
    const slot = state & (SLOTS - 1);
    const symbol = symbolAt[slot]!;
    state = (Math.imul(slots[symbol]!, state >>> SLOT_BITS) + slot - first[symbol]!) | 0;
    if (state < STATE_MIN) state = (state << 16) | someWords[word-- & wordMask]!;
    const width = extra[symbol]!;
    if (width > FAST_BITS) {
      cursor[BIT] = bit;
      cursor[WORD] = word;
      target[at] = target[at]! + readRest(plus + base[symbol]!, width);
      bit = cursor[BIT]!;
      continue;
    }
    const index = bit >> 5;
    const used = bit & 31;
    const high = (someRaw[(index + 1) & rawMask]! << (31 - used)) << 1;
    const low = ((someRaw[index & rawMask]! >>> used) | high) & ((1 << width) - 1);
    bit = (bit + width) | 0;
    target[at] = target[at]! + (plus + base[symbol]! + low);
  }
  cursor[STATE] = state;
  cursor[WORD] = word;
  cursor[BIT] = bit;
}

/** The slow path: many raw bits, or a value outside all bins. */
function readRest(base: number, width: number): number {
  const end = Math.max(0, (cursor[WORD]! + 1) * 2);
  const reader = new BitReader(octets.subarray(0, end), cursor[BIT]!);
  let value: number;
  if (width === ABOVE) value = base + reader.sized();
  else if (width === BELOW) value = base - 1 - reader.sized();
  else value = base + reader.read(width);
  cursor[BIT] = reader.at;
  return value;
}
