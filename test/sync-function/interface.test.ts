// What a sync function can call, and what of it reaches the store.

import { describe, expect, test } from "bun:test";
import { ADMIN } from "../../src/documents/types.ts";
import { call, keptLog, make, once } from "./support.ts";

const NOTHING = { channels: [], access: [], roles: [], requires: [] };

describe("channel()", () => {
  test("takes names, lists of names, and several of them; repetitions count once", async () => {
    const result = await once(
      'function (doc) { channel("a", ["b", "a"], doc.more); channel("c"); }',
      { more: ["c", "d"] },
    );
    expect(result).toEqual({ ...NOTHING, channels: ["a", "b", "c", "d"] });
  });

  test("passes over what is no name: null, undefined, numbers, objects, inner lists", async () => {
    const source = "function (doc) { channel(doc.none, null, 5, {}, true, doc.list); }";
    const result = await once(source, { list: [null, 1, ["inner"], {}, "", "kept"] });
    expect(result.channels).toEqual(["kept"]);
  });

  test("hands on * and !, whose meaning is the store's", async () => {
    expect((await once('() => channel("!", "*")')).channels).toEqual(["!", "*"]);
  });

  test("keeps order and names of many channels, and refuses too many", async () => {
    const sync = await make(
      "(doc) => { for (let i = 0; i < doc.n; i++) channel('c' + i, 'c' + (i % 7)); }",
    );
    const { channels } = await call(sync, { n: 1000 });
    expect(channels).toEqual(Array.from({ length: 1000 }, (_, i) => `c${i}`));
    await expect(call(sync, { n: 5000 })).rejects.toMatchObject({
      code: "sync_function_failed",
      message: expect.stringContaining("at most 1001 channels"),
    });
    await sync.close();
  });

  test("refuses names that are too long, have control characters, or half characters", async () => {
    const sync = await make("(doc) => { try { channel(doc.name) } catch (e) {} }");
    for (const [name, part] of [
      ["x".repeat(251), "too long"],
      ["é".repeat(126), "longer than 250 bytes"],
      ["line\nbreak", "control character"],
      ["\u007f", "control character"],
      ["\ud800", "surrogate"],
    ] as const) {
      await expect(call(sync, { name })).rejects.toMatchObject({
        code: "sync_function_failed",
        message: expect.stringContaining(part),
      });
    }
    expect((await call(sync, { name: "é".repeat(125) })).channels).toEqual(["é".repeat(125)]);
    expect((await call(sync, { name: " Ünïcode, 漢字 😀/" })).channels).toHaveLength(1);
    await sync.close();
  });
});

describe("grants and requirements", () => {
  test("access() and role() are recorded for every one they name, in order", async () => {
    const result = await once(`function () {
      access(["ann", "role:editors"], ["news", "drafts"]);
      access("bob", "news");
      access(null, "nobody"); access("bob", []); access(undefined, undefined);
      role(["ann", "bob"], ["role:editors", "role:readers"]);
    }`);
    expect(result.access).toEqual([
      { principal: "ann", channels: ["news", "drafts"] },
      { principal: "role:editors", channels: ["news", "drafts"] },
      { principal: "bob", channels: ["news"] },
    ]);
    expect(result.roles).toEqual([
      { user: "ann", roles: ["editors", "readers"] },
      { user: "bob", roles: ["editors", "readers"] },
    ]);
  });

  test("a role without role: in front is refused, not taken for something else", async () => {
    await expect(once('() => role("ann", "editors")')).rejects.toMatchObject({
      code: "sync_function_failed",
      message: expect.stringContaining('"role:"'),
    });
  });

  test("every require…() is recorded, also one that nobody can meet", async () => {
    const result = await once(`function (doc) {
      requireUser([doc.owner, "root"]); requireRole(["role:a", "b"]); requireAccess("news");
      requireAdmin(); requireUser(null);
    }`);
    expect(result.requires).toEqual([
      { kind: "user", names: ["root"] },
      { kind: "role", names: ["a", "b"] },
      { kind: "access", names: ["news"] },
      { kind: "admin" },
      { kind: "user", names: [] },
    ]);
  });

  test("too many names are refused even when the function catches the error", async () => {
    const source = `function () {
      for (let i = 0; i < 2000; i++) try { access("u" + i, "c") } catch (e) {}
    }`;
    await expect(once(source)).rejects.toMatchObject({ code: "sync_function_failed" });
  });
});

