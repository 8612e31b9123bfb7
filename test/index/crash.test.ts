// A crash after any step of a write is harmless: what was acknowledged is there, a block with data
// is always listed, and writing again makes the index whole.

import { expect, test } from "bun:test";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { unlistedBlocks } from "../../src/index/unlisted.ts";
import { FaultyCollection, stoppingAfter } from "./faulty.ts";
import {
  indexOf,
  Model,
  mutation,
  readAll,
  seeded,
  TEST_LIMIT_MS,
  VBUUID,
  withBucket,
} from "./support.ts";

const VBUCKETS = 16;
const CHANNELS = ["a", "b"];

async function expectListed(bucket: EmbeddedBucket): Promise<void> {
  expect(await unlistedBlocks(await indexOf(bucket))).toEqual([]);
}

async function expectWhole(bucket: EmbeddedBucket, model: Model): Promise<void> {
  const zero = new Float64Array(VBUCKETS);
  const index = await indexOf(bucket);
  for (const channel of ["*", ...CHANNELS]) {
    const read = await readAll(index, channel, zero, model.high);
    expect(read).toEqual(model.read(channel, zero, model.high));
  }
}

/**
 * Writes some mutations with a writer that stops after `operations`. Gives whether it stopped.
 *
 * @param count mutations that are there before: 0, and everything has to be made
 */
async function stopAndHeal(
  bucket: EmbeddedBucket,
  operations: number,
  count: number,
): Promise<boolean> {
  const model = new Model(VBUCKETS, seeded(3), CHANNELS, 12);
  const before = await indexOf(bucket);
  const old = Array.from({ length: count }, () => model.change());
  await Promise.all(old.map((made) => before.write(made)));

  const collection = new FaultyCollection(bucket.index, stoppingAfter(operations));
  const index = await indexOf(bucket, { collection });
  const made = Array.from({ length: 4 }, () => model.change());
  const written = await Promise.allSettled(made.map((one) => index.write(one)));
  await expectListed(bucket);

  const after = await indexOf(bucket);
  const recorded = await after.recorded(made);
  for (const [i, one] of made.entries()) {
    if (written[i]!.status === "fulfilled") expect(recorded[i]).toBeDefined();
    if (recorded[i] === undefined) continue;
    // The record is written last: where it is, all entries are.
    const to = new Float64Array(VBUCKETS);
    to[one.vb] = one.seq;
    const from = to.map((seq) => Math.max(0, seq - 1));
    for (const channel of ["*", ...one.channels]) {
      const [entry] = await readAll(after, channel, from, to);
      expect(entry?.docId).toBe(one.docId);
    }
  }
  await Promise.all(model.newest().map((one) => after.write(one, true)));
  await expectWhole(bucket, model);
  await expectListed(bucket);
  return collection.faults > 0;
}

for (const count of [0, 3]) {
  const where = count === 0 ? "an empty index" : "an index that has something";
  test(
    `a writer may stop after each of its operations, in ${where}`,
    async () => {
      let operations = 1;
      for (let stopped = true; stopped; operations++) {
        await withBucket(VBUCKETS, async (bucket) => {
          stopped = await stopAndHeal(bucket, operations, count);
        });
      }
      expect(operations).toBeGreaterThan(count === 0 ? 20 : 10);
    },
    TEST_LIMIT_MS,
  );
}

test(
  "a bucket that is busy, or does not answer, is asked again: nothing is lost or doubled",
  async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const model = new Model(VBUCKETS, seeded(5), CHANNELS, 40);
      const luck = seeded(6);
      let inARow = -1;
      const collection = new FaultyCollection(bucket.index, () => {
        // The first batch is that of opening, and a batch is not tried for ever.
        const draw = inARow < 0 || inARow === 3 ? 1 : luck();
        inARow = draw < 0.4 ? inARow + 1 : 0;
        return draw < 0.2 ? "refused" : draw < 0.4 ? "unanswered" : "none";
      });
      const index = await indexOf(bucket, { collection });
      for (let i = 0; i < 10; i++) {
        await Promise.all(Array.from({ length: 6 }, () => index.write(model.change())));
      }
      expect(collection.faults).toBeGreaterThan(5);
      await expectWhole(bucket, model);
    });
  },
  TEST_LIMIT_MS,
);

test(
  "a write that can't be carried out rejects, has no record, and can be repeated",
  async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      let broken = false;
      const collection = new FaultyCollection(bucket.index, () => (broken ? "refused" : "none"));
      const index = await indexOf(bucket, { collection });
      const one = mutation({ vb: 1, seq: 1, docId: "doc", channels: ["a"] });
      broken = true;
      await expect(index.write(one)).rejects.toThrow("busy");
      expect(index.stats().write_failedGroups).toBe(1);
      expect(await index.recorded([one])).toEqual([undefined]);
      broken = false;
      await index.write(one);
      expect((await index.recorded([one]))[0]).toHaveLength(1);
      expect(await index.recorded([{ vb: 1, seq: 1, vbuuid: VBUUID }], "memory")).toHaveLength(1);
    });
  },
  TEST_LIMIT_MS,
);

test("nothing is written after close, and what was begun before is finished", async () => {
  await withBucket(VBUCKETS, async (bucket) => {
    const index = await indexOf(bucket);
    const one = mutation({ vb: 1, seq: 1, docId: "doc", channels: ["a"] });
    let acknowledged = false;
    const written = index.write(one).then(() => {
      acknowledged = true;
    });
    await index.close();
    expect(acknowledged).toBe(true);
    await written;
    await expect(index.write({ ...one, seq: 2 })).rejects.toThrow("closed");
  });
});
