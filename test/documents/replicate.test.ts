// Revisions that other replicas made: histories, conflicts, winners that change, old revisions.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { JsonObject } from "../../src/base/json.ts";
import { DEFAULT_LIMITS } from "../../src/documents/limits.ts";
import type { DocumentStoreHandle } from "../../src/documents/store.ts";
import { EntryFlag } from "../../src/index/types.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { type Bench, codeOf, GUEST, openBench, parsed } from "./harness.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());

function replicate(
  store: DocumentStoreHandle,
  id: string,
  history: readonly string[],
  body: JsonObject,
  deleted = false,
) {
  const start = Number.parseInt(history[0]!, 10);
  const ids = history.map((rev) => rev.slice(rev.indexOf("-") + 1));
  const document: JsonObject = { ...body, _id: id, _revisions: { start, ids } };
  if (deleted) document._deleted = true;
  return store.put(GUEST, id, document, { newEdits: false });
}

const push = (id: string, history: readonly string[], body: JsonObject, deleted = false) =>
  replicate(bench.store, id, history, body, deleted);

describe("new_edits=false", () => {
  test("stores the revision with its history as it is", async () => {
    expect(await push("h", ["3-c", "2-b", "1-a"], { v: 3 })).toEqual({ id: "h", rev: "3-c" });
    const view = parsed(await bench.store.get(GUEST, "h", { revs: true, revsInfo: true }));
    expect(view._revisions).toEqual({ start: 3, ids: ["c", "b", "a"] });
    expect(view._revs_info).toEqual([
      { rev: "3-c", status: "available" },
      { rev: "2-b", status: "missing" },
      { rev: "1-a", status: "missing" },
    ]);
  });

  test("repeated changes nothing and makes no mutation", async () => {
    await push("twice", ["2-b", "1-a"], { v: 2 });
    const saved = bench.saved.length;
    expect(await push("twice", ["2-b", "1-a"], { v: 2 })).toEqual({ id: "twice", rev: "2-b" });
    expect(await push("twice", ["1-a"], { v: 1 })).toEqual({ id: "twice", rev: "1-a" });
    expect(bench.saved.length).toBe(saved);
  });

  test("with _rev alone is a revision without known ancestors", async () => {
    await bench.store.put(GUEST, "alone", { _rev: "4-x", v: 4 }, { newEdits: false });
    expect((await bench.store.get(GUEST, "alone")).rev).toBe("4-x");
  });

  test("many at once on one document do not wear each other out", async () => {
    const histories = Array.from({ length: 120 }, (_, i) => [`2-x${i}`, "1-a"]);
    await Promise.all(histories.map((history) => push("crowd", history, { v: history[0]! })));
    const [leaves] = await bench.store.leaves(["crowd"]);
    expect(leaves!.length).toBe(120);
  });

  test("that takes the id of a coming edit makes a conflict, never a double", async () => {
    const other = await openBench();
    try {
      const first = await other.store.put(GUEST, "taken", { n: 1 });
      const second = await other.store.put(GUEST, "taken", { n: 2, _rev: first.rev });
      await bench.store.put(GUEST, "taken", { n: 1 });
      await push("taken", [second.rev, "1-elsewhere"], { n: "forged" });
      const edit = bench.store.put(GUEST, "taken", { n: 2, _rev: first.rev });
      expect(await codeOf(edit)).toBe("conflict");
      const tree = (await bench.store.revisionTree("taken")) as { revisions: { rev: string }[] };
      const revs = tree.revisions.map(({ rev }) => rev);
      expect(new Set(revs).size).toBe(revs.length);
    } finally {
      await other.close();
    }
  });

  test("refuses histories that are none", async () => {
    const code = (document: JsonObject) =>
      codeOf(bench.store.put(GUEST, "bad", document, { newEdits: false }));
    expect(await code({})).toBe("bad_revision");
    expect(await code({ _rev: "2-b", _revisions: { start: 2, ids: ["x"] } })).toBe("bad_revision");
    expect(await code({ _revisions: { start: 1, ids: ["b", "a"] } })).toBe("bad_revision");
    expect(await code({ _revisions: { start: 1.5, ids: ["b"] } })).toBe("bad_revision");
    expect(await code({ _revisions: { start: 1, ids: [] } })).toBe("bad_revision");
    expect(await code({ _revisions: { start: 1, ids: ["a,b"] } })).toBe("bad_revision");
    expect(await code({ _revisions: [] })).toBe("bad_revision");
    expect(await code({ _rev: "1-a b" })).toBe("bad_revision");
    const ids = Array.from({ length: 5001 }, String);
    expect(await code({ _revisions: { start: 6000, ids } })).toBe("too_large");
  });
});

