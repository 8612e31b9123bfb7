// Saving single documents as a client notices it: revisions, conflicts, limits, plain data.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TidegateError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { DEFAULT_LIMITS } from "../../src/documents/limits.ts";
import type { SyncFunction, SyncInput } from "../../src/documents/sync-port.ts";
import { EMPTY_SYNC_RESULT } from "../../src/documents/sync-port.ts";
import { ADMIN, FREE_GUEST } from "../../src/documents/types.ts";
import { EntryFlag } from "../../src/index/types.ts";
import { type Bench, codeOf, GUEST, openBench, parsed } from "./harness.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());

const put = (id: string, document: JsonObject, rev?: string) =>
  bench.store.put(GUEST, id, document, rev === undefined ? {} : { rev });
const code = (id: string, document: JsonObject, rev?: string) => codeOf(put(id, document, rev));

describe("a save", () => {
  test("gives the document back as it was sent, with _id and _rev first", async () => {
    const document = { z: 1, a: [1.5, null, true, { nested: "ü\u2028" }], "": "empty", "10": 2 };
    const { id, rev } = await put("plain", document);
    expect([id, rev]).toEqual(["plain", expect.stringMatching(/^1-[0-9a-f]{32}$/)]);
    const view = await bench.store.get(GUEST, "plain");
    expect(view.json).toBe(`{"_id":"plain","_rev":"${rev}",${JSON.stringify(document).slice(1)}`);
    expect(view).toMatchObject({ id: "plain", rev, deleted: false });
  });

  test("of an empty document can be read", async () => {
    const { rev } = await put("empty", {});
    expect((await bench.store.get(GUEST, "empty")).json).toBe(`{"_id":"empty","_rev":"${rev}"}`);
  });

  test("of the same content on the same parent has the same revision id everywhere", async () => {
    const other = await openBench();
    try {
      const here = await put("same", { a: 1 });
      expect(await other.store.put(GUEST, "same", { a: 1 })).toEqual(here);
      const second = await put("same", { a: 2 }, here.rev);
      expect(await other.store.put(GUEST, "same", { a: 2 }, { rev: here.rev })).toEqual(second);
      const deleted = await put("same", { _deleted: true, a: 2 }, second.rev);
      const kept = await other.store.put(GUEST, "same", { a: 2 }, { rev: second.rev });
      expect(kept.rev).not.toBe(deleted.rev);
    } finally {
      await other.close();
    }
  });

  test("tells the index once, durable, before it answers", async () => {
    const before = bench.saved.length;
    const { rev } = await put("told", { channels: ["a", "b"] });
    expect(bench.saved.slice(before)).toEqual([
      {
        vb: expect.any(Number),
        seq: expect.any(Number),
        vbuuid: expect.stringMatching(/^[0-9a-f]{16}$/),
        docId: "told",
        revId: rev,
        flags: 0,
        supersedes: 0,
        channels: ["a", "b"],
        removals: [],
      },
    ]);
    const first = bench.saved.at(-1)!;
    const { rev: next } = await put("told", { channels: "b" }, rev);
    const second = bench.saved.at(-1)!;
    expect(second).toMatchObject({ revId: next, supersedes: first.seq, channels: ["b"] });
    expect(second.removals).toEqual([
      { channel: "a", seq: second.seq, revId: next, flags: EntryFlag.removed },
    ]);
  });
});

describe("a conflict", () => {
  test("is a save without the current revision", async () => {
    const { rev } = await put("busy", { n: 1 });
    expect(await code("busy", { n: 2 })).toBe("conflict");
    expect(await code("busy", { n: 2 }, "1-0")).toBe("conflict");
    const second = await put("busy", { n: 2 }, rev);
    expect(await code("busy", { n: 3 }, rev)).toBe("conflict");
    expect(await code("nobody", { n: 1 }, rev)).toBe("conflict");
    expect((await bench.store.get(GUEST, "busy")).rev).toBe(second.rev);
  });

  test("is a second edit of the same content: two who count up must not count once", async () => {
    const { rev } = await put("counter", { n: 1 });
    const both = await Promise.all([
      codeOf(put("counter", { n: 2 }, rev)),
      codeOf(put("counter", { n: 2 }, rev)),
    ]);
    expect(both.toSorted()).toEqual(["conflict", "none"]);
    expect(await code("counter", { n: 2 }, rev)).toBe("conflict");
  });

  test("leaves one revision of many at once, whoever wins, also over two nodes", async () => {
    const node = bench.another();
    const { rev } = await put("contended", { n: 0 });
    const stores = [bench.store, node];
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        codeOf(stores[i % 2]!.put(GUEST, "contended", { n: i }, { rev })),
      ),
    );
    expect(results.filter((result) => result === "none").length).toBe(1);
    expect(new Set(results)).toEqual(new Set(["none", "conflict"]));
    const tree = (await bench.store.revisionTree("contended")) as { revisions: unknown[] };
    expect(tree.revisions.length).toBe(2);
  });

  test("of many creating one document at once leaves one", async () => {
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) => codeOf(put("created", { n: i % 2 }))),
    );
    expect(results.filter((result) => result === "none").length).toBe(1);
  });
});

