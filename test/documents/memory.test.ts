// What one small request may make the store hold: attachments named many times, revisions asked for
// again and again, lists of large documents, and many such reads at the same moment.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { JsonObject } from "../../src/base/json.ts";
import { loadPage, PageSize } from "../../src/documents/bulk-get.ts";
import { ByteGate } from "../../src/documents/byte-gate.ts";
import {
  MAX_OPEN_REVS_CHARS,
  MAX_REVISION_ATTACHMENT_BYTES,
  READ_PAGE_BYTES,
} from "../../src/documents/limits.ts";
import { until } from "../harness/until.ts";
import { type Bench, codeOf, GUEST, openBench, parsed } from "./harness.ts";

setDefaultTimeout(60_000);

const MB = 1024 * 1024;
const LARGE = 20 * MB;

let bench: Bench;
beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());

describe("attachments", () => {
  const stubs = (count: number, digest: string): JsonObject =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`a${i}`, { stub: true, digest }]));

  test("that are the same under many names count as often as they are named", async () => {
    const { store } = bench;
    const data = new Uint8Array(LARGE);
    const { rev } = await store.putAttachment(GUEST, "many", "a0", undefined, "x/y", data);
    const { digest } = (parsed(await store.get(GUEST, "many"))._attachments as JsonObject)
      .a0 as JsonObject;
    const fitting = Math.floor(MAX_REVISION_ATTACHMENT_BYTES / LARGE);
    const edit = (count: number, more: JsonObject = {}) => {
      const document = { _rev: rev, _attachments: stubs(count, String(digest)), ...more };
      return store.put(GUEST, "many", document);
    };
    expect(await codeOf(edit(fitting + 1))).toBe("too_large");
    expect(await codeOf(edit(500))).toBe("too_large");
    const saved = await edit(fitting);
    // Onto the parent, which is no leaf any more: its bytes would have to be read for each name.
    const history = { start: 2, ids: ["b", rev.slice(2)] };
    const document = { _rev: "2-b", _revisions: history, _attachments: stubs(500, String(digest)) };
    const replicated = store.put(GUEST, "many", document, { newEdits: false });
    expect(await codeOf(replicated)).toBe("too_large");
    const one = store.putAttachment(GUEST, "many", "more", saved.rev, "x/y", data);
    expect(await codeOf(one)).toBe("too_large");
  });
});

describe("lists", () => {
  beforeAll(async () => {
    const text = "x".repeat(3 * MB);
    for (let i = 0; i < 20; i++) await bench.store.put(GUEST, `large-${i}`, { text });
  });

  test("of large documents are given in pages of a few", async () => {
    const data = Buffer.alloc(3 * MB).toString("base64");
    for (let i = 0; i < 20; i++) {
      await bench.store.put(GUEST, `att-${i}`, { _attachments: { a: { data } } });
    }
    for (const prefix of ["large", "att"]) {
      const options = { startKey: prefix, endKey: `${prefix}~`, includeDocs: true };
      let rows = 0;
      for await (const page of bench.store.allDocs(GUEST, { ...options, attachments: true })) {
        const chars = page.reduce((sum, row) => sum + row.length, 0);
        expect(chars - (page.at(-1)?.length ?? 0)).toBeLessThan(READ_PAGE_BYTES);
        rows += page.length;
      }
      expect(rows).toBe(20);
    }
  });

  test("of one key again and again are pages of a few, too", async () => {
    const keys = Array<string>(60).fill("att-1");
    const options = { keys, includeDocs: true, attachments: true };
    let rows = 0;
    for await (const page of bench.store.allDocs(GUEST, options)) {
      expect(page.length).toBeLessThanOrEqual(2);
      rows += page.length;
    }
    expect(rows).toBe(60);
  });

  test("hold a few of them ready, however many small ones went before", async () => {
    const { store } = bench;
    for (let i = 0; i < 200; i++) await store.put(GUEST, `small-${i}`, {});
    const small = Array.from({ length: 200 }, (_, i) => `small-${i}`);
    const large = Array.from({ length: 20 }, (_, i) => `large-${i}`);
    const pages = new PageSize();
    await loadPage(store.context, small.slice(0, 16), true, pages);
    await loadPage(store.context, small.slice(16, 48), true, pages);
    expect(pages.size).toBeGreaterThan(20);
    const { count, byId } = await loadPage(store.context, large, true, pages);
    expect([count, byId.size, pages.size]).toEqual([1, 1, 1]);
    // All of them arrive all the same, in their order, also those named twice.
    const ids = [...small, ...large, "none", "large-3", ...large];
    const found: string[] = [];
    for await (const one of store.bulkGet(
      GUEST,
      ids.map((id) => ({ id })),
    )) {
      found.push(one.id);
      expect("ok" in one).toBe(one.id !== "none");
    }
    expect(found).toEqual(ids);
  });

  test("of a revision again and again have it once", async () => {
    const { rev } = await bench.store.get(GUEST, "large-1");
    const found = await bench.store.openRevisions(GUEST, "large-1", Array(400).fill(rev));
    expect(found.length).toBe(1);
  });

  test("of revisions that are too large together are refused", async () => {
    const text = "x".repeat(15 * MB);
    const revs: string[] = [];
    for (let i = 0; i < 7; i++) {
      const document = { _rev: `1-${i}`, text, i };
      revs.push((await bench.store.put(GUEST, "open", document, { newEdits: false })).rev);
    }
    const asked = (some: string[] | "all") => bench.store.openRevisions(GUEST, "open", some);
    expect(7 * 15 * MB).toBeGreaterThan(MAX_OPEN_REVS_CHARS);
    expect(await codeOf(asked(revs))).toBe("too_large");
    expect(await codeOf(asked("all"))).toBe("too_large");
    expect((await asked(revs.slice(0, 4))).length).toBe(4);
  });
});

describe("the gate", () => {
  /** Work that ends when it is told to. */
  function work(gate: ByteGate, bytes: number) {
    const here = { inside: false, over: () => {}, done: Promise.resolve() };
    here.done = gate.run(bytes, () => {
      here.inside = true;
      return new Promise<void>((resolve) => {
        here.over = resolve;
      });
    });
    return here;
  }

  test("lets in what fits, in the order it came", async () => {
    const gate = new ByteGate(10, 10, "tests");
    const [a, b, c, d] = [6, 4, 5, 1].map((bytes) => work(gate, bytes));
    await until("two of them", () => a?.inside && b?.inside);
    expect([c?.inside, d?.inside]).toEqual([false, false]);
    b?.over();
    await b?.done;
    // The last would fit, and one that comes now, but it is not their turn: large work would never
    // come in.
    const late = work(gate, 1);
    await Promise.resolve();
    expect([c?.inside, d?.inside, late.inside]).toEqual([false, false, false]);
    a?.over();
    await until("the others", () => c?.inside && d?.inside);
  });

  test("lets in alone what never fits, and goes on after a failure", async () => {
    const gate = new ByteGate(10, 10, "tests");
    await expect(gate.run(100, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    const large = work(gate, 100);
    const small = work(gate, 1);
    await until("the large one", () => large.inside);
    expect(small.inside).toBe(false);
    large.over();
    await until("the small one", () => small.inside);
  });

  test("refuses when too many wait", async () => {
    const gate = new ByteGate(10, 2, "tests");
    work(gate, 10);
    work(gate, 10);
    work(gate, 10);
    expect(await codeOf(gate.run(1, async () => {}))).toBe("unavailable");
  });
});
