// Slow calls: a worker takes over, the gateway goes on, and what waits is bounded.

import { afterEach, describe, expect, test } from "bun:test";
import type { Log } from "../../src/base/log.ts";
import { silentLog } from "../../src/base/log.ts";
import { MAX_WAITING_CALLS, type SandboxLimits } from "../../src/documents/sync-function/limits.ts";
import {
  createSyncFunction,
  type SandboxedSyncFunction,
} from "../../src/documents/sync-function/sync-function.ts";
import type { SyncInput } from "../../src/documents/sync-port.ts";
import { FREE_GUEST } from "../../src/documents/types.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { call, keptLog } from "./support.ts";

const SOURCE = `function (doc) {
  console.log("called");
  if (doc.loop) while (true) {}
  for (let i = 0; i < (doc.turns || 0); i++);
  if (doc.hang) (2n ** 400000n).toString();
  if (doc.no) throw { forbidden: doc.no };
  channel(doc.channels);
  access(doc.users, doc.channels);
}`;

const made: SandboxedSyncFunction[] = [];
afterEach(async () => {
  for (const sync of made.splice(0)) await sync.close();
});

async function make(limits: Partial<SandboxLimits>, log: Log = silentLog) {
  const sync = await createSyncFunction({ source: SOURCE, limits, log, time: systemTime() });
  made.push(sync);
  return sync;
}

function input(doc: object): SyncInput {
  return {
    docJson: JSON.stringify(doc),
    oldDocJson: null,
    meta: { xattrs: {} },
    actor: FREE_GUEST,
  };
}

describe("a call that is too slow for the gateway's thread", () => {
  test("is run in a worker to its end, and gives the same", async () => {
    const { log, lines } = keptLog();
    const sync = await make({ timeMs: 20_000, inThreadMs: 5 }, log);
    const result = await call(sync, { turns: 2_000_000, channels: ["a"], users: "u" });
    expect(result).toEqual({
      channels: ["a"],
      access: [{ principal: "u", channels: ["a"] }],
      roles: [],
      requires: [],
    });
    expect(lines).toEqual(["info: called"]);
  });

  test("fails there when it does not end, while the gateway goes on", async () => {
    const sync = await make({ timeMs: 1000, inThreadMs: 5 });
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    await expect(call(sync, { loop: true })).rejects.toMatchObject({
      code: "sync_function_failed",
      message: expect.stringContaining("did not end within 1000 ms"),
    });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(20);
    expect((await call(sync, { channels: "next" })).channels).toEqual(["next"]);
  });

  test("after several in a row the next ones don't try that thread first", async () => {
    const sync = await make({ timeMs: 20_000, inThreadMs: 5 });
    await call(sync);
    expect(sync.run(input({ channels: "quick" }))).not.toBeInstanceOf(Promise);
    for (let i = 0; i < 3; i++) await call(sync, { turns: 2_000_000 });
    const next = sync.run(input({ channels: "quick" }));
    expect(next).toBeInstanceOf(Promise);
    expect((await next).channels).toEqual(["quick"]);
  });

  test("a large document goes there at once", async () => {
    const sync = await make({ timeMs: 20_000, inThreadMs: 20_000 });
    const result = sync.run(input({ pad: "x".repeat(300_000), channels: "large" }));
    expect(result).toBeInstanceOf(Promise);
    expect((await result).channels).toEqual(["large"]);
  });
});

describe("the worker", () => {
  test("answers each call with its own outcome, refusals too", async () => {
    const sync = await make({ timeMs: 20_000, inThreadMs: 0 });
    const calls = Array.from({ length: 50 }, (_, i) => call(sync, { channels: `c${i}` }));
    const refused = call(sync, { no: "not you" });
    await expect(refused).rejects.toMatchObject({ code: "forbidden", message: "not you" });
    const channels = (await Promise.all(calls)).map((result) => result.channels);
    expect(channels).toEqual(Array.from({ length: 50 }, (_, i) => [`c${i}`]));
  });

  test("that hangs is given up, and the next call gets another", async () => {
    const { log, lines } = keptLog();
    const sync = await make({ timeMs: 50, inThreadMs: 0 }, log);
    await call(sync, { channels: "starts it" });
    await expect(call(sync, { hang: true })).rejects.toMatchObject({
      code: "sync_function_failed",
      message: expect.stringContaining("did not end"),
    });
    expect(lines).toContain("error: the sync function's thread hangs, and is given up");
    expect((await call(sync, { channels: "next" })).channels).toEqual(["next"]);
  });

  test("has a bounded queue, and refuses what is beyond it", async () => {
    const sync = await make({ timeMs: 500, inThreadMs: 0 });
    const waiting = Array.from({ length: MAX_WAITING_CALLS + 1 }, () => call(sync, { loop: true }));
    await expect(call(sync)).rejects.toMatchObject({ code: "unavailable" });
    const settled = Promise.allSettled(waiting);
    await sync.close();
    for (const one of await settled) {
      expect(one).toMatchObject({ status: "rejected", reason: { code: "unavailable" } });
    }
  });
});
