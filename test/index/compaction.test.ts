// Compaction: what is superseded goes, what is appended at the worst moment stays, and the work
// comes in pieces. That readers are right meanwhile: concurrent.test.ts.

import { describe, expect, test } from "bun:test";
import type { KeyValueOperation } from "../../src/bucket/bucket.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import type { Index } from "../../src/index/open.ts";
import { BLOCK_PREFIX, KEY_PREFIX, LIST_PREFIX, SEQUENCE_PREFIX } from "../../src/index/shape.ts";
import { type Entry, EntryFlag } from "../../src/index/types.ts";
import { unlistedBlocks } from "../../src/index/unlisted.ts";
import { type Fault, FaultyCollection } from "./faulty.ts";
import {
  indexOf,
  Model,
  mutation,
  readAll,
  revOf,
  seeded,
  TEST_LIMIT_MS,
  withBucket,
} from "./support.ts";

const VBUCKETS = 16;
const EVERYTHING = { documents: Number.POSITIVE_INFINITY, always: true };
const zero = new Float64Array(VBUCKETS);

async function keysOf(bucket: EmbeddedBucket, prefix: string): Promise<string[]> {
  return bucket.index.keys(prefix, { limit: 10_000 });
}

async function bytesOf(bucket: EmbeddedBucket): Promise<number> {
  const stored = await bucket.index.getMany(await keysOf(bucket, KEY_PREFIX));
  return stored.reduce((sum, value) => sum + (value?.value.length ?? 0), 0);
}

/** Seqs that {@link changeOften} leaves out: in a block of which nothing stays, and in the last. */
const FREE_SEQ = 1500;
const LAST_FREE_SEQ = 2049;

/** One document in one channel, changed many times: of it the first and the newest entry stay. */
async function changeOften(index: Index, count: number): Promise<Float64Array> {
  const random = seeded(2);
  const clock = zero.slice();
  for (let seq = 1; seq <= count; seq++) {
    if (seq === FREE_SEQ || seq === LAST_FREE_SEQ) continue;
    const docId = "hot";
    const one = { vb: 3, seq, docId, supersedes: seq - 1, channels: ["a"] };
    await index.write(mutation({ ...one, revId: revOf(seq, random) }));
    clock[3] = seq;
  }
  return clock;
}

test(
  "an index of few documents that change often stays as small as its documents",
  async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const index = await indexOf(bucket, { shape: "vbucket" });
      const clock = await changeOften(index, 3000);
      const before = [await bytesOf(bucket), (await keysOf(bucket, BLOCK_PREFIX)).length] as const;
      await index.compact(clock, EVERYTHING);
      expect(await bytesOf(bucket)).toBeLessThan(before[0] / 100);
      expect(before[1]).toBe(3);
      expect(await keysOf(bucket, BLOCK_PREFIX)).toHaveLength(2);
      expect((await keysOf(bucket, SEQUENCE_PREFIX)).length).toBeLessThanOrEqual(1);
      const fresh = await indexOf(bucket);
      for (const channel of ["a", "*"]) {
        expect((await readAll(fresh, channel, zero, clock)).map(({ seq }) => seq)).toEqual([3000]);
      }
      // The list does not name what is gone: a read asks for few blocks.
      expect(fresh.stats().documents_fetched).toBeLessThan(1000);
      expect(await unlistedBlocks(fresh)).toEqual([]);
      // And it goes on: what was removed is listed and made again where it is needed.
      await index.write(mutation({ vb: 3, seq: FREE_SEQ, docId: "again", channels: ["a"] }));
      const found = await readAll(await indexOf(bucket), "a", zero, clock);
      expect(found.map(({ docId }) => docId)).toEqual(["again", "hot"]);
      expect(await unlistedBlocks(await indexOf(bucket))).toEqual([]);
    });
  },
  TEST_LIMIT_MS,
);

test(
  "what is merged and compressed is smaller, and read as before",
  async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const model = new Model(VBUCKETS, seeded(8), ["a", "b"], 100_000);
      const index = await indexOf(bucket);
      for (let i = 0; i < 20; i++) {
        await Promise.all(Array.from({ length: 50 }, () => index.write(model.change())));
      }
      const before = await bytesOf(bucket);
      await index.compact(model.high, EVERYTHING);
      expect(await bytesOf(bucket)).toBeLessThan(before * 0.85);
      for (const channel of ["a", "b", "*"]) {
        const read = await readAll(await indexOf(bucket), channel, zero, model.high);
        expect(read).toEqual(model.read(channel, zero, model.high));
      }
      // A second round finds nothing to do.
      const { compaction_rewritten: rewritten } = index.stats();
      await index.compact(model.high, EVERYTHING);
      expect(index.stats().compaction_rewritten).toBe(rewritten!);
    });
  },
  TEST_LIMIT_MS,
);

