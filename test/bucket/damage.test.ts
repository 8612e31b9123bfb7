// What goes wrong outside: full disks, damaged files, files of a newer program, wrong directories.

import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type ErrorCode, isTidegateError, type TidegateError } from "../../src/base/errors.ts";
import { Connection } from "../../src/bucket/embedded/connection.ts";
import {
  type EmbeddedBucket,
  removeEmbeddedBucket,
} from "../../src/bucket/embedded/embedded-bucket.ts";
import {
  bytes,
  fromZero,
  newDirectory,
  open,
  put,
  removeDirectory,
  text,
  withBucket,
  write,
} from "./support.ts";

async function refusedWith(code: ErrorCode, promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error("was not refused"),
    (reason: unknown) => reason,
  );
  if (!isTidegateError(error, code)) throw error;
  return (error as TidegateError).message;
}

/** A directory with a bucket in it that is closed and holds a few documents. */
async function filledDirectory(documents = 50): Promise<string> {
  const directory = newDirectory();
  const bucket = await open(directory);
  const body = bytes("x".repeat(1000));
  await Promise.all(
    Array.from({ length: documents }, (_, index) =>
      bucket.documents.write(write(`k${index}`, { body })),
    ),
  );
  await bucket.index.batch([{ op: "insert", key: "k", value: body }]);
  await bucket.close();
  return directory;
}

/** All files of a directory with their bytes: to see that nothing was changed. */
const contents = (directory: string) =>
  Object.fromEntries(
    readdirSync(directory).map((name) => [
      name,
      Bun.hash(readFileSync(join(directory, name))).toString(),
    ]),
  );

describe("a damaged file", () => {
  test.each(["documents.sqlite", "index.sqlite"])("%s is named and left as it is", async (name) => {
    const directory = await filledDirectory();
    const file = join(directory, name);
    writeFileSync(file, "this is no database, whatever its name says\n".repeat(500));
    const before = contents(directory);
    expect(await refusedWith("corrupt", open(directory))).toContain(file);
    expect(contents(directory)).toEqual(before);
    removeDirectory(directory);
  });

  test("of another program is not touched", async () => {
    const directory = newDirectory();
    const other = new Connection(join(directory, "documents.sqlite"), "full");
    other.exec("CREATE TABLE theirs (a)");
    other.close();
    const before = contents(directory);
    expect(await refusedWith("corrupt", open(directory))).toContain("not one that Tidegate made");
    expect(contents(directory)).toEqual(before);
    removeDirectory(directory);
  });

  test("whose pages are garbage is told when they are met, and not before", async () => {
    const directory = await filledDirectory(2000);
    const file = join(directory, "documents.sqlite");
    const damaged = readFileSync(file);
    // The second half: documents, not the tables that are read at the start.
    damaged.fill(0xa5, damaged.length >> 1);
    writeFileSync(file, damaged);
    const bucket = await open(directory);
    const scan = async () => {
      for await (const page of bucket.documents.scan({})) expect(page.length).toBeGreaterThan(0);
    };
    expect(await refusedWith("corrupt", scan())).toContain(file);
    const read = async () => {
      const reader = bucket.feed.open(fromZero(...Array.from({ length: 1024 }, (_, vb) => vb)));
      while ((await reader.read()).length > 0);
    };
    expect(await refusedWith("corrupt", read())).toContain(file);
    await bucket.close();
    removeDirectory(directory);
  });

  test("that was cut short is told", async () => {
    const directory = await filledDirectory();
    const file = join(directory, "documents.sqlite");
    truncateSync(file, 4096);
    expect(await refusedWith("corrupt", open(directory))).toContain(file);
    removeDirectory(directory);
  });

  test("missing documents beside an index are told, not made anew", async () => {
    const directory = await filledDirectory();
    await Bun.file(join(directory, "documents.sqlite")).delete();
    expect(await refusedWith("corrupt", open(directory))).toContain("documents.sqlite is missing");
    expect(readdirSync(directory)).toEqual(["index.sqlite"]);
    removeDirectory(directory);
  });

  test("an index of another bucket is told; a lost one is made anew", async () => {
    const directory = await filledDirectory();
    const other = await filledDirectory();
    const index = join(directory, "index.sqlite");
    writeFileSync(index, readFileSync(join(other, "index.sqlite")));
    expect(await refusedWith("corrupt", open(directory))).toContain("belongs to another bucket");
    await Bun.file(index).delete();
    const bucket = await open(directory);
    expect(await bucket.documents.count()).toBe(50);
    expect(await bucket.index.get("k")).toBeUndefined();
    await bucket.close();
    removeDirectory(directory);
    removeDirectory(other);
  });
});

test.each(["documents.sqlite", "index.sqlite"])(
  "a newer %s is told and left as it is",
  async (name) => {
    const directory = await filledDirectory();
    const file = join(directory, name);
    const newer = new Connection(file, "full");
    newer.exec("PRAGMA user_version = 99");
    newer.close();
    const before = contents(directory);
    const reason = await refusedWith("newer_version", open(directory));
    expect(reason).toContain(file);
    expect(reason).toContain("99");
    expect(contents(directory)).toEqual(before);
    removeDirectory(directory);
  },
);

