// The `_sync` attribute: its text, and that the index entries are a pure function of it.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { LEFT_CHANNELS_KEPT, MAX_LEAVES, MAX_LEFT_CHANNELS } from "../../src/documents/limits.ts";
import {
  addRevision,
  EMPTY_TREE,
  leavesOf,
  mergeHistory,
  type RevisionTree,
} from "../../src/documents/revision-tree.ts";
import { decodeSync, encodeSync } from "../../src/documents/sync-codec.ts";
import {
  indexMutationOf,
  type Leaf,
  nextSync,
  normalizeResult,
  type StoredSync,
  type SyncMetadata,
} from "../../src/documents/sync-metadata.ts";
import { EMPTY_SYNC_RESULT } from "../../src/documents/sync-port.ts";
import { EntryFlag, type IndexMutation } from "../../src/index/types.ts";

const NEVER_STABLE = () => 0;
const PLACE: Leaf["body"] = { in: "document" };

function leaf(channels: readonly string[], body: Leaf["body"] = PLACE): Leaf {
  return { ...EMPTY_SYNC_RESULT, channels, attachments: [], body };
}

/** What the bucket does: puts seq and CAS into the text, and gives it back. */
function stored(sync: SyncMetadata, seq: number): StoredSync {
  const json = encodeSync(sync);
  const hex = seq.toString(16).padStart(16, "0");
  json.seq = `0x${hex}`;
  json.cas = `0x${(hex.match(/../g) ?? []).toReversed().join("")}`;
  return decodeSync(JSON.stringify(json), "doc");
}

interface Step {
  readonly channels: readonly string[];
  readonly deleted: boolean;
  readonly gap: number;
}

const steps = fc.array(
  fc.record({
    channels: fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "__proto__")),
    deleted: fc.boolean(),
    gap: fc.integer({ min: 1, max: 5 }),
  }),
  { minLength: 1, maxLength: 20 },
);

/** A document's versions, one for each step, each with the seq it got. */
function versionsOf(history: readonly Step[]): StoredSync[] {
  const versions: StoredSync[] = [];
  let tree: RevisionTree = EMPTY_TREE;
  let seq = 0;
  for (const [i, step] of history.entries()) {
    seq += step.gap;
    tree = addRevision(tree, tree.length - 1, `${i + 1}-x${i}`, step.deleted);
    const body: Leaf["body"] = step.deleted ? { in: "attribute", text: "{}" } : PLACE;
    const leaves = new Map([[tree.at(-1)!.rev, leaf(step.channels, body)]]);
    const sync = nextSync(versions.at(-1), { tree, leaves, bodyCrc: i }, NEVER_STABLE);
    versions.push(stored(sync, seq));
  }
  return versions;
}

/** The newest line of the document in each channel, when these mutations are written. */
function newestLines(mutations: readonly { mutation: IndexMutation; healing: boolean }[]) {
  const lines = new Map<string, { seq: number; rev: string; flags: number }>();
  const write = (channel: string, seq: number, rev: string, flags: number) => {
    if ((lines.get(channel)?.seq ?? 0) <= seq) lines.set(channel, { seq, rev, flags });
  };
  for (const { mutation, healing } of mutations) {
    for (const channel of mutation.channels) {
      write(channel, mutation.seq, mutation.revId, mutation.flags);
    }
    for (const removal of mutation.removals) {
      if (!healing && removal.seq !== mutation.seq) continue;
      write(removal.channel, removal.seq, removal.revId, removal.flags);
    }
  }
  return new Map([...lines].toSorted());
}

function mutationOf(version: StoredSync): IndexMutation {
  return indexMutationOf("doc", version, { vb: 1, seq: version.seq, vbuuid: "b" });
}