describe("documents in conflict", () => {
  test("show the winner, keep the others, and tell of them", async () => {
    await push("c", ["2-b", "1-a"], { side: "left", channels: ["l"] });
    await push("c", ["2-c", "1-a"], { side: "right", channels: ["r"] });
    expect(bench.saved.at(-1)).toMatchObject({
      revId: "2-c",
      flags: EntryFlag.conflict,
      channels: ["r"],
      removals: [{ channel: "l", revId: "2-c", flags: EntryFlag.removed }],
    });
    const winner = parsed(await bench.store.get(GUEST, "c", { conflicts: true }));
    expect(winner).toMatchObject({ _rev: "2-c", side: "right", _conflicts: ["2-b"] });
    expect(parsed(await bench.store.get(GUEST, "c", { rev: "2-b" })).side).toBe("left");
    const all = await bench.store.openRevisions(GUEST, "c", "all");
    expect(all.map((row) => ("ok" in row ? row.ok.rev : row.missing))).toEqual(["2-c", "2-b"]);
  });

  test("a loser arriving later leaves the winner's body and channels alone", async () => {
    await push("late", ["2-z", "1-a"], { side: "winner", channels: ["w"] });
    const first = bench.saved.at(-1)!;
    await push("late", ["2-b", "1-a"], { side: "loser", channels: ["l"] });
    expect(bench.saved.at(-1)).toMatchObject({
      revId: "2-z",
      flags: EntryFlag.conflict,
      supersedes: first.seq,
      channels: ["w"],
      removals: [],
    });
    expect(parsed(await bench.store.get(GUEST, "late")).side).toBe("winner");
    expect(parsed(await bench.store.get(GUEST, "late", { rev: "2-b" })).side).toBe("loser");
  });

  test("deleting the winner brings back the other with its body and channels", async () => {
    await push("back", ["2-b", "1-a"], { side: "left", channels: ["l"] });
    await push("back", ["2-c", "1-a"], { side: "right", channels: ["r"] });
    const deleted = await bench.store.remove(GUEST, "back", "2-c");
    const view = parsed(
      await bench.store.get(GUEST, "back", { conflicts: true, deletedConflicts: true }),
    );
    expect(view).toMatchObject({ _rev: "2-b", side: "left", _deleted_conflicts: [deleted.rev] });
    expect(view._conflicts).toBeUndefined();
    expect(bench.saved.at(-1)).toMatchObject({ revId: "2-b", channels: ["l"] });
    expect(bench.saved.at(-1)!.removals.map((removal) => removal.channel)).toEqual(["r"]);
    await bench.store.remove(GUEST, "back", "2-b");
    expect(await codeOf(bench.store.get(GUEST, "back"))).toBe("deleted");
    const all = await bench.store.openRevisions(GUEST, "back", "all");
    expect(all.every((row) => "ok" in row && row.ok.deleted)).toBe(true);
  });

  test("are resolved by editing any leaf", async () => {
    await push("resolve", ["2-b", "1-a"], { side: "left" });
    await push("resolve", ["2-c", "1-a"], { side: "right" });
    const merged = await bench.store.put(GUEST, "resolve", { side: "both" }, { rev: "2-b" });
    await bench.store.remove(GUEST, "resolve", "2-c");
    const view = parsed(await bench.store.get(GUEST, "resolve", { conflicts: true }));
    expect(view).toMatchObject({ _rev: merged.rev, side: "both" });
    expect(view._conflicts).toBeUndefined();
    expect(await codeOf(bench.store.put(GUEST, "resolve", {}, { rev: "2-b" }))).toBe("conflict");
  });

  test("leave no bodies behind in metadata when they are over", async () => {
    const store = bench.another({
      settings: { limits: DEFAULT_LIMITS, oldRevisionSeconds: 0 },
    });
    await bench.store.idle();
    const before = await bench.bucket.metadata.keys("d:", { limit: 10_000 });
    await replicate(store, "clean", ["2-b", "1-a"], { side: "left" });
    await replicate(store, "clean", ["2-c", "1-a"], { side: "right" });
    await replicate(store, "clean", ["2-a", "1-a"], { side: "third" });
    const during = await bench.bucket.metadata.keys("d:", { limit: 10_000 });
    expect(during.length).toBe(before.length + 2);
    await store.remove(GUEST, "clean", "2-b");
    await store.remove(GUEST, "clean", "2-c");
    expect(parsed(await store.get(GUEST, "clean"))).toMatchObject({ side: "third" });
    await store.idle();
    expect(await bench.bucket.metadata.keys("d:", { limit: 10_000 })).toEqual(before);
  });

  test("latest follows a revision to what it has become", async () => {
    await push("latest", ["3-x", "2-b", "1-a"], { v: "x" });
    await push("latest", ["2-c", "1-a"], { v: "c" });
    const get = async (rev: string) =>
      (await bench.store.get(GUEST, "latest", { rev, latest: true })).rev;
    expect(await get("1-a")).toBe("3-x");
    expect(await get("2-b")).toBe("3-x");
    expect(await get("2-c")).toBe("2-c");
    expect(await codeOf(bench.store.get(GUEST, "latest", { rev: "9-q", latest: true }))).toBe(
      "not_found",
    );
    const open = await bench.store.openRevisions(GUEST, "latest", ["1-a", "2-c", "9-q"], {
      latest: true,
    });
    expect(open.map((row) => ("ok" in row ? row.ok.rev : `missing ${row.missing}`))).toEqual([
      "3-x",
      "2-c",
      "missing 9-q",
    ]);
  });

  test("random edits replicated in any order converge to the same documents", async () => {
    const edits = fc.array(fc.record({ parent: fc.nat(), deleted: fc.boolean() }), {
      minLength: 1,
      maxLength: 8,
    });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(edits, fc.infiniteStream(fc.nat()), async (steps, choices) => {
        const histories: { history: string[]; deleted: boolean }[] = [];
        for (const [i, step] of steps.entries()) {
          const at = (step.parent % (histories.length + 1)) - 1;
          const parent = at < 0 ? [] : histories[at]!.history;
          const rev = `${parent.length + 1}-${((i * 7919) % 251).toString(16)}`;
          histories.push({ history: [rev, ...parent], deleted: step.deleted });
        }
        const answers: unknown[] = [];
        for (let replica = 0; replica < 2; replica++) {
          const id = `converge-${run++}`;
          const todo = histories.slice();
          while (todo.length > 0) {
            const index = (choices.next().value ?? 0) % todo.length;
            const [edit] = todo.splice(index, 1);
            const { history, deleted } = edit!;
            await push(id, history, { body: history[0]!, channels: [history[0]!] }, deleted);
          }
          const open = await bench.store.openRevisions(GUEST, id, "all");
          const bodies = open.map((row) => ("ok" in row ? parsed(row.ok) : row));
          for (const body of bodies) {
            const { _id, _rev, body: written } = body as JsonObject;
            expect([_id, written]).toEqual([id, _rev!]);
          }
          const leaves = (await bench.store.leaves([id]))[0]!;
          expect(open.map((row) => "ok" in row && row.ok.rev)).toEqual(leaves.map((l) => l.rev));
          const { channels, flags } = bench.saved.findLast((mutation) => mutation.docId === id)!;
          expect(channels).toEqual([leaves[0]!.rev]);
          answers.push([leaves, flags]);
        }
        expect(answers[1]).toEqual(answers[0]!);
      }),
      { numRuns: 40 },
    );
  });
});

