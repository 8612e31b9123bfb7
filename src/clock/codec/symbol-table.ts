// A symbol table: how the 4,096 slots of the entropy coder are shared among at most 256 symbols.
// What the symbols stand for is model.ts; the coder itself is rans.ts.

import { assert } from "../../base/assert.ts";

/** log2 of {@link SLOTS}. */
export const SLOT_BITS = 12;

/**
 * The slots that the symbols of a table share: a symbol with `n` of them costs log2(4096/n) bits.
 */
export const SLOTS = 1 << SLOT_BITS;

/** Symbols of one table, at most. */
export const MAX_SYMBOLS = 256;

/** How the slots are shared. All arrays are indexed by symbol, but for `symbolAt`. */
export interface SymbolTable {
  readonly count: number;
  /** How many slots the symbol has. */
  readonly slots: Uint16Array;
  /** The first slot of the symbol. */
  readonly first: Uint16Array;
  /** The symbol of each slot. */
  readonly symbolAt: Uint8Array;
  /**
   * For each slot its symbol in the lowest 8 bits, its distance from the symbol's first slot in the
   * next 12, and the symbol's slots less one in the highest 12. Made when it is first asked for.
   */
  readonly packed: Int32Array;
}

/**
 * Shares the slots in proportion to `weights`. A weight above zero gets at least one slot; zero
 * gets none. Uses nothing but exactly defined arithmetic: every machine makes the same table.
 *
 * @param weights 1 to 256 numbers, not negative, at least one above zero
 */
export function shareSlots(weights: ArrayLike<number>): SymbolTable {
  const count = weights.length;
  assert(count >= 1 && count <= MAX_SYMBOLS, "a table has 1 to 256 symbols");
  let sum = 0;
  let used = 0;
  let heaviest = 0;
  for (let symbol = 0; symbol < count; symbol++) {
    sum += weights[symbol]!;
    if (weights[symbol]! > 0) used++;
    if (weights[symbol]! > weights[heaviest]!) heaviest = symbol;
  }
  assert(sum > 0, "a table has a symbol that occurs");
  const slots = new Uint16Array(MAX_SYMBOLS);
  let left = SLOTS;
  for (let symbol = 0; symbol < count; symbol++) {
    const weight = weights[symbol]!;
    if (weight === 0) continue;
    slots[symbol] = 1 + Math.floor((weight / sum) * (SLOTS - used));
    left -= slots[symbol]!;
  }
  slots[heaviest] = slots[heaviest]! + left;
  return tableOf(slots, count);
}

function tableOf(slots: Uint16Array, count: number): SymbolTable {
  const first = new Uint16Array(MAX_SYMBOLS);
  const symbolAt = new Uint8Array(SLOTS);
  let at = 0;
  for (let symbol = 0; symbol < count; symbol++) {
    first[symbol] = at;
    symbolAt.fill(symbol, at, at + slots[symbol]!);
    at += slots[symbol]!;
  }
  assert(at === SLOTS, "the slots are shared without a rest");
  return new Table(count, slots, first, symbolAt);
}

class Table implements SymbolTable {
  readonly count: number;
  readonly slots: Uint16Array;
  readonly first: Uint16Array;
  readonly symbolAt: Uint8Array;
  #packed: Int32Array | undefined;

  constructor(count: number, slots: Uint16Array, first: Uint16Array, symbolAt: Uint8Array) {
    this.count = count;
    this.slots = slots;
    this.first = first;
    this.symbolAt = symbolAt;
  }

  get packed(): Int32Array {
    if (this.#packed !== undefined) return this.#packed;
    const packed = new Int32Array(SLOTS);
    for (let slot = 0; slot < SLOTS; slot++) {
      const symbol = this.symbolAt[slot]!;
      const distance = slot - this.first[symbol]!;
      packed[slot] = ((this.slots[symbol]! - 1) << 20) | (distance << 8) | symbol;
    }
    this.#packed = packed;
    return packed;
  }
}
