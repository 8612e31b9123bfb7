// Group commit: who shares a transaction, who fails alone, what happens when too much waits.

import { describe, expect, test } from "bun:test";
import { readdirSync, renameSync } from "node:fs";
import { isTidegateError, type TidegateError } from "../../src/base/errors.ts";
import { Connection } from "../../src/bucket/embedded/connection.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import {
  BUSY_LIMIT_MS,
  MAX_GROUP_OPERATIONS,
  MAX_QUEUED_OPERATIONS,
} from "../../src/bucket/embedded/limits.ts";
import { systemTime } from "../../src/runtime/time.ts";
import {
  bytes,
  fromZero,
  newDirectory,
  open,
  put,
  readUntil,
  removeDirectory,
  summary,
  text,
  until,
  withBucket,
  write,
} from "./support.ts";

const settled = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => error,
  );

describe("group commit", () => {
  test("writes of one turn of the event loop share one transaction", () =>
    withBucket(async (bucket) => {
      const before = bucket.stats().documents_groups as number;
      const half = Math.ceil(MAX_GROUP_OPERATIONS * 0.8);
      const keys = Array.from({ length: half }, (_, index) => `k${index}`);
      const writes = keys.map((key) => bucket.documents.write(write(key)));
      const values = keys.map((key) =>
        bucket.metadata.batch([{ op: "insert", key, value: bytes("v") }]),
      );
      await Promise.all([...writes, ...values]);
      const stats = bucket.stats();
      // 1.6 times the bound: as many groups as that makes necessary.
      expect((stats.documents_groups as number) - before).toBe(2);
      expect(stats.documents_largest_group).toBe(MAX_GROUP_OPERATIONS);
      expect(stats.documents_queued_operations).toBe(0);
      expect(stats.documents_queued_bytes).toBe(0);
    }));

  test("a refused write changes nothing for those beside it", () =>
    withBucket(async (bucket) => {
      const keys = Array.from({ length: 20 }, (_, index) => `k${index}`);
      const results = await Promise.all(
        keys.map((key, index) => bucket.documents.write(write(key, { cas: BigInt(index % 2) }))),
      );
      expect(results.map((result) => result.ok)).toEqual(keys.map((_, index) => index % 2 === 0));
      expect(await bucket.documents.count()).toBe(10);
    }));

  test("an operation that throws takes nobody with it, nor a seq", () =>
    withBucket(
      async (bucket) => {
        const file = bucket.files.documents;
        const reader = bucket.feed.open(fromZero(0));
        await reader.read();
        const told = readUntil(reader, (all) => summary(all).includes("(b@2)"));
        const one = (key: string) => bucket.documents.write(write(key));
        const first = one("a");
        const broken = settled(
          file.groups.run(1, 0, () => {
            file.table.write(write("broken"), 0);
            throw new RangeError("a defect");
          }),
        );
        const last = one("b");
        expect(await first).toMatchObject({ ok: true, seq: 1 });
        expect(await last).toMatchObject({ ok: true, seq: 2 });
        expect(isTidegateError(await broken, "internal")).toBe(true);
        expect(await bucket.documents.get("broken")).toBeUndefined();
        expect(await bucket.documents.count()).toBe(2);
        expect(bucket.stats()).toMatchObject({ documents_failed_operations: 1 });
        expect(summary(await told)).not.toContain("broken");
        reader.close();
      },
      { vbuckets: 1 },
    ));

  test("a batch larger than a group is carried out whole and in order", () =>
    withBucket(async (bucket) => {
      const count = MAX_GROUP_OPERATIONS * 3 + 7;
      const operations = Array.from({ length: count }, (_, index) => ({
        op: index === 0 ? ("insert" as const) : ("append" as const),
        key: "k",
        value: bytes(`${index},`),
      }));
      const beside = bucket.index.batch([{ op: "insert", key: "beside", value: bytes("v") }]);
      const results = await bucket.index.batch(operations);
      expect(results.every((result) => result.ok)).toBe(true);
      const expected = Array.from({ length: count }, (_, index) => `${index},`).join("");
      expect(text((await bucket.index.get("k"))?.value)).toBe(expected);
      expect((await beside)[0]?.ok).toBe(true);
    }));

  test("a group is bounded in bytes as well", () =>
    withBucket(async (bucket) => {
      const value = new Uint8Array(3_000_000);
      const before = bucket.stats().index_groups as number;
      const key = (index: number) => ({ op: "insert" as const, key: `k${index}`, value });
      await Promise.all(Array.from({ length: 8 }, (_, index) => bucket.index.batch([key(index)])));
      expect((bucket.stats().index_groups as number) - before).toBe(8);
      await bucket.index.batch(Array.from({ length: 8 }, (_, index) => key(index + 8)));
      expect((bucket.stats().index_groups as number) - before).toBe(16);
    }));

  test("a batch that fails half-way says that it did", () =>
    withBucket(async (bucket) => {
      const { groups, connection } = bucket.files.index;
      const table = connection.query<[number]>("SELECT count(*) FROM items");
      const failing = settled(
        groups.run(MAX_GROUP_OPERATIONS + 2, 0, (index) => {
          if (index === MAX_GROUP_OPERATIONS + 1) throw new RangeError("a defect");
          bucket.files.index.values.apply({ op: "insert", key: `k${index}`, value: bytes("") }, 0);
        }),
      );
      expect(isTidegateError(await failing, "ambiguous")).toBe(true);
      expect(table.get()?.[0]).toBe(MAX_GROUP_OPERATIONS + 1);
      expect(bucket.stats()).toMatchObject({ index_queued_operations: 0 });
    }));

  test(
    "when too much waits a write is refused, and those that wait are carried out",
    () =>
      withBucket(async (bucket) => {
        const operation = { op: "upsert" as const, key: "k", value: bytes("v") };
        const many = bucket.index.batch(new Array(MAX_QUEUED_OPERATIONS).fill(operation));
        const refused = await settled(bucket.index.batch([operation]));
        expect(isTidegateError(refused, "unavailable")).toBe(true);
        expect((await many).length).toBe(MAX_QUEUED_OPERATIONS);
        expect((await bucket.index.batch([operation]))[0]?.ok).toBe(true);
      }),
    30_000,
  );

  test("close carries out what waits, and takes nothing more", () =>
    withBucket(async (bucket, directory) => {
      const writes = Array.from({ length: 300 }, (_, index) =>
        bucket.documents.write(write(`k${index}`)),
      );
      await bucket.close();
      expect((await Promise.all(writes)).every((result) => result.ok)).toBe(true);
      const late = await settled(bucket.documents.write(write("late")));
      expect(isTidegateError(late, "unavailable")).toBe(true);
      const again = await open(directory);
      expect(await again.documents.count()).toBe(300);
      await again.close();
    }));
});

