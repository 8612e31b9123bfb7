// Documents of the embedded bucket: writes under CAS, attributes, macros, tombstones, scans.

import { describe, expect, test } from "bun:test";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import { bytes, done, open, put, text, withBucket, write } from "./support.ts";

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
      await again.close();
    }));
});