describe("refusing", () => {
  test("throw({forbidden}) and throw({unauthorized}) give their codes and reasons", async () => {
    await expect(once('() => { throw({ forbidden: "not yours" }) }')).rejects.toMatchObject({
      code: "forbidden",
      message: "not yours",
    });
    await expect(once('() => { throw({ unauthorized: "log in" }) }')).rejects.toMatchObject({
      code: "unauthorized",
      message: "log in",
    });
  });

  test("a reason that is no text is shown, a long one cut", async () => {
    await expect(once("() => { throw({ forbidden: [1] }) }")).rejects.toMatchObject({
      message: "[1]",
    });
    const long = once('() => { throw({ forbidden: "x".repeat(1e6) }) }');
    await expect(long).rejects.toMatchObject({ message: "x".repeat(1000) });
  });

  test("any other throw is a failure that names the error and its place", async () => {
    const source = "function (doc) {\n  channel(doc.a.b);\n}";
    await expect(once(source)).rejects.toMatchObject({
      code: "sync_function_failed",
      message: expect.stringMatching(/TypeError: cannot read property 'b' .*line 2, column 1\d\)/),
    });
    await expect(once('() => { throw "text" }')).rejects.toMatchObject({
      message: expect.stringContaining("it threw text"),
    });
  });
});

describe("what it is given", () => {
  test("the new document, the old one or null, and the attributes", async () => {
    const sync = await make(`function (doc, oldDoc, meta) {
      channel(doc._id + doc._rev, oldDoc === null ? "new" : "was " + oldDoc.v, typeof meta.xattrs.x);
    }`);
    expect((await call(sync)).channels).toEqual(["doc1-a", "new", "undefined"]);
    const again = await call(sync, {}, { v: 7 }, { x: { y: 1 } });
    expect(again.channels).toEqual(["doc1-a", "was 7", "object"]);
    await sync.close();
  });

  test("text of every kind arrives as it is", async () => {
    const texts = ["\u2028", "é漢😀", 'quote " \\ back', "</script>", "__proto__", "a'b`c"];
    expect((await once("(doc) => channel(doc.texts)", { texts })).channels).toEqual(texts);
  });

  test("a key named __proto__ is a key, and changes nothing else", async () => {
    const sync = await make("(doc) => channel(String(doc.admin), Object.keys(doc).join())");
    const raw = await sync.run({
      docJson: '{"_id":"a","__proto__":{"admin":true}}',
      oldDocJson: null,
      meta: { xattrs: {} },
      actor: ADMIN,
    });
    expect(raw.channels).toEqual(["undefined", "_id,__proto__"]);
    await sync.close();
  });
});

describe("console", () => {
  test("lines go to the log with their level; values are shown as JSON", async () => {
    const { log, lines } = keptLog();
    const sync = await make(
      '(doc) => { console.log("saw", doc.n, { a: [1] }, undefined); console.warn("w"); ' +
        'console.error("e"); console.debug("d"); console.info() }',
      {},
      log,
    );
    await call(sync, { n: 1 });
    expect(lines).toEqual([
      'info: saw 1 {"a":[1]} undefined',
      "warn: w",
      "warn: e",
      "debug: d",
      "info: ",
    ]);
    await sync.close();
  });

  test("is bounded in lines and in length, and says what is left out", async () => {
    const { log, lines } = keptLog();
    const source = '() => { for (let i = 0; i < 100; i++) console.log("x".repeat(100000)) }';
    const sync = await make(source, {}, log);
    await call(sync);
    expect(lines).toHaveLength(21);
    expect(lines[0]).toBe(`info: ${"x".repeat(1000)}`);
    expect(lines[20]).toContain("not written");
    await sync.close();
  });

  test("the lines of a call that fails are written too", async () => {
    const { log, lines } = keptLog();
    const sync = await make(
      '() => { console.log("before"); while (true) {} }',
      { timeMs: 50 },
      log,
    );
    await expect(call(sync)).rejects.toMatchObject({ code: "sync_function_failed" });
    expect(lines).toEqual(["info: before"]);
    await sync.close();
  });
});
