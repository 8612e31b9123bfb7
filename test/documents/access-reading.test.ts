// Reading one document by access: its winner, its revisions, its attachments, and what may be known
// of the rest. What does not live here: lists, and who sees which channel.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { fixedAccess } from "../../src/access/types.ts";
import type { JsonObject } from "../../src/base/json.ts";
import {
  type Actor,
  ADMIN,
  type BulkGetItem,
  type GetOptions,
  type OpenRevision,
} from "../../src/documents/types.ts";
import { type Bench, codeOf, openBench, parsed } from "./harness.ts";

/** A user who sees `channels`. */
function user(name: string, ...channels: string[]): Actor {
  return { name, admin: false, access: fixedAccess(channels) };
}

const alice = user("alice", "A");
const bob = user("bob", "B");
const nobody = user("nobody");
const star = user("star", "*");

const SECRET = Buffer.from("the secret bytes");

let bench: Bench;
beforeEach(async () => {
  bench = await openBench();
});
afterEach(() => bench.close());

async function put(id: string, document: JsonObject, actor: Actor = ADMIN): Promise<string> {
  return (await bench.store.put(actor, id, document)).rev;
}

async function get(actor: Actor, id: string, options?: GetOptions): Promise<JsonObject> {
  return parsed(await bench.store.get(actor, id, options));
}

function shown(line: OpenRevision): unknown {
  return "ok" in line ? parsed(line.ok) : line;
}

/** A leaf beside the winner or in its place, with a history of its own. */
async function addLeaf(id: string, rev: string, document: JsonObject): Promise<void> {
  await bench.store.put(ADMIN, id, { ...document, _rev: rev }, { newEdits: false });
}

/** A document that was in A, with an attachment, and is in B now. Gives both revisions. */
async function moved(id: string): Promise<[first: string, second: string]> {
  const _attachments = { file: { content_type: "text/plain", data: SECRET.toString("base64") } };
  const first = await put(id, { channels: ["A"], n: 1, _attachments });
  const stubs = { file: { stub: true, content_type: "text/plain" } };
  const second = await put(id, { _rev: first, channels: ["B"], n: 2, _attachments: stubs });
  return [first, second];
}

describe("the winner", () => {
  test("is read by who sees one of its channels, and by nobody else", async () => {
    await put("d", { channels: ["A", "C"], text: "x" });
    expect(await get(alice, "d")).toMatchObject({ text: "x" });
    expect(await get(star, "d")).toMatchObject({ text: "x" });
    expect(await codeOf(get(bob, "d"))).toBe("forbidden");
    expect(await codeOf(get(nobody, "d"))).toBe("forbidden");
    expect(await codeOf(get(bob, "not there"))).toBe("not_found");
  });

  test("without channels is read by administrators and by `*` alone; in `!` by all", async () => {
    await put("none", { text: "x" });
    expect(await codeOf(get(alice, "none"))).toBe("forbidden");
    expect(await get(ADMIN, "none")).toMatchObject({ text: "x" });
    expect(await get(star, "none")).toMatchObject({ text: "x" });
    await put("public", { channels: ["!"], text: "y" });
    expect(await get(nobody, "public")).toMatchObject({ text: "y" });
  });

  test("that is deleted is `deleted` for who could know, and simply missing for others", async () => {
    const rev = await put("d", { channels: ["A"] });
    await bench.store.remove(ADMIN, "d", rev);
    expect(await codeOf(get(ADMIN, "d"))).toBe("deleted");
    expect(await codeOf(get(alice, "d"))).toBe("deleted");
    expect(await codeOf(get(bob, "d"))).toBe("not_found");
  });
});

