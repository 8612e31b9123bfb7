// The journal: what has its record, from memory and from what is stored; and the tail, which
// answers live reads from memory only when it is known to have everything.

import { describe, expect, test } from "bun:test";
import { BranchTable } from "../../src/index/branch-table.ts";
import { Interval } from "../../src/index/interval.ts";
import { channelHash } from "../../src/index/shape.ts";
import { Tail } from "../../src/index/tail.ts";
import { type Entry, EntryFlag } from "../../src/index/types.ts";
import { indexOf, mutation, readAll, withBucket } from "./support.ts";

const VBUCKETS = 16;

function clockAt(seqs: Readonly<Record<number, number>>) {
  const clock = new Float64Array(VBUCKETS);
  for (const [vb, seq] of Object.entries(seqs)) clock[Number(vb)] = seq;
  return clock;
}

describe("journal", () => {
  test("records name the hashes of the channels, those that were left too", async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const index = await indexOf(bucket);
      const removed = { channel: "left", seq: 2, revId: "2-x", flags: EntryFlag.removed };
      const one = mutation({
        ...{ vb: 1, seq: 2, docId: "d", channels: ["a", "b"], removals: [removed] },
      });
      await index.write(one);
      const hashes = ["a", "b", "left"].map(channelHash);
      expect(await index.recorded([one], "memory")).toEqual([hashes]);
      expect(await (await indexOf(bucket)).recorded([one])).toEqual([hashes]);
      expect(await (await indexOf(bucket)).recorded([one], "memory")).toEqual([undefined]);
    });
  });

  test("what is being written is not recorded, and listeners hear when it is", async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const index = await indexOf(bucket);
      let heard = 0;
      const end = index.onRecorded(() => heard++);
      const one = mutation({ vb: 1, seq: 2, docId: "d" });
      const written = Promise.all([index.write(one), index.write({ ...one, seq: 3 })]);
      expect(await index.recorded([one], "memory")).toEqual([undefined]);
      await written;
      expect(heard).toBe(1);
      expect(await index.recorded([one], "memory")).toEqual([[]]);
      end();
      await index.write({ ...one, seq: 4 });
      expect(heard).toBe(1);
    });
  });

  test("what the stable clock has passed is forgotten, and found where it is stored", async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const index = await indexOf(bucket);
      const made = [2, 3, 4].map((seq) => mutation({ vb: 1, seq, docId: `d${seq}` }));
      await Promise.all(made.map((one) => index.write(one)));
      index.passed(clockAt({ 1: 3 }));
      expect(await index.recorded(made, "memory")).toEqual([undefined, undefined, []]);
      expect(await index.recorded(made)).toEqual([[], [], []]);
      expect(index.stats().journal_remembered).toBe(1);
    });
  });

  test("a removal that a crash cut off is written by the mutation that supersedes it", async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const removal = { channel: "left", seq: 2, revId: "2-x", flags: EntryFlag.removed };
      const next = mutation({ vb: 1, seq: 3, docId: "d", supersedes: 2, removals: [removal] });
      const from = clockAt({});
      const to = clockAt({ 1: 9 });

      const behind = await indexOf(bucket);
      await behind.write(next);
      expect(await readAll(behind, "left", from, to)).toMatchObject([{ seq: 2, revId: "2-x" }]);
    });
    await withBucket(VBUCKETS, async (bucket) => {
      const removal = { channel: "left", seq: 2, revId: "2-x", flags: EntryFlag.removed };
      const next = mutation({ vb: 1, seq: 3, docId: "d", supersedes: 2, removals: [removal] });
      // Where the stable clock is beyond it, it is known to be there, and is not written again.
      const ahead = await indexOf(bucket);
      ahead.passed(clockAt({ 1: 2 }));
      await ahead.write(next);
      expect(await readAll(ahead, "left", clockAt({}), clockAt({ 1: 9 }))).toEqual([]);
      await ahead.write(next, true);
      expect(await readAll(ahead, "left", clockAt({}), clockAt({ 1: 9 }))).toHaveLength(1);
    });
  });

  test("an index keeps the partitions it was made with, and refuses other vbuckets", async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      await indexOf(bucket, { partitions: 4 });
      expect((await indexOf(bucket, { partitions: 8 })).grid.partitions).toBe(4);
      const other = { index: bucket.index, vbuckets: 32 };
      await expect(indexOf(other)).rejects.toThrow("made for 16 vbuckets");
    });
  });
});

