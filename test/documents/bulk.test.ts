// Many documents at once: _bulk_docs, _bulk_get, _all_docs.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { JsonObject } from "../../src/base/json.ts";
import type { AllDocsOptions, BulkGetItem, GetOptions } from "../../src/documents/types.ts";
import { type Bench, codeOf, GUEST, openBench, parsed } from "./harness.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());

describe("_bulk_docs", () => {
  test("saves each document by itself and answers in their order", async () => {
    const { rev } = await bench.store.put(GUEST, "b1", { n: 1 });
    const answer = await bench.store.bulk(GUEST, [
      { _id: "b0", n: 1 },
      { _id: "b1", n: 2 },
      { _id: "b1", n: 2, _rev: rev },
      { _id: "_bad" },
      { _id: "b2", _bad: 1 },
      { n: "no id" },
      { _id: "b3", _deleted: true },
      7 as unknown as JsonObject,
    ]);
    expect(answer.map((row) => ("ok" in row ? row.rev.slice(0, 2) : row.status))).toEqual([
      "1-",
      409,
      "2-",
      400,
      400,
      "1-",
      "1-",
      400,
    ]);
    expect(answer[1]).toMatchObject({ id: "b1", error: "conflict", status: 409 });
    expect(answer[3]).toMatchObject({ id: "_bad", error: "illegal_docid" });
    expect(answer[4]).toMatchObject({ id: "b2", error: "doc_validation" });
    expect(answer[5]!.id).toMatch(/^[0-9a-f]{32}$/);
  });

  test("keeps the order of one document's edits", async () => {
    const push = (n: number) => ({
      _id: "ordered",
      n,
      _revisions: { start: n, ids: Array.from({ length: n }, (_, i) => `r${n - i}`) },
    });
    const revs = Array.from({ length: 30 }, (_, i) => push(i + 1));
    const answer = await bench.store.bulk(GUEST, revs, { newEdits: false });
    expect(answer.map((row) => "ok" in row && row.rev)).toEqual(revs.map(({ n }) => `${n}-r${n}`));
    const saved = bench.saved.filter((mutation) => mutation.docId === "ordered");
    expect(saved.map((mutation) => mutation.revId)).toEqual(revs.map(({ n }) => `${n}-r${n}`));
    const seqs = saved.map((mutation) => mutation.seq);
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    expect(saved.map((mutation) => mutation.supersedes)).toEqual([0, ...seqs.slice(0, -1)]);
  });

  test("shares its waits: 500 documents take far fewer group commits than documents", async () => {
    const groups = () => bench.bucket.stats().documents_groups!;
    const before = groups();
    const documents = Array.from({ length: 500 }, (_, i) => ({ _id: `many-${i}`, n: i }));
    const answer = await bench.store.bulk(GUEST, documents);
    expect(answer.every((row) => "ok" in row)).toBe(true);
    expect(groups()).toBeGreaterThan(before);
    expect(groups() - before).toBeLessThan(50);
  });
});

describe("_bulk_get", () => {
  const read = async (items: BulkGetItem[], options?: GetOptions) => {
    const rows: unknown[] = [];
    for await (const row of bench.store.bulkGet(GUEST, items, options)) {
      rows.push("ok" in row ? row.ok.rev : `${row.error} ${row.reason}`);
    }
    return rows;
  };

  test("answers each item in its order, errors in their place", async () => {
    const first = await bench.store.put(GUEST, "g1", { n: 1 });
    const second = await bench.store.put(GUEST, "g1", { n: 2, _rev: first.rev });
    await bench.store.idle();
    const other = await bench.store.put(GUEST, "g2", {});
    const dead = await bench.store.remove(GUEST, "g2", other.rev);
    expect(
      await read([
        { id: "g1" },
        { id: "none" },
        { id: "g1", rev: first.rev },
        { id: "g1", rev: "7-x" },
        { id: "g2" },
        { id: "g2", rev: dead.rev },
        { id: "_bad" },
        { id: "g1", rev: "bad" },
      ]),
    ).toEqual([
      second.rev,
      "not_found missing",
      first.rev,
      "not_found missing",
      "not_found deleted",
      dead.rev,
      expect.stringContaining("illegal_docid"),
      expect.stringContaining("bad_request"),
    ]);
    expect(await read([{ id: "g1", rev: first.rev }], { latest: true })).toEqual([second.rev]);
  });

  test("reads a thousand documents page by page", async () => {
    const documents = Array.from({ length: 1000 }, (_, i) => ({ _id: `page-${i}`, n: i }));
    const saved = await bench.store.bulk(GUEST, documents);
    const items = documents.map(({ _id }) => ({ id: _id }));
    expect(await read(items)).toEqual(saved.map((row) => ("ok" in row ? row.rev : "failed")));
  });
});

