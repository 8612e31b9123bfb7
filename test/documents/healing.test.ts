// Healing, import, resync and purge, over the real feed of a real bucket.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { TidegateError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { DocumentWriteResult } from "../../src/bucket/bucket.ts";
import type { FeedMutation } from "../../src/bucket/feed.ts";
import { createHealer } from "../../src/documents/healer.ts";
import type { DocumentStoreHandle } from "../../src/documents/store.ts";
import { EMPTY_SYNC_RESULT, type SyncFunction } from "../../src/documents/sync-port.ts";
import { channelHash } from "../../src/index/shape.ts";
import { EntryFlag, type IndexMutation } from "../../src/index/types.ts";
import { type Bench, codeOf, GUEST, openBench, parsed } from "./harness.ts";

let bench: Bench;
beforeEach(async () => {
  bench = await openBench();
});
afterEach(() => bench.close());

/** The newest version of every key, as the feed gives them. */
async function feedOf(key?: string): Promise<FeedMutation[]> {
  const until = await bench.bucket.feed.highSeqs();
  const positions = Array.from(until, (_, vb) => ({
    vb,
    vbuuid: "0",
    seq: 0,
    snapshotStart: 0,
    snapshotEnd: 0,
  }));
  const reader = bench.bucket.feed.open(
    positions.filter(({ vb }) => until[vb]! > 0),
    { withBody: false, until },
  );
  const mutations: FeedMutation[] = [];
  for (let events = await reader.read(); events.length > 0; events = await reader.read()) {
    for (const event of events) {
      if ("key" in event && (key === undefined || event.key === key)) mutations.push(event);
    }
  }
  reader.close();
  return mutations;
}

/** A healer whose writes are kept: what the index would be told. */
function healerOf(store: DocumentStoreHandle) {
  const written: IndexMutation[] = [];
  const healer = createHealer({
    context: store.context,
    writer: {
      async write(mutation, healing) {
        expect(healing).toBe(true);
        written.push(mutation);
      },
    },
  });
  return { written, heal: (mutations: FeedMutation[]) => healer.heal(mutations) };
}

/** What another program does to the bucket: a write that knows nothing of `_sync`. */
function foreignWrite(key: string, body: string | null, cas = 0n): Promise<DocumentWriteResult> {
  const bytes = body === null ? null : new TextEncoder().encode(body);
  return bench.bucket.documents.write({ key, cas, body: bytes, xattrs: {}, macros: [] });
}

async function foreignChange(key: string, body: string | null): Promise<void> {
  const item = await bench.bucket.documents.get(key);
  expect((await foreignWrite(key, body, item?.cas ?? 0n)).ok).toBe(true);
}

