// For tests alone: what a failover of a cluster does to a vbucket, done to the embedded bucket.

import { assert } from "../../base/assert.ts";
import type { EmbeddedBucket } from "./embedded-bucket.ts";
import { RowState } from "./schema.ts";

/**
 * Cuts off the tail of a vbucket, as a failover to a replica that lags does: every mutation beyond
 * `seq` never was, documents show the versions they had at `seq`, and a new branch begins there.
 * The bucket must have been opened with `keepHistory` since before the mutations beyond `seq`.
 * Open feeds hear of it: `failover`, and `rollback` where they stood beyond `seq`.
 */
export async function loseTail(bucket: EmbeddedBucket, vb: number, seq: number): Promise<void> {
  const file = bucket.files.documents;
  assert(file.table.keepHistory, "loseTail needs a bucket that was opened with keepHistory");
  assert(seq >= 0 && seq <= (file.vbuckets.high[vb] as number), "the cut lies in the history");
  const query = file.connection.query.bind(file.connection);
  const lost = query<[id: number, key: string, state: number]>(
    "SELECT id, key, state FROM documents WHERE vb = ? AND seq > ?",
  );
  const remove = query("DELETE FROM documents WHERE id = ?");
  const restore = query(
    `INSERT INTO documents (key, vb, seq, cas, state, expiry, xattrs, body)
     SELECT key, vb, seq, cas, state, expiry, xattrs, body FROM history
     WHERE vb = ? AND key = ? AND seq <= ? ORDER BY seq DESC LIMIT 1`,
  );
  const restored = query<[seq: number, state: number]>(
    "SELECT seq, state FROM documents WHERE key = ?",
  );
  const forget = query("DELETE FROM history WHERE vb = ? AND (seq > ? OR seq = ?)");
  await file.groups.run(1, 0, () => {
    for (const [id, key, state] of lost.all(vb, seq)) {
      remove.run(id);
      restore.run(vb, key, seq);
      const after = restored.get(key);
      if (after !== undefined) forget.run(vb, seq, after[0]);
      if (key.startsWith("_sync:")) continue;
      file.table.live += Number(after?.[1] === RowState.live) - Number(state === RowState.live);
    }
    query("DELETE FROM history WHERE vb = ? AND seq > ?").run(vb, seq);
    file.vbuckets.branch(vb, seq, file.random);
    file.branched.push(vb);
  });
}