describe("a named revision", () => {
  test("that was superseded is read by its own channels, not by the winner's", async () => {
    const [first, second] = await moved("d");
    expect(await get(alice, "d", { rev: first })).toMatchObject({ n: 1 });
    expect(await codeOf(get(bob, "d", { rev: first }))).toBe("not_found");
    expect(await get(bob, "d", { rev: second })).toMatchObject({ n: 2 });
    expect(await codeOf(get(alice, "d"))).toBe("forbidden");
    expect(await codeOf(get(nobody, "d", { rev: first }))).toBe("forbidden");
    expect(await codeOf(get(nobody, "d", { rev: second }))).toBe("forbidden");
  });

  test("kept by an older version without its channels is for administrators", async () => {
    const [first] = await moved("d");
    const [key] = await bench.bucket.metadata
      .keys("d:", { limit: 10 })
      .then((keys) => keys.filter((one) => one.endsWith(`:o${first}`)));
    const stored = await bench.bucket.metadata.get(key as string);
    const text = Buffer.from(stored?.value as Uint8Array).toString();
    const value = Buffer.from(text.replace(/"ch":\["A"\],?/, ""));
    expect(value.length).toBeLessThan(text.length);
    await bench.bucket.metadata.batch([{ op: "upsert", key: key as string, value }]);
    expect(await get(ADMIN, "d", { rev: first })).toMatchObject({ n: 1 });
    expect(await get(alice, "d", { rev: first }).catch(() => "hidden")).toBe("hidden");
  });

  test("with which the document left a channel says only that, with its history", async () => {
    const [first, second] = await moved("d");
    const removal = await get(alice, "d", { rev: second, revs: true });
    expect(removal).toEqual({
      _id: "d",
      _rev: second,
      _removed: true,
      _revisions: { start: 2, ids: [second.slice(2), first.slice(2)] },
    });
    const third = await put("d", { _rev: second, channels: ["C"], n: 3 });
    // Alice heard of the second; of what came after she hears nothing.
    expect(await get(alice, "d", { rev: second })).toMatchObject({ _removed: true });
    expect(await codeOf(get(alice, "d", { rev: third }))).toBe("forbidden");
    expect(await get(bob, "d", { rev: third })).toEqual({ _id: "d", _rev: third, _removed: true });
  });

  test("of a deletion that left is told as a deletion", async () => {
    const first = await put("d", { channels: ["A"], text: "x" });
    const { rev } = await bench.store.remove(ADMIN, "d", first);
    const gone = { _id: "d", _rev: rev, _deleted: true, _removed: true };
    expect(await get(alice, "d", { rev })).toEqual(gone);
    expect(await codeOf(get(bob, "d", { rev }))).toBe("not_found");
  });

  test("of a leaf that is hidden is as if it were not there", async () => {
    await put("d", { channels: ["A"], text: "mine" });
    await addLeaf("d", "1-00000000000000000000000000000000", { channels: ["B"], text: "theirs" });
    const hidden = codeOf(get(alice, "d", { rev: "1-00000000000000000000000000000000" }));
    const absent = codeOf(get(alice, "d", { rev: "1-11111111111111111111111111111111" }));
    expect([await hidden, await absent]).toEqual(["not_found", "not_found"]);
    const stranger = codeOf(get(nobody, "d", { rev: "1-00000000000000000000000000000000" }));
    const guess = codeOf(get(nobody, "d", { rev: "1-11111111111111111111111111111111" }));
    expect([await stranger, await guess]).toEqual(["forbidden", "forbidden"]);
  });

  test("with `latest` becomes a newer leaf only when that may be read", async () => {
    const first = await put("d", { channels: ["A"], n: 1 });
    const second = await put("d", { _rev: first, channels: ["B"], n: 2 });
    expect(await get(alice, "d", { rev: first, latest: true })).toMatchObject({ n: 1 });
    expect(await get(bob, "d", { rev: first, latest: true })).toMatchObject({ n: 2, _rev: second });
  });
});

describe("what stands beside a revision", () => {
  test("conflicts that are hidden are not named", async () => {
    const winner = await put("d", { channels: ["A"] });
    const second = await put("d", { _rev: winner, channels: ["A"] });
    const hidden = "1-00000000000000000000000000000000";
    const seen = "1-11111111111111111111111111111111";
    await addLeaf("d", hidden, { channels: ["B"] });
    await addLeaf("d", seen, { channels: ["A"] });
    await addLeaf("d", "2-22222222222222222222222222222222", { channels: ["B"], _deleted: true });
    const options = { conflicts: true, deletedConflicts: true };
    expect(await get(alice, "d", options)).toEqual({
      _id: "d",
      _rev: second,
      _conflicts: [seen],
      channels: ["A"],
    });
    const all = await get(ADMIN, "d", options);
    expect(all._conflicts).toEqual([seen, hidden]);
    expect(all._deleted_conflicts).toHaveLength(1);
  });

  test("`_revs_info` calls nothing available that might not be", async () => {
    const first = await put("d", { channels: ["B"] });
    const second = await put("d", { _rev: first, channels: ["A"] });
    const info = (status: string) => [
      { rev: second, status: "available" },
      { rev: first, status },
    ];
    expect((await get(alice, "d", { revsInfo: true }))._revs_info).toEqual(info("missing"));
    expect((await get(star, "d", { revsInfo: true }))._revs_info).toEqual(info("available"));
  });
});

describe("open revisions", () => {
  test("`all` has the leaves that may be read, or are known to have left", async () => {
    await put("d", { channels: ["A"], text: "mine" });
    await addLeaf("d", "1-00000000000000000000000000000000", { channels: ["B"], text: "theirs" });
    const of = async (actor: Actor) =>
      (await bench.store.openRevisions(actor, "d", "all")).map(shown);
    expect(await of(alice)).toMatchObject([{ text: "mine" }]);
    expect(await of(bob)).toMatchObject([{ text: "theirs" }]);
    expect(await of(star)).toHaveLength(2);
    expect(await codeOf(of(nobody))).toBe("forbidden");
    const [, second] = await moved("e");
    const left = (await bench.store.openRevisions(alice, "e", "all")).map(shown);
    expect(left).toEqual([{ _id: "e", _rev: second, _removed: true }]);
  });

  test("a list tells hidden from missing to nobody", async () => {
    const [first, second] = await moved("d");
    const guess = "2-00000000000000000000000000000000";
    const asked = [first, second, guess];
    const of = async (actor: Actor) =>
      (await bench.store.openRevisions(actor, "d", asked)).map(shown);
    expect(await of(alice)).toMatchObject([{ n: 1 }, { _removed: true }, { missing: guess }]);
    expect(await of(bob)).toMatchObject([{ missing: first }, { n: 2 }, { missing: guess }]);
    expect(await of(nobody)).toEqual(asked.map((rev) => ({ missing: rev })));
  });
});

