// Documents of the embedded bucket: writes under CAS, attributes, macros, tombstones, scans.

import { describe, expect, test } from "bun:test";
import { isTidegateError } from "../../src/base/errors.ts";
import type { KeyRange } from "../../src/bucket/bucket.ts";
import { casText, seqnoText } from "../../src/bucket/embedded/xattrs.ts";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import {
  bytes,
  done,
  nowSeconds,
  open,
  put,
  shiftedTime,
  text,
  until,
  withBucket,
  write,
} from "./support.ts";

/** The code of the error with which `promise` rejects. */
async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return isTidegateError(error) ? error.code : `not refused: ${error}`;
}

describe("documents", () => {
  test("a document written is read back with its attributes", () =>
    withBucket(async ({ documents }) => {
      const xattrs = { _sync: { rev: "1-a" }, other: [1, "two", null] };
      const result = done(
        await documents.write(write("d", { body: bytes('{"a":1}'), xattrs, expiry: 4e9 })),
      );
      expect(result).toMatchObject({ vb: vbucketOf("d", 1024), seq: 1 });
      expect(result.vbuuid).toMatch(/^[0-9a-f]{16}$/);
      const found = await documents.get("d");
      expect(found).toMatchObject({ key: "d", cas: result.cas, deleted: false, expiry: 4e9 });
      expect(text(found?.body)).toBe('{"a":1}');
      expect(found?.xattrs).toEqual({ _sync: '{"rev":"1-a"}', other: '[1,"two",null]' });
      expect((await documents.get("d", { withBody: false }))?.body).toBeUndefined();
      expect(await documents.get("none")).toBeUndefined();
    }));

  test("what was written is there after the bucket is opened again", () =>
    withBucket(async (bucket, directory) => {
      const first = await put(bucket, "d", "1");
      await bucket.close();
      const again = await open(directory);
      expect(text((await again.documents.get("d"))?.body)).toBe("1");
      expect(await again.documents.count()).toBe(1);
      const second = await put(again, "d", "2");
      expect(second).toMatchObject({ vbuuid: first.vbuuid, seq: first.seq + 1 });
      expect(second.cas).toBeGreaterThan(first.cas);
      await again.close();
    }));

  test("a write is refused unless its CAS is that of the version there is", () =>
    withBucket(async ({ documents }) => {
      const tries = async (cas: bigint) => documents.write(write("d", { cas, body: bytes("2") }));
      expect(await tries(7n)).toEqual({ ok: false, refusal: "not_found" });
      const first = done(await tries(0n));
      expect(await tries(0n)).toEqual({ ok: false, refusal: "exists" });
      expect(await tries(first.cas + 1n)).toEqual({ ok: false, refusal: "cas_mismatch" });
      const second = done(await tries(first.cas));
      expect(second.seq).toBe(first.seq + 1);
      expect(await tries(first.cas)).toEqual({ ok: false, refusal: "cas_mismatch" });
      expect((await documents.get("d"))?.cas).toBe(second.cas);
    }));

  test("attributes not named in a write keep their value", () =>
    withBucket(async (bucket) => {
      await put(bucket, "d", "1", { xattrs: { _sync: { n: 1 }, user: "x" } });
      await put(bucket, "d", "2", { xattrs: { _sync: { n: 2 } } });
      expect((await bucket.documents.get("d"))?.xattrs).toEqual({ _sync: '{"n":2}', user: '"x"' });
    }));

  test("a tombstone has no body and keeps only attributes whose name starts with _", () =>
    withBucket(async (bucket) => {
      await put(bucket, "d", "1", { xattrs: { _sync: 1, _keep: 2, user: 3 }, expiry: 4e9 });
      await put(bucket, "d", null, { xattrs: { _sync: 4, gone: 5 } });
      const tombstone = await bucket.documents.get("d");
      expect(tombstone).toMatchObject({ deleted: true, body: undefined, expiry: 0 });
      expect(tombstone?.xattrs).toEqual({ _keep: "2", _sync: "4" });
      expect(await bucket.documents.count()).toBe(0);
      await put(bucket, "d", "back");
      expect((await bucket.documents.get("d"))?.xattrs).toEqual({ _keep: "2", _sync: "4" });
    }));

  test("a purged document is gone with its attributes, and its key can be inserted anew", () =>
    withBucket(async (bucket) => {
      const { documents } = bucket;
      const { cas, seq } = await put(bucket, "d", "1", { xattrs: { _sync: 1 } });
      expect(await documents.purge("d", cas + 1n)).toEqual({ ok: false, refusal: "cas_mismatch" });
      const purged = done(await documents.purge("d", cas));
      expect(purged.seq).toBe(seq + 1);
      expect(await documents.get("d")).toBeUndefined();
      expect(await documents.purge("d", purged.cas)).toEqual({ ok: false, refusal: "not_found" });
      const stale = await documents.write(write("d", { cas: purged.cas }));
      expect(stale).toEqual({ ok: false, refusal: "not_found" });
      expect(done(await documents.write(write("d"))).seq).toBe(seq + 2);
      expect((await documents.get("d"))?.xattrs).toEqual({});
    }));

  test("seq and CAS are expanded into attributes as Couchbase's server does it", () =>
    withBucket(async ({ documents }) => {
      const xattrs = { _sync: { rev: "1-a", deep: { kept: true } }, whole: "" };
      const result = done(
        await documents.write(
          write("d", {
            xattrs,
            macros: [
              { path: ["_sync", "seq"], value: "seqno" },
              { path: ["_sync", "deep", "cas"], value: "cas" },
              { path: ["whole"], value: "seqno" },
            ],
          }),
        ),
      );
      const found = await documents.get("d");
      expect(JSON.parse(found?.xattrs._sync as string)).toEqual({
        rev: "1-a",
        deep: { kept: true, cas: casText(Number(result.cas)) },
        seq: seqnoText(result.seq),
      });
      expect(found?.xattrs.whole).toBe('"0x0000000000000001"');
      // The caller's own object is not written to.
      expect(xattrs).toEqual({ _sync: { rev: "1-a", deep: { kept: true } }, whole: "" });
    }));

  test("macro texts have the forms that a real server was recorded with", () => {
    expect(seqnoText(7)).toBe("0x0000000000000007");
    expect(seqnoText(Number.MAX_SAFE_INTEGER)).toBe("0x001fffffffffffff");
    expect(casText(0x0123456789abc)).toBe("0xbc9a785634120000");
  });

  test("names that JavaScript finds special are ordinary attributes", () =>
    withBucket(async (bucket) => {
      const xattrs = JSON.parse('{"__proto__":{"a":1},"_x":{"__proto__":2}}');
      await put(bucket, "d", "1", { xattrs });
      const found = (await bucket.documents.get("d"))?.xattrs ?? {};
      expect(Object.entries(found)).toEqual([
        ["__proto__", '{"a":1}'],
        ["_x", '{"__proto__":2}'],
      ]);
    }));

  test("what can't be stored is refused by name", () =>
    withBucket(async ({ documents }) => {
      const refused = (key: string, rest = {}) => codeOf(documents.write(write(key, rest)));
      expect(await refused("")).toBe("bad_document_id");
      expect(await refused("é".repeat(126))).toBe("bad_document_id");
      expect(await refused("a\0b")).toBe("bad_document_id");
      expect(await refused("\ud800")).toBe("bad_document_id");
      expect(await codeOf(documents.get("a\0b"))).toBe("bad_document_id");
      expect(await refused("d", { xattrs: { "": 1 } })).toBe("bad_request");
      expect(await refused("d", { xattrs: { "a\tb": 1 } })).toBe("bad_request");
      expect(await refused("d", { xattrs: { seventeen_letters: 1 } })).toBe("bad_request");
      expect(await refused("d", { expiry: -1 })).toBe("bad_request");
      const macros = [{ path: ["_sync", "seq"] as const, value: "seqno" as const }];
      expect(await refused("d", { macros })).toBe("bad_request");
      expect(await refused("d", { macros, xattrs: { _sync: "text" } })).toBe("bad_request");
      const big = new Uint8Array(20 * 1024 * 1024 + 1);
      const tooLarge = await documents.write(write("d", { body: big }));
      expect(tooLarge).toEqual({ ok: false, refusal: "too_large" });
      expect(await documents.get("d")).toBeUndefined();
      expect(done(await documents.write(write("é".repeat(125)))).seq).toBeGreaterThan(0);
    }));

  test("getMany answers in the order of the keys, with gaps", () =>
    withBucket(async (bucket) => {
      await put(bucket, "a", "1");
      await put(bucket, "b", null);
      const found = await bucket.documents.getMany(["b", "none", "a", "b"]);
      expect(found.map((document) => document?.key)).toEqual(["b", undefined, "a", "b"]);
    }));

  test("the count is of live documents that are not the gateway's own", () =>
    withBucket(async (bucket) => {
      for (const key of ["a", "b", "c", "_sync:user:x"]) await put(bucket, key, "1");
      await put(bucket, "b", null);
      const { cas } = await put(bucket, "c", "2");
      done(await bucket.documents.purge("c", cas));
      expect(await bucket.documents.count()).toBe(1);
      await put(bucket, "b", "again");
      expect(await bucket.documents.count()).toBe(2);
    }));

  test("CAS and seq grow also when the machine's clock goes back", async () => {
    const time = shiftedTime();
    await withBucket(
      async (bucket, directory) => {
        const first = await put(bucket, "a", "1");
        time.shiftMs = -86_400_000;
        const second = await put(bucket, "a", "2");
        expect(second.cas).toBeGreaterThan(first.cas);
        await bucket.close();
        const again = await open(directory, { time });
        expect((await put(again, "b", "1")).cas).toBeGreaterThan(second.cas);
        await again.close();
      },
      { time },
    );
  });
});

