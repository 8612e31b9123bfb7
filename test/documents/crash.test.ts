// A save that is cut off at any of its writes, as by kill -9, leaves every document whole: what was
// acknowledged is there, nothing refers to what is not, and the same save can be made again.

import { describe, expect, test } from "bun:test";
import type { JsonObject } from "../../src/base/json.ts";
import type { Bucket, KeyValueOperation } from "../../src/bucket/bucket.ts";
import { DEFAULT_LIMITS } from "../../src/documents/limits.ts";
import type { DocumentStoreHandle } from "../../src/documents/store.ts";
import { GUEST, openBench, parsed } from "./harness.ts";

const CRASH = new Error("the process is gone");

/**
 * The real bucket seen by a process that dies: after `writes` single writes nothing gets through
 * any more. A batch can be cut in its middle, in the order that it was given.
 */
function dying(bucket: Bucket, writes: number): Bucket & { readonly used: () => number } {
  let left = writes;
  const spend = () => {
    if (left <= 0) throw CRASH;
    left--;
  };
  const { documents, metadata } = bucket;
  return {
    name: bucket.name,
    vbuckets: bucket.vbuckets,
    feed: bucket.feed,
    index: bucket.index,
    stats: () => bucket.stats(),
    close: () => bucket.close(),
    used: () => writes - left,
    documents: {
      get: (key, options) => documents.get(key, options),
      getMany: (keys, options) => documents.getMany(keys, options),
      scan: (range, options) => documents.scan(range, options),
      count: () => documents.count(),
      async write(write) {
        spend();
        return documents.write(write);
      },
      async purge(key, cas) {
        spend();
        return documents.purge(key, cas);
      },
    },
    metadata: {
      get: (key) => metadata.get(key),
      getMany: (keys) => metadata.getMany(keys),
      keys: (prefix, options) => metadata.keys(prefix, options),
      async batch(operations) {
        const through: KeyValueOperation[] = [];
        try {
          for (const operation of operations) {
            spend();
            through.push(operation);
          }
        } catch (error) {
          if (through.length > 0) await metadata.batch(through);
          throw error;
        }
        return metadata.batch(through);
      },
    },
  };
}

const attachment = (text: string) => ({ data: Buffer.from(text).toString("base64") });

/** Saves that move bodies and attachments about; each must be whole or not at all. */
const SAVES: { name: string; run(store: DocumentStoreHandle): Promise<unknown> }[] = [
  {
    name: "an update that adds and drops attachments",
    run: async (store) => {
      const { rev } = await store.get(GUEST, "doc");
      const _attachments = { new1: attachment("one"), new2: attachment("two") };
      return store.put(GUEST, "doc", { n: 2, _rev: rev, _attachments });
    },
  },
  {
    name: "a conflict that loses",
    run: (store) =>
      store.put(
        GUEST,
        "doc",
        { _rev: "1-0", n: "loser", _attachments: { l: attachment("L") } },
        { newEdits: false },
      ),
  },
  {
    name: "a conflict that wins",
    run: (store) =>
      store.put(
        GUEST,
        "doc",
        { _rev: "5-z", n: "winner", _attachments: { w: attachment("W") } },
        { newEdits: false },
      ),
  },
  {
    name: "deleting the winner of a conflict",
    run: async (store) => {
      const { rev } = await store.get(GUEST, "doc");
      return store.remove(GUEST, "doc", rev);
    },
  },
  {
    name: "a large deletion",
    run: async (store) => {
      const { rev } = await store.get(GUEST, "doc");
      return store.put(GUEST, "doc", { _deleted: true, why: "x".repeat(5000), _rev: rev });
    },
  },
  {
    name: "purging the winner",
    run: async (store) => {
      const { rev } = await store.get(GUEST, "doc");
      return store.purge(new Map([["doc", [rev]]]));
    },
  },
  { name: "purging it all", run: (store) => store.purge(new Map([["doc", ["*"]]])) },
];

/** Every leaf with its body and attachments; reading any of it fails when something is dangling. */
async function everything(store: DocumentStoreHandle): Promise<JsonObject[]> {
  const [leaves] = await store.leaves(["doc"]);
  if (leaves === undefined) return [];
  const options = { attachments: true, revs: true };
  const open = await store.openRevisions(GUEST, "doc", "all", options);
  expect(open.map((row) => ("ok" in row ? row.ok.rev : row.missing))).toEqual(
    leaves.map((leaf) => leaf.rev),
  );
  return open.map((row) => {
    if (!("ok" in row)) throw new Error(`the leaf ${row.missing} can't be read`);
    return parsed(row.ok);
  });
}

describe("a save cut off at any write", () => {
  for (const { name, run } of SAVES) {
    for (const oldRevisionSeconds of [0, 300]) {
      test(`${name} is whole or not at all (old revisions ${oldRevisionSeconds} s)`, async () => {
        const settings = { limits: DEFAULT_LIMITS, oldRevisionSeconds };
        let finished = false;
        for (let writes = 0; !finished; writes++) {
          expect(writes).toBeLessThan(30);
          const bench = await openBench({ settings });
          try {
            const first = { n: 1, _attachments: { keep: attachment("K"), drop: attachment("D") } };
            await bench.store.put(GUEST, "doc", first);
            const other = { _rev: "1-f0", n: "other", _attachments: { o: attachment("O") } };
            await bench.store.put(GUEST, "doc", other, { newEdits: false });
            await bench.store.idle();
            const before = await everything(bench.store);
            const acknowledged = bench.saved.length;

            const bucket = dying(bench.bucket, writes);
            const doomed = bench.another({ bucket });
            let failed = false;
            try {
              await run(doomed);
            } catch (error) {
              if (error !== CRASH) throw error;
              failed = true;
            }
            await doomed.idle();
            finished = !failed && bucket.used() < writes;

            const survivor = bench.another();
            const after = await everything(survivor);
            const told = bench.saved.length > acknowledged;
            expect(JSON.stringify(after) === JSON.stringify(before)).toBe(!told);
            if (!failed) expect(told).toBe(true);
            if (failed && !told) {
              await run(survivor);
              expect(await everything(survivor)).not.toEqual(before);
            }
          } finally {
            await bench.close();
          }
        }
      });
    }
  }
});
