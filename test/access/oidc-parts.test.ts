// What a browser keeps of a login that is under way: sealed, for one database and a short time, and
// good once on every node.

import { describe, expect, test } from "bun:test";
import { LOGIN_LIMIT_SECONDS } from "../../src/access/tokens/limits.ts";
import { PendingLogins } from "../../src/access/tokens/oidc/pending.ts";
import { newSealKey, Seal } from "../../src/access/tokens/oidc/seal.ts";
import { isTidegateError } from "../../src/base/errors.ts";
import type { Bucket } from "../../src/bucket/bucket.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime, type Time } from "../../src/runtime/time.ts";
import { withBucket } from "../bucket/support.ts";

const random = systemRandom;

describe("what is sealed", () => {
  const key = newSealKey(random);
  const value = { state: "s", text: "grüße", number: 7 };

  test("is opened with the same key for the same purpose, and never the same text twice", () => {
    const seal = new Seal(key, "a", random);
    expect(seal.open(seal.close(value))).toEqual(value);
    expect(seal.close(value)).not.toBe(seal.close(value));
    expect(new Seal(key, "b", random).open(seal.close(value))).toBeUndefined();
    expect(new Seal(newSealKey(random), "a", random).open(seal.close(value))).toBeUndefined();
  });

  test("is nothing when any bit of it was changed, and when it was cut", () => {
    const seal = new Seal(key, "a", random);
    const bytes = Buffer.from(seal.close(value), "base64url");
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      expect([at, seal.open(changed.toString("base64url"))]).toEqual([at, undefined]);
      expect(seal.open(bytes.subarray(0, at).toString("base64url"))).toBeUndefined();
    }
    for (const strange of ["", "!", "é".repeat(50), "A".repeat(100_000)]) {
      expect(seal.open(strange)).toBeUndefined();
    }
  });
});

describe("a login that is under way", () => {
  const at = { ms: Date.now() };
  const time: Time = { ...systemTime(), nowMs: () => at.ms };
  const node = ({ metadata }: Bucket, database = "db") =>
    new PendingLogins({ database, metadata, time, random });

  async function refusal(taking: Promise<unknown>): Promise<string | undefined> {
    const error = await taking.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (error === undefined) return undefined;
    if (isTidegateError(error, "unauthorized")) return error.message;
    throw error;
  }

  test("is finished on another node, and once on all of them", () =>
    withBucket(async (bucket) => {
      const [one, two] = [node(bucket), node(bucket)];
      // Both make the database's key at the same moment: one of the two keys counts.
      const begun = await Promise.all([one.begin("corp"), two.begin("corp")]);
      const [first, second] = begun;
      const { pending, kept } = first!;
      expect(await two.takeUp(kept, pending.state)).toMatchObject({ ...pending });
      expect(await refusal(one.takeUp(kept, pending.state))).toMatch(/used already/);
      expect(await refusal(one.takeUp(second!.kept, second!.pending.state))).toBeUndefined();
    }));

  test("is over after its time, to the second", () =>
    withBucket(async (bucket) => {
      const logins = node(bucket);
      const [one, two] = [await logins.begin("corp"), await logins.begin("corp")];
      at.ms += LOGIN_LIMIT_SECONDS * 1000 - 1;
      expect(await refusal(logins.takeUp(one.kept, one.pending.state))).toBeUndefined();
      at.ms += 1;
      expect(await refusal(logins.takeUp(two.kept, two.pending.state))).toMatch(/took too long/);
    }));

  test("is of one database, though the key were the same", () =>
    withBucket(async (bucket) => {
      const { pending, kept } = await node(bucket, "db").begin("corp");
      expect(await refusal(node(bucket, "other").takeUp(kept, pending.state))).toMatch(/another/);
      expect(await refusal(node(bucket).takeUp(undefined, pending.state))).toMatch(/another/);
      expect(await refusal(node(bucket).takeUp(kept, `${pending.state}x`))).toMatch(/another/);
    }));
});
