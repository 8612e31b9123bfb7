// The check against the documents finds what is missing, extra, different or unlisted, and nothing
// in an index that is whole. Documents here carry in `_sync` what a mutation says, and no more.

import { describe, expect, test } from "bun:test";
import type { Json } from "../../src/base/json.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import type { Index } from "../../src/index/open.ts";
import { BLOCK_PREFIX, LIST_PREFIX, SEQUENCE_PREFIX } from "../../src/index/shape.ts";
import { EntryFlag, type IndexMutation, type Removal } from "../../src/index/types.ts";
import { type MutationOf, verifyIndex } from "../../src/index/verify.ts";
import { indexOf, mutation, withBucket } from "./support.ts";

const VBUCKETS = 16;

interface Sync {
  seq: string;
  rev: string;
  channels: string[];
  removals: Removal[];
  supersedes: number;
  deleted: boolean;
}

/** The pure function of these documents. A removal with seq 0 happened with this very version. */
const mutationOf: MutationOf = (found, vbuuid) => {
  const text = found.xattrs._sync;
  const { vb, seq, key: docId } = found;
  if (text === undefined) {
    const flags = EntryFlag.deleted;
    return { mutation: mutation({ vb, seq, vbuuid, docId, revId: "", flags }) };
  }
  const sync = JSON.parse(text) as Sync;
  const { rev: revId, channels, supersedes, deleted } = sync;
  const removals = sync.removals.map((one) => ({ ...one, seq: one.seq || seq }));
  const flags = deleted ? EntryFlag.deleted : 0;
  const expected = { vb, seq, vbuuid, docId, revId, flags, supersedes, channels, removals };
  return { mutation: expected };
};

/** Saves documents and keeps what the next version needs to know. */
class Saver {
  readonly #bucket: EmbeddedBucket;
  readonly #saved = new Map<string, { cas: bigint; mutation: IndexMutation }>();

  constructor(bucket: EmbeddedBucket) {
    this.#bucket = bucket;
  }

  async save(docId: string, channels: string[], deleted = false): Promise<IndexMutation> {
    const before = this.#saved.get(docId);
    const generation = Number(before?.mutation.revId.split("-")[0] ?? 0) + 1;
    const revId = `${generation}-${"ab".repeat(16)}`;
    const gone = (before?.mutation.channels ?? []).filter((name) => !channels.includes(name));
    const flags = EntryFlag.removed | (deleted ? EntryFlag.deleted : 0);
    const removals = (before?.mutation.removals ?? [])
      .filter(({ channel }) => !channels.includes(channel))
      .concat(gone.map((channel) => ({ channel, seq: 0, revId, flags })));
    const sync = { rev: revId, channels, removals, deleted };
    const result = await this.#bucket.documents.write({
      key: docId,
      cas: before?.cas ?? 0n,
      body: deleted ? null : new TextEncoder().encode("{}"),
      xattrs: { _sync: { ...sync, supersedes: before?.mutation.seq ?? 0 } as unknown as Json },
      macros: [{ path: ["_sync", "seq"], value: "seqno" }],
    });
    if (!result.ok) throw new Error(result.refusal);
    const { vb, seq, vbuuid, cas } = result;
    const made = mutation({
      ...{ vb, seq, vbuuid, docId, revId, channels },
      supersedes: before?.mutation.seq ?? 0,
      flags: deleted ? EntryFlag.deleted : 0,
      removals: removals.map((one) => ({ ...one, seq: one.seq || seq })),
    });
    this.#saved.set(docId, { cas, mutation: made });
    return made;
  }
}

async function differences(index: Index, bucket: EmbeddedBucket): Promise<string[]> {
  const { differences: found } = await verifyIndex(index, bucket, mutationOf);
  return found.map(({ kind, channel }) => `${kind} ${channel}`).sort();
}

