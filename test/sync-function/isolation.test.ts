// Nothing stays between two calls, and nothing that a function changes reaches what is recorded.

import { describe, expect, test } from "bun:test";
import type { JsonObject } from "../../src/base/json.ts";
import { silentLog } from "../../src/base/log.ts";
import { createSyncFunction } from "../../src/documents/sync-function/sync-function.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { call, make, once } from "./support.ts";

/** Ways to keep a number between calls: each expression stores and reads, or throws. */
const STATE: Readonly<Record<string, string>> = {
  "an undeclared variable": "kept = (typeof kept === 'undefined' ? 0 : kept) + 1",
  "a global's member": "globalThis.kept = (globalThis.kept || 0) + 1",
  this: "this.kept = (this.kept || 0) + 1",
  "its own member": "sync.kept = (sync.kept || 0) + 1",
  "its prototype": "sync.prototype.kept = (sync.prototype.kept || 0) + 1",
  "arguments.callee": "arguments.callee.kept = (arguments.callee.kept || 0) + 1",
  "Object.prototype": "Object.prototype.kept = (({}).kept || 0) + 1",
  "Array.prototype": "Array.prototype.kept = ([].kept || 0) + 1",
  Math: "Math.kept = (Math.kept || 0) + 1",
  "an interface function": "channel.kept = (channel.kept || 0) + 1",
  console: "console.kept = (console.kept || 0) + 1",
  "a generator's prototype":
    "const p = Object.getPrototypeOf(function* () {}); p.kept = (p.kept || 0) + 1",
  "a generator object's prototype":
    "const p = Object.getPrototypeOf((function* () {})()).__proto__; p.kept = (p.kept || 0) + 1",
  "an async function's prototype":
    "const p = Object.getPrototypeOf(async () => {}); p.kept = (p.kept || 0) + 1",
  "an async generator's prototype":
    "const p = Object.getPrototypeOf(async function* () {}).prototype; p.kept = (p.kept || 0) + 1",
  "a promise's constructor": "const p = (async () => {})().constructor; p.kept = (p.kept || 0) + 1",
  "an array iterator's prototype":
    "const p = Object.getPrototypeOf([].values()); p.kept = (p.kept || 0) + 1",
  "all iterators' prototype":
    "const p = Object.getPrototypeOf(Object.getPrototypeOf([].values())); p.kept = (p.kept || 0) + 1",
  "a map iterator's prototype":
    "const p = Object.getPrototypeOf(new Map().keys()); p.kept = (p.kept || 0) + 1",
  "a set iterator's prototype":
    "const p = Object.getPrototypeOf(new Set().keys()); p.kept = (p.kept || 0) + 1",
  "a string iterator's prototype":
    "const p = Object.getPrototypeOf(''[Symbol.iterator]()); p.kept = (p.kept || 0) + 1",
  "a match iterator's prototype":
    "const p = Object.getPrototypeOf(''.matchAll(/x/g)); p.kept = (p.kept || 0) + 1",
  "typed arrays' prototype":
    "const p = Object.getPrototypeOf(Uint8Array); p.kept = (p.kept || 0) + 1",
  "a regular expression literal": "const r = /a/g; r.kept = (r.kept || 0) + 1; r.lastIndex",
  "a template's object": "const t = (s) => s; const o = t`a`; o.kept = (o.kept || 0) + 1",
  "a symbol's registry": "Symbol.for('k').kept = (Symbol.for('k').kept || 0) + 1",
  "Symbol.unscopables": "const p = [][Symbol.unscopables]; p.kept = (p.kept || 0) + 1",
  "Error.stackTraceLimit": "Error.stackTraceLimit = 1 + (Error.stackTraceLimit || 0)",
  "Error.prepareStackTrace": "Error.prepareStackTrace = () => 'kept'; new Error().stack === 'kept'",
  "a global defined anew":
    "Object.defineProperty(globalThis, 'Math', { value: { kept: (Math.kept || 0) + 1 } }); Math.kept",
  "an interface function defined anew":
    "const n = (channel.kept || 0) + 1; const c = () => {}; c.kept = n; Object.defineProperty(globalThis, 'access', { value: c }); access.kept",
};

