// Gathering very many channels gives what merging their streams gives, however little fits at once.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Entry, EntryFlag } from "../../src/index/types.ts";
import { gatherChannels, type StripedChannel } from "../../src/replication/gather.ts";
import { type Change, mergeChannels, type ReadingKind } from "../../src/replication/merge.ts";
import { systemTime } from "../../src/runtime/time.ts";

const VBUCKETS = 8;
const TIME = systemTime(false);
const KINDS: readonly ReadingKind[] = ["new", "backfill", "left", "revoked", "dropped"];

/** Which documents are in a channel, and which have left it. */
const content = fc.array(
  fc.record({
    vb: fc.integer({ min: 0, max: VBUCKETS - 1 }),
    doc: fc.integer({ min: 1, max: 9 }),
    removed: fc.boolean(),
  }),
  { maxLength: 12 },
);

/** An entry of document `doc`: a document has one seq here, as at one moment of its life. */
function entriesOf(items: readonly { vb: number; doc: number; removed: boolean }[]): Entry[] {
  const entries = new Map<string, Entry>();
  for (const { vb, doc, removed } of items) {
    const docId = `${vb}/${doc}`;
    const flags = removed ? EntryFlag.removed : 0;
    entries.set(docId, { vb, seq: doc, branch: 0, flags, docId, revId: "1-a", supersedes: 0 });
  }
  return [...entries.values()].sort((a, b) => a.vb - b.vb || a.seq - b.seq);
}

function striped(channel: string, kind: ReadingKind, entries: readonly Entry[]): StripedChannel {
  return {
    channel,
    kind,
    async *read(vbFrom, vbTo) {
      const wanted = entries.filter(({ vb }) => vb >= vbFrom && vb < vbTo);
      for (let at = 0; at < wanted.length; at += 3) yield wanted.slice(at, at + 3);
    },
  };
}

async function gathered(changes: AsyncIterable<readonly Change[]>) {
  const all: unknown[] = [];
  for await (const batch of changes) {
    for (const { entry, left, revoked = false } of batch) {
      all.push([entry.docId, entry.seq, left?.toSorted(), revoked]);
    }
  }
  return all;
}

test("gathering gives what merging gives, for any channels and any bound", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(content, fc.constantFrom(...KINDS)), { minLength: 2, maxLength: 8 }),
      fc.integer({ min: 0, max: VBUCKETS - 1 }),
      fc.integer({ min: 1, max: 40 }),
      async (channels, first, most) => {
        const inputs = channels.map(([items, kind], i) => striped(`c${i}`, kind, entriesOf(items)));
        const streams = inputs.map((input) => ({
          channel: input.channel,
          kind: input.kind,
          batches: input.read(first, VBUCKETS),
        }));
        const expected = await gathered(mergeChannels(streams));
        expect(await gathered(gatherChannels(inputs, first, VBUCKETS, TIME, most))).toEqual(
          expected,
        );
      },
    ),
    { numRuns: 500 },
  );
});

test("no more is held than fits, unless one vbucket has more", async () => {
  const perVbucket = 50;
  let widest = 0;
  const inputs = Array.from({ length: 20 }, (_, n): StripedChannel => {
    const items = Array.from({ length: VBUCKETS * perVbucket }, (_, i) => ({
      vb: i % VBUCKETS,
      doc: n * 1000 + i,
      removed: false,
    }));
    const inner = striped(`c${n}`, "new", entriesOf(items));
    return {
      ...inner,
      read(vbFrom, vbTo) {
        widest = Math.max(widest, vbTo - vbFrom);
        return inner.read(vbFrom, vbTo);
      },
    };
  });
  let count = 0;
  let largest = 0;
  for await (const batch of gatherChannels(inputs, 0, VBUCKETS, TIME, 2100)) {
    count += batch.length;
    largest = Math.max(largest, batch.length);
  }
  expect(count).toBe(20 * VBUCKETS * perVbucket);
  expect(largest).toBeLessThanOrEqual(2100);
  expect(widest).toBe(VBUCKETS);
});

test("the event loop turns while very many channels are gathered", async () => {
  const inputs = Array.from(
    { length: 3000 },
    (_, n): StripedChannel => ({
      channel: `c${n}`,
      kind: "new",
      async *read() {
        // What an index read costs: work without any wait.
        const until = performance.now() + 0.1;
        while (performance.now() < until);
        yield [];
      },
    }),
  );
  let turns = 0;
  const turning = setInterval(() => turns++, 1);
  for await (const batch of gatherChannels(inputs, 0, VBUCKETS, TIME)) expect(batch).toEqual([]);
  clearInterval(turning);
  expect(turns).toBeGreaterThan(10);
});
