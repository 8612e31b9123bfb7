// Two nodes work on the same few documents at the same moment, at random. Whatever happens: every
// document can be read whole, each version follows the one before, and healing says what saving
// said.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isTidegateError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { FeedMutation } from "../../src/bucket/feed.ts";
import { createHealer } from "../../src/documents/healer.ts";
import { DEFAULT_LIMITS } from "../../src/documents/limits.ts";
import type { DocumentStoreHandle } from "../../src/documents/store.ts";
import type { IndexMutation } from "../../src/index/types.ts";
import { type Bench, GUEST, openBench } from "./harness.ts";

const IDS = ["one", "two", "three"];
const REVS = ["1-a", "1-b", "2-a", "2-b", "3-a"];

type Action = { kind: string; id: string; node: number; pick: number; channel: string };

const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.record({
    kind: fc.constantFrom(
      "edit",
      "edit",
      "edit",
      "delete",
      "push",
      "push",
      "attach",
      "detach",
      "purge",
      "foreign",
      "read",
    ),
    id: fc.constantFrom(...IDS),
    node: fc.nat(1),
    pick: fc.nat(99),
    channel: fc.constantFrom("a", "b", "c"),
  }),
  { minLength: 5, maxLength: 60 },
);

/**
 * One action of one node. What may be refused for a good reason is; anything else fails the test.
 */
async function act(bench: Bench, store: DocumentStoreHandle, action: Action): Promise<void> {
  const { id, pick, channel } = action;
  const leaf = async () => {
    const leaves = (await store.leaves([id]))[0] ?? [];
    return leaves[pick % Math.max(1, leaves.length)]?.rev;
  };
  const body: JsonObject = { channels: [channel, `own-${pick % 4}`], pick };
  try {
    if (action.kind === "edit") {
      const rev = await leaf();
      await store.put(GUEST, id, body, rev === undefined ? {} : { rev });
    } else if (action.kind === "delete") {
      await store.remove(GUEST, id, await leaf());
    } else if (action.kind === "push") {
      const rev = REVS[pick % REVS.length]!;
      const ids = Array.from({ length: Number(rev[0]) }, () => rev.slice(2));
      const attachment = { f: { data: Buffer.from(rev).toString("base64") } };
      const _revisions = { start: ids.length, ids };
      const document = { ...body, _revisions, _attachments: attachment };
      await store.put(GUEST, id, document, { newEdits: false });
    } else if (action.kind === "attach") {
      const bytes = new TextEncoder().encode(`bytes ${pick % 3}`);
      await store.putAttachment(GUEST, id, `n${pick % 2}`, await leaf(), "text/plain", bytes);
    } else if (action.kind === "read") {
      const open = await store.openRevisions(GUEST, id, "all", { attachments: true, revs: true });
      for (const row of open) expect("ok" in row).toBe(true);
    } else if (action.kind === "detach") {
      await store.removeAttachment(GUEST, id, `n${pick % 2}`, await leaf());
    } else if (action.kind === "purge") {
      const rev = await leaf();
      if (rev !== undefined) await store.purge(new Map([[id, [pick % 3 === 0 ? "*" : rev]]]));
    } else {
      const item = await bench.bucket.documents.get(id, { withBody: false });
      const text = pick % 3 === 0 && item?.deleted === false ? null : JSON.stringify(body);
      await bench.bucket.documents.write({
        key: id,
        cas: item?.cas ?? 0n,
        body: text === null ? null : new TextEncoder().encode(text),
        xattrs: {},
        macros: [],
      });
    }
  } catch (error) {
    const expected = ["conflict", "not_found", "deleted"];
    if (!isTidegateError(error) || !expected.includes(error.code)) throw error;
  }
}

/** The newest version of every key, as the feed gives them now. */
async function feedNow(bench: Bench): Promise<FeedMutation[]> {
  const until = await bench.bucket.feed.highSeqs();
  const positions = Array.from(until, (_, vb) => vb)
    .filter((vb) => until[vb]! > 0)
    .map((vb) => ({ vb, vbuuid: "0", seq: 0, snapshotStart: 0, snapshotEnd: 0 }));
  if (positions.length === 0) return [];
  const reader = bench.bucket.feed.open(positions, { withBody: false, until });
  const newest = new Map<string, FeedMutation>();
  for (let events = await reader.read(); events.length > 0; events = await reader.read()) {
    for (const event of events) if ("key" in event) newest.set(event.key, event);
  }
  reader.close();
  return [...newest.values()];
}

async function checkWhole(store: DocumentStoreHandle): Promise<void> {
  for (const id of IDS) {
    const [leaves] = await store.leaves([id]);
    if (leaves === undefined) continue;
    const open = await store.openRevisions(GUEST, id, "all", { attachments: true });
    expect(open.map((row) => ("ok" in row ? row.ok.rev : row.missing))).toEqual(
      leaves.map((leaf) => leaf.rev),
    );
    for (const row of open) expect("ok" in row && JSON.parse(row.ok.json)._id).toBe(id);
  }
}

/** Each version of a document names the one before, purges apart. */
function checkChain(saved: readonly IndexMutation[]): void {
  for (const id of IDS) {
    let before = 0;
    const own = saved.filter((mutation) => mutation.docId === id);
    for (const mutation of own.toSorted((a, b) => a.seq - b.seq)) {
      const purged = mutation.revId === "";
      expect([id, mutation.supersedes]).toEqual([id, purged ? 0 : before]);
      before = purged ? 0 : mutation.seq;
    }
  }
}

describe("two nodes on the same documents", () => {
  for (const oldRevisionSeconds of [0, 300]) {
    test(`lose nothing, dangle nothing (old revisions ${oldRevisionSeconds} s)`, async () => {
      await fc.assert(
        fc.asyncProperty(actions, fc.integer({ min: 1, max: 12 }), async (steps, width) => {
          const settings = { limits: DEFAULT_LIMITS, oldRevisionSeconds };
          const bench = await openBench({ settings });
          try {
            const nodes = [bench.store, bench.another()];
            for (let at = 0; at < steps.length; at += width) {
              const together = steps.slice(at, at + width);
              await Promise.all(together.map((step) => act(bench, nodes[step.node]!, step)));
              await checkWhole(nodes[at % 2]!);
            }
            for (const node of nodes) await node.idle();
            await checkWhole(bench.store);
            checkChain(bench.saved);
            const healed: IndexMutation[] = [];
            const healer = createHealer({
              context: bench.store.context,
              writer: { write: async (mutation) => void healed.push(mutation) },
            });
            expect(await healer.heal(await feedNow(bench))).not.toContain("imported");
            for (const mutation of healed) {
              const saved = bench.saved.find((m) => m.vb === mutation.vb && m.seq === mutation.seq);
              // A foreign deletion of what no gateway knew has a record, but nobody saved it.
              if (saved === undefined) expect(mutation.revId).toBe("");
              else expect(mutation).toEqual(saved);
            }
          } finally {
            await bench.close();
          }
        }),
        { numRuns: 40 },
      );
    }, 60_000);
  }
});