describe("expiry of documents", () => {
  test("an expired document reads as a tombstone at once, and the feed tells of it", async () => {
    const time = shiftedTime();
    await withBucket(
      async (bucket) => {
        const xattrs = { _sync: { rev: "1-a" }, user: 1 };
        const { cas, seq } = await put(bucket, "d", "1", { xattrs, expiry: nowSeconds() + 60 });
        expect((await bucket.documents.get("d"))?.deleted).toBe(false);
        time.shiftMs = 61_000;
        const pages = [];
        for await (const page of bucket.documents.scan({})) pages.push(page);
        expect(pages).toEqual([]);
        expect(await bucket.documents.count()).toBe(0);
        const tombstone = await bucket.documents.get("d");
        expect(tombstone).toMatchObject({ deleted: true, body: undefined, expiry: 0 });
        expect(tombstone?.xattrs).toEqual({ _sync: '{"rev":"1-a"}' });
        expect(tombstone?.cas).toBeGreaterThan(cas);
        const { vb } = await put(bucket, "d", "2");
        expect((await bucket.feed.highSeqs())[vb]).toBe(seq + 2);
        expect(await bucket.documents.count()).toBe(1);
      },
      { time },
    );
  });

  test("a write with the CAS of a version that has expired is refused", async () => {
    const time = shiftedTime();
    await withBucket(
      async ({ documents }) => {
        const first = done(await documents.write(write("d", { expiry: nowSeconds() + 60 })));
        time.shiftMs = 61_000;
        const late = await documents.write(write("d", { cas: first.cas }));
        expect(late).toEqual({ ok: false, refusal: "cas_mismatch" });
        expect(await documents.write(write("d"))).toEqual({ ok: false, refusal: "exists" });
      },
      { time },
    );
  });

  test("expired documents become tombstones by themselves, however many", async () => {
    const time = shiftedTime();
    await withBucket(
      async (bucket) => {
        const expiry = nowSeconds() + 60;
        const keys = Array.from({ length: 600 }, (_, index) => `d${index}`);
        await Promise.all(keys.map((key) => bucket.documents.write(write(key, { expiry }))));
        time.shiftMs = 61_000;
        await until(async () => {
          const highs = await bucket.feed.highSeqs();
          return highs.reduce((sum, seq) => sum + seq, 0) === 1200;
        });
        expect(await bucket.documents.count()).toBe(0);
      },
      { time },
    );
  });
});

