// Sync functions that loop, exhaust, or break out: that one save fails, the next is as if nothing
// had happened.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { SandboxedSyncFunction } from "../../src/documents/sync-function/sync-function.ts";
import { call, make } from "./support.ts";

/** What takes both memory and time runs into the one or the other, as the machine is fast or slow. */
const LIMITS: readonly string[] = ["bytes of memory", "did not end"];

function saying(says: string): RegExp {
  const either = LIMITS.some((limit) => says.includes(limit));
  const texts = either ? LIMITS : [says];
  return new RegExp(texts.map((text) => text.replace(/[^\w ]/g, "\\$&")).join("|"));
}

/** name -> [code, what the error says]. Each runs in one and the same sandbox. */
const FAILS: Readonly<Record<string, readonly [code: string, says: string]>> = {
  "an endless loop": ["while (true) {}", "did not end within"],
  "an endless loop that catches everything": [
    "for (;;) try { while (true) {} } catch (e) {} finally { continue }",
    "did not end within",
  ],
  "an endless loop in a sort callback": ["[3, 2, 1].sort(() => { for (;;); })", "did not end"],
  "an endless loop in toJSON": ["JSON.stringify({ toJSON() { for (;;); } })", "did not end"],
  "an endless loop in a getter of what is thrown": [
    "throw { get forbidden() { for (;;); } }",
    "did not end",
  ],
  "a regular expression that backtracks": ['/(x+x+)+y/.test("x".repeat(60))', "did not end"],
  "an endless generator": [
    "for (const x of (function* () { for (;;) yield 1; })());",
    "did not end",
  ],
  "an endless native iterator": [
    "new Set({ [Symbol.iterator]: () => ({ next: Object }) })",
    "did not end",
  ],
  "an endless native iterator, spread": [
    "for (;;) try { [...{ [Symbol.iterator]: () => ({ next: Object }) }] } catch (e) {}",
    "did not end",
  ],
  "flattening what doubles with each level": [
    "let a = []; for (let i = 0; i < 60; i++) a = [a, a]; a.flat(Infinity)",
    "did not end",
  ],
  "an array-like object without end": ["[].indexOf.call({ length: 2 ** 53 - 1 }, 1)", "elements"],
  "a sparse array without end": ["new Array(4294967295).includes(1)", "elements"],
  "joining a sparse array": ['"" + new Array(4294967295)', "elements"],
  "concatenating sparse arrays": ["[].concat(new Array(4294967295))", "elements"],
  "an array-like object with a length that changes": [
    "[].indexOf.call({ n: 1, get length() { return this.n *= 1e9; } }, 1)",
    "length must be a number",
  ],
  "a long search in a long text": [
    '"a".repeat(20000).indexOf("a".repeat(10000) + "b")',
    "can't be searched",
  ],
  "a long search for something that becomes a text": [
    '"a".repeat(20000).split({ toString: () => "a".repeat(10000) + "b" })',
    "can't be searched",
  ],
  "a loop in which every step is long": [
    'const a = "x".repeat(1e5); for (;;) a.toUpperCase() + a.split("");',
    "did not end",
  ],
  "a loop of long steps that no function is called for": [
    "const a = new Array(10000).fill(1); for (;;) [...a];",
    "did not end",
  ],
  "calls without end": ["(function f() { f(); })()", "nested too deeply"],
  "calls without end through a native function": [
    "const f = () => [1].map(f); f()",
    "nested too deeply",
  ],
  "a value nested very deeply": ['JSON.parse("[".repeat(100000))', "nested too deeply"],
  "printing a value nested very deeply": [
    "let o = {}; for (let i = 0; i < 20000; i++) o = { o }; JSON.stringify(o)",
    "nested too deeply",
  ],
  "a text without end": [
    'let s = "x"; for (;;) s += s;',
    "it threw InternalError: string too long",
  ],
  "an array of large arrays": [
    "const a = []; for (;;) a.push(new Uint8Array(1e6));",
    "bytes of memory",
  ],
  "one large buffer": ["new ArrayBuffer(1e9)", "memory"],
  "a promise left behind": ["(async () => { await 1; })()", "promises"],
  "a promise returned": ["return (async () => {})()", "promise"],
  "something that looks like a promise": ["return { then() {} }", "promise"],
  "import()": ['import("node:fs")', "promises"],
  "eval()": ['eval("1")', "'eval' is not defined"],
  "indirect eval()": ['(0, eval)("1")', "'eval' is not defined"],
  "code by the Function constructor": ['Function("return 1")()', "code from text"],
  "code by a constructor found elsewhere": [
    'this.constructor.constructor("return process")()',
    "code from text",
  ],
  "code by a generator's constructor": [
    '(function* () {}).constructor("yield 1")()',
    "code from text",
  ],
  "code by an async function's constructor": [
    '(async () => {}).constructor("return 1")()',
    "code from text",
  ],
  "the host's objects": ["process.exit()", "'process' is not defined"],
  "the host's network": ['fetch("http://127.0.0.1")', "'fetch' is not defined"],
  "a Proxy": ["new Proxy({}, {})", "'Proxy' is not defined"],
  "throwing null": ["throw null", "it threw null"],
  "throwing undefined": ["throw undefined", "it threw undefined"],
  "throwing a symbol": ['throw Symbol("s")', "it threw Symbol(s)"],
  "throwing what can't be read": [
    "throw { get forbidden() { throw 1; } }",
    "it threw something that can't be read",
  ],
  "throwing an error with a hostile message": [
    "const e = new Error(); Object.defineProperty(e, 'message', { get() { throw e; } }); throw e",
    "it threw something that can't be read",
  ],
  "a missing name": ["channels(doc)", "'channels' is not defined"],
  "setting an undeclared name in strict code": ['"use strict"; n = 1', "'n' is not defined"],
};

