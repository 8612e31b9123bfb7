// The default function written in JavaScript gives what its native form gives, in both places.

import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { isChannelName } from "../../src/access/names.ts";
import { isTidegateError } from "../../src/base/errors.ts";
import type { Json, JsonObject } from "../../src/base/json.ts";
import { silentLog } from "../../src/base/log.ts";
import { defaultSyncFunction } from "../../src/documents/default-sync.ts";
import {
  createSyncFunction,
  type SandboxedSyncFunction,
} from "../../src/documents/sync-function/sync-function.ts";
import { normalizeResult } from "../../src/documents/sync-metadata.ts";
import type { SyncFunction, SyncInput, SyncResult } from "../../src/documents/sync-port.ts";
import { FREE_GUEST } from "../../src/documents/types.ts";
import { cpuTime } from "./support.ts";

const SOURCE = "function (doc) { channel(doc.channels); }";

let inThread: SandboxedSyncFunction;
let inWorker: SandboxedSyncFunction;

beforeAll(async () => {
  const limits = { timeMs: 10_000 };
  const common = { source: SOURCE, log: silentLog, time: cpuTime };
  inThread = await createSyncFunction({ ...common, limits: { ...limits, inThreadMs: 10_000 } });
  inWorker = await createSyncFunction({ ...common, limits: { ...limits, inThreadMs: 0 } });
});
afterAll(async () => {
  await inThread.close();
  await inWorker.close();
});

async function outcome(sync: SyncFunction, input: SyncInput): Promise<SyncResult | string> {
  try {
    const result = normalizeResult(await sync.run(input));
    return !result.channels.every(isChannelName) ? "refused" : result;
  } catch (error) {
    if (isTidegateError(error, "sync_function_failed")) return "refused";
    throw error;
  }
}

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc.constantFrom("*", "!", "", "a"),
);
const channels = fc.oneof(
  text,
  fc.array(fc.oneof(text, fc.jsonValue())),
  fc.jsonValue(),
  fc.array(fc.constantFrom("a", "b", "c", "*", "!"), { maxLength: 40 }),
);
const documents = fc
  .tuple(fc.dictionary(fc.string(), fc.jsonValue()), fc.option(channels, { nil: undefined }))
  .map(([rest, named]) => {
    const { channels: _, ...body } = rest as JsonObject;
    return named === undefined ? body : { ...body, channels: named as Json };
  });

for (const [where, runs] of [
  ["this thread", 500],
  ["the worker", 200],
] as const) {
  test(`the default function gives the same in ${where} as natively, for any document`, async () => {
    await fc.assert(
      fc.asyncProperty(documents, async (body) => {
        const sync = where === "this thread" ? inThread : inWorker;
        const docJson = JSON.stringify(body);
        const parsed = JSON.parse(docJson) as JsonObject;
        const actor = FREE_GUEST;
        const input: SyncInput = { docJson, oldDocJson: null, meta: { xattrs: {} }, actor };
        const native = await outcome(defaultSyncFunction, { ...input, body: parsed });
        expect(await outcome(sync, input)).toEqual(native);
      }),
      { numRuns: runs },
    );
  }, 60_000);
}