describe("scans", () => {
  const keys = ["a", "aa", "b", "z", "é", "\uffff", "\u{10000}", "\u{1f600}x"];

  test("keys come in the order of their UTF-8 bytes, both ways, within both ends", () =>
    withBucket(async (bucket) => {
      for (const key of keys.toReversed()) await put(bucket, key, "1");
      await put(bucket, "deleted", null);
      const scan = async (range: KeyRange) => {
        const found: string[] = [];
        for await (const page of bucket.documents.scan(range))
          found.push(...page.map((d) => d.key));
        return found;
      };
      expect(await scan({})).toEqual(keys);
      expect(await scan({ descending: true })).toEqual(keys.toReversed());
      expect(await scan({ from: "aa", to: "z" })).toEqual(["aa", "b", "z"]);
      expect(await scan({ from: "aa", to: "z", includeTo: false })).toEqual(["aa", "b"]);
      expect(await scan({ from: "z", to: "aa", descending: true })).toEqual(["z", "b", "aa"]);
      expect(await scan({ from: "z", to: "aa", descending: true, includeTo: false })).toEqual([
        "z",
        "b",
      ]);
      expect(await scan({ from: "b", to: "a" })).toEqual([]);
      expect(await scan({ from: "\uffff" })).toEqual(keys.slice(5));
    }));

  test("a long scan comes in pages, and sees what is written behind it only ahead of it", () =>
    withBucket(async (bucket) => {
      const name = (index: number) => `k${String(index).padStart(5, "0")}`;
      const all = Array.from({ length: 1200 }, (_, index) => name(index));
      await Promise.all(all.map((key) => bucket.documents.write(write(key))));
      const pages: string[][] = [];
      for await (const page of bucket.documents.scan({}, { withBody: false })) {
        expect(page.every((document) => document.body === undefined)).toBe(true);
        pages.push(page.map((document) => document.key));
        if (pages.length > 1) continue;
        await put(bucket, "a-behind", "1");
        await put(bucket, "z-ahead", "1");
      }
      expect(pages.length).toBeGreaterThan(2);
      expect(Math.max(...pages.map((page) => page.length))).toBeLessThanOrEqual(500);
      expect(pages.flat()).toEqual([...all, "z-ahead"]);
    }));

  test("a page of large documents ends by its bytes", () =>
    withBucket(async (bucket) => {
      const body = "x".repeat(1_000_000);
      for (let index = 0; index < 9; index++) await put(bucket, `d${index}`, body);
      const pages: number[] = [];
      for await (const page of bucket.documents.scan({})) pages.push(page.length);
      expect(pages).toEqual([5, 4]);
    }));
});
