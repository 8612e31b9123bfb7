// The index of a gateway at rest against its recomputation: the bucket's files are opened beside the
// running gateway, as a second process would, and every entry is computed again from `_sync`.

import path from "node:path";
import { silentLog } from "../../src/base/log.ts";
import { openEmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { describeMutation } from "../../src/documents/describe.ts";
import { openIndex } from "../../src/index/open.ts";
import { type Verification, verifyIndex } from "../../src/index/verify.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import type { Target } from "../harness/target.ts";

/** Throws when the index of `database` is not what its documents say. Nobody may be writing. */
export async function checkIndex(target: Target, database: string): Promise<Verification> {
  const time = systemTime();
  const bucket = await openEmbeddedBucket({
    directory: path.join(target.directory, "data", database),
    name: database,
    time,
    random: systemRandom,
    log: silentLog,
  });
  try {
    const { index: collection, vbuckets } = bucket;
    const index = await openIndex({ collection, vbuckets, time, log: silentLog });
    const found = await verifyIndex(index, bucket, describeMutation);
    if (found.differing > 0) {
      const named = found.differences.slice(0, 5).map((one) => `${one.kind} ${one.message}`);
      const ids = new Set(named.flatMap((text) => /"docId":"([^"]+)"/.exec(text)?.[1] ?? []));
      for (const id of ids) {
        const item = await bucket.documents.get(id, { withBody: false });
        named.push(`${id} is ${JSON.stringify(item?.xattrs)}`);
      }
      throw new Error(`the index differs in ${found.differing} places:\n${named.join("\n")}`);
    }
    return found;
  } finally {
    await bucket.close();
  }
}
