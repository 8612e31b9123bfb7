// Attachments: inline, stubs, followed bytes, standalone; digests, limits, and what is let go of.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { JsonObject } from "../../src/base/json.ts";
import { ATTACHMENT_CHUNK_BYTES, DEFAULT_LIMITS } from "../../src/documents/limits.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { type Bench, codeOf, GUEST, openBench, parsed } from "./harness.ts";

let bench: Bench;
beforeAll(async () => {
  bench = await openBench();
});
afterAll(() => bench.close());

const text = (data: string | Uint8Array) => Buffer.from(data).toString("base64");
const md5 = (data: string | Uint8Array) => `md5-${createHash("md5").update(data).digest("base64")}`;
const put = (id: string, document: JsonObject, rev?: string) =>
  bench.store.put(GUEST, id, document, rev === undefined ? {} : { rev });
const stubsOf = async (id: string, rev?: string) =>
  parsed(await bench.store.get(GUEST, id, rev === undefined ? {} : { rev }))
    ._attachments as JsonObject;
const contentOf = async (id: string, name: string, rev?: string) =>
  Buffer.from((await bench.store.getAttachment(GUEST, id, name, rev)).data).toString();

describe("inline attachments", () => {
  test("are stubs in a document read, and data when asked for", async () => {
    const attachments = {
      "hello.txt": { content_type: "text/plain", data: text("hello") },
      empty: { data: "" },
    };
    const { rev } = await put("inline", { a: 1, _attachments: attachments });
    expect(await stubsOf("inline")).toEqual({
      "hello.txt": {
        content_type: "text/plain",
        revpos: 1,
        digest: md5("hello"),
        length: 5,
        stub: true,
      },
      empty: {
        content_type: "application/octet-stream",
        revpos: 1,
        digest: md5(""),
        length: 0,
        stub: true,
      },
    });
    const whole = parsed(await bench.store.get(GUEST, "inline", { attachments: true }));
    expect(whole._attachments).toMatchObject({
      "hello.txt": { data: text("hello") },
      empty: { data: "" },
    });
    expect(await bench.store.getAttachment(GUEST, "inline", "hello.txt")).toEqual({
      name: "hello.txt",
      contentType: "text/plain",
      length: 5,
      digest: md5("hello"),
      revpos: 1,
      rev,
      data: expect.anything(),
    });
    const views = await bench.store.attachmentsOf(GUEST, "inline", rev);
    expect(views.map((view) => view.name)).toEqual(["hello.txt", "empty"]);
  });

  test("stay when the next revision sends their stubs, and go when it does not", async () => {
    const { rev } = await put("stubs", { _attachments: { a: { data: text("A") } } });
    const stubs = await stubsOf("stubs");
    const second = await put("stubs", { n: 2, _attachments: stubs }, rev);
    expect(await stubsOf("stubs")).toMatchObject({ a: { revpos: 1, stub: true } });
    const third = await put(
      "stubs",
      { n: 3, _attachments: { a: { stub: true }, b: { data: text("B") } } },
      second.rev,
    );
    expect(await stubsOf("stubs")).toMatchObject({ a: { revpos: 1 }, b: { revpos: 3 } });
    await put("stubs", { n: 4 }, third.rev);
    expect(await stubsOf("stubs")).toBeUndefined();
    expect(await codeOf(bench.store.getAttachment(GUEST, "stubs", "a"))).toBe("not_found");
    // The revision before can still be read for a while, bytes and all.
    await bench.store.idle();
    expect(await contentOf("stubs", "b", third.rev)).toBe("B");
  });

  test("sent again unchanged are not stored again", async () => {
    const attachments = { a: { data: text("same bytes") } };
    const { rev } = await put("again", { _attachments: attachments });
    const count = async () => (await bench.bucket.metadata.keys("d:", { limit: 10_000 })).length;
    await bench.store.idle();
    const before = await count();
    const store = bench.another({ settings: { limits: DEFAULT_LIMITS, oldRevisionSeconds: 0 } });
    await store.put(GUEST, "again", { n: 2, _attachments: attachments, _rev: rev });
    await store.idle();
    expect(await count()).toBe(before);
    expect(await contentOf("again", "a")).toBe("same bytes");
  });

  test("a stub of nothing is refused: the client must send the data", async () => {
    const stub = { a: { stub: true, digest: md5("A") } };
    expect(await codeOf(put("nothing", { _attachments: stub }))).toBe("missing_stub");
    const { rev } = await put("nothing", { _attachments: { a: { data: text("other") } } });
    expect(await codeOf(put("nothing", { _attachments: stub }, rev))).toBe("missing_stub");
    expect((await bench.store.get(GUEST, "nothing")).rev).toBe(rev);
  });

  test("take any name that is text: __proto__ is one that starts with _", async () => {
    const named = JSON.parse('{"constructor":{"data":"QQ=="},"ü /?":{"data":"Qg=="}}');
    await put("names", { _attachments: named });
    expect(await contentOf("names", "constructor")).toBe("A");
    expect(await contentOf("names", "ü /?")).toBe("B");
    expect(await codeOf(bench.store.getAttachment(GUEST, "names", "toString"))).toBe("not_found");
    const proto = JSON.parse('{"__proto__":{"data":"QQ=="}}');
    expect(await codeOf(put("names2", { _attachments: proto }))).toBe("bad_document");
  });

  test("that are malformed are refused", async () => {
    const code = (entry: unknown, name = "a") =>
      codeOf(put("malformed", { _attachments: { [name]: entry } } as JsonObject));
    expect(await code({ data: "####" })).toBe("bad_document");
    expect(await code({ data: "QQ=Q" })).toBe("bad_document");
    expect(await code({ data: "Q" })).toBe("bad_document");
    expect(await code({ data: 7 })).toBe("bad_document");
    expect(await code({})).toBe("bad_document");
    expect(await code("text")).toBe("bad_document");
    expect(await code({ follows: true })).toBe("bad_document");
    expect(await code({ data: "QQ==", content_type: "a\r\nX: y" })).toBe("bad_document");
    expect(await code({ data: "QQ==" }, "")).toBe("bad_document");
    expect(await code({ data: "QQ==" }, "x".repeat(251))).toBe("bad_document");
    expect(await code({ data: "QQ==", length: 2 })).toBe("digest_mismatch");
    expect(await code({ data: "QQ==", digest: md5("B") })).toBe("digest_mismatch");
    const sha1 = `sha1-${createHash("sha1").update("A").digest("base64")}`;
    expect(await code({ data: "QQ==", digest: sha1, length: 1 })).toBe("none");
  });

  test("over the limit are refused with its name", async () => {
    const limits = { ...DEFAULT_LIMITS, attachmentBytes: 10 };
    const store = bench.another({ settings: { limits } });
    const save = (bytes: number) =>
      store.put(GUEST, "heavy", { _attachments: { a: { data: text("x".repeat(bytes)) } } });
    const refused = save(11);
    expect(await codeOf(refused)).toBe("too_large");
    expect(refused).rejects.toThrow("attachmentBytes");
    await save(10);
    const many = Object.fromEntries(Array.from({ length: 501 }, (_, i) => [`a${i}`, { data: "" }]));
    expect(await codeOf(put("many", { _attachments: many }))).toBe("too_large");
  });
});