describe("a read", () => {
  test("that somebody overtakes shows the newer version, not an error", async () => {
    let overtake: (() => Promise<unknown>) | undefined;
    const settings = { limits: DEFAULT_LIMITS, oldRevisionSeconds: 0 };
    const other = bench.another({ settings });
    const { documents } = bench.bucket;
    // The real bucket; between the answer of a read and its use, somebody else gets a turn.
    const bucket = Object.create(bench.bucket, {
      documents: {
        value: Object.create(documents, {
          get: {
            value: async (...args: Parameters<typeof documents.get>) => {
              const item = await documents.get(...args);
              const turn = overtake;
              overtake = undefined;
              await turn?.();
              return item;
            },
          },
        }),
      },
    });
    const store = bench.another({ settings, bucket });
    for (const rev of ["1-a", "1-b"]) {
      const document = { _rev: rev, v: rev, _attachments: { f: { data: "QQ==" } } };
      await other.put(GUEST, "overtaken", document, { newEdits: false });
    }
    overtake = async () => {
      await other.put(GUEST, "overtaken", { v: "new", _rev: "1-a" });
      await other.idle();
    };
    const open = await store.openRevisions(GUEST, "overtaken", "all", { attachments: true });
    const values = open.map((row) => "ok" in row && parsed(row.ok).v);
    expect(values).toEqual(["new", "1-b"]);
    overtake = async () => {
      await other.remove(GUEST, "overtaken", "1-b");
      await other.idle();
    };
    expect(await codeOf(store.getAttachment(GUEST, "overtaken", "f", "1-b"))).toBe("not_found");
  });
});

