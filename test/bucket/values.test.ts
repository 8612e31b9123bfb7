// Key-value collections of the embedded bucket: each operation, appends of all sizes, keys, expiry.

import { describe, expect, test } from "bun:test";
import { isTidegateError } from "../../src/base/errors.ts";
import {
  type KeyValueOperation,
  type KeyValueResult,
  MAX_VALUE_BYTES,
} from "../../src/bucket/bucket.ts";
import { INLINE_APPEND_BYTES, MAX_CHUNKS } from "../../src/bucket/embedded/limits.ts";
import { firstTextAfter } from "../../src/bucket/embedded/values.ts";
import { bytes, nowSeconds, open, shiftedTime, text, until, withBucket } from "./support.ts";

const refused = (refusal: string) => ({ ok: false, refusal }) as KeyValueResult;

describe.each(["metadata", "index"] as const)("%s", (collection) => {
  test("each operation does what it says, or says why not", () =>
    withBucket(async (bucket) => {
      const values = bucket[collection];
      const run = async (operation: KeyValueOperation) =>
        (await values.batch([operation]))[0] as KeyValueResult;
      const cas = async () => (await values.get("k"))?.cas as bigint;
      const value = bytes("v");
      const wrong = { key: "k", cas: 5n };
      for (const op of ["remove", "touch"] as const) {
        expect(await run({ op, key: "k", expiry: 0 })).toEqual(refused("not_found"));
      }
      for (const op of ["replace", "append"] as const) {
        expect(await run({ op, key: "k", value })).toEqual(refused("not_found"));
      }
      expect(await run({ op: "insert", key: "k", value })).toMatchObject({ ok: true });
      expect(await run({ op: "insert", key: "k", value })).toEqual(refused("exists"));
      for (const op of ["replace", "append"] as const) {
        expect(await run({ op, ...wrong, value })).toEqual(refused("cas_mismatch"));
        expect(await run({ op, key: "k", cas: await cas(), value })).toMatchObject({ ok: true });
      }
      expect(text((await values.get("k"))?.value)).toBe("vv");
      expect(await run({ op: "upsert", key: "k", value: bytes("w") })).toMatchObject({ ok: true });
      expect(text((await values.get("k"))?.value)).toBe("w");
      const before = await cas();
      expect(await run({ op: "touch", key: "k", expiry: 4e9 })).toMatchObject({ ok: true });
      expect(await cas()).toBeGreaterThan(before);
      expect(await run({ op: "remove", ...wrong })).toEqual(refused("cas_mismatch"));
      expect(await run({ op: "remove", key: "k", cas: await cas() })).toMatchObject({ ok: true });
      expect(await values.get("k")).toBeUndefined();
    }));

  test("a result's CAS is the one that is read, whatever the operation", () =>
    withBucket(async (bucket) => {
      const values = bucket[collection];
      const value = new Uint8Array(INLINE_APPEND_BYTES);
      const operations: KeyValueOperation[] = [
        { op: "insert", key: "k", value },
        { op: "append", key: "k", value },
        { op: "append", key: "k", value },
        { op: "touch", key: "k", expiry: 0 },
        { op: "append", key: "k", value },
        { op: "replace", key: "k", value: bytes("12") },
        { op: "counter", key: "k", delta: 1, initial: 0 },
      ];
      let last = 0n;
      for (const operation of operations) {
        const [result] = await values.batch([operation]);
        const cas = result?.ok ? result.cas : 0n;
        expect(cas).toBeGreaterThan(last);
        expect((await values.get("k"))?.cas).toBe(cas);
        last = cas;
      }
    }));

  test("operations on one key are carried out in their order, and a refused one fails alone", () =>
    withBucket(async (bucket) => {
      const values = bucket[collection];
      const results = await values.batch([
        { op: "append", key: "k", value: bytes("0") },
        { op: "insert", key: "k", value: bytes("1") },
        { op: "append", key: "k", value: bytes("2") },
        { op: "insert", key: "k", value: bytes("3") },
        { op: "append", key: "k", value: bytes("4") },
      ]);
      expect(results.map((result) => result.ok)).toEqual([false, true, true, false, true]);
      expect(text((await values.get("k"))?.value)).toBe("124");
    }));

  test("a counter starts as its initial value and adds after that", () =>
    withBucket(async (bucket) => {
      const values = bucket[collection];
      const add = async (delta: number, key = "c") =>
        (await values.batch([{ op: "counter", key, delta, initial: 10 }]))[0];
      expect(await add(5)).toMatchObject({ ok: true, counter: 10 });
      expect(await add(5)).toMatchObject({ ok: true, counter: 15 });
      expect(await add(-20)).toMatchObject({ ok: true, counter: -5 });
      expect(text((await values.get("c"))?.value)).toBe("-5");
      expect(await add(-Number.MAX_SAFE_INTEGER)).toEqual(refused("not_a_counter"));
      expect(await add(0)).toMatchObject({ ok: true, counter: -5 });
      await values.batch([{ op: "upsert", key: "t", value: bytes("1x") }]);
      expect(await add(1, "t")).toEqual(refused("not_a_counter"));
      await values.batch([{ op: "upsert", key: "t", value: bytes("") }]);
      expect(await add(1, "t")).toEqual(refused("not_a_counter"));
    }));

  test("appends of any bytes and sizes make the same value as joining them, also reopened", () =>
    withBucket(async (bucket, directory) => {
      const pieces = Array.from({ length: 700 }, (_, index) =>
        crypto.getRandomValues(new Uint8Array(index % 97 === 0 ? 5000 : (index * 7) % 150)),
      );
      const first = crypto.getRandomValues(new Uint8Array(100));
      const values = bucket[collection];
      await values.batch([{ op: "insert", key: "k", value: first }]);
      for (let at = 0; at < pieces.length; at += 50) {
        const some = pieces.slice(at, at + 50);
        await values.batch(some.map((value) => ({ op: "append", key: "k", value })));
        const found = await values.get("k");
        expect(Buffer.compare(found?.value ?? bytes(""), joined(first, pieces, at + 50))).toBe(0);
      }
      const file = collection === "index" ? bucket.files.index : bucket.files.documents;
      const chunks = file.connection.query<[number]>("SELECT count(*) FROM chunks");
      expect(chunks.get()?.[0]).toBeLessThan(MAX_CHUNKS);
      await bucket.close();
      const again = await open(directory);
      const more = bytes("more");
      const [result] = await again[collection].batch([{ op: "append", key: "k", value: more }]);
      expect(result?.ok).toBe(true);
      const found = await again[collection].get("k");
      const whole = joined(first, [...pieces, more], pieces.length + 1);
      expect(Buffer.compare(found?.value ?? bytes(""), whole)).toBe(0);
      await again.close();
    }));

  test("two connections append to the same value in turn", () =>
    withBucket(async (bucket, directory) => {
      const other = await open(directory);
      const value = new Uint8Array(INLINE_APPEND_BYTES);
      await bucket[collection].batch([{ op: "insert", key: "k", value }]);
      for (let turn = 0; turn < 50; turn++) {
        const { [collection]: values } = turn % 2 === 0 ? other : bucket;
        const piece = new Uint8Array(10).fill(turn);
        const [result] = await values.batch([{ op: "append", key: "k", value: piece }]);
        expect(result?.ok).toBe(true);
        const found = await (turn % 3 === 0 ? other : bucket)[collection].get("k");
        expect(found?.value.length).toBe(value.length + 10 * (turn + 1));
        expect(found?.value.at(-1)).toBe(turn);
      }
      await other.close();
    }));

  test("a value that was appended to is replaced and removed whole", () =>
    withBucket(async (bucket) => {
      const values = bucket[collection];
      const value = new Uint8Array(INLINE_APPEND_BYTES);
      const grow: KeyValueOperation[] = [
        { op: "upsert", key: "k", value },
        { op: "append", key: "k", value },
        { op: "append", key: "k", value },
      ];
      await values.batch([...grow, { op: "replace", key: "k", value: bytes("short") }]);
      expect(text((await values.get("k"))?.value)).toBe("short");
      await values.batch([...grow, { op: "remove", key: "k" }]);
      expect(await values.get("k")).toBeUndefined();
      await values.batch([{ op: "insert", key: "k", value: bytes("new") }]);
      expect(text((await values.get("k"))?.value)).toBe("new");
    }));

  test("a value grows up to its limit and no further", () =>
    withBucket(async (bucket) => {
      const values = bucket[collection];
      const half = new Uint8Array(MAX_VALUE_BYTES / 2);
      const results = await values.batch([
        { op: "insert", key: "big", value: new Uint8Array(MAX_VALUE_BYTES + 1) },
        { op: "insert", key: "k", value: half },
        { op: "append", key: "k", value: half },
        { op: "append", key: "k", value: new Uint8Array(1) },
      ]);
      expect(results.map((result) => result.ok || result.refusal)).toEqual([
        "too_large",
        true,
        true,
        "too_large",
      ]);
      expect((await values.get("k"))?.value.length).toBe(MAX_VALUE_BYTES);
    }));

  test("keys of a prefix come in byte order, page by page", () =>
    withBucket(async (bucket) => {
      const values = bucket[collection];
      const all = ["p", "p\0x".replace("\0", "\u0001"), "pa", "pb", "p\uffff", "p\u{10ffff}z"];
      const others = ["o", "o\u{10ffff}", "q", "P"];
      const value = bytes("v");
      await values.batch([...all, ...others].map((key) => ({ op: "insert", key, value })));
      expect(await values.keys("p", { limit: 100 })).toEqual(all);
      expect(await values.keys("p", { limit: 2 })).toEqual(all.slice(0, 2));
      expect(await values.keys("p", { limit: 9, after: "pa" })).toEqual(all.slice(3));
      expect(await values.keys("p", { limit: 9, after: "a" })).toEqual(all);
      expect(await values.keys("p", { limit: 9, after: "q" })).toEqual([]);
      expect(await values.keys("pb", { limit: 9 })).toEqual(["pb"]);
      expect((await values.keys("", { limit: 100 })).length).toBe(all.length + others.length);
    }));

  test("an expired value is absent at once, and its row goes by itself", async () => {
    const time = shiftedTime();
    await withBucket(
      async (bucket) => {
        const values = bucket[collection];
        const expiry = nowSeconds() + 60;
        const value = new Uint8Array(INLINE_APPEND_BYTES);
        await values.batch([
          { op: "insert", key: "a", value, expiry },
          { op: "append", key: "a", value },
          { op: "insert", key: "b", value: bytes("5"), expiry },
          { op: "insert", key: "c", value: bytes("5"), expiry },
          { op: "touch", key: "c", expiry: 0 },
        ]);
        time.shiftMs = 61_000;
        expect(await values.get("a")).toBeUndefined();
        expect(await values.keys("", { limit: 10 })).toEqual(["c"]);
        const [append, counter] = await values.batch([
          { op: "append", key: "a", value },
          { op: "counter", key: "b", delta: 1, initial: 1 },
        ]);
        expect(append).toEqual(refused("not_found"));
        expect(counter).toMatchObject({ ok: true, counter: 1 });
        await values.batch([{ op: "touch", key: "b", expiry: expiry + 60 }]);
        time.shiftMs = 121_000;
        const file = collection === "index" ? bucket.files.index : bucket.files.documents;
        const rows = file.connection.query<[number]>("SELECT count(*) FROM items");
        await until(() => rows.get()?.[0] === 1);
      },
      { time },
    );
  });
});

test("the first text after a prefix is after everything that starts with it", () => {
  expect(firstTextAfter("ab")).toBe("ac");
  expect(firstTextAfter("a\ud7ff")).toBe("a\ue000");
  expect(firstTextAfter("a\u{10ffff}")).toBe("b");
  expect(firstTextAfter("\u{10ffff}")).toBeUndefined();
  expect(firstTextAfter("")).toBeUndefined();
});

test("a counter of something that is no integer is the caller's mistake", () =>
  withBucket(async ({ index }) => {
    const operation = { op: "counter", key: "c", delta: 0.5, initial: 0 } as const;
    const error = await index.batch([operation]).catch((reason: unknown) => reason);
    expect(isTidegateError(error, "bad_request")).toBe(true);
  }));

function joined(first: Uint8Array, pieces: Uint8Array[], count: number): Uint8Array {
  return Buffer.concat([first, ...pieces.slice(0, count)]);
}
