// Several nodes write, read and compact one index at once; every read is held against the model.

import { expect, test } from "bun:test";
import type { Clock } from "../../src/clock/tick.ts";
import type { Index } from "../../src/index/open.ts";
import type { Entry } from "../../src/index/types.ts";
import { unlistedBlocks } from "../../src/index/unlisted.ts";
import { indexOf, Model, readAll, seeded, TEST_LIMIT_MS, withBucket } from "./support.ts";

const VBUCKETS = 16;
const CHANNELS = ["a", "b", "c"];

/**
 * What a read may give: the model's answer, but for documents that have changed beyond the interval
 * in a way that compaction has seen. Those are obsolete: an older entry of them may come, or none.
 */
function expectRead(
  model: Model,
  compacted: Clock,
  read: readonly Entry[],
  channel: string,
  from: Clock,
  to: Clock,
  start?: { vb: number; seq: number },
): void {
  const obsolete = new Set(model.read(channel, to, compacted).map(({ docId }) => docId));
  const current = (entries: readonly Entry[]) =>
    entries.filter(({ docId }) => !obsolete.has(docId));
  expect(current(read)).toEqual(current(model.read(channel, from, to, start)));
  for (const entry of read) {
    if (!obsolete.has(entry.docId)) continue;
    expect(entry.seq > from[entry.vb]! && entry.seq <= to[entry.vb]!).toBe(true);
    expect(model.entries).toContainEqual({ channel, entry });
  }
  const places = read.map(({ vb, seq }) => vb * 1e6 + seq);
  expect(places).toEqual([...places].sort((one, other) => one - other));
  expect(new Set(read.map(({ docId }) => docId)).size).toBe(read.length);
}

for (const shape of ["computed", "vbucket", "partition"] as const) {
  for (const seed of [1, 2]) {
    test(
      `two nodes and compaction agree with the model, shape ${shape}, seed ${seed}`,
      async () => {
        await withBucket(VBUCKETS, async (bucket) => {
          const random = seeded(seed);
          const model = new Model(VBUCKETS, random, CHANNELS, 60);
          const options = { shape, partitions: 4, tailEntries: 300, stripeBytes: 20_000 };
          const nodes = [await indexOf(bucket, options), await indexOf(bucket, options)];
          const nodeOf = (): Index => nodes[random() < 0.5 ? 0 : 1]!;
          let compacted: Clock = new Float64Array(VBUCKETS);
          const bounded = new Map<number, Clock>();
          for (let round = 0; round < 40; round++) {
            const writer = nodeOf();
            const made = Array.from({ length: 25 }, () => model.change());
            const before = bounded.get(round - 1) ?? new Float64Array(VBUCKETS);
            await Promise.all(made.map((one) => writer.write(one)));
            const stable = model.high.slice();
            bounded.set(round, stable);
            // The first node's controller looks at everything; ticks reach the other one too.
            await nodes[0]!.recorded(made);
            for (let vb = 0; vb < VBUCKETS; vb++) {
              if (stable[vb]! > before[vb]!) nodes[0]!.validated(vb, before[vb]!, stable[vb]!);
            }
            if (random() < 0.8) nodes[0]!.passed(stable);
            if (random() < 0.5) nodes[1]!.passed(stable);
            if (random() < 0.7) {
              compacted = stable;
              await nodes[0]!.compact(stable, {
                documents: random() < 0.5 ? 8 : 500,
                always: true,
              });
            }
            for (const channel of ["*", ...CHANNELS]) {
              const live = random() < 0.5;
              const from = live ? before : model.clock();
              const to = live ? stable : model.clock(from);
              const start = random() < 0.2 ? { vb: 7, seq: Math.floor(random() * 50) } : undefined;
              const read = await readAll(nodeOf(), channel, from, to, start);
              expectRead(model, compacted, read, channel, from, to, start);
              // Up to the stable clock nothing may be missing at all.
              const whole = await readAll(nodeOf(), channel, from, stable);
              expect(whole).toEqual(model.read(channel, from, stable));
            }
          }
          expect(nodes[0]!.stats().tail_reads).toBeGreaterThan(0);
          expect(nodes[0]!.stats().documents_spared).toBeGreaterThan(0);
          expect(nodes[0]!.stats().compaction_dropped).toBeGreaterThan(0);
          expect(nodes[0]!.stats().compaction_rewritten).toBeGreaterThan(0);
          expect(await unlistedBlocks(await indexOf(bucket))).toEqual([]);
        });
      },
      TEST_LIMIT_MS,
    );
  }
}

test(
  "reads, writes and compaction that run at the same moment do not disturb each other",
  async () => {
    await withBucket(VBUCKETS, async (bucket) => {
      const random = seeded(11);
      const model = new Model(VBUCKETS, random, CHANNELS, 30);
      const writer = await indexOf(bucket);
      const reader = await indexOf(bucket, { stripeBytes: 10_000 });
      let stable: Clock = new Float64Array(VBUCKETS);
      let writing = true;
      const zero = new Float64Array(VBUCKETS);
      const write = async () => {
        for (let round = 0; round < 30; round++) {
          await Promise.all(Array.from({ length: 20 }, () => writer.write(model.change())));
          stable = model.high.slice();
        }
        writing = false;
      };
      const compact = async () => {
        while (writing) {
          await writer.compact(stable, { documents: 20, always: true });
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      let reads = 0;
      const read = async () => {
        while (writing) {
          const to = stable;
          for (const channel of ["*", ...CHANNELS]) {
            // Every document that was in the channel at `to`, and did not change since, must be
            // there.
            const wanted = model.read(channel, zero, to);
            const found = new Map(
              (await readAll(reader, channel, zero, to)).map((entry) => [entry.docId, entry.seq]),
            );
            const later = new Set(model.read(channel, to, model.high).map(({ docId }) => docId));
            for (const { docId, seq } of wanted) {
              if (!later.has(docId)) expect(found.get(docId)).toBe(seq);
            }
            reads++;
          }
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      await Promise.all([write(), compact(), read()]);
      expect(reads).toBeGreaterThan(10);
      expect(writer.stats().compaction_dropped).toBeGreaterThan(0);
      const fresh = await indexOf(bucket);
      for (const channel of ["*", ...CHANNELS]) {
        expect(await readAll(fresh, channel, zero, stable)).toEqual(
          model.read(channel, zero, stable),
        );
      }
      expect(await unlistedBlocks(fresh)).toEqual([]);
    });
  },
  TEST_LIMIT_MS,
);
