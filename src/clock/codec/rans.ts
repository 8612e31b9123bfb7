// The entropy coder: an rANS coder for symbols, with the values' low bits stored raw beside it. The
// fast loop of this floor is here. Which tables and which bins: the codecs that use it.
//
// Layout: [bits: header of the codec, then per value its low bits, filled up to a byte]
//         [16-bit words of the coder, little-endian, to be read from the end: first its state].
// The two parts must meet exactly, and the coder must end in the state in which it began: bytes that
// do not are refused.

import { assert } from "../../base/assert.ts";
import { MalformedBytes } from "../bytes.ts";
import { BitReader, type BitWriter, MAX_BITS, POWERS } from "./bits.ts";
import { MAX_SYMBOLS, SLOT_BITS, SLOTS, type SymbolTable } from "./symbol-table.ts";

/** The state stays in [2^15, 2^31), so that all of its arithmetic fits 32-bit integers. */
const STATE_MIN = 1 << 15;

/** Low bits that the fast path reads at once; wider ones take the slow path. */
const FAST_BITS = 24;

/** Mark of an `extra` for values below the lowest bin, or above the highest: the distance follows. */
export const BELOW = 254;
export const ABOVE = 255;

/** What a table's symbols stand for: `base[symbol]` plus `extra[symbol]` raw bits. */
export interface Bins {
  /** The smallest value of the symbol; of {@link BELOW}, one more than its largest. */
  readonly base: Float64Array;
  /** The raw bits that follow the symbol, up to 53; or one of the two marks. */
  readonly extra: Uint8Array;
}

/** Values `from`..`to` of a vector, and how they are coded. */
export interface Run {
  readonly from: number;
  readonly to: number;
  readonly table: SymbolTable;
  readonly bins: Bins;
  /** What the bins count from: added to each value of theirs. */
  readonly plus: number;
  /** The symbol of a value from which `plus` was taken. */
  symbolOf(value: number): number;
}

/** The numbers of the machine's memory, lowest byte first, are read in place. */
assert(new Uint8Array(Uint16Array.of(1).buffer)[0] === 1, "this machine is little-endian");

/** Codes `values` in the runs given, after what `bits` has already. Gives the whole payload. */
export function encodeRuns(
  bits: BitWriter,
  values: Float64Array,
  runs: readonly Run[],
): Uint8Array<ArrayBuffer> {
  const symbols = new Uint8Array(values.length);
  for (const run of runs) {
    for (let at = run.from; at < run.to; at++) {
      const value = values[at]!;
      const symbol = run.symbolOf(value - run.plus);
      symbols[at] = symbol;
      writeRest(bits, run.plus + run.bins.base[symbol]!, run.bins.extra[symbol]!, value);
    }
  }
  const head = bits.bytes();
  const words = encodeSymbols(symbols, runs);
  const bytes = new Uint8Array(head.length + words.length * 2);
  bytes.set(head);
  for (let index = 0; index < words.length; index++) {
    bytes[head.length + index * 2] = words[index]! & 0xff;
    bytes[head.length + index * 2 + 1] = words[index]! >>> 8;
  }
  return bytes;
}

function writeRest(bits: BitWriter, base: number, extra: number, value: number): void {
  if (extra === ABOVE) bits.sized(value - base);
  else if (extra === BELOW) bits.sized(base - 1 - value);
  else bits.write(value - base, extra);
}

/** The last value first, so that decoding meets them in their order. */
function encodeSymbols(symbols: Uint8Array, runs: readonly Run[]): number[] {
  const words: number[] = [];
  let state = STATE_MIN;
  for (let index = runs.length - 1; index >= 0; index--) {
    const { from, to, table } = runs[index]!;
    for (let at = to - 1; at >= from; at--) {
      const symbol = symbols[at]!;
      const slots = table.slots[symbol]!;
      assert(slots > 0, "a symbol that is coded has slots");
      if (state >= slots * (2 ** 31 / SLOTS)) {
        words.push(state & 0xffff);
        state >>>= 16;
      }
      state = (Math.floor(state / slots) << SLOT_BITS) + (state % slots) + table.first[symbol]!;
    }
  }
  words.push(state & 0xffff, state >>> 16);
  return words;
}

/** What a symbol with so many slots costs, in bits. */
const BITS_OF_SLOTS = Float64Array.from({ length: SLOTS + 1 }, (_, slots) =>
  Math.log2(SLOTS / slots),
);

/** About what a value outside all bins costs beside its symbol. */
const OUTSIDE_BITS = 16;