describe("an edit with a name of its own", () => {
  const edit = (id: string, document: JsonObject, editId: string, rev?: string) =>
    bench.store.put(GUEST, id, document, { editId, ...(rev !== undefined && { rev }) });

  test("can be repeated after a lost answer, and makes one revision", async () => {
    const first = await edit("repeat", { n: 1 }, "e1");
    expect(await edit("repeat", { n: 1 }, "e1")).toEqual(first);
    const second = await edit("repeat", { n: 2 }, "e2", first.rev);
    await put("repeat", { n: 3 }, second.rev);
    expect(await edit("repeat", { n: 2 }, "e2", first.rev)).toEqual(second);
    const tree = (await bench.store.revisionTree("repeat")) as { revisions: unknown[] };
    expect(tree.revisions.length).toBe(3);
  });

  test("of another name, or another content, is a conflict", async () => {
    const { rev } = await edit("named", { n: 1 }, "e1");
    await edit("named", { n: 2 }, "e2", rev);
    expect(await codeOf(edit("named", { n: 2 }, "e3", rev))).toBe("conflict");
    expect(await codeOf(edit("named", { n: 5 }, "e2", rev))).toBe("conflict");
  });
});

describe("a deletion", () => {
  test("hides the document, keeps its revision, and lets it be made again", async () => {
    const { rev } = await put("gone", { a: 1, channels: ["x"] });
    const deleted = await bench.store.remove(GUEST, "gone", rev);
    expect(await codeOf(bench.store.get(GUEST, "gone"))).toBe("deleted");
    const view = await bench.store.get(GUEST, "gone", { rev: deleted.rev });
    expect(parsed(view)).toEqual({ _id: "gone", _rev: deleted.rev, _deleted: true });
    expect(bench.saved.at(-1)).toMatchObject({
      flags: EntryFlag.deleted,
      channels: [],
      removals: [
        { channel: "x", revId: deleted.rev, flags: EntryFlag.removed | EntryFlag.deleted },
      ],
    });
    expect(await codeOf(bench.store.remove(GUEST, "gone", undefined))).toBe("deleted");
    const again = await put("gone", { a: 2 });
    expect(again.rev.startsWith("3-")).toBe(true);
    expect(parsed(await bench.store.get(GUEST, "gone")).a).toBe(2);
  });

  test("needs the current revision, and a document", async () => {
    await put("stays", {});
    expect(await codeOf(bench.store.remove(GUEST, "stays", undefined))).toBe("conflict");
    expect(await codeOf(bench.store.remove(GUEST, "stays", "1-0"))).toBe("conflict");
    expect(await codeOf(bench.store.remove(GUEST, "never", undefined))).toBe("not_found");
    expect(await codeOf(bench.store.remove(GUEST, "never", "1-0"))).toBe("not_found");
  });

  test("keeps the members that it was sent with, small or large", async () => {
    for (const size of [10, 50_000]) {
      const id = `reason-${size}`;
      const { rev } = await put(id, { a: 1 });
      const why = "w".repeat(size);
      const deleted = await put(id, { _deleted: true, why, channels: ["log"] }, rev);
      const view = await bench.store.get(GUEST, id, { rev: deleted.rev });
      expect(parsed(view)).toMatchObject({ _deleted: true, why });
      expect(bench.saved.at(-1)).toMatchObject({ channels: ["log"], flags: EntryFlag.deleted });
      await put(id, { a: 2 }, deleted.rev);
      expect(parsed(await bench.store.get(GUEST, id)).a).toBe(2);
    }
  });

  test("can be the first that is heard of a document", async () => {
    await put("tombstone", { _deleted: true });
    expect(await codeOf(bench.store.get(GUEST, "tombstone"))).toBe("deleted");
    expect(await code("tombstone", { _deleted: true })).toBe("conflict");
  });
});