test("`_bulk_get` gives each item by its revision's channels", async () => {
  const [first, second] = await moved("d");
  const guess = "2-00000000000000000000000000000000";
  const items: BulkGetItem[] = [
    { id: "d" },
    { id: "d", rev: first },
    { id: "d", rev: second },
    { id: "d", rev: guess },
    { id: "gone" },
  ];
  const of = async (actor: Actor) => {
    const rows: unknown[] = [];
    for await (const row of bench.store.bulkGet(actor, items, { revs: true })) {
      rows.push("ok" in row ? parsed(row.ok) : row.error);
    }
    return rows;
  };
  const missing = "not_found";
  expect(await of(alice)).toMatchObject([
    "forbidden",
    { n: 1 },
    { _removed: true, _revisions: { start: 2 } },
    "forbidden",
    missing,
  ]);
  expect(await of(bob)).toMatchObject([{ n: 2 }, missing, { n: 2 }, missing, missing]);
  expect(await of(nobody)).toEqual([...new Array(4).fill("forbidden"), missing]);
});

describe("attachments", () => {
  test("are read with their revision, or not at all", async () => {
    const [first, second] = await moved("d");
    const { store } = bench;
    const read = async (actor: Actor, rev?: string) =>
      Buffer.from((await store.getAttachment(actor, "d", "file", rev)).data).toString();
    expect(await read(bob)).toBe(SECRET.toString());
    expect(await read(alice, first)).toBe(SECRET.toString());
    expect(await codeOf(read(alice))).toBe("forbidden");
    expect(await codeOf(read(alice, second))).toBe("forbidden");
    expect(await codeOf(read(bob, first))).toBe("not_found");
    expect(await codeOf(read(nobody, first))).toBe("forbidden");
    expect(await codeOf(store.attachmentsOf(alice, "d", second))).toBe("forbidden");
    expect(await store.attachmentsOf(bob, "d", second)).toHaveLength(1);
  });

  test("of a hidden revision can't be carried into a channel of the writer's by a stub", async () => {
    const [, second] = await moved("d");
    const { digest } = await bench.store.getAttachment(bob, "d", "file");
    const stolen = { file: { stub: true, digest, content_type: "text/plain", revpos: 1 } };
    const theft = { channels: ["mine"], _attachments: stolen };
    const thief = user("thief", "mine");
    expect(await codeOf(put("d", { ...theft, _rev: second }, thief))).toBe("missing_stub");
    const replicated = bench.store.put(
      thief,
      "d",
      {
        ...theft,
        _revisions: { start: 3, ids: ["00000000000000000000000000000000", second.slice(2)] },
      },
      { newEdits: false },
    );
    expect(await codeOf(replicated)).toBe("missing_stub");
    // Who may read it may keep it.
    expect(await put("d", { ...theft, channels: ["B"], _rev: second }, bob)).toStartWith("3-");
  });

  test("of a superseded revision that is hidden can't, either", async () => {
    const [first, second] = await moved("d");
    const { digest } = await bench.store.getAttachment(bob, "d", "file");
    await put("d", { _rev: second, channels: ["B"] });
    const branch = (actor: Actor, end: string) =>
      bench.store.put(
        actor,
        "d",
        {
          channels: ["mine"],
          _attachments: { file: { stub: true, digest, content_type: "text/plain", revpos: 1 } },
          _revisions: { start: 2, ids: [end.repeat(32), first.slice(2)] },
        },
        { newEdits: false },
      );
    expect(await codeOf(branch(bob, "b"))).toBe("missing_stub");
    expect(await codeOf(branch(alice, "a"))).toBe("none");
  });

  test("are set and removed only on a revision that may be read", async () => {
    const [, second] = await moved("d");
    const { store } = bench;
    const set = store.putAttachment(alice, "d", "file", second, "text/plain", SECRET);
    expect(await codeOf(set)).toBe("forbidden");
    expect(await codeOf(store.removeAttachment(alice, "d", "file", second))).toBe("forbidden");
    expect(await codeOf(store.removeAttachment(alice, "d", "other", second))).toBe("forbidden");
    expect(await codeOf(store.removeAttachment(bob, "d", "file", second))).toBe("none");
  });
});

describe("writing", () => {
  test("a document that is hidden takes its right revision, and tells of it only that it is there", async () => {
    const rev = await put("d", { channels: ["A"], text: "x" });
    const blind = await bench.store.put(bob, "d", { channels: ["B"] }).catch((error) => error);
    expect(blind).toMatchObject({ code: "conflict" });
    expect(blind.message).not.toContain(rev);
    const wrong = { _rev: "1-00000000000000000000000000000000", channels: ["B"] };
    expect(await codeOf(put("d", wrong, bob))).toBe("conflict");
    expect(await put("d", { _rev: rev, channels: ["B"] }, bob)).toStartWith("2-");
  });
});