/** About the bits that `counts[symbol]` symbols of each kind cost in `table`, low bits included. */
export function costOf(counts: ArrayLike<number>, table: SymbolTable, bins: Bins): number {
  let bits = 0;
  for (let symbol = 0; symbol < table.count; symbol++) {
    const count = counts[symbol]!;
    if (count === 0) continue;
    const extra = bins.extra[symbol]!;
    bits += count * BITS_OF_SLOTS[table.slots[symbol]!]!;
    bits += count * (extra > MAX_BITS ? OUTSIDE_BITS : extra);
  }
  return bits;
}

// Bytes are copied here before they are decoded, so that words of 16 and of 32 bits can be read in
// place. Decoding never yields, so one is enough; it grows to the largest payload.
let scratch = new Uint32Array(4096);
let words = new Uint16Array(scratch.buffer);
let raw = new Int32Array(scratch.buffer);
let octets = new Uint8Array(scratch.buffer);

/** Copies `bytes` so that their end lies at an even address; gives the offset of their beginning. */
function load(bytes: Uint8Array): number {
  if (bytes.length + 16 > scratch.byteLength) {
    scratch = new Uint32Array((bytes.length >>> 1) + 16);
    words = new Uint16Array(scratch.buffer);
    raw = new Int32Array(scratch.buffer);
    octets = new Uint8Array(scratch.buffer);
  }
  const offset = bytes.length & 1;
  octets.set(bytes, offset);
  // What is behind may be looked at, but not used: reading past the end is found when all is read.
  return offset;
}

/** Reads the runs that {@link encodeRuns} wrote, one after the other, from one payload at a time. */
export class RunDecoder {
  #state: number;
  /** The place of the next word, counting down. */
  #word: number;
  /** The place of the next raw bit. */
  #bit: number;

  /**
   * @param bytes the whole payload
   * @param headerBits the bits that the codec's own header took
   */
  constructor(bytes: Uint8Array, headerBits: number) {
    if (bytes.length < 4) throw new MalformedBytes("they end too early");
    const offset = load(bytes);
    this.#word = (offset + bytes.length) / 2 - 1;
    this.#bit = offset * 8 + headerBits;
    const high = words[this.#word--]!;
    this.#state = (high << 16) | words[this.#word--]!;
    if (this.#state < STATE_MIN) throw new MalformedBytes("the coder's state is out of range");
  }

  /** Adds `plus` and the decoded value to each of `target[from..to)`. */
  decode(
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
    let state = this.#state;
    let word = this.#word;
    let bit = this.#bit;
    for (let at = from; at < to; at++) {
      const slot = state & (SLOTS - 1);
      const symbol = symbolAt[slot]!;
      state = (Math.imul(slots[symbol]!, state >>> SLOT_BITS) + slot - first[symbol]!) | 0;
      if (state < STATE_MIN) state = (state << 16) | someWords[word--]!;
      const width = extra[symbol]!;
      let value = plus + base[symbol]!;
      if (width !== 0) {
        if (width <= FAST_BITS) {
          const index = bit >> 5;
          const shift = bit & 31;
          const low = (someRaw[index]! >>> shift) | ((someRaw[index + 1]! << (31 - shift)) << 1);
          value += low & ((1 << width) - 1);
          bit += width;
        } else {
          this.#bit = bit;
          this.#word = word;
          value = this.#readRest(value, width);
          bit = this.#bit;
        }
      }
      target[at] = target[at]! + value;
    }
    this.#state = state;
    this.#word = word;
    this.#bit = bit;
  }

  /** Says that everything must have been used, and nothing more. */
  end(): void {
    const meet = (this.#bit + 7) >> 3;
    if (this.#state !== STATE_MIN || meet !== (this.#word + 1) * 2) {
      throw new MalformedBytes("the coded values do not end where they should");
    }
    const used = this.#bit & 7;
    if (used !== 0 && octets[meet - 1]! >>> used !== 0) {
      throw new MalformedBytes("the last raw byte is not filled with zeros");
    }
  }

  /** The slow path: many raw bits, or a value outside all bins. */
  #readRest(base: number, width: number): number {
    const end = Math.max(0, (this.#word + 1) * 2);
    const reader = new BitReader(octets.subarray(0, end), this.#bit);
    let value: number;
    if (width === ABOVE) value = base + reader.sized();
    else if (width === BELOW) value = base - 1 - reader.sized();
    else value = base + reader.read(width);
    this.#bit = reader.at;
    return value;
  }
}

/** Bins of one width, `2^shift`, counted from 0: symbol `first` is the lowest of `count`. */
export function evenBins(count: number, shift: number, first: number): Bins {
  const base = new Float64Array(MAX_SYMBOLS);
  const extra = new Uint8Array(MAX_SYMBOLS);
  const width = POWERS[shift]!;
  for (let bin = 0; bin < count; bin++) {
    base[first + bin] = bin * width;
    extra[first + bin] = shift;
  }
  if (first > 0) extra[0] = BELOW;
  base[first + count] = count * width;
  extra[first + count] = ABOVE;
  return { base, extra };
}