describe("that one save fails with what happened, and the next save is uninfluenced", () => {
  let sync: SandboxedSyncFunction;
  const attacks = Object.entries(FAILS)
    .map(([name, [code]]) => `${JSON.stringify(name)}: function (doc) { ${code} }`)
    .join(",\n");

  beforeAll(async () => {
    sync = await make(
      `function (doc) {
        channel("before");
        const attacks = {\n${attacks}\n};
        if (doc.attack !== undefined) return attacks[doc.attack](doc);
        channel(doc.channels);
      }`,
      { timeMs: 300, memoryBytes: 8 * 1024 * 1024 },
    );
  });
  afterAll(() => sync.close());

  for (const [name, [, says]] of Object.entries(FAILS)) {
    test(name, async () => {
      await expect(call(sync, { attack: name })).rejects.toMatchObject({
        code: "sync_function_failed",
        message: expect.stringMatching(saying(says)),
      });
      const next = await call(sync, { channels: ["healthy"] });
      expect(next).toEqual({
        channels: ["before", "healthy"],
        access: [],
        roles: [],
        requires: [],
      });
    });
  }
});

test("memory that runs out costs that save only, caught inside or not", async () => {
  const sync = await make(
    `function (doc) {
      const kept = [];
      if (doc.fill) try { for (;;) kept.push({ kept }) } catch (e) { if (doc.fill === "throw") throw e }
      channel("fine");
    }`,
    { timeMs: 10_000, memoryBytes: 8 * 1024 * 1024 },
  );
  for (let i = 0; i < 3; i++) {
    await expect(call(sync, { fill: "throw" })).rejects.toMatchObject({
      code: "sync_function_failed",
      message: expect.stringContaining("more than 8388608 bytes of memory"),
    });
    expect((await call(sync)).channels).toEqual(["fine"]);
  }
  expect((await call(sync, { fill: "catch" })).channels).toEqual(["fine"]);
  await sync.close();
}, 60_000);

test("a clock that stands still does not let a loop run for ever", async () => {
  const { createSyncFunction } = await import("../../src/documents/sync-function/sync-function.ts");
  const { silentLog } = await import("../../src/base/log.ts");
  const { systemTime } = await import("../../src/runtime/time.ts");
  const sync = await createSyncFunction({
    source: "() => { for (;;); }",
    limits: { timeMs: 5, inThreadMs: 5 },
    log: silentLog,
    time: { ...systemTime(), monotonicMs: () => 0, nowMs: () => 0 },
  });
  await expect(call(sync)).rejects.toMatchObject({ code: "sync_function_failed" });
  await sync.close();
});