describe("while another process writes", () => {
  test("a writer queues, and goes on when the other is done", () =>
    withBucket(async (bucket) => {
      const other = new Connection(bucket.files.documents.connection.file, "full");
      other.begin();
      let written = false;
      const writing = put(bucket, "k", "1").then(() => {
        written = true;
      });
      await until(() => (bucket.stats().documents_busy_retries as number) > 3);
      expect(written).toBe(false);
      // Readers do not wait for writers.
      expect(await bucket.documents.get("k")).toBeUndefined();
      other.commit();
      await writing;
      expect(text((await bucket.documents.get("k"))?.body)).toBe("1");
      other.close();
    }));

  test("a writer gives up after a time, with nothing changed", async () => {
    // The monotonic clock runs a thousand times too fast: 30 s are 30 ms.
    const real = systemTime();
    const time = { ...real, monotonicMs: () => real.monotonicMs() * 1000 };
    await withBucket(
      async (bucket) => {
        const other = new Connection(bucket.files.documents.connection.file, "full");
        other.begin();
        const started = time.monotonicMs();
        const error = await settled(put(bucket, "k", "1"));
        expect(isTidegateError(error, "unavailable")).toBe(true);
        expect((error as TidegateError).message).toContain("another process holds the file");
        expect(time.monotonicMs() - started).toBeGreaterThanOrEqual(BUSY_LIMIT_MS);
        other.commit();
        other.close();
        expect(await bucket.documents.get("k")).toBeUndefined();
        expect(await put(bucket, "k", "2")).toMatchObject({ ok: true, seq: 1 });
      },
      { time },
    );
  });
});

describe("checkpoints", () => {
  test.each([false, true])(
    "keep the log short under load (inline: %p)",
    async (inline) => {
      await withBucket(
        async (bucket) => {
          const body = bytes("x".repeat(20_000));
          let longest = 0;
          for (let round = 0; round < 40; round++) {
            const writes = Array.from({ length: 50 }, (_, index) =>
              bucket.documents.write(write(`k${round}:${index}`, { body })),
            );
            await Promise.all(writes);
            longest = Math.max(longest, bucket.stats().documents_log_frames as number);
          }
          // 2,000 documents of 5 pages each: many times the bound, and a group more than it.
          expect(bucket.stats().documents_checkpoints).toBeGreaterThan(3);
          expect(bucket.stats().documents_failed_checkpoints).toBe(0);
          expect(longest).toBeLessThan(2048 + 600);
          expect(await bucket.documents.count()).toBe(2000);
        },
        { inlineCheckpoints: inline },
      );
    },
    30_000,
  );
});

/** Writes a thousand documents: 20 MB, more than two checkpoints' worth. */
async function load(bucket: EmbeddedBucket): Promise<void> {
  const body = bytes("x".repeat(20_000));
  for (let round = 0; round < 20; round++) {
    const keys = Array.from({ length: 50 }, (_, index) => `k${round}:${index}`);
    await Promise.all(keys.map((key) => bucket.documents.write(write(key, { body }))));
  }
}

test("a closed bucket's files are let go of while another bucket has the thread", () =>
  withBucket((first, directory) =>
    withBucket(async (second) => {
      await Promise.all([load(first), load(second)]);
      expect(first.stats().documents_checkpoints).toBeGreaterThan(1);
      expect(second.stats().documents_checkpoints).toBeGreaterThan(1);
      await first.close();
      // SQLite removes its log when the last connection is closed.
      expect(readdirSync(directory).toSorted()).toEqual(["documents.sqlite", "index.sqlite"]);
      await second.documents.write(write("after"));
      expect(second.stats().documents_lost_checkpoint_threads).toBe(0);
    }),
  ));

test("checkpoints are still made when their thread can't make them", async () => {
  const directory = newDirectory();
  const bucket = await open(directory);
  // The thread opens the file by its name with the first checkpoint; this connection has it open.
  const elsewhere = `${directory}-moved`;
  renameSync(directory, elsewhere);
  await load(bucket);
  const { documents_checkpoints: made, documents_lost_checkpoint_threads: lost } = bucket.stats();
  expect(made).toBeGreaterThan(1);
  expect(lost).toBe(made as number);
  expect(bucket.stats().documents_failed_checkpoints).toBe(0);
  expect(bucket.stats().documents_log_frames).toBeLessThan(2048 + 600);
  await bucket.close();
  const again = await open(elsewhere);
  expect(await again.documents.count()).toBe(1000);
  await again.close();
  removeDirectory(elsewhere);
}, 30_000);