describe("healing", () => {
  test("writes from _sync alone what the save said", async () => {
    const first = await bench.store.put(GUEST, "h", { channels: ["a", "b"] });
    await bench.store.put(GUEST, "h", { channels: ["b", "c"], _rev: first.rev });
    const { heal, written } = healerOf(bench.store);
    const hashes = await heal(await feedOf("h"));
    expect(written).toEqual([bench.saved.at(-1)!]);
    expect(hashes).toEqual([["b", "c", "a"].map(channelHash)]);
  });

  test("a later save that left channels alone still carries the removals before it", async () => {
    let { rev } = await bench.store.put(GUEST, "h", { channels: ["a"] });
    ({ rev } = await bench.store.put(GUEST, "h", { channels: ["b"], _rev: rev }));
    const left = bench.saved.at(-1)!;
    await bench.store.put(GUEST, "h", { channels: ["b"], n: 1, _rev: rev });
    const { heal, written } = healerOf(bench.store);
    await heal(await feedOf("h"));
    expect(written[0]!.removals).toEqual([
      { channel: "a", seq: left.seq, revId: left.revId, flags: EntryFlag.removed },
    ]);
  });

  test("of a deletion works on the tombstone", async () => {
    const { rev } = await bench.store.put(GUEST, "h", { channels: ["a"] });
    await bench.store.remove(GUEST, "h", rev);
    const { heal, written } = healerOf(bench.store);
    await heal(await feedOf("h"));
    expect(written).toEqual([bench.saved.at(-1)!]);
    expect(written[0]!.removals[0]!.channel).toBe("a");
  });

  test("lets pass what is no document, and records what has no revision", async () => {
    await foreignWrite("_sync:state", "{}");
    await foreignWrite("binary", "\u0001not json");
    await foreignWrite("list", "[1,2]");
    await foreignWrite("pretender", '{"_rev":"9-z"}');
    const kept = await bench.store.put(GUEST, "purged", { channels: ["a"] });
    await bench.store.purge(new Map([["purged", [kept.rev]]]));
    const { heal, written } = healerOf(bench.store);
    const mutations = await feedOf();
    const answers = await heal(mutations);
    expect(answers).toEqual(mutations.map(() => []));
    expect(written.map((m) => m.docId).toSorted()).toEqual([
      "binary",
      "list",
      "pretender",
      "purged",
    ]);
    for (const mutation of written) {
      expect(mutation).toMatchObject({ revId: "", channels: [], removals: [], supersedes: 0 });
    }
    expect(written.find((m) => m.docId === "purged")).toEqual(bench.saved.at(-1)!);
    expect(await codeOf(bench.store.get(GUEST, "list"))).toBe("not_found");
    expect(await codeOf(bench.store.put(GUEST, "list", {}))).toBe("conflict");
  });

  test("a document whose metadata is broken stops nobody else", async () => {
    await bench.bucket.documents.write({
      key: "broken",
      cas: 0n,
      body: new TextEncoder().encode("{}"),
      xattrs: { _sync: { v: 1, tree: 7 } },
      macros: [],
    });
    await bench.store.put(GUEST, "fine", { channels: ["a"] });
    const { heal, written } = healerOf(bench.store);
    await heal(await feedOf());
    expect(written.map((m) => [m.docId, m.revId === ""]).toSorted()).toEqual([
      ["broken", true],
      ["fine", false],
    ]);
    expect(await codeOf(bench.store.get(GUEST, "broken"))).toBe("corrupt");
    const bulk = await bench.store.bulk(GUEST, [{ _id: "broken" }, { _id: "other" }]);
    expect(bulk.map((row) => "ok" in row)).toEqual([false, true]);
    const rows: string[] = [];
    for await (const page of bench.store.allDocs(GUEST, {})) rows.push(...page);
    expect(rows.map((row) => JSON.parse(row).error ?? "ok")).toEqual(["corrupt", "ok", "ok"]);
    expect(await bench.store.resync()).toEqual({ checked: 2, changed: 0 });
  });
});

