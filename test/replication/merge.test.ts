// Merging channels: against a naive merge of everything at once.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Entry, EntryFlag } from "../../src/index/types.ts";
import { type Change, type ChannelEntries, mergeChannels } from "../../src/replication/merge.ts";

const CHANNELS = ["A", "B", "C"];

/** A random history: documents with the channels they are in after each of their mutations. */
const history = fc.array(
  fc.record({
    vb: fc.integer({ min: 0, max: 3 }),
    doc: fc.integer({ min: 0, max: 5 }),
    channels: fc.subarray(CHANNELS),
  }),
  { maxLength: 60 },
);

interface Step {
  readonly vb: number;
  readonly doc: number;
  readonly channels: readonly string[];
}

/** What the index has of each channel: of every document the newest entry. */
function entriesOf(steps: readonly Step[]): Map<string, Entry[]> {
  const byChannel = new Map<string, Map<string, Entry>>(CHANNELS.map((c) => [c, new Map()]));
  const seqs = [0, 0, 0, 0];
  const before = new Map<string, readonly string[]>();
  for (const { vb, doc, channels } of steps) {
    const docId = `${vb}/${doc}`;
    const seq = (seqs[vb] as number) + 1;
    seqs[vb] = seq;
    const was = before.get(docId) ?? [];
    const common = { vb, seq, branch: 0, docId, revId: `${seq}-r`, supersedes: 0 };
    for (const channel of channels) byChannel.get(channel)?.set(docId, { ...common, flags: 0 });
    for (const channel of was) {
      if (channels.includes(channel)) continue;
      byChannel.get(channel)?.set(docId, { ...common, flags: EntryFlag.removed });
    }
    before.set(docId, channels);
  }
  const order = (x: Entry, y: Entry) => x.vb - y.vb || x.seq - y.seq;
  return new Map([...byChannel].map(([channel, one]) => [channel, [...one.values()].sort(order)]));
}

/** Of every document the newest; live beats removed; all channels left. */
function naive(entries: Map<string, Entry[]>, wanted: readonly string[]) {
  const byDoc = new Map<string, { vb: number; seq: number; left: string[] | undefined }>();
  for (const channel of wanted) {
    for (const { vb, seq, docId, flags } of entries.get(channel) ?? []) {
      const known = byDoc.get(docId);
      const left = flags & EntryFlag.removed ? [channel] : undefined;
      if (known === undefined || seq > known.seq) byDoc.set(docId, { vb, seq, left });
      else if (seq === known.seq) {
        known.left = known.left && left ? [...known.left, ...left] : undefined;
      }
    }
  }
  return [...byDoc]
    .map(([docId, { vb, seq, left }]) => ({ docId, vb, seq, left: left?.toSorted() }))
    .sort((x, y) => x.vb - y.vb || x.seq - y.seq);
}

async function* batches(entries: readonly Entry[], size: number) {
  for (let at = 0; at < entries.length; at += size) {
    yield entries.slice(at, at + size);
    if (at % 3 === 0) yield [];
  }
}

async function merged(inputs: ChannelEntries[]) {
  const changes: Change[] = [];
  for await (const batch of mergeChannels(inputs)) changes.push(...batch);
  return changes.map(({ entry: { docId, vb, seq }, left }) => ({
    docId,
    vb,
    seq,
    left: left?.toSorted(),
  }));
}

describe("merging channels", () => {
  test("gives what a naive merge gives, for any history", async () => {
    await fc.assert(
      fc.asyncProperty(
        history,
        fc.subarray(CHANNELS, { minLength: 1 }),
        fc.integer({ min: 1, max: 7 }),
        async (steps, wanted, size) => {
          const entries = entriesOf(steps);
          const inputs = wanted.map((channel) => ({
            channel,
            batches: batches(entries.get(channel) ?? [], size),
          }));
          expect(await merged(inputs)).toEqual(naive(entries, wanted));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("lets go of its inputs when it is ended early", async () => {
    let closed = 0;
    const endless = (channel: string, vb: number): ChannelEntries => ({
      channel,
      batches: (async function* () {
        try {
          for (let seq = 1; ; seq++) {
            const docId = `${channel}${seq}`;
            yield [{ vb: vb + seq, seq, branch: 0, flags: 0, docId, revId: "1-a", supersedes: 0 }];
          }
        } finally {
          closed++;
        }
      })(),
    });
    for await (const batch of mergeChannels([endless("A", 0), endless("B", 0)])) {
      if (batch.length > 0) break;
    }
    expect(closed).toBe(2);
  });

  test("holds no more of a vbucket than its window", async () => {
    const count = 20_000;
    const input = (channel: string): ChannelEntries => ({
      channel,
      batches: (async function* () {
        for (let seq = 1; seq <= count; seq++) {
          const docId = `doc${seq}`;
          yield [{ vb: 0, seq, branch: 0, flags: 0, docId, revId: "1-a", supersedes: 0 }];
        }
      })(),
    });
    let largest = 0;
    let total = 0;
    for await (const batch of mergeChannels([input("A"), input("B")])) {
      largest = Math.max(largest, batch.length);
      total += batch.length;
    }
    expect(total).toBe(count);
    expect(largest).toBeLessThan(10_000);
  });
});
