// Rollbacks: no entry of a dead branch is served, whoever cached it, and what a lost mutation had
// superseded lives again, compacted or not.

import { expect, test } from "bun:test";
import { BranchTable } from "../../src/index/branch-table.ts";
import type { Index } from "../../src/index/open.ts";
import { SEQUENCE_PREFIX } from "../../src/index/shape.ts";
import { type Fault, FaultyCollection } from "./faulty.ts";
import { indexOf, mutation, readAll, revOf, seeded, VBUUID, withBucket } from "./support.ts";

const VBUCKETS = 16;
const VB = 3;
const NEW_BRANCH = "00000000000000bb";
const NEWER_BRANCH = "00000000000000cc";
const random = seeded(1);

function change(docId: string, seq: number, supersedes = 0, vbuuid = VBUUID, channels = ["a"]) {
  return mutation({ vb: VB, seq, docId, vbuuid, supersedes, channels, revId: revOf(1, random) });
}

function clockAt(seq: number) {
  const clock = new Float64Array(VBUCKETS);
  clock[VB] = seq;
  return clock;
}

async function seqsOf(index: Index, to: number, channel = "a"): Promise<number[]> {
  const entries = await readAll(index, channel, clockAt(0), clockAt(to));
  return entries.map(({ seq }) => seq);
}

test("entries of a dead branch are served by nobody, and its records are void", async () => {
  await withBucket(VBUCKETS, async (bucket) => {
    const index = await indexOf(bucket);
    const other = await indexOf(bucket);
    const old = [1, 2, 3, 4, 5, 6].map((seq) => change(`doc-${seq}`, seq));
    await Promise.all(old.map((one) => index.write(one)));
    index.validated(VB, 0, 6);
    for (const node of [index, other]) {
      node.passed(clockAt(6));
      expect(await seqsOf(node, 6)).toEqual([1, 2, 3, 4, 5, 6]);
    }
    await index.branched(VB, NEW_BRANCH, 4);
    await index.branched(VB, NEW_BRANCH, 4);
    const fresh = [5, 6].map((seq) => change(`new-${seq}`, seq, 0, NEW_BRANCH));
    await Promise.all(fresh.map((one) => index.write(one)));
    for (const node of [index, other, await indexOf(bucket)]) {
      for (const channel of ["a", "*"]) {
        const entries = await readAll(node, channel, clockAt(0), clockAt(6));
        expect(entries.map(({ docId }) => docId)).toEqual([
          ...["doc-1", "doc-2", "doc-3", "doc-4"],
          ...["new-5", "new-6"],
        ]);
        expect(entries.map(({ branch }) => branch)).toEqual([0, 0, 0, 0, 1, 1]);
      }
      const recorded = await node.recorded([...old, ...fresh]);
      expect(recorded.map((hashes) => hashes !== undefined)).toEqual([
        ...[true, true, true, true, false, false],
        ...[true, true],
      ]);
    }
  });
});

test("a second rollback below the first leaves only what both branches share", async () => {
  await withBucket(VBUCKETS, async (bucket) => {
    const index = await indexOf(bucket);
    for (const seq of [1, 2, 3, 4]) await index.write(change(`x${seq}`, seq));
    await index.branched(VB, NEW_BRANCH, 3);
    await index.write(change("y4", 4, 0, NEW_BRANCH));
    expect(await seqsOf(index, 9)).toEqual([1, 2, 3, 4]);
    await index.branched(VB, NEWER_BRANCH, 2);
    expect(await seqsOf(index, 9)).toEqual([1, 2]);
    await index.write(change("z3", 3, 0, NEWER_BRANCH));
    expect(await seqsOf(index, 9)).toEqual([1, 2, 3]);
    // A mutation that the healer writes again under a branch that it was inherited by.
    await index.write(change("x1", 1, 0, NEWER_BRANCH), true);
    expect(await seqsOf(index, 9)).toEqual([1, 2, 3]);
    expect(await readAll(index, "a", clockAt(2), clockAt(9))).toMatchObject([{ docId: "z3" }]);
  });
});

test("what is written on a branch that is not known yet is healed once it is", async () => {
  await withBucket(VBUCKETS, async (bucket) => {
    const index = await indexOf(bucket);
    const other = await indexOf(bucket);
    const early = change("early", 5, 0, NEW_BRANCH);
    await other.write(early);
    await index.branched(VB, NEW_BRANCH, 4);
    expect(await index.recorded([early])).toEqual([undefined]);
    await other.refreshBranches();
    expect(await other.recorded([early])).toEqual([undefined]);
    await index.write(early, true);
    expect(await seqsOf(index, 5)).toEqual([5]);
    expect((await other.recorded([early]))[0]).toHaveLength(1);
  });
});