describe("index entries", () => {
  test("healed from the newest version alone equal those written save by save", () => {
    fc.assert(
      fc.property(steps, (history) => {
        const mutations = versionsOf(history).map(mutationOf);
        const saved = newestLines(mutations.map((mutation) => ({ mutation, healing: false })));
        const healed = newestLines([{ mutation: mutations.at(-1)!, healing: true }]);
        expect(healed).toEqual(saved);
      }),
      { numRuns: 500 },
    );
  });

  test("are the same whenever they are computed from one attribute", () => {
    fc.assert(
      fc.property(steps, (history) => {
        const version = versionsOf(history).at(-1)!;
        const again = decodeSync(JSON.stringify(restore(version)), "doc");
        expect(mutationOf(again)).toEqual(mutationOf(version));
      }),
    );
  });

  test("name the mutation that they supersede", () => {
    const versions = versionsOf([
      { channels: ["a"], deleted: false, gap: 3 },
      { channels: ["a"], deleted: false, gap: 4 },
    ]);
    expect(versions.map((version) => mutationOf(version).supersedes)).toEqual([0, 3]);
  });

  test("of a deletion reach every channel that the document was in", () => {
    const versions = versionsOf([
      { channels: ["a", "b"], deleted: false, gap: 1 },
      { channels: ["b"], deleted: true, gap: 1 },
    ]);
    const mutation = mutationOf(versions[1]!);
    expect(mutation.flags).toBe(EntryFlag.deleted);
    expect(mutation.channels).toEqual(["b"]);
    expect(mutation.removals).toEqual([
      { channel: "a", seq: 2, revId: "2-x1", flags: EntryFlag.removed | EntryFlag.deleted },
    ]);
  });

  test("tell a conflict", () => {
    const tree = mergeHistory(mergeHistory(EMPTY_TREE, ["1-a"], false), ["1-b"], false);
    const leaves = new Map([
      ["1-b", leaf(["winner"])],
      ["1-a", leaf(["loser"], { in: "metadata", name: "b1" })],
    ]);
    const sync = nextSync(undefined, { tree, leaves, bodyCrc: 0 }, NEVER_STABLE);
    const mutation = indexMutationOf("doc", sync, { vb: 0, seq: 9, vbuuid: "b" });
    expect(mutation.flags).toBe(EntryFlag.conflict);
    expect(mutation.channels).toEqual(["winner"]);
  });
});

/** The attribute that a version was read from. */
function restore(version: StoredSync) {
  const json = encodeSync(version);
  const hex = version.seq.toString(16).padStart(16, "0");
  return { ...json, seq: `0x${hex}`, cas: `0x${hex}` };
}

describe("left channels", () => {
  const wander = (count: number, stable: (version: number) => number) => {
    let current: StoredSync | undefined;
    let tree: RevisionTree = EMPTY_TREE;
    for (let i = 1; i <= count; i++) {
      tree = addRevision(
        tree.slice(-1).map((n) => ({ ...n, parent: -1 })),
        i > 1 ? 0 : -1,
        `${i}-x`,
        false,
      );
      const leaves = new Map([[`${i}-x`, leaf([`room-${i}`])]]);
      current = stored(
        nextSync(current, { tree, leaves, bodyCrc: 0 }, () => stable(i)),
        i,
      );
    }
    return current!;
  };

  test("are forgotten, oldest first, only when the stable clock has passed them", () => {
    const version = wander(LEFT_CHANNELS_KEPT + 50, (i) => i - 1);
    expect(version.left.length).toBe(LEFT_CHANNELS_KEPT);
    expect(version.left[0]!.channel).toBe("room-50");
    expect(version.forgottenUpTo).toBe(50);
    const behind = wander(LEFT_CHANNELS_KEPT + 50, () => 10);
    expect(behind.left.length).toBe(LEFT_CHANNELS_KEPT + 50 - 1 - 9);
    expect(behind.left[0]!.channel).toBe("room-10");
  });

  test("that nobody indexes stop the document before they are lost", () => {
    expect(() => wander(MAX_LEFT_CHANNELS + 2, () => 0)).toThrow("try again");
  });
});

