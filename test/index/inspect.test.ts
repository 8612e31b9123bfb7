// What a person sees of the index: every document as text, damaged ones too; and what damage does
// to a reader: the rest is served, and the log says loudly what was skipped.

import { expect, test } from "bun:test";
import { describeDocument, isIndexKey } from "../../src/index/inspect.ts";
import { BLOCK_PREFIX, BRANCHES_KEY, channelHash, KEY_PREFIX } from "../../src/index/shape.ts";
import { EntryFlag } from "../../src/index/types.ts";
import { indexOf, keepingLog, mutation, readAll, VBUUID, withBucket } from "./support.ts";

const REV = `3-${"0f".repeat(16)}`;
const ONE = mutation({
  ...{ vb: 3, seq: 7, docId: "airport-ABQ", revId: REV, supersedes: 5, channels: ["new mexico"] },
  removals: [{ channel: "left", seq: 7, revId: REV, flags: EntryFlag.removed }],
});

test("each document of the index is described in words", async () => {
  await withBucket(16, async (bucket) => {
    const index = await indexOf(bucket, { partitions: 4 });
    await index.write(ONE);
    await index.branched(3, "00000000000000bb", 9);
    const keys = await bucket.index.keys(KEY_PREFIX, { limit: 100 });
    expect(keys.every(isIndexKey)).toBe(true);
    expect(isIndexKey("ticks")).toBe(false);
    const texts = new Map<string, string>();
    for (const key of keys) {
      const { value } = (await bucket.index.get(key))!;
      texts.set(key, describeDocument(key, value).join("\n"));
    }
    const all = [...texts.values()].join("\n");
    expect(all).toContain("layout: 16 vbuckets in 4 partitions, windows of 64 sequences");
    expect(all).toContain('root of channel "new mexico": its list windows');
    expect(all).toContain('list of channel "new mexico": blocks that begin at seq 0 to ');
    expect(all).toContain('block of channel "new mexico": vbuckets 0 to 15, seq 0 to ');
    expect(all).toContain(`3.7 "airport-ABQ" ${REV} (supersedes 5)`);
    expect(all).toContain(`3.7 "airport-ABQ" ${REV} (removed)`);
    expect(all).toContain("sequence document of partition 0: vbuckets 0 to 3, seq 0 to 63");
    expect(all).toContain(`channels ${channelHash("new mexico").toString(16).padStart(8, "0")}`);
    expect(texts.get(BRANCHES_KEY)).toContain("vbucket 3 goes on after 9 as 00000000000000bb");
    // A list names keys that exist, as they are.
    const [block] = await bucket.index.keys(`${BLOCK_PREFIX}=new mexico`, { limit: 1 });
    expect(all).toContain(`  ${block}: vbuckets 0 to 15`);
  });
});

test("damage is named, and the rest is described and served", async () => {
  await withBucket(16, async (bucket) => {
    const log = keepingLog();
    const writer = await indexOf(bucket);
    for (const seq of [7, 8, 9]) await writer.write({ ...ONE, seq, docId: `doc-${seq}` });
    const [key] = await bucket.index.keys(`${BLOCK_PREFIX}=new mexico`, { limit: 1 });
    const { value } = (await bucket.index.get(key!))!;
    const at = Buffer.from(value).indexOf("doc-8");
    value[at]! ^= 1;
    await bucket.index.batch([{ op: "upsert", key: key!, value }]);
    const text = describeDocument(key!, value).join("\n");
    expect(text).toContain("DAMAGED");
    expect(text).toContain("doc-7");
    expect(text).not.toContain("doc-8");
    expect(text).toContain("doc-9");
    const index = await indexOf(bucket, { log });
    const to = new Float64Array(16).fill(100);
    const read = await readAll(index, "new mexico", new Float64Array(16), to);
    expect(read.map(({ docId }) => docId)).toEqual(["doc-7", "doc-9"]);
    expect(log.lines).toEqual([
      { level: "error", message: expect.stringContaining("damaged and was skipped") },
    ]);
    expect(index.stats().documents_damaged).toBe(1);
    // Compaction leaves it for a person to look at.
    await index.compact(to, { documents: 1000, always: true });
    expect((await bucket.index.get(key!))!.value).toEqual(value);
    // The header: nothing is guessed, the entries are still found by the key.
    value[3]! ^= 1;
    await bucket.index.batch([{ op: "upsert", key: key!, value }]);
    expect(describeDocument(key!, value).join("\n")).toContain("can't be read");
    const again = await readAll(await indexOf(bucket), "new mexico", new Float64Array(16), to);
    expect(again.map(({ docId }) => docId)).toEqual(["doc-7", "doc-9"]);
    expect(await index.recorded([{ ...ONE, vbuuid: VBUUID }])).toHaveLength(1);
  });
});

test("a document of another channel under a channel's key is refused, not served", async () => {
  await withBucket(16, async (bucket) => {
    const index = await indexOf(bucket);
    await index.write({ ...ONE, channels: ["one", "two"] });
    const [one] = await bucket.index.keys(`${BLOCK_PREFIX}=one:`, { limit: 1 });
    const [two] = await bucket.index.keys(`${BLOCK_PREFIX}=two:`, { limit: 1 });
    const { value } = (await bucket.index.get(two!))!;
    await bucket.index.batch([{ op: "upsert", key: one!, value }]);
    const to = new Float64Array(16).fill(100);
    const reading = readAll(await indexOf(bucket), "one", new Float64Array(16), to);
    await expect(reading).rejects.toThrow('expected channel "one", found "two"');
  });
});