describe("replicated attachments", () => {
  test("follow as bytes, with revpos kept and digest and length checked", async () => {
    const bytes = new TextEncoder().encode("followed");
    const save = (entry: JsonObject, rev = "3-c") =>
      bench.store.put(
        GUEST,
        "follows",
        { _rev: rev, _attachments: { f: { follows: true, ...entry } } },
        { newEdits: false, followed: new Map([["f", bytes]]) },
      );
    expect(await codeOf(save({ digest: md5("x") }))).toBe("digest_mismatch");
    expect(await codeOf(save({ length: 3 }))).toBe("digest_mismatch");
    await save({ digest: md5("followed"), length: 8, revpos: 2, content_type: "text/plain" });
    expect(await stubsOf("follows")).toMatchObject({ f: { revpos: 2, length: 8 } });
    expect(await contentOf("follows", "f")).toBe("followed");
  });

  test("compressed ones keep their encoding", async () => {
    const zipped = Bun.gzipSync("plain text");
    const entry = {
      data: text(zipped),
      encoding: "gzip",
      encoded_length: zipped.length,
      length: 10,
      digest: md5(zipped),
    };
    await bench.store.put(
      GUEST,
      "zipped",
      { _rev: "1-a", _attachments: { z: entry } },
      { newEdits: false },
    );
    const { z } = await stubsOf("zipped");
    expect(z).toMatchObject({ encoding: "gzip", encoded_length: zipped.length, length: 10 });
    const view = await bench.store.getAttachment(GUEST, "zipped", "z");
    expect([view.encoding, view.length]).toEqual(["gzip", zipped.length]);
  });

  test("stubs on a leaf, or on a revision superseded a moment ago, are found", async () => {
    const push = (history: string[], attachments: JsonObject) =>
      bench.store.put(
        GUEST,
        "branch",
        {
          v: history[0]!,
          _revisions: {
            start: history.length,
            ids: history.map((rev) => rev.slice(2)),
          },
          _attachments: attachments,
        },
        { newEdits: false },
      );
    await push(["1-a"], { f: { data: text("F") } });
    await push(["2-b", "1-a"], { f: { stub: true, revpos: 1 } });
    await push(["2-a", "1-a"], { f: { stub: true, revpos: 1 } });
    expect(await contentOf("branch", "f", "2-a")).toBe("F");
    const code = await codeOf(push(["2-0", "1-x"], { f: { stub: true, revpos: 1 } }));
    expect(code).toBe("missing_stub");
    // The bytes of the copy are its own: they stay when the other branch lets go of them.
    await bench.store.put(GUEST, "branch", { plain: 1 }, { rev: "2-b" });
    await bench.store.purge(new Map([["branch", ["3-x"]]]));
    await bench.store.idle();
    expect(await contentOf("branch", "f", "2-a")).toBe("F");
  });

  test("found on a superseded revision outlive what is kept of that", async () => {
    const real = systemTime(false);
    let ahead = 0;
    const time = { ...real, nowMs: () => real.nowMs() + ahead };
    const own = await openBench({ time }, undefined, time);
    try {
      const push = (rev: string, document: JsonObject) =>
        own.store.put(
          GUEST,
          "revived",
          { ...document, _revisions: { start: 2, ids: [rev, "a"] } },
          { newEdits: false },
        );
      const first = { _rev: "1-a", _attachments: { f: { data: text("F") } } };
      await own.store.put(GUEST, "revived", first, { newEdits: false });
      await push("b", {});
      await own.store.idle();
      await push("c", { _attachments: { f: { stub: true, revpos: 1 } } });
      await own.store.idle();
      ahead = 302_000;
      expect(await codeOf(own.store.get(GUEST, "revived", { rev: "1-a" }))).toBe("not_found");
      const view = await own.store.getAttachment(GUEST, "revived", "f", "2-c");
      expect(Buffer.from(view.data).toString()).toBe("F");
    } finally {
      await own.close();
    }
  });

  test("atts_since gives only what is newer than what the client has", async () => {
    const first = await put("since", { _attachments: { a: { data: text("A") } } });
    const attachments = { a: { stub: true }, b: { data: text("B") } };
    const second = await put("since", { _attachments: attachments }, first.rev);
    const view = await bench.store.get(GUEST, "since", {
      rev: second.rev,
      attsSince: [first.rev],
    });
    expect(parsed(view)._attachments).toMatchObject({
      a: { stub: true },
      b: { data: text("B") },
    });
    const all = await bench.store.get(GUEST, "since", { attsSince: ["1-unknown"] });
    expect(parsed(all)._attachments).toMatchObject({ a: { data: text("A") } });
  });
});

