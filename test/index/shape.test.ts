// Shapes and addresses: every (vb, seq) has one block of a shape, one list window, and one sequence
// document, and keys are never too long and never the same for two things.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MAX_KEY_BYTES } from "../../src/bucket/bucket.ts";
import { MAX_SEQ } from "../../src/bucket/vbucket.ts";
import { ListGrid } from "../../src/index/decoders.ts";
import { Densities } from "../../src/index/density.ts";
import { MAX_BLOCKS_PER_LIST } from "../../src/index/limits.ts";
import {
  addressOf,
  blockKey,
  channelInKeys,
  listBits,
  listKey,
  rangeOf,
  rootKey,
  SequenceGrid,
  shapeOfGap,
  windowOf,
} from "../../src/index/shape.ts";

const vbucketCounts = fc.integer({ min: 0, max: 16 }).map((bits) => 2 ** bits);
const seqs = fc.oneof(fc.nat(), fc.integer({ min: 0, max: MAX_SEQ - 1 }));
const gaps = fc.oneof(fc.constant(1), fc.double({ min: 1, max: 1e12, noNaN: true }));
const places = fc.record({ vbuckets: vbucketCounts, gap: gaps, seq: seqs, share: fc.nat() });

test("a block covers the mutations that are addressed to it, and its window names it", () => {
  fc.assert(
    fc.property(places, ({ vbuckets, gap, seq, share }) => {
      const vb = share % vbuckets;
      const shape = shapeOfGap(gap, vbuckets);
      const address = addressOf(shape, vb, seq);
      const range = rangeOf(address);
      expect(vb >= range.vbFrom && vb < range.vbTo && range.vbTo <= vbuckets).toBe(true);
      expect(seq >= range.seqFrom && seq < range.seqTo).toBe(true);
      const window = windowOf(address, vbuckets);
      expect(Math.floor(range.seqFrom / 2 ** window.bits)).toBe(window.number);
      expect(window.bits).toBeGreaterThanOrEqual(shape.seqBits);
      const grid = new ListGrid(window, shape, vbuckets);
      const place = grid.place(address.vbTile, address.seqTile);
      expect(grid.address(place)).toEqual(address);
      const blocks = grid.vbTiles * 2 ** (window.bits - shape.seqBits);
      expect(place).toBeLessThan(blocks);
      expect(blocks).toBeLessThanOrEqual(Math.max(MAX_BLOCKS_PER_LIST, vbuckets));
      expect(listBits(shape, vbuckets)).toBe(window.bits);
    }),
  );
});

test("every mutation has its sequence document, and partitions share the vbuckets out", () => {
  fc.assert(
    fc.property(places, fc.integer({ min: 1, max: 64 }), ({ vbuckets, seq, share }, wanted) => {
      const grid = SequenceGrid.fitting(vbuckets, Math.min(wanted, vbuckets));
      const vb = share % vbuckets;
      const tile = grid.tile(grid.partitionOf(vb), grid.windowOf(seq));
      expect(vb >= tile.vbFrom && vb < tile.vbTo).toBe(true);
      expect(seq >= tile.seqFrom && seq < tile.seqTo).toBe(true);
      expect([grid.firstVb(0), grid.firstVb(grid.partitions)]).toEqual([0, vbuckets]);
      expect(Buffer.byteLength(tile.key)).toBeLessThanOrEqual(MAX_KEY_BYTES);
    }),
  );
});

test("keys fit the bucket, whatever the channel is called", () => {
  const names = fc.string({ unit: "binary", minLength: 1, maxLength: 600 });
  fc.assert(
    fc.property(names, places, (name, { vbuckets, gap, seq, share }) => {
      fc.pre(name.isWellFormed());
      const inKeys = channelInKeys(name);
      const address = addressOf(shapeOfGap(gap, vbuckets), share % vbuckets, seq);
      const window = windowOf(address, vbuckets);
      for (const key of [rootKey(inKeys), listKey(inKeys, window), blockKey(inKeys, address)]) {
        expect(Buffer.byteLength(key)).toBeLessThanOrEqual(MAX_KEY_BYTES);
      }
    }),
  );
});

test("a channel called like the hash of another has other keys", () => {
  const long = "x".repeat(200);
  const hashed = channelInKeys(long);
  expect(channelInKeys(hashed)).not.toBe(hashed);
  expect(channelInKeys(`${long}y`)).not.toBe(hashed);
});

describe("densities", () => {
  const entriesPerBlock = (densities: Densities, gap: number): number => {
    const { shape } = densities.find("channel")!;
    return 2 ** (shape.vbBits + shape.seqBits) / gap;
  };

  for (const gap of [1, 3, 20, 500, 30_000]) {
    test(`the shape follows a channel of every ${gap}th mutation`, () => {
      const densities = new Densities("computed", 1024, 16);
      const state = densities.add("channel");
      let saved = 0;
      for (let i = 0; i < 600; i++) {
        for (let other = 0; other < gap; other++)
          densities.mutation(1 + Math.floor(saved++ / 1024));
        densities.note(state);
      }
      expect(entriesPerBlock(densities, gap)).toBeGreaterThanOrEqual(32);
      expect(entriesPerBlock(densities, gap)).toBeLessThanOrEqual(512);
    });
  }

  test("blocks get longer, and so narrower, as the vbuckets' seqs drift apart", () => {
    const shapeWith = (spread: number) => {
      const densities = new Densities("computed", 1024, 16);
      const state = densities.add("channel");
      for (let i = 0; i < 8192; i++) {
        densities.mutation(1000 + ((i * 7919) % 1024) * (spread / 1024));
        densities.note(state);
      }
      return state.shape;
    };
    expect(shapeWith(4).seqBits).toBeLessThanOrEqual(3);
    expect(shapeWith(100).seqBits).toBeGreaterThanOrEqual(5);
    expect(shapeWith(1_000_000).vbBits).toBe(0);
  });

  test("a block that got too large makes the shape finer, down to a single slot", () => {
    const densities = new Densities("computed", 1024, 16);
    const state = densities.add("channel");
    const before = state.shape.vbBits + state.shape.seqBits;
    densities.appended(state, "block", 10_000);
    expect(state.shape.vbBits + state.shape.seqBits).toBe(before);
    densities.appended(state, "block", 10_000);
    expect(state.shape.vbBits + state.shape.seqBits).toBeLessThan(before);
    for (let i = 0; i < 30; i++) densities.finer(state);
    expect(state.shape).toEqual({ vbBits: 0, seqBits: 0 });
  });

  test("fixed shapes stay fixed", () => {
    for (const [mode, vbBits] of [
      ["vbucket", 0],
      ["partition", 6],
    ] as const) {
      const densities = new Densities(mode, 1024, 16);
      const state = densities.add("channel");
      for (let i = 0; i < 100; i++) {
        densities.mutation(i);
        densities.note(state);
        densities.appended(state, "block", 1_000_000);
      }
      expect(state.shape).toEqual({ vbBits, seqBits: 10 - vbBits });
    }
  });
});