describe("a wrong place or setting", () => {
  test("a directory that can't be made is told", async () => {
    const directory = newDirectory();
    writeFileSync(join(directory, "file"), "");
    const place = join(directory, "file", "data");
    expect(await refusedWith("unavailable", open(place))).toContain(place);
    removeDirectory(directory);
  });

  test("a file that can't be opened is told", async () => {
    const directory = newDirectory();
    mkdirSync(join(directory, "documents.sqlite"));
    const reason = await refusedWith("unavailable", open(directory));
    expect(reason).toContain("documents.sqlite");
    removeDirectory(directory);
  });

  test("another number of vbuckets than the files have is told", async () => {
    const directory = await filledDirectory();
    const reason = await refusedWith("bad_config", open(directory, { vbuckets: 64 }));
    expect(reason).toContain("1024");
    for (const vbuckets of [0, 3, 1.5, 131_072]) {
      await refusedWith("bad_config", open(join(directory, "new"), { vbuckets }));
    }
    removeDirectory(directory);
  });
});

/** Fills the disk with documents of 100 KB until it is full; gives the keys that were written. */
async function fill(bucket: EmbeddedBucket, limit: number): Promise<string[]> {
  const body = new Uint8Array(100_000).fill(120);
  const written: string[] = [];
  for (let index = 0; index < limit; index++) {
    const key = `full${index}`;
    try {
      const result = await bucket.documents.write(write(key, { body }));
      if (result.ok) written.push(key);
    } catch (error) {
      if (!isTidegateError(error, "unavailable")) throw error;
      expect((error as TidegateError).message).toContain("the disk is full");
      return written;
    }
  }
  throw new Error("the disk never was full");
}

async function checkFullDisk(bucket: EmbeddedBucket, makeRoom: () => void): Promise<void> {
  await put(bucket, "before", "1");
  const seqs = async () => (await bucket.feed.highSeqs()).reduce((sum, seq) => sum + seq, 0);
  const written = await fill(bucket, 1000);
  expect(written.length).toBeGreaterThan(3);
  // Nothing of the write that failed is there, and everything acknowledged is.
  expect(await bucket.documents.get(`full${written.length}`)).toBeUndefined();
  expect(await bucket.documents.count()).toBe(1 + written.length);
  expect(await seqs()).toBe(1 + written.length);
  expect(text((await bucket.documents.get("before"))?.body)).toBe("1");
  for (const key of written) {
    expect((await bucket.documents.get(key))?.body?.length).toBe(100_000);
  }
  expect(bucket.stats().documents_failed_groups).toBeGreaterThan(0);
  makeRoom();
  await put(bucket, "after", "1");
  expect(await bucket.documents.count()).toBe(2 + written.length);
  expect(await seqs()).toBe(2 + written.length);
}

describe("a full disk", () => {
  test("refuses writes, loses nothing, and is over when there is room", () =>
    withBucket(async (bucket) => {
      const { connection } = bucket.files.documents;
      connection.exec("PRAGMA max_page_count = 1000");
      await checkFullDisk(bucket, () => connection.exec("PRAGMA max_page_count = 1000000"));
    }));

  test.skipIf(!canMount())("of the operating system does the same", async () => {
    const place = newDirectory();
    expect(mount(place)).toBe(true);
    try {
      const ballast = join(place, "ballast");
      writeFileSync(ballast, new Uint8Array(1_000_000));
      const directory = join(place, "data");
      const bucket = await open(directory);
      await checkFullDisk(bucket, () => truncateSync(ballast, 0));
      await bucket.close();
      const again = await open(directory);
      expect(text((await again.documents.get("after"))?.body)).toBe("1");
      await again.close();
    } finally {
      unmount(place);
    }
  });
});

/** Makes a disk of 8 MB in memory; false where one may not. */
function mount(place: string): boolean {
  if (process.platform !== "linux") return false;
  const options = ["-t", "tmpfs", "-o", "size=8m", "tmpfs", place];
  return spawnSync("mount", options).status === 0;
}

/** Takes the disk away, also when a test that failed left a file open in it. */
function unmount(place: string): void {
  spawnSync("umount", ["-l", place]);
  removeDirectory(place);
}

function canMount(): boolean {
  const place = newDirectory();
  const could = mount(place);
  unmount(place);
  return could;
}

test("a bucket that is removed leaves nothing, and other files where they are", async () => {
  const directory = await filledDirectory();
  await removeEmbeddedBucket(directory);
  expect(existsSync(directory)).toBe(false);
  await removeEmbeddedBucket(directory);
  const second = await filledDirectory();
  writeFileSync(join(second, "notes.txt"), "mine");
  await removeEmbeddedBucket(second);
  expect(readdirSync(second)).toEqual(["notes.txt"]);
  const fresh = await open(second);
  expect(await fresh.documents.count()).toBe(0);
  await fresh.close();
  removeDirectory(second);
});
