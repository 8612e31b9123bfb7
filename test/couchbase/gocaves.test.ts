// The half of the bucket that goes through the SDK, against Couchbase's own mock. It knows no range
// scans, no DCP, not all macros and virtual attributes: those are held to recorded sessions of a real server.

import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "couchbase";
import { silentLog } from "../../src/base/log.ts";
import type { KeyValueOperation } from "../../src/bucket/bucket.ts";
import { openCouchbaseBucket } from "../../src/bucket/couchbase/couchbase-bucket.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { startGocaves } from "./gocaves.ts";

setDefaultTimeout(60_000);

/** The mock's own. */
const USER = { username: "Administrator", password: "password" };
const mock = await startGocaves();

afterAll(async () => {
  await mock?.stop();
});

async function opened(indexTraffic: "sdk" | "pipelined") {
  return openCouchbaseBucket({
    connectionString: `couchbase://${mock?.nodes}/default`,
    ...USER,
    durability: "none",
    indexTraffic,
    time: systemTime(),
    random: systemRandom,
    log: silentLog,
  });
}

describe.skipIf(mock === undefined)("on gocaves", () => {
  test("documents are written with attributes and macros, by CAS", async () => {
    const bucket = await opened("sdk");
    const cluster = await connect(`couchbase://${mock?.nodes}`, USER);
    try {
      const key = "gocaves-document";
      const write = (n: number, cas: bigint) =>
        bucket.documents.write({
          key,
          cas,
          body: Buffer.from(JSON.stringify({ n })),
          xattrs: { _sync: { rev: `${n}-a`, cas: "", seq: "" } },
          macros: [
            { path: ["_sync", "seq"], value: "seqno" },
            { path: ["_sync", "cas"], value: "cas" },
          ],
        });
      const first = await write(1, 0n);
      if (!first.ok) throw new Error(first.refusal);
      expect(first.vbuuid).toMatch(/^[0-9a-f]{16}$/);
      const second = await write(2, first.cas);
      if (!second.ok) throw new Error(second.refusal);
      expect(second.seq).toBeGreaterThan(first.seq);
      expect(await write(3, first.cas)).toEqual({ ok: false, refusal: "cas_mismatch" });

      const collection = cluster.bucket("default").defaultCollection();
      const stored = await collection.get(key);
      expect(stored.content).toEqual({ n: 2 });
      expect(BigInt(stored.cas.toString())).toBe(second.cas);
      const { LookupInSpec } = await import("couchbase");
      const { content } = await collection.lookupIn(key, [
        LookupInSpec.get("_sync", { xattr: true }),
      ]);
      // Of the macros the mock expands the CAS alone.
      const { rev, cas } = content[0]!.value as Record<string, string>;
      expect(rev).toBe("2-a");
      expect(Buffer.from((cas ?? "").slice(2), "hex").readBigUInt64LE()).toBe(second.cas);
    } finally {
      await cluster.close();
      await bucket.close();
    }
  });

  for (const traffic of ["sdk", "pipelined"] as const) {
    test(`values have the outcomes of the embedded bucket, ${traffic}`, async () => {
      const bucket = await opened(traffic);
      try {
        const collection = traffic === "sdk" ? bucket.metadata : bucket.index;
        const key = `gocaves-${traffic}`;
        const value = Buffer.from([1, 2]);
        const run = async (operation: object) =>
          (await collection.batch([{ key, ...operation } as KeyValueOperation]))[0]!;
        expect(await run({ op: "append", value })).toEqual({ ok: false, refusal: "not_found" });
        const inserted = await run({ op: "insert", value });
        if (!inserted.ok) throw new Error(inserted.refusal);
        expect(await run({ op: "insert", value })).toEqual({ ok: false, refusal: "exists" });
        expect(await run({ op: "append", value })).toMatchObject({ ok: true });
        const found = await collection.get(key);
        expect([...(found?.value ?? [])]).toEqual([1, 2, 1, 2]);
        expect(await run({ op: "replace", value, cas: inserted.cas })).toEqual({
          ok: false,
          refusal: "cas_mismatch",
        });
        expect(await run({ op: "replace", value, cas: found!.cas })).toMatchObject({ ok: true });
        expect(await run({ op: "remove" })).toMatchObject({ ok: true });
        expect(await run({ op: "remove" })).toEqual({ ok: false, refusal: "not_found" });
        expect(await collection.get(key)).toBeUndefined();
        const count = { op: "counter", delta: 2, initial: 5 };
        expect(await run(count)).toMatchObject({ ok: true, counter: 5 });
        expect(await run(count)).toMatchObject({ ok: true, counter: 7 });
        await run({ op: "remove" });
      } finally {
        await bucket.close();
      }
    });
  }
});