describe("_revs_diff", () => {
  test("tells what is missing and what it may descend from", async () => {
    await push("diff", ["2-b", "1-a"], {});
    await push("diff", ["2-c", "1-a"], {});
    const diff = await bench.store.revsDiff(
      GUEST,
      new Map([
        ["diff", ["2-b", "3-x", "1-q"]],
        ["diff-none", ["1-a"]],
        ["__proto__", ["1-a"]],
        ["", ["1-a"]],
        ["x".repeat(251), ["1-a"]],
        ["_sync:x", ["1-a"]],
      ]),
    );
    expect([...diff]).toEqual([
      ["diff", { missing: ["3-x", "1-q"], possibleAncestors: ["2-c", "2-b"] }],
      ["diff-none", { missing: ["1-a"], possibleAncestors: [] }],
      ["__proto__", { missing: ["1-a"], possibleAncestors: [] }],
      ["", { missing: ["1-a"], possibleAncestors: [] }],
      ["x".repeat(251), { missing: ["1-a"], possibleAncestors: [] }],
      ["_sync:x", { missing: ["1-a"], possibleAncestors: [] }],
    ]);
    expect(await bench.store.leaves(["", "_sync:x", "x".repeat(300)])).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    const none = await bench.store.revsDiff(GUEST, new Map([["diff", ["1-a", "2-c"]]]));
    expect(none.size).toBe(0);
  });

  test("knows a deletion's revisions too", async () => {
    await push("diff-deleted", ["2-b", "1-a"], {}, true);
    const diff = await bench.store.revsDiff(GUEST, new Map([["diff-deleted", ["2-b", "3-c"]]]));
    expect(diff.get("diff-deleted")).toEqual({ missing: ["3-c"], possibleAncestors: ["2-b"] });
  });
});

describe("a superseded revision", () => {
  test("can be read for a while, with its attachments, and is missing after that", async () => {
    const real = systemTime(false);
    let ahead = 0;
    const time = { ...real, nowMs: () => real.nowMs() + ahead };
    const own = await openBench({ time }, undefined, time);
    try {
      const document = { v: 1, _attachments: { "a.txt": { data: "YWJj" } } };
      const first = await own.store.put(GUEST, "old", document);
      const second = await own.store.put(GUEST, "old", { v: 2, _rev: first.rev });
      await own.store.idle();
      const old = await own.store.get(GUEST, "old", { rev: first.rev, attachments: true });
      expect(parsed(old)).toMatchObject({ v: 1, _attachments: { "a.txt": { data: "YWJj" } } });
      ahead = 299_000;
      expect((await own.store.get(GUEST, "old", { rev: first.rev })).rev).toBe(first.rev);
      ahead = 302_000;
      expect(await codeOf(own.store.get(GUEST, "old", { rev: first.rev }))).toBe("not_found");
      const open = await own.store.openRevisions(GUEST, "old", [first.rev, second.rev]);
      expect(open[0]).toEqual({ missing: first.rev });
      expect(await own.bucket.metadata.get("nothing")).toBeUndefined();
    } finally {
      await own.close();
    }
  });

  test("that never was is missing at once", async () => {
    await push("some", ["2-b", "1-a"], {});
    expect(await codeOf(bench.store.get(GUEST, "some", { rev: "1-a" }))).toBe("not_found");
    expect(await codeOf(bench.store.get(GUEST, "some", { rev: "7-x" }))).toBe("not_found");
    expect(await codeOf(bench.store.get(GUEST, "some", { rev: "nonsense" }))).toBe("bad_revision");
    expect(await codeOf(bench.store.openRevisions(GUEST, "none", "all"))).toBe("not_found");
    expect(await bench.store.openRevisions(GUEST, "none", ["1-a"])).toEqual([{ missing: "1-a" }]);
  });
});