describe("tail", () => {
  const entry = (vb: number, seq: number, docId = `d${seq}`): Entry => {
    return { vb, seq, branch: 0, flags: 0, docId, revId: "1-x", supersedes: 0 };
  };
  const read = (tail: Tail, from: Record<number, number>, to: Record<number, number>) =>
    tail.read("a", Interval.of(clockAt(from), clockAt(to)))?.map(({ seq }) => seq);
  const filled = (limit?: number): Tail => {
    const tail = new Tail(VBUCKETS, new BranchTable(), limit);
    tail.validated(1, 0, 4);
    for (const seq of [5, 7, 6]) tail.add([{ channel: "a", entry: entry(1, seq) }]);
    tail.add([{ channel: "b", entry: entry(1, 8) }]);
    return tail;
  };

  test("answers intervals that this node has looked at, in order, each document once", () => {
    const tail = filled();
    tail.add([{ channel: "a", entry: entry(1, 9, "d5") }]);
    expect(read(tail, { 1: 4 }, { 1: 7 })).toBeUndefined();
    tail.validated(1, 4, 9);
    expect(read(tail, { 1: 4 }, { 1: 9 })).toEqual([6, 7, 9]);
    expect(read(tail, { 1: 5 }, { 1: 6 })).toEqual([6]);
    expect(read(tail, { 1: 4 }, { 1: 10 })).toBeUndefined();
    expect(read(tail, { 1: 4, 2: 1 }, { 1: 9, 2: 2 })).toBeUndefined();
    expect(read(tail, { 1: 4, 2: 2 }, { 1: 9, 2: 2 })).toEqual([6, 7, 9]);
  });

  test("does not answer across a gap, another node's mutation, or a rollback", () => {
    const gap = filled();
    gap.validated(1, 4, 6);
    gap.validated(1, 7, 9);
    expect(read(gap, { 1: 4 }, { 1: 9 })).toBeUndefined();
    expect(read(gap, { 1: 7 }, { 1: 9 })).toEqual([]);

    const foreign = filled();
    foreign.foreign(1, 6);
    foreign.validated(1, 4, 7);
    foreign.validated(1, 7, 9);
    expect(read(foreign, { 1: 4 }, { 1: 9 })).toBeUndefined();
    expect(read(foreign, { 1: 7 }, { 1: 9 })).toEqual([]);

    const cut = filled();
    cut.validated(1, 4, 9);
    cut.distrust(1);
    expect(read(cut, { 1: 4 }, { 1: 9 })).toBeUndefined();
  });

  test("what was dropped for room is not answered for", () => {
    const tail = filled(2);
    tail.validated(1, 4, 9);
    expect(tail.size).toBe(2);
    expect(read(tail, { 1: 6 }, { 1: 9 })).toBeUndefined();
    expect(read(tail, { 1: 7 }, { 1: 9 })).toEqual([]);
  });

  test("what came before the first mutation was looked at is not answered for", () => {
    const tail = new Tail(VBUCKETS, new BranchTable());
    tail.add([{ channel: "a", entry: entry(1, 3) }]);
    tail.validated(1, 0, 5);
    expect(read(tail, { 1: 0 }, { 1: 5 })).toBeUndefined();
    expect(read(tail, { 1: 3 }, { 1: 5 })).toEqual([]);
  });
});

test("a live read of what this node wrote and looked at asks the bucket nothing", async () => {
  await withBucket(VBUCKETS, async (bucket) => {
    const index = await indexOf(bucket);
    index.validated(1, 0, 0);
    const one = mutation({ vb: 1, seq: 1, docId: "d", channels: ["a"] });
    await index.write(one);
    await index.recorded([one], "memory");
    index.validated(1, 0, 1);
    const fetched = index.stats().documents_fetched;
    for (const channel of ["a", "*"]) {
      expect(await readAll(index, channel, clockAt({}), clockAt({ 1: 1 }))).toHaveLength(1);
    }
    expect(await readAll(index, "other", clockAt({}), clockAt({ 1: 1 }))).toEqual([]);
    expect(index.stats().documents_fetched).toBe(fetched!);
    expect(index.stats().tail_reads).toBe(3);
    // A record of another node in between: the bucket is asked.
    const other = await indexOf(bucket);
    const theirs = mutation({ vb: 1, seq: 2, docId: "e", channels: ["a"] });
    await other.write(theirs);
    await index.recorded([theirs]);
    index.validated(1, 1, 2);
    expect(await readAll(index, "a", clockAt({ 1: 1 }), clockAt({ 1: 2 }))).toHaveLength(1);
    expect(index.stats().tail_reads).toBe(3);
  });
});