describe("nothing stays between two calls", () => {
  test("whatever way a function tries to keep a number", async () => {
    const ways = Object.entries(STATE)
      .map(([name, code]) => `${JSON.stringify(name)}: function (sync) { return (${wrap(code)}) }`)
      .join(",\n");
    const sync = await make(`function sync(doc) {
      const ways = {\n${ways}\n};
      let found;
      try { found = ways[doc.way].call(this, sync); } catch (e) { found = "refused"; }
      channel(String(found));
    }`);
    for (const way of Object.keys(STATE)) {
      const first = await call(sync, { way });
      const second = await call(sync, { way });
      expect([way, second]).toEqual([way, first]);
    }
    await sync.close();
  });

  test("a function with variables around it is refused when it is set", async () => {
    for (const source of [
      "(function () { let n = 0; return function (doc) { channel('n' + n++); }; })()",
      "((n) => (doc) => channel('n' + n++))(0)",
      "{ let n = 0; (doc) => n++ }",
      "function a() {} function b() {}",
      "function a() {}, function b() {}",
      "({ sync(doc) {} }).sync",
      "class A {}",
      "async (doc) => {}",
      "function* (doc) {}",
      "'text'",
      "",
      "// function (doc) {}",
    ]) {
      await expect(make(source)).rejects.toMatchObject({ code: "bad_config" });
    }
  });

  test("functions of every legal form are taken", async () => {
    for (const source of [
      "function (doc) { channel('x'); }",
      "function named(doc, oldDoc, meta) { channel('x'); }",
      "(doc) => { channel('x') }",
      "doc => channel('x')",
      "(function (doc) { channel('x'); });",
      "  // about it\n/* more */ ((doc) => channel('x')) ; // end\n",
      "\n\nfunction (doc, oldDoc = {}, { a } = {}, ...rest) { channel('x'); }\n\n",
      "function (doc) { 'use strict'; channel('x'); }",
    ]) {
      expect((await once(source)).channels).toEqual(["x"]);
    }
  });

  test("a syntax error is told with its line and column in the source", async () => {
    for (const [source, line, column] of [
      ["function (doc) {\n  channel(doc.x;\n}", 2, 16],
      ["function (doc) { channel(; }", 1, 26],
    ] as const) {
      await expect(make(source)).rejects.toMatchObject({
        code: "bad_config",
        message: expect.stringContaining(`at line ${line}, column ${column}`),
      });
    }
  });
});

/** Attempts on what is recorded: after each, `channel("x")` is what the host must see. */
const TAMPERING = [
  "channel = () => {}",
  "globalThis.channel = () => {}",
  "delete globalThis.channel",
  "Object.defineProperty(globalThis, 'channel', { value() {} })",
  "var channel2 = 1; this.channel = 2",
  "Array.prototype.push = () => {}; Array.prototype.includes = () => true",
  "Object.defineProperty(Array.prototype, '0', { set() {} })",
  "Object.defineProperty(Object.prototype, '0', { set() {}, get() { return 'y' } })",
  "Object.prototype.toJSON = () => 'y'",
  "String.prototype.toJSON = () => 'y'",
  "Array.prototype.toJSON = () => 'y'",
  "JSON.stringify = () => '[0,[\"y\"],[],[],[],[],0]'",
  "JSON.parse = () => 1",
  "Set.prototype.has = () => true",
  "Object.freeze = Object.prototype.__defineGetter__ = undefined",
  "Array.isArray = () => false",
  "doc.toJSON = () => 'y'; doc.__proto__ = null",
  "Object.setPrototypeOf(Object.prototype, { toJSON: () => 'y' })",
  "Object.setPrototypeOf(globalThis, { channel() {} })",
  "Reflect.apply = () => {}",
  "Symbol.iterator = 1; Array.prototype[Symbol.iterator] = function* () { yield 'y' }",
];