describe("import", () => {
  test("gives what another program wrote a revision, once, however many do it", async () => {
    await foreignWrite("imp", ' { "channels" : ["a"], "n":1e0 }\n');
    const mutations = await feedOf("imp");
    const stores = [bench.store, bench.another(), bench.another()];
    const answers = await Promise.all([
      ...stores.map((store) => healerOf(store).heal(mutations)),
      ...stores.map((store) => store.get(GUEST, "imp")),
    ]);
    expect(answers.slice(0, 3)).toEqual([["imported"], ["imported"], ["imported"]]);
    expect(bench.saved.length).toBe(1);
    expect(bench.saved[0]).toMatchObject({ docId: "imp", channels: ["a"], supersedes: 0 });
    const view = await bench.store.get(GUEST, "imp", { revs: true });
    expect(parsed(view)).toMatchObject({ _id: "imp", n: 1, _revisions: { start: 1 } });
    const { heal, written } = healerOf(bench.store);
    await heal(await feedOf("imp"));
    expect(written).toEqual(bench.saved);
  });

  test("of a changed document is a child of its winner", async () => {
    const { rev } = await bench.store.put(GUEST, "imp", {
      channels: ["a"],
      _attachments: { f: { data: "QQ==" } },
    });
    const own = bench.saved.at(-1)!;
    await foreignChange("imp", '{"channels":["b"]}');
    expect(await healerOf(bench.store).heal(await feedOf("imp"))).toEqual(["imported"]);
    const view = parsed(await bench.store.get(GUEST, "imp", { revs: true, attachments: true }));
    expect(view._revisions).toMatchObject({ start: 2, ids: [expect.any(String), rev.slice(2)] });
    expect(view._attachments).toMatchObject({ f: { data: "QQ==" } });
    expect(bench.saved.at(-1)).toMatchObject({ supersedes: own.seq, channels: ["b"] });
    expect(bench.saved.at(-1)!.removals.map((r) => r.channel)).toEqual(["a"]);
    // The body of the revision that was written over is gone, and not mixed up with the new one.
    await bench.store.idle();
    expect(await codeOf(bench.store.get(GUEST, "imp", { rev }))).toBe("not_found");
  });

  test("happens on the way of a save: the client's revision is not current any more", async () => {
    const { rev } = await bench.store.put(GUEST, "imp", { n: 1 });
    await foreignChange("imp", '{"n":2}');
    expect(await codeOf(bench.store.put(GUEST, "imp", { n: 3, _rev: rev }))).toBe("conflict");
    const now = await bench.store.get(GUEST, "imp");
    expect(parsed(now).n).toBe(2);
    await bench.store.put(GUEST, "imp", { n: 3, _rev: now.rev });
    expect(bench.saved.length).toBe(3);
  });

  test("of a deletion makes a deleted revision", async () => {
    const { rev } = await bench.store.put(GUEST, "imp", { channels: ["a"] });
    await foreignChange("imp", null);
    expect(await healerOf(bench.store).heal(await feedOf("imp"))).toEqual(["imported"]);
    expect(await codeOf(bench.store.get(GUEST, "imp"))).toBe("deleted");
    const [leaf] = (await bench.store.leaves(["imp"]))[0]!;
    expect(leaf).toMatchObject({ deleted: true });
    expect(leaf!.rev.startsWith("2-")).toBe(true);
    expect(leaf!.rev).not.toBe(rev);
    expect(bench.saved.at(-1)).toMatchObject({ flags: EntryFlag.deleted });
  });

  test("of a touch alone keeps the revision and only writes it anew", async () => {
    const body = { n: 1, channels: ["a"] };
    const { rev } = await bench.store.put(GUEST, "imp", body);
    const own = bench.saved.at(-1)!;
    await foreignChange("imp", JSON.stringify(body));
    expect(await healerOf(bench.store).heal(await feedOf("imp"))).toEqual(["imported"]);
    expect(bench.saved.at(-1)).toMatchObject({ revId: rev, supersedes: own.seq });
    expect((await bench.store.get(GUEST, "imp")).rev).toBe(rev);
  });

  test("that the sync function refuses is in no channel, and the clock can pass", async () => {
    const store = bench.another({
      syncFunction: {
        run() {
          throw new TidegateError("forbidden", "no");
        },
      },
    });
    await foreignWrite("imp", '{"channels":["a"]}');
    expect(await healerOf(store).heal(await feedOf("imp"))).toEqual(["imported"]);
    expect(bench.saved.at(-1)).toMatchObject({ docId: "imp", channels: [] });
  });

  test("is seen by lists too", async () => {
    await foreignWrite("imp", '{"n":1}');
    const rows: string[] = [];
    for await (const page of bench.store.allDocs(GUEST, { includeDocs: true })) rows.push(...page);
    expect(JSON.parse(rows[0]!)).toMatchObject({ id: "imp", doc: { n: 1 } });
    const diff = await bench.store.revsDiff(GUEST, new Map([["imp", ["2-x"]]]));
    expect(diff.get("imp")!.possibleAncestors.length).toBe(1);
  });
});

describe("resync", () => {
  const byField =
    (field: string): SyncFunction["run"] =>
    ({ docJson }) => {
      const value = (JSON.parse(docJson) as JsonObject)[field];
      if (value === "refuse") throw new TidegateError("forbidden", "no");
      return { ...EMPTY_SYNC_RESULT, channels: typeof value === "string" ? [value] : [] };
    };

  test("puts every document where the new function says, with the same revisions", async () => {
    const old = bench.another({ syncFunction: { run: byField("a") } });
    const moved = await old.put(GUEST, "moved", { a: "x", b: "y" });
    await old.put(GUEST, "stays", { a: "x", b: "x" });
    await old.put(GUEST, "refused", { a: "x", b: "refuse" });
    const dead = await old.put(GUEST, "dead", { a: "x" });
    await old.put(GUEST, "dead", { _deleted: true, a: "x", b: "y", _rev: dead.rev });
    for (const rev of ["1-a", "1-b"]) {
      await old.put(GUEST, "forked", { _rev: rev, a: "x", b: rev }, { newEdits: false });
    }
    const before = new Map(bench.saved.map((mutation) => [mutation.docId, mutation]));
    const count = bench.saved.length;
    const store = bench.another({ syncFunction: { run: byField("b") } });
    expect(await store.resync()).toEqual({ checked: 5, changed: 4 });
    const changed = new Map(bench.saved.slice(count).map((m) => [m.docId, m]));
    expect([...changed.keys()].toSorted()).toEqual(["dead", "forked", "moved", "refused"]);
    for (const [id, mutation] of changed) {
      const was = before.get(id)!;
      expect(mutation).toMatchObject({ revId: was.revId, supersedes: was.seq, flags: was.flags });
      expect(mutation.removals.map((r) => r.channel)).toEqual(["x"]);
    }
    expect(changed.get("moved")).toMatchObject({ channels: ["y"], revId: moved.rev });
    expect(changed.get("dead")!.channels).toEqual(["y"]);
    expect(changed.get("forked")!.channels).toEqual(["1-b"]);
    expect(changed.get("refused")!.channels).toEqual([]);
    expect(parsed(await store.get(GUEST, "forked", { rev: "1-a" }))).toMatchObject({ b: "1-a" });
    // The other leaf has its new channels, too: they count as soon as it wins.
    await store.purge(new Map([["forked", ["1-b"]]]));
    expect(bench.saved.at(-1)).toMatchObject({ revId: "1-a", channels: ["1-a"] });
    expect(await store.resync()).toEqual({ checked: 5, changed: 0 });
    expect(await bench.another({ syncFunction: { run: byField("b") } }).count()).toBe(4);
  });

  test("of an empty database has nothing to do", async () => {
    expect(await bench.store.resync()).toEqual({ checked: 0, changed: 0 });
  });
});