async function withSaved(
  use: (bucket: EmbeddedBucket, index: Index, saver: Saver) => Promise<void>,
): Promise<void> {
  await withBucket(VBUCKETS, async (bucket) => {
    const index = await indexOf(bucket);
    const saver = new Saver(bucket);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 20; i++) {
        const channels = ["a", "b"].filter((_name, place) => (i + round + place) % 3 > 0);
        await index.write(await saver.save(`doc-${i}`, channels, (i + round) % 7 === 0));
      }
    }
    await use(bucket, index, saver);
  });
}

describe("the check against the documents", () => {
  test("finds nothing in a whole index, before and after compaction and a purge", async () => {
    await withSaved(async (bucket, index) => {
      const found = await verifyIndex(index, bucket, mutationOf);
      expect(found.differences).toEqual([]);
      expect(found.documents).toBe(20);
      expect(found.entries).toBeGreaterThan(40);
      const stable = await bucket.feed.highSeqs();
      await index.compact(stable, { documents: 1000, always: true });
      expect(index.stats().compaction_dropped).toBeGreaterThan(20);
      expect(await differences(await indexOf(bucket), bucket)).toEqual([]);
      const item = await bucket.documents.get("doc-1");
      const purged = await bucket.documents.purge("doc-1", item!.cas);
      if (!purged.ok) throw new Error(purged.refusal);
      const { vb, seq, vbuuid } = purged;
      const flags = EntryFlag.deleted;
      await index.write(mutation({ vb, seq, vbuuid, docId: "doc-1", revId: "", flags }));
      expect(await differences(index, bucket)).toEqual([]);
    });
  });

  test("finds a save that was not indexed, and the channel that it left", async () => {
    await withSaved(async (bucket, index, saver) => {
      await index.write(await saver.save("new", ["a", "b"]));
      const missed = await saver.save("new", ["b"]);
      const found = await differences(index, bucket);
      expect(found).toEqual(["different *", "different a", "different b", "missing *"]);
      await index.write(missed, true);
      expect(await differences(index, bucket)).toEqual([]);
    });
  });

  test("finds entries that no document has, and wrong ones", async () => {
    await withSaved(async (bucket, index, saver) => {
      const made = await saver.save("new", ["a"]);
      await index.write({ ...made, channels: ["a", "b"] });
      expect(await differences(index, bucket)).toEqual(["extra b"]);
      const next = await saver.save("new", ["a"]);
      await index.write({ ...next, revId: "9-other" });
      const found = await differences(index, bucket);
      expect(found).toEqual(["different *", "different a", "extra b"]);
    });
  });

  test("finds a record that does not name its channels", async () => {
    await withSaved(async (bucket, index, saver) => {
      const made = await saver.save("new", ["a"]);
      await index.write({ ...made, channels: [] });
      expect(await differences(await indexOf(bucket), bucket)).toEqual(["missing *", "missing a"]);
    });
  });

  test("finds a block that its list does not name, and data that is damaged", async () => {
    await withSaved(async (bucket, index) => {
      const [list] = await bucket.index.keys(`${LIST_PREFIX}=a:`, { limit: 1 });
      const stored = await bucket.index.get(list!);
      const cut = stored!.value.slice(0, -1);
      await bucket.index.batch([{ op: "upsert", key: list!, value: cut }]);
      const found = await differences(await indexOf(bucket), bucket);
      expect(found).toContain("unlisted a");
      expect(found).toContain("different a");
      await bucket.index.batch([{ op: "upsert", key: list!, value: stored!.value }]);
      expect(await differences(index, bucket)).toEqual([]);
      for (const prefix of [`${BLOCK_PREFIX}=b:`, SEQUENCE_PREFIX]) {
        const [key] = await bucket.index.keys(prefix, { limit: 1 });
        const value = (await bucket.index.get(key!))!.value.slice();
        value[value.length - 3]! ^= 1;
        await bucket.index.batch([{ op: "upsert", key: key!, value }]);
      }
      const damaged = await differences(await indexOf(bucket), bucket);
      expect(damaged.some((line) => line.endsWith(" b"))).toBe(true);
      expect(damaged.some((line) => line.endsWith(" *"))).toBe(true);
    });
  });
});