describe("_all_docs", () => {
  const IDS = ["a", "b", "c", "d", "Ä", "ü", "😀", "_design/x"];
  let lister: Bench;
  const list = async (options: AllDocsOptions) => {
    const rows: JsonObject[] = [];
    for await (const page of lister.store.allDocs(GUEST, options)) {
      for (const row of page) rows.push(JSON.parse(row) as JsonObject);
    }
    return rows;
  };
  const ids = async (options: AllDocsOptions) => (await list(options)).map((row) => row.id ?? null);

  beforeAll(async () => {
    lister = await openBench();
    for (const id of IDS) await lister.store.put(GUEST, id, { id });
    const { rev } = await lister.store.put(GUEST, "bb-deleted", {});
    await lister.store.remove(GUEST, "bb-deleted", rev);
    await lister.bucket.documents.write({
      key: "_sync:system",
      cas: 0n,
      body: new TextEncoder().encode("{}"),
      xattrs: {},
      macros: [],
    });
  });
  afterAll(() => lister.close());

  test("lists live documents in byte order, and no system key", async () => {
    expect(await ids({})).toEqual(["_design/x", "a", "b", "c", "d", "Ä", "ü", "😀"]);
    expect(await lister.store.count()).toBe(8);
    const [row] = await list({ startKey: "a", limit: 1 });
    const { rev } = await lister.store.get(GUEST, "a");
    expect(row).toEqual({ id: "a", key: "a", value: { rev } });
  });

  test("takes ranges, both ways, with skip and limit", async () => {
    expect(await ids({ startKey: "b", endKey: "d" })).toEqual(["b", "c", "d"]);
    expect(await ids({ startKey: "b", endKey: "d", inclusiveEnd: false })).toEqual(["b", "c"]);
    expect(await ids({ startKey: "d", endKey: "b", descending: true })).toEqual(["d", "c", "b"]);
    expect(await ids({ descending: true, limit: 2 })).toEqual(["😀", "ü"]);
    expect(await ids({ startKey: "a", skip: 1, limit: 2 })).toEqual(["b", "c"]);
    expect(await ids({ limit: 0 })).toEqual([]);
    expect(await ids({ skip: 100 })).toEqual([]);
    expect(await ids({ startKey: "x", endKey: "b" })).toEqual([]);
  });

  test("includes documents, with their conflicts", async () => {
    const id = "e-conflict";
    for (const rev of ["1-a", "1-b"]) {
      await lister.store.put(GUEST, id, { _rev: rev, v: rev }, { newEdits: false });
    }
    const range = { startKey: id, endKey: id, includeDocs: true };
    expect((await list(range))[0]!.doc).toEqual({ _id: id, _rev: "1-b", v: "1-b" });
    expect((await list({ ...range, conflicts: true }))[0]!.doc).toMatchObject({
      _conflicts: ["1-a"],
    });
    await lister.store.purge(new Map([[id, ["*"]]]));
  });

  test("of keys has a row for each: documents, deletions, errors, in their order", async () => {
    const rows = await list({
      keys: ["c", "nope", "bb-deleted", "c", "_sync:system", "", "__proto__"],
      includeDocs: true,
    });
    expect(rows.map((row) => row.error ?? row.id!)).toEqual([
      "c",
      "not_found",
      "bb-deleted",
      "c",
      "not_found",
      "not_found",
      "not_found",
    ]);
    expect(rows[2]).toEqual({
      id: "bb-deleted",
      key: "bb-deleted",
      value: { rev: expect.any(String), deleted: true },
      doc: null,
    });
    expect(rows[0]!.doc).toMatchObject({ _id: "c", id: "c" });
    expect(rows[1]).toEqual({ key: "nope", error: "not_found" });
    const keys = ["a", "b", "c", "d"];
    expect(await ids({ keys, skip: 1, limit: 2 })).toEqual(["b", "c"]);
    expect(await ids({ keys, descending: true })).toEqual(["d", "c", "b", "a"]);
  });

  test("streams: its pages are bounded, whatever the number of documents", async () => {
    const big = await openBench();
    try {
      const documents = Array.from({ length: 3000 }, (_, i) => ({ _id: `${i}`.padStart(5, "0") }));
      for (let at = 0; at < documents.length; at += 500) {
        await big.store.bulk(GUEST, documents.slice(at, at + 500));
      }
      const sizes: number[] = [];
      const seen: string[] = [];
      for await (const page of big.store.allDocs(GUEST, { includeDocs: true })) {
        sizes.push(page.length);
        for (const row of page) seen.push((JSON.parse(row) as { id: string }).id);
      }
      expect(seen).toEqual(documents.map(({ _id }) => _id));
      expect(Math.max(...sizes)).toBeLessThanOrEqual(1000);
    } finally {
      await big.close();
    }
  });
});

describe("local documents", () => {
  const put = (id: string, document: JsonObject) => bench.store.putLocal(GUEST, id, document);

  test("have one revision at a time and refuse another", async () => {
    expect(await put("cp", { seq: 1 })).toEqual({ id: "_local/cp", rev: "0-1" });
    expect(await codeOf(put("cp", { seq: 2 }))).toBe("conflict");
    expect(await codeOf(put("cp", { seq: 2, _rev: "0-7" }))).toBe("conflict");
    expect(await put("_local/cp", { seq: 2, _rev: "0-1", _id: "_local/cp" })).toEqual({
      id: "_local/cp",
      rev: "0-2",
    });
    const view = await bench.store.getLocal(GUEST, "cp");
    expect(parsed(view)).toEqual({ _id: "_local/cp", _rev: "0-2", seq: 2 });
    expect(await codeOf(put("new", { _rev: "0-1" }))).toBe("conflict");
  });

  test("are removed, and are no documents", async () => {
    await put("away", {});
    expect(await codeOf(bench.store.removeLocal(GUEST, "away", "0-9"))).toBe("conflict");
    await bench.store.removeLocal(GUEST, "away", "0-1");
    expect(await codeOf(bench.store.getLocal(GUEST, "away"))).toBe("not_found");
    expect(await codeOf(bench.store.removeLocal(GUEST, "away", undefined))).toBe("not_found");
    expect(await codeOf(bench.store.getLocal(GUEST, "_local/"))).toBe("bad_document_id");
    const saved = bench.saved.length;
    await put("quiet", { a: 1 });
    expect(bench.saved.length).toBe(saved);
  });

  test("written by many at once keep count", async () => {
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, n) => codeOf(put("race", { n }))),
    );
    expect(results.filter((code) => code === "none").length).toBe(1);
    expect((await bench.store.getLocal(GUEST, "race")).rev).toBe("0-1");
  });
});