describe("purge", () => {
  test("removes a document without a trace", async () => {
    const first = await bench.store.put(GUEST, "p", {
      channels: ["a"],
      _attachments: { f: { data: "QQ==" } },
    });
    await bench.store.put(GUEST, "p", { n: 2, _rev: first.rev });
    await bench.store.put(GUEST, "p", { _rev: "2-0", n: 3 }, { newEdits: false });
    await bench.store.idle();
    expect((await bench.bucket.metadata.keys("d:", { limit: 100 })).length).toBeGreaterThan(2);
    const purged = await bench.store.purge(
      new Map([
        ["p", ["*"]],
        ["none", ["*"]],
      ]),
    );
    expect([...purged.keys()]).toEqual(["p"]);
    expect(purged.get("p")!.length).toBe(2);
    expect(await codeOf(bench.store.get(GUEST, "p"))).toBe("not_found");
    expect(await codeOf(bench.store.get(GUEST, "p", { rev: first.rev }))).toBe("not_found");
    expect(await bench.store.leaves(["p"])).toEqual([undefined]);
    expect(await bench.bucket.metadata.keys("d:", { limit: 100 })).toEqual([]);
    const again = await bench.store.put(GUEST, "p", { channels: ["a"] });
    expect(again.rev.startsWith("1-")).toBe(true);
    expect(bench.saved.at(-1)).toMatchObject({ supersedes: 0 });
  });

  test("of one leaf gives the document back to the others", async () => {
    for (const rev of ["2-a", "2-b", "2-c"]) {
      const document = { _rev: rev, v: rev, channels: [rev] };
      await bench.store.put(GUEST, "p", document, { newEdits: false });
    }
    const purged = await bench.store.purge(new Map([["p", ["2-c", "7-none"]]]));
    expect([...purged]).toEqual([["p", ["2-c"]]]);
    expect(parsed(await bench.store.get(GUEST, "p"))).toMatchObject({ _rev: "2-b", v: "2-b" });
    expect(bench.saved.at(-1)).toMatchObject({ revId: "2-b", channels: ["2-b"] });
    expect(await codeOf(bench.store.get(GUEST, "p", { rev: "2-c" }))).toBe("not_found");
    expect(parsed(await bench.store.get(GUEST, "p", { rev: "2-a" }))).toMatchObject({ v: "2-a" });
    expect(await bench.store.purge(new Map([["p", ["2-c"]]]))).toEqual(new Map());
    await bench.store.purge(new Map([["p", ["2-b", "2-a"]]]));
    expect(await codeOf(bench.store.get(GUEST, "p"))).toBe("not_found");
  });
});

describe("the admin's views", () => {
  test("show body, metadata and tree as they are", async () => {
    const { rev } = await bench.store.put(GUEST, "v", { n: 1, channels: ["a"] });
    expect(await bench.store.raw("v")).toMatchObject({ _id: "v", n: 1, _sync: { v: 1 } });
    expect(await bench.store.revisionTree("v")).toEqual({
      id: "v",
      winner: rev,
      leaves: [rev],
      revisions: [{ rev, parent: null, deleted: false, leaf: true, channels: ["a"] }],
    });
    expect(await codeOf(bench.store.raw("none"))).toBe("not_found");
    expect(await codeOf(bench.store.revisionTree("none"))).toBe("not_found");
  });
});