describe("standalone attachments", () => {
  test("are put, replaced and removed, each a revision of the document", async () => {
    const bytes = (data: string) => new TextEncoder().encode(data);
    const save = (rev: string | undefined, name: string, data: string) =>
      bench.store.putAttachment(GUEST, "alone", name, rev, "text/plain", bytes(data));
    const first = await save(undefined, "a", "one");
    expect(first.rev.startsWith("1-")).toBe(true);
    expect(await codeOf(save(undefined, "a", "two"))).toBe("conflict");
    const body = await put("alone", { x: 1, _attachments: { a: { stub: true } } }, first.rev);
    const second = await save(body.rev, "b", "bee");
    const third = await save(second.rev, "a", "two");
    expect(parsed(await bench.store.get(GUEST, "alone"))).toMatchObject({ x: 1 });
    expect(await contentOf("alone", "a")).toBe("two");
    expect(await contentOf("alone", "b")).toBe("bee");
    expect(await stubsOf("alone")).toMatchObject({ a: { revpos: 4 }, b: { revpos: 3 } });
    const remove = (name: string, rev: string) =>
      bench.store.removeAttachment(GUEST, "alone", name, rev);
    expect(await codeOf(remove("nope", third.rev))).toBe("not_found");
    expect(await codeOf(remove("a", second.rev))).toBe("conflict");
    await remove("a", third.rev);
    expect(Object.keys(await stubsOf("alone"))).toEqual(["b"]);
  });

  test("of a missing or deleted document are not found", async () => {
    expect(await codeOf(bench.store.getAttachment(GUEST, "never", "a"))).toBe("not_found");
    const { rev } = await put("dead", { _attachments: { a: { data: text("A") } } });
    await bench.store.remove(GUEST, "dead", rev);
    expect(await codeOf(bench.store.getAttachment(GUEST, "dead", "a"))).toBe("deleted");
    const again = await bench.store.putAttachment(
      GUEST,
      "dead",
      "b",
      undefined,
      "text/plain",
      new Uint8Array(3),
    );
    expect(again.rev.startsWith("3-")).toBe(true);
    expect(Object.keys(await stubsOf("dead"))).toEqual(["b"]);
  });

  test("larger than a chunk come back whole", async () => {
    const data = new Uint8Array(2 * ATTACHMENT_CHUNK_BYTES + 123).map((_, i) => (i * 31) % 251);
    const { rev } = await bench.store.putAttachment(GUEST, "big", "b", undefined, "a/b", data);
    const view = await bench.store.getAttachment(GUEST, "big", "b");
    expect(Buffer.compare(view.data, data)).toBe(0);
    expect(view.digest).toBe(md5(data));
    const store = bench.another({ settings: { limits: DEFAULT_LIMITS, oldRevisionSeconds: 0 } });
    await store.remove(GUEST, "big", rev);
    await store.idle();
    expect(await codeOf(store.getAttachment(GUEST, "big", "b", rev))).toBe("not_found");
  });
});