describe("nothing that a function changes reaches what is recorded", () => {
  test("in the same call", async () => {
    const branches = TAMPERING.map((code) => `function (doc) { ${code} }`).join(",\n");
    const sync = await make(`function (doc) {
      try { [${branches}][doc.n].call(this, doc); } catch (e) {}
      channel("x"); channel(["z"]); access("u", "c");
    }`);
    for (let n = 0; n < TAMPERING.length; n++) {
      const result = await call(sync, { n });
      expect([TAMPERING[n], result.channels]).toEqual([TAMPERING[n], ["x", "z"]]);
      expect(result.access).toEqual([{ principal: "u", channels: ["c"] }]);
    }
    await sync.close();
  });

  test("plain objects may have members with the names of built-in ones", async () => {
    const result = await once(
      `function (doc) {
      const seen = {};
      for (const name of doc.names) seen[name] = name;
      class Failure extends Error {}
      const e = new Failure("m"); e.name = "N"; e.message = "M"; e.toString = () => "T";
      channel(Object.keys(seen), String(seen.toString), e.name + e.message + e);
    }`,
      { names: ["constructor", "toString", "valueOf", "hasOwnProperty"] },
    );
    const names = ["constructor", "toString", "valueOf", "hasOwnProperty"];
    expect(result.channels).toEqual([...names, "NMT"]);
  });

  test("a getter is asked once, so that it can't show one name and give another", async () => {
    const result = await once(`function () {
      const list = ["a"]; let n = 0;
      Object.defineProperty(list, 0, { get() { return n++ === 0 ? "first" : { evil: 1 } } });
      channel(list);
    }`);
    expect(result.channels).toEqual(["first"]);
  });
});

test("undefined, NaN and Infinity that were given another meaning cost that save only", async () => {
  const sync = await make(`function (doc) {
    for (const name of ["undefined", "NaN", "Infinity"]) {
      if (doc.name === name) Object.defineProperty(globalThis, name, { value: 5 });
    }
    if (doc.throws) throw { forbidden: "x" };
    channel("fine");
  }`);
  for (const name of ["undefined", "NaN", "Infinity"]) {
    for (const throws of [false, true]) {
      await expect(call(sync, { name, throws })).rejects.toMatchObject({
        code: "sync_function_failed",
        message: expect.stringContaining("undefined, NaN or Infinity"),
      });
    }
    expect((await call(sync, {})).channels).toEqual(["fine"]);
  }
  await sync.close();
});

describe("what depends on the moment", () => {
  test("random numbers follow from the document, and the clock stands still in a call", async () => {
    const at = (nowMs: number) =>
      createSyncFunction({
        source: `function (doc) {
          const start = Date.now();
          for (let i = 0; i < 10000; i++);
          channel(String(Math.random()), String(Math.random()), String(Date.now() - start),
            new Date().toISOString(), new Date(0).toISOString(), String(new Date() instanceof Date));
        }`,
        log: silentLog,
        time: { ...systemTime(), nowMs: () => nowMs },
      });
    const sync = await at(Date.UTC(2030, 0, 2));
    const doc: JsonObject = { _id: "one" };
    const first = (await call(sync, doc)).channels;
    expect(first.slice(2)).toEqual([
      "0",
      "2030-01-02T00:00:00.000Z",
      "1970-01-01T00:00:00.000Z",
      "true",
    ]);
    expect(first[0]).not.toBe(first[1]);
    expect((await call(sync, doc)).channels).toEqual(first);
    expect((await call(sync, { _id: "two" })).channels[0]).not.toBe(first[0]!);
    await sync.close();
  });
});

/** Code as an expression: a function called on the spot that gives the last value back. */
function wrap(code: string): string {
  const parts = code.split("; ");
  const last = parts.pop();
  return `(function () { ${parts.map((part) => `${part}; `).join("")} return ${last}; }).call(this)`;
}