test("blocks that were complete below the clock are read again after a rollback", async () => {
  await withBucket(VBUCKETS, async (bucket) => {
    const writer = await indexOf(bucket);
    const reader = await indexOf(bucket);
    await writer.write(change("old", 700));
    reader.passed(new Float64Array(VBUCKETS).fill(100_000));
    expect(await seqsOf(reader, 1000)).toEqual([700]);
    const spared = reader.stats().documents_spared!;
    expect(await seqsOf(reader, 1000)).toEqual([700]);
    expect(reader.stats().documents_spared).toBeGreaterThan(spared);
    await writer.branched(VB, NEW_BRANCH, 500);
    await writer.write(change("new", 600, 0, NEW_BRANCH));
    expect(await seqsOf(reader, 1000)).toEqual([600]);
  });
});

for (const recordsOvertaken of [false, true]) {
  const how = recordsOvertaken ? "whose record could not be dropped" : "that was compacted away";
  test(`a mutation ${how} lives again when the one after it is lost`, async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      let overtaken = 0;
      // Sequence documents are appended to just before they are replaced.
      const collection = new FaultyCollection(bucket.index, async (operations): Promise<Fault> => {
        for (const { op, key } of operations) {
          const rewrites = op === "replace" || op === "remove";
          if (!rewrites || !key.startsWith(SEQUENCE_PREFIX)) continue;
          await bucket.index.batch([{ op: "append", key, value: new Uint8Array() }]);
          overtaken++;
        }
        return "none";
      });
      const index = await indexOf(bucket, recordsOvertaken ? { collection } : {});
      // Compaction keeps the entry with which a document came in: it is the next one that goes.
      await index.write(change("doc", 3));
      const first = change("doc", 5, 3);
      await index.write(first);
      await index.write(change("doc", 900, 5));
      await index.write(change("other", 901));
      index.passed(clockAt(901));
      await index.compact(clockAt(901), { documents: 1000, always: true });
      expect(await seqsOf(index, 901)).toEqual([900, 901]);
      if (recordsOvertaken) expect(overtaken).toBeGreaterThan(0);
      else expect(index.stats().compaction_dropped).toBeGreaterThan(0);

      // 900 is lost. The controller reads the vbucket again, and asks for every record.
      await index.branched(VB, NEW_BRANCH, 700);
      const [recorded] = await index.recorded([first]);
      if (!recorded) await index.write(first, true);
      expect(await seqsOf(index, 901)).toEqual([5]);
      expect(await seqsOf(index, 901, "*")).toEqual([5]);
    });
  });
}

test("compaction drops what is dead, and nothing that a new branch has written", async () => {
  await withBucket(VBUCKETS, async (bucket) => {
    const index = await indexOf(bucket);
    for (const seq of [1, 2, 3, 4]) await index.write(change(`x${seq}`, seq));
    await index.branched(VB, NEW_BRANCH, 2);
    await index.write(change("y3", 3, 0, NEW_BRANCH));
    await index.compact(clockAt(3), { documents: 1000, always: true });
    expect(index.stats().compaction_dropped).toBe(4);
    const fresh = await indexOf(bucket);
    for (const channel of ["a", "*"]) {
      const entries = await readAll(fresh, channel, clockAt(0), clockAt(9));
      expect(entries.map(({ docId }) => docId)).toEqual(["x1", "x2", "y3"]);
    }
  });
});

test("an entry is dead only when its branch is known", () => {
  const table = new BranchTable();
  expect([0, 1, 2].map((branch) => table.isDead(VB, 5, branch))).toEqual([false, false, false]);
  table.add({ vb: VB, seq: 4, vbuuid: NEW_BRANCH });
  expect([0, 1, 2].map((branch) => table.isDead(VB, 5, branch))).toEqual([true, false, false]);
  expect([0, 1, 2].map((branch) => table.isDead(VB, 4, branch))).toEqual([false, true, false]);
  table.add({ vb: VB, seq: 2, vbuuid: NEWER_BRANCH });
  expect([0, 1, 2].map((branch) => table.isDead(VB, 5, branch))).toEqual([true, true, false]);
  expect(table.ordinal(VB, VBUUID, 5)).toBe(0);
  expect(table.ordinal(VB, NEW_BRANCH, 5)).toBe(1);
  expect(table.ordinal(VB, NEWER_BRANCH, 5)).toBe(2);
  expect(table.ordinal(VB, NEWER_BRANCH, 2)).toBe(0);
});

test("what is healed below the stable clock is seen in spite of the cache", async () => {
  await withBucket(VBUCKETS, async (bucket) => {
    const index = await indexOf(bucket);
    await index.write(change("doc-1", 1));
    await index.write(change("doc-900", 900));
    index.passed(clockAt(2000));
    for (const channel of ["a", "*"]) expect(await seqsOf(index, 2000, channel)).toEqual([1, 900]);
    await index.write(change("lost", 500), true);
    for (const channel of ["a", "*"]) {
      expect(await seqsOf(index, 2000, channel)).toEqual([1, 500, 900]);
    }
    // Another node heals; the clock that goes back says that something was wrong.
    const other = await indexOf(bucket);
    await other.write(change("lost too", 600), true);
    index.passed(clockAt(599));
    index.passed(clockAt(2000));
    for (const channel of ["a", "*"]) {
      expect(await seqsOf(index, 2000, channel)).toEqual([1, 500, 600, 900]);
    }
  });
});