describe("plain data", () => {
  test("__proto__ and constructor are names like others", async () => {
    const text = '{"constructor":{"__proto__":{"x":1}},"a":{"__proto__":[1],"toString":2}}';
    const { rev } = await put("constructor", JSON.parse(text));
    const view = await bench.store.get(GUEST, "constructor");
    expect(view.json).toBe(`{"_id":"constructor","_rev":"${rev}",${text.slice(1)}`);
    const channels = ["__proto__", "constructor", "hasOwnProperty"];
    const saved = await put("toString", { channels });
    expect(bench.saved.at(-1)!.channels).toEqual(channels);
    await put("toString", {}, saved.rev);
    expect(bench.saved.at(-1)!.removals.map((removal) => removal.channel)).toEqual(channels);
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test("top-level members that start with _ are refused unless they mean something", async () => {
    expect(await code("special", { _foo: 1 })).toBe("bad_document");
    expect(await code("special", JSON.parse('{"__proto__":{"x":1}}'))).toBe("bad_document");
    expect(await code("special", { _deleted: "yes" })).toBe("bad_document");
    expect(await code("special", { _attachments: [] })).toBe("bad_document");
    expect(await code("special", { _id: "other" })).toBe("bad_document");
    expect(await code("special", { _rev: 1 })).toBe("bad_document");
    expect(await code("special", { _rev: "x-1" })).toBe("bad_revision");
    const { rev } = await put("special", { _id: "special", _conflicts: [], _local_seq: 3, a: 1 });
    expect((await bench.store.get(GUEST, "special")).json).toBe(
      `{"_id":"special","_rev":"${rev}","a":1}`,
    );
    expect(await code("special", { _rev: rev }, "1-0")).toBe("bad_revision");
  });
});

describe("document ids", () => {
  test("are refused when they can't be one", async () => {
    for (const id of ["", "_x", "_sync:foo", "_local/x", "_design", "_design/", "\ud800"]) {
      expect(await code(id, {})).toBe("bad_document_id");
      expect(await codeOf(bench.store.get(GUEST, id))).toBe("bad_document_id");
    }
    expect(await code("ü".repeat(126), {})).toBe("bad_document_id");
  });

  test("may be long, odd, or a design document's", async () => {
    for (const id of ["ü".repeat(125), "x".repeat(250), " ", "a/b?c#d", '"', "_design/app"]) {
      const { rev } = await put(id, { id });
      const second = await put(id, { id, n: 2 }, rev);
      expect(parsed(await bench.store.get(GUEST, id))).toMatchObject({ _id: id, n: 2 });
      expect(parsed(await bench.store.get(GUEST, id, { rev }))).toMatchObject({ _rev: rev });
      await bench.store.remove(GUEST, id, second.rev);
    }
  });
});

describe("limits", () => {
  test("a body over its limit is refused with the limit's name, one below is not", async () => {
    const limits = { ...DEFAULT_LIMITS, documentBytes: 100 };
    const store = bench.another({ settings: { limits } });
    const body = (bytes: number) => ({ a: "é".repeat((bytes - 8) / 2) });
    await store.put(GUEST, "fits", body(100));
    const refused = store.put(GUEST, "large", body(102));
    expect(await codeOf(refused)).toBe("too_large");
    expect(refused).rejects.toThrow("documentBytes");
    expect(await codeOf(bench.store.get(GUEST, "large"))).toBe("not_found");
  });

  test("a document nested without end is refused and harms nothing", async () => {
    const deep: JsonObject = {};
    let at = deep;
    for (let i = 0; i < 1_000_000; i++) {
      const next: JsonObject = {};
      at.a = next;
      at = next;
    }
    expect(await code("deep", deep)).toBe("too_large");
    expect(await codeOf(bench.store.get(GUEST, "deep"))).toBe("not_found");
  });

  test("history is remembered to the revision depth", async () => {
    const store = bench.another({
      settings: { limits: { ...DEFAULT_LIMITS, revisionDepth: 3 } },
    });
    let rev = (await store.put(GUEST, "stemmed", { n: 0 })).rev;
    for (let n = 1; n < 6; n++) rev = (await store.put(GUEST, "stemmed", { n, _rev: rev })).rev;
    const view = parsed(await store.get(GUEST, "stemmed", { revs: true }));
    expect(view._revisions).toMatchObject({ start: 6 });
    expect((view._revisions as { ids: string[] }).ids.length).toBe(3);
  });
});

describe("the sync function", () => {
  const withFunction = (run: SyncFunction["run"]) => bench.another({ syncFunction: { run } });

  test("gets the document as users know it, and the one before", async () => {
    const inputs: SyncInput[] = [];
    const store = withFunction((input) => {
      inputs.push({ ...input, docJson: input.docJson, oldDocJson: input.oldDocJson });
      return EMPTY_SYNC_RESULT;
    });
    const actor = { ...FREE_GUEST, name: "ann" };
    const first = await store.put(actor, "seen", { a: 1, _attachments: { f: { data: "YQ==" } } });
    await store.remove(actor, "seen", first.rev);
    const [one, two] = inputs as [SyncInput, SyncInput];
    expect(one.oldDocJson).toBeNull();
    expect(one.actor).toEqual(actor);
    expect(JSON.parse(one.docJson)).toEqual({
      _id: "seen",
      _rev: first.rev,
      _attachments: {
        f: {
          content_type: "application/octet-stream",
          revpos: 1,
          digest: "md5-DMF1ucDxtqgxw5niaXcmYQ==",
          length: 1,
          stub: true,
        },
      },
      a: 1,
    });
    expect(two.oldDocJson).toBe(one.docJson);
    expect(JSON.parse(two.docJson)).toMatchObject({ _id: "seen", _deleted: true });
  });

  test("that refuses leaves nothing behind", async () => {
    const store = withFunction(({ docJson }) => {
      if ("bad" in JSON.parse(docJson)) throw new TidegateError("forbidden", "no bad documents");
      return { ...EMPTY_SYNC_RESULT, channels: ["ok"] };
    });
    const saved = bench.saved.length;
    const refused = store.put(GUEST, "refused", { bad: 1 });
    expect(await codeOf(refused)).toBe("forbidden");
    expect(refused).rejects.toThrow("no bad documents");
    expect(await codeOf(store.get(GUEST, "refused"))).toBe("not_found");
    const { rev } = await store.put(GUEST, "refused", { good: 1 });
    expect(await codeOf(store.put(GUEST, "refused", { bad: 1, _rev: rev }))).toBe("forbidden");
    expect((await store.get(GUEST, "refused")).rev).toBe(rev);
    expect(bench.saved.length).toBe(saved + 1);
  });

  test("may answer later, and its grants are recorded in _sync", async () => {
    const store = withFunction(async () => ({
      channels: ["a"],
      access: [{ principal: "role:staff", channels: ["a", "b"] }],
      roles: [{ user: "ann", roles: ["staff"] }],
      requires: [{ kind: "admin" as const }, { kind: "user" as const, names: ["ann"] }],
    }));
    await store.put(ADMIN, "granting", {});
    const { _sync } = (await store.raw("granting")) as {
      _sync: { tree: unknown[][]; gr: unknown };
    };
    expect(_sync.gr).toEqual([
      ["role:staff", [0, "a", 0], [0, "b", 0]],
      ["user:ann", [1, "staff", 0]],
    ]);
    expect(_sync.tree[0]![3]).toEqual({
      ch: ["a"],
      acc: [["role:staff", "a", "b"]],
      rol: [["ann", "staff"]],
      req: [["admin"], ["user", "ann"]],
    });
  });

  test("by default takes a string or an array of strings", async () => {
    const channelsOf = async (id: string, channels: unknown) => {
      await put(id, { channels } as JsonObject);
      return bench.saved.at(-1)!.channels;
    };
    expect(await channelsOf("d1", "one")).toEqual(["one"]);
    expect(await channelsOf("d2", ["a", 7, "", null, "b", "a"])).toEqual(["a", "b"]);
    expect(await channelsOf("d3", { a: 1 })).toEqual([]);
    expect(await channelsOf("d4", 4)).toEqual([]);
    expect(await channelsOf("d5", "*")).toEqual(["!"]);
    await put("d6", {});
    expect(bench.saved.at(-1)!.channels).toEqual([]);
  });
});