describe("the attribute's text", () => {
  const names = fc.string({ unit: "grapheme", maxLength: 8 });
  const leaves = fc.record({
    channels: fc.array(names, { maxLength: 3 }),
    access: fc.array(fc.record({ principal: names, channels: fc.array(names) }), { maxLength: 2 }),
    roles: fc.array(fc.record({ user: names, roles: fc.array(names) }), { maxLength: 2 }),
    requires: fc.array(
      fc.oneof(
        fc.constant({ kind: "admin" as const }),
        fc.record({ kind: fc.constantFrom("user", "role", "access"), names: fc.array(names) }),
      ),
      { maxLength: 2 },
    ),
    attachments: fc.array(
      fc.record({
        name: names,
        contentType: names,
        length: fc.nat(),
        digest: names,
        revpos: fc.nat(),
        item: names,
      }),
      { maxLength: 2 },
    ),
    text: names,
    side: fc.boolean(),
  });

  test("is read back as it was written", () => {
    const history = fc.record({
      parents: fc.array(fc.record({ parent: fc.nat(), deleted: fc.boolean() }), {
        minLength: 1,
        maxLength: 15,
      }),
      records: fc.infiniteStream(leaves),
      supersedes: fc.nat(),
    });
    fc.assert(
      fc.property(history, ({ parents, records, supersedes }) => {
        let tree: RevisionTree = EMPTY_TREE;
        for (const [i, step] of parents.entries()) {
          const parent = tree.length === 0 ? -1 : (step.parent % (tree.length + 1)) - 1;
          const generation = parent < 0 ? 1 : Number.parseInt(tree[parent]!.rev, 10) + 1;
          tree = addRevision(tree, parent, `${generation}-${i.toString(16)}`, step.deleted);
        }
        const order = leavesOf(tree);
        const map = new Map<string, Leaf>();
        for (const [rank, node] of order.entries()) {
          const { text, side, ...record } = records.next().value!;
          const inDocument = rank === 0 && !node.deleted;
          const body: Leaf["body"] = inDocument
            ? PLACE
            : side
              ? { in: "metadata", name: `b${rank}` }
              : { in: "attribute", text };
          map.set(node.rev, { ...record, body } as Leaf);
        }
        const sync = nextSync(undefined, { tree, leaves: map, bodyCrc: 7 }, NEVER_STABLE);
        const back = stored({ ...sync, supersedes }, 77);
        expect(back.leaves).toEqual(sync.leaves);
        expect(back.rev).toBe(sync.rev);
        expect(back.deleted).toBe(sync.deleted);
        expect(back.supersedes).toBe(supersedes);
        expect([back.seq, back.cas, back.bodyCrc]).toEqual([77, 77n, 7]);
        expect(describeTree(back.tree)).toEqual(describeTree(sync.tree));
      }),
      { numRuns: 300 },
    );
  });

  test("cut or changed is refused as corrupt, never read as something else", () => {
    const version = versionsOf([
      { channels: ["a"], deleted: false, gap: 1 },
      { channels: ["b"], deleted: false, gap: 1 },
    ])[1]!;
    const text = JSON.stringify(restore(version));
    for (let end = 0; end < text.length; end++) {
      expect(() => decodeSync(text.slice(0, end), "doc")).toThrow("can't be read");
    }
    for (const broken of [
      "null",
      "[]",
      '{"rev":"1-a","sequence":1}',
      text.replace('"v":1', '"v":0'),
      text.replace(/"seq":"0x0/, '"seq":"0xg'),
      text.replace(/"cas":"[^"]*"/, '"cas":7'),
      text.replace(/"tree":\[/, '"tree":[[5,1,"zz",{}],'),
      text.replace(/"tree":.*\]\],/, '"tree":[],'),
      text.replace('"ch":["b"]', '"ch":[1]'),
      text.replace('"left":[["a"', '"left":[[3'),
    ]) {
      expect(broken).not.toBe(text);
      expect(() => decodeSync(broken, "doc")).toThrow(/can't be read/);
    }
  });

  test("of a newer version says so", () => {
    expect(() => decodeSync('{"v":2}', "doc")).toThrow("This Tidegate reads 1");
  });

  test("is short: a first revision in two channels takes less than 200 bytes", () => {
    const tree = addRevision(EMPTY_TREE, -1, `1-${"0".repeat(32)}`, false);
    const leaves = new Map([[tree[0]!.rev, leaf(["alpha", "beta"])]]);
    const sync = nextSync(undefined, { tree, leaves, bodyCrc: 4294967295 }, NEVER_STABLE);
    expect(JSON.stringify(encodeSync(sync)).length).toBeLessThan(200);
  });
});

/** A tree in a form that does not depend on the order of its nodes. */
function describeTree(tree: RevisionTree): string[] {
  return tree
    .map((n) => `${n.rev}<${n.parent < 0 ? "" : tree[n.parent]!.rev}${n.deleted ? " deleted" : ""}`)
    .toSorted();
}

describe("limits", () => {
  test("a document has a bounded number of leaves", () => {
    let tree: RevisionTree = EMPTY_TREE;
    const leaves = new Map<string, Leaf>();
    for (let i = 0; i <= MAX_LEAVES; i++) {
      tree = addRevision(tree, -1, `1-${i}`, true);
      leaves.set(`1-${i}`, leaf([], { in: "attribute", text: "{}" }));
    }
    expect(() => nextSync(undefined, { tree, leaves, bodyCrc: 0 }, NEVER_STABLE)).toThrow(
      "conflicting revisions",
    );
  });

  test("channels are bounded in number and length, and * is everybody", () => {
    const result = (channels: string[]) => normalizeResult({ ...EMPTY_SYNC_RESULT, channels });
    expect(result(["a", "*", "a", "!"]).channels).toEqual(["a", "!"]);
    expect(result(["*"]).channels).toEqual(["!"]);
    expect(() => result(["x".repeat(251)])).toThrow("channel name");
    expect(() => result(["\ud800"])).toThrow("channel name");
    expect(() => result(Array.from({ length: 1001 }, (_, i) => `c${i}`))).toThrow("1001 channels");
    const access = [{ principal: "u", channels: Array.from({ length: 1001 }, String) }];
    expect(() => normalizeResult({ ...EMPTY_SYNC_RESULT, access })).toThrow("name 1002 names");
  });
});
