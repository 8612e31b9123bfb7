// How each kind of document is decoded from its frames, for documents.ts.

import { MalformedBytes } from "../clock/bytes.ts";
import { type BranchPoint, unpackBranches } from "./branch-table.ts";
import type { Decoder } from "./documents.ts";
import { EntryTable, type Range } from "./entry-codec.ts";
import { type Damage, type Frame, payloadOf } from "./frame.ts";
import { MAX_CACHED_CHUNKS } from "./limits.ts";
import { unpackAddresses, unpackWindows } from "./list-codec.ts";
import { type BlockAddress, type ListWindow, type Shape, windowOf } from "./shape.ts";

type Damaged = (damage: Damage) => void;

/** Calls `read` for each frame; a frame that it can't read is damage. */
function eachFrame(
  frames: readonly Frame[],
  damaged: Damaged,
  read: (payload: Uint8Array) => void,
): void {
  for (const frame of frames) {
    try {
      read(payloadOf(frame));
    } catch (error) {
      if (!(error instanceof MalformedBytes)) throw error;
      damaged({ at: frame.at, length: frame.next - frame.at, reason: error.message });
    }
  }
}

/** Decodes the branches document. */
export const branchesDecoder: Decoder<readonly BranchPoint[]> = {
  decode(frames, _document, previous, damaged) {
    const points = [...(previous ?? [])];
    eachFrame(frames, damaged, (payload) => points.push(...unpackBranches(payload)));
    return points;
  },
  sizeOf: (points) => points.length * 80,
};

/** Decodes a root: the list windows that exist, each once. */
export const rootDecoder: Decoder<readonly ListWindow[]> = {
  decode(frames, _document, previous, damaged) {
    const windows = [...(previous ?? [])];
    const known = new Set(windows.map(({ bits, number }) => `${bits}.${number}`));
    eachFrame(frames, damaged, (payload) => {
      for (const window of unpackWindows(payload)) {
        const name = `${window.bits}.${window.number}`;
        if (known.has(name)) continue;
        known.add(name);
        windows.push(window);
      }
    });
    return windows;
  },
  sizeOf: (windows) => windows.length * 48,
};

/** The blocks of one shape in a list window: their places in its grid, sorted, each once. */
export interface ListedShape {
  readonly shape: Shape;
  readonly places: Uint32Array;
}

/** A list window, decoded. */
export interface BlockList {
  readonly window: ListWindow;
  readonly shapes: readonly ListedShape[];
  /** The address in the newest record: the shape that the channel had then. */
  readonly newest: BlockAddress | undefined;
}

/** The arithmetic of places: a block's number in the grid of its shape within a list window. */
export class ListGrid {
  readonly #firstTile: number;
  readonly vbTiles: number;
  readonly shape: Shape;

  constructor(window: ListWindow, shape: Shape, vbuckets: number) {
    this.shape = shape;
    this.vbTiles = Math.max(1, vbuckets / 2 ** shape.vbBits);
    this.#firstTile = window.number * 2 ** (window.bits - shape.seqBits);
  }

  place(vbTile: number, seqTile: number): number {
    return (seqTile - this.#firstTile) * this.vbTiles + vbTile;
  }

  address(place: number): BlockAddress {
    const { vbBits, seqBits } = this.shape;
    const vbTile = place % this.vbTiles;
    return { vbBits, seqBits, vbTile, seqTile: this.#firstTile + (place - vbTile) / this.vbTiles };
  }
}

/** Decodes a list window of an index with so many vbuckets. */
export function listDecoder(window: ListWindow, vbuckets: number): Decoder<BlockList> {
  return {
    decode(frames, _document, previous, damaged) {
      const added = new Map<number, { shape: Shape; places: number[] }>();
      for (const { shape, places } of previous?.shapes ?? []) {
        added.set(shapeCode(shape), { shape, places: [...places] });
      }
      let newest = previous?.newest;
      eachFrame(frames, damaged, (payload) => {
        for (const address of unpackAddresses(payload)) {
          const own = windowOf(address, vbuckets);
          if (own.bits !== window.bits || own.number !== window.number) {
            throw new MalformedBytes("a list names a block of another window");
          }
          const code = shapeCode(address);
          const shape = { vbBits: address.vbBits, seqBits: address.seqBits };
          const group = added.get(code) ?? { shape, places: [] };
          added.set(code, group);
          const grid = new ListGrid(window, shape, vbuckets);
          group.places.push(grid.place(address.vbTile, address.seqTile));
          newest = address;
        }
      });
      const shapes = [...added.values()].map(({ shape, places }) => {
        return { shape, places: new Uint32Array(new Set(places)).sort() };
      });
      return { window, shapes, newest };
    },
    sizeOf: (list) => list.shapes.reduce((sum, { places }) => sum + places.length * 4 + 100, 200),
  };
}

function shapeCode(shape: Shape): number {
  return shape.vbBits * 64 + shape.seqBits;
}

/** Decodes a block, or a sequence document (`withChannels`), that covers `range`. */
export function entriesDecoder(
  range: Range,
  withChannels: boolean,
): Decoder<readonly EntryTable[]> {
  return {
    decode(frames, document, previous, damaged) {
      if (previous && previous.length >= MAX_CACHED_CHUNKS) {
        // Many small additions: they are joined, so that tables stay few and of some size.
        const joined = joinTables(previous, range, withChannels);
        return this.decode(frames, document, joined, damaged);
      }
      const tables = [...(previous ?? [])];
      const plain = frames.filter((frame) => !frame.compressed);
      const bytes = previous ? copyOf(plain) : document;
      const offset = previous ? -1 : document.byteOffset;
      if (plain.length > 0) {
        try {
          tables.push(new EntryTable(bytes, spansOf(plain, offset), range, withChannels));
        } catch (error) {
          if (!(error instanceof MalformedBytes)) throw error;
          eachFrame(plain, damaged, (payload) => {
            tables.push(new EntryTable(payload, [[0, payload.length]], range, withChannels));
          });
        }
      }
      const compressed = frames.filter((frame) => frame.compressed);
      eachFrame(compressed, damaged, (payload) => {
        tables.push(new EntryTable(payload, [[0, payload.length]], range, withChannels));
      });
      return tables;
    },
    sizeOf: (tables) => tables.reduce((sum, table) => sum + table.byteSize, 100),
  };
}

/** Where the payloads lie: in the document, or (offset -1) behind each other. */
function spansOf(frames: readonly Frame[], offset: number): [number, number][] {
  let at = 0;
  return frames.map(({ payload }) => {
    const from = offset < 0 ? at : payload.byteOffset - offset;
    at = from + payload.length;
    return [from, at];
  });
}

function copyOf(frames: readonly Frame[]): Uint8Array {
  const copy = new Uint8Array(frames.reduce((sum, { payload }) => sum + payload.length, 0));
  let at = 0;
  for (const { payload } of frames) {
    copy.set(payload, at);
    at += payload.length;
  }
  return copy;
}

function joinTables(
  tables: readonly EntryTable[],
  range: Range,
  withChannels: boolean,
): EntryTable[] {
  const payloads = tables.flatMap((table) => table.payloads());
  const bytes = new Uint8Array(payloads.reduce((sum, payload) => sum + payload.length, 0));
  let at = 0;
  const spans = payloads.map((payload): [number, number] => {
    bytes.set(payload, at);
    at += payload.length;
    return [at - payload.length, at];
  });
  return [new EntryTable(bytes, spans, range, withChannels)];
}
