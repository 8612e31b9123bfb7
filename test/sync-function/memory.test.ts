// The process does not grow with the number of calls that fail.

import { expect, test } from "bun:test";
import { call, make } from "./support.ts";

const MB = 1024 * 1024;

/** What a leak of one engine, or of one context for each failure, would exceed by far. */
const ALLOWED_GROWTH = 64 * MB;

const SOURCE = `function (doc) {
  if (doc.kind === "throw") throw new Error("x".repeat(10000));
  if (doc.kind === "loop") while (true) {}
  if (doc.kind === "stack") (function f() { f(); })();
  if (doc.kind === "memory") { const a = []; for (;;) a.push({ a }); }
  if (doc.kind === "promise") (async () => { await doc; })();
  if (doc.kind === "hard") for (;;) try { [...{ [Symbol.iterator]: () => ({ next: Object }) }] } catch (e) {}
  if (doc.kind === "host stack") JSON.parse("[".repeat(1e6));
  channel("fine");
}`;

function settledRss(): number {
  Bun.gc(true);
  return process.memoryUsage().rss;
}

test("a hundred failures of every kind leave no memory behind", async () => {
  const sync = await make(SOURCE, { timeMs: 15, memoryBytes: 2 * MB });
  const kinds = ["throw", "loop", "stack", "memory", "promise", "hard", "host stack"];
  const round = async () => {
    for (const kind of kinds) {
      await expect(call(sync, { kind })).rejects.toMatchObject({ code: "sync_function_failed" });
      await call(sync).catch((error: unknown) => {
        // On a busy machine the healthy call may not get its 15 ms.
        expect(error).toMatchObject({ message: expect.stringContaining("did not end within") });
      });
    }
  };
  for (let i = 0; i < 5; i++) await round();
  const before = settledRss();
  for (let i = 0; i < 15; i++) await round();
  const grown = settledRss() - before;
  expect(grown).toBeLessThan(ALLOWED_GROWTH);
  await sync.close();
}, 120_000);

test("tens of thousands of calls that keep what they can leave no memory behind", async () => {
  const sync = await make(
    `function (doc) {
      class Base { constructor() { return Math; } }
      class Stamp extends Base { #kept = new Array(100).fill(doc); }
      new Stamp(); Symbol.for("k" + doc.n);
      const cycle = { doc }; cycle.cycle = cycle;
      channel("fine");
    }`,
    { memoryBytes: 8 * MB },
  );
  for (let n = 0; n < 2000; n++) await call(sync, { n });
  const before = settledRss();
  for (let n = 0; n < 20_000; n++) await call(sync, { n });
  expect(settledRss() - before).toBeLessThan(ALLOWED_GROWTH);
  await sync.close();
}, 120_000);