test(
  "a round in pieces does what one call does, and a round begins only when enough has changed",
  async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const model = new Model(VBUCKETS, seeded(9), ["a", "b"], 40);
      const index = await indexOf(bucket, { shape: "vbucket" });
      for (let i = 0; i < 20; i++) {
        await Promise.all(Array.from({ length: 50 }, () => index.write(model.change())));
      }
      expect(await index.compact(model.high, { documents: 10 })).toBe(true);
      expect(index.stats().compaction_documents).toBe(0);
      let calls = 1;
      const piece = { documents: 10, always: true };
      while (!(await index.compact(model.high, piece))) calls++;
      expect(calls).toBeGreaterThan(3);
      for (const channel of ["a", "b", "*"]) {
        const read = await readAll(await indexOf(bucket), channel, zero, model.high);
        expect(read).toEqual(model.read(channel, zero, model.high));
        const prefix = channel === "*" ? SEQUENCE_PREFIX : `${BLOCK_PREFIX}=${channel}:`;
        const entries = await entriesIn(index, bucket, prefix);
        const first = channel === "*" ? 0 : firstEntries(model, channel).length;
        expect(entries).toBe(read.length + first);
      }
    });
  },
  TEST_LIMIT_MS,
);

/** The entries with which documents came into a channel when they were there last, if superseded. */
function firstEntries(model: Model, channel: string): Entry[] {
  const byDocument = new Map<string, Entry[]>();
  for (const { channel: name, entry } of model.entries) {
    if (name !== channel) continue;
    byDocument.set(entry.docId, [...(byDocument.get(entry.docId) ?? []), entry]);
  }
  return [...byDocument.values()].flatMap((entries) => {
    const older = entries.slice(0, -1);
    const left = older.findLastIndex(({ flags }) => (flags & EntryFlag.removed) !== 0);
    return older.slice(left + 1, left + 2);
  });
}

test(
  "what was in a channel at any clock since is still told, though not by which revision",
  async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const model = new Model(VBUCKETS, seeded(10), ["a", "b"], 60);
      const index = await indexOf(bucket, { shape: "vbucket" });
      for (let i = 0; i < 20; i++) {
        await Promise.all(Array.from({ length: 50 }, () => index.write(model.change())));
      }
      await index.compact(model.high, EVERYTHING);
      const idsAt = (entries: readonly Entry[]) =>
        entries.filter(({ flags }) => (flags & EntryFlag.removed) === 0).map(({ docId }) => docId);
      for (const channel of ["a", "b"]) {
        const stays = new Map(firstEntries(model, channel).map((entry) => [entry.docId, entry]));
        for (let i = 0; i < 50; i++) {
          const clock = model.clock();
          const then = idsAt(model.read(channel, zero, clock));
          const told = idsAt(await readAll(await indexOf(bucket), channel, zero, clock));
          expect(told.filter((id) => !then.includes(id))).toEqual([]);
          // Who had come for the last time by then is there.
          const sure = then.filter((id) => {
            const first = stays.get(id);
            return first !== undefined && first.seq <= clock[first.vb]!;
          });
          expect(sure.filter((id) => !told.includes(id))).toEqual([]);
        }
      }
    });
  },
  TEST_LIMIT_MS,
);

/** Entries stored under a prefix, superseded and repeated ones too. */
async function entriesIn(index: Index, bucket: EmbeddedBucket, prefix: string): Promise<number> {
  const { describeDocument } = await import("../../src/index/inspect.ts");
  let count = 0;
  for (const key of await keysOf(bucket, prefix)) {
    const lines = describeDocument(key, (await index.collection.get(key))!.value);
    count += lines.filter((line) => line.startsWith("    ")).length;
  }
  return count;
}

describe("an entry that is appended just before", () => {
  const moments: [string, (operation: KeyValueOperation) => boolean][] = [
    ["a block is replaced", ({ op, key }) => op === "replace" && key.startsWith(BLOCK_PREFIX)],
    ["a block is removed", ({ op, key }) => op === "remove" && key.startsWith(BLOCK_PREFIX)],
    ["its list is replaced", ({ op, key }) => op === "replace" && key.startsWith(LIST_PREFIX)],
    [
      "a sequence document is rewritten",
      ({ op, key }) => (op === "replace" || op === "remove") && key.startsWith(SEQUENCE_PREFIX),
    ],
  ];
  for (const [moment, isIt] of moments) {
    test(
      `${moment} is not lost`,
      async () => {
        await withBucket(VBUCKETS, async (bucket) => {
          const other = await indexOf(bucket, { shape: "vbucket" });
          const clock = await changeOften(other, 2100);
          let came = 0;
          const collection = new FaultyCollection(
            bucket.index,
            async (operations): Promise<Fault> => {
              if (came === 0 && operations.some(isIt)) {
                came++;
                const seq = moment === "a block is replaced" ? LAST_FREE_SEQ : FREE_SEQ;
                await other.write(mutation({ vb: 3, seq, docId: "late", channels: ["a"] }));
              }
              return "none";
            },
          );
          const index = await indexOf(bucket, { shape: "vbucket", collection });
          // What comes late was not in the stable clock when the round began.
          clock[3] = 2050;
          await index.compact(clock, EVERYTHING);
          expect(came).toBe(1);
          const fresh = await indexOf(bucket);
          for (const channel of ["a", "*"]) {
            const found = await readAll(fresh, channel, zero, clock);
            expect(found.map(({ docId }) => docId)).toEqual(["late", "hot"]);
          }
          expect(await unlistedBlocks(fresh)).toEqual([]);
        });
      },
      TEST_LIMIT_MS,
    );
  }
});
