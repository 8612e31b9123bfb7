// Range scans and item counts of a loopback node, over the embedded bucket's ordered keys.

import type { Frame } from "../../src/bucket/couchbase/wire/frame.ts";
import { Opcode, Status } from "../../src/bucket/couchbase/wire/opcodes.ts";
import { leb128 } from "../../src/bucket/couchbase/wire/values.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import { COLLECTIONS } from "./cluster.ts";
import { collectionOf } from "./key-value.ts";
import type { LoopbackNode } from "./node.ts";
import type { Answer } from "./session.ts";

const OPCODES: ReadonlySet<number> = new Set([
  Opcode.rangeScanCreate,
  Opcode.rangeScanContinue,
  Opcode.rangeScanCancel,
]);

/** Whether `opcode` belongs to range scans. */
export function isRangeScan(opcode: number): boolean {
  return OPCODES.has(opcode);
}

interface Request {
  collection?: string;
  range: { start?: string; excl_start?: string; end?: string; excl_end?: string };
}

/** The range scans of one connection. */
export class RangeScans {
  readonly #open = new Map<string, string[]>();
  #next = 1n;

  async carryOut(bucket: EmbeddedBucket, frame: Frame): Promise<Answer> {
    if (frame.opcode === Opcode.rangeScanCreate) return this.#create(bucket, frame);
    const id = frame.extras.subarray(0, 16).toString("hex");
    const keys = this.#open.get(id);
    if (keys === undefined) return { vbOrStatus: Status.keyNotFound };
    if (frame.opcode === Opcode.rangeScanCancel) {
      this.#open.delete(id);
      return {};
    }
    const run = keys.splice(0, frame.extras.readUInt32BE(16));
    const parts = run.flatMap((key) => {
      const bytes = Buffer.from(key);
      return [leb128(bytes.length), bytes];
    });
    const done = keys.length === 0;
    if (done) this.#open.delete(id);
    // In two frames, as a real server may: a reader must take both.
    const half = Math.floor(run.length / 2) * 2;
    return [
      { value: Buffer.concat(parts.slice(0, half)) },
      {
        vbOrStatus: done ? Status.rangeScanComplete : Status.rangeScanMore,
        value: Buffer.concat(parts.slice(half)),
      },
    ];
  }

  async #create(bucket: EmbeddedBucket, frame: Frame): Promise<Answer> {
    const request = JSON.parse(frame.value.toString("utf8")) as Request;
    const { start, excl_start, end, excl_end } = request.range;
    const low = Buffer.from(start ?? excl_start ?? "", "base64");
    const high = Buffer.from(end ?? excl_end ?? "", "base64");
    const inside = (key: string): boolean => {
      if (vbucketOf(key, bucket.vbuckets) !== frame.vb) return false;
      const bytes = Buffer.from(key);
      const fromLow = Buffer.compare(bytes, low);
      const toHigh = Buffer.compare(bytes, high);
      return (
        (excl_start === undefined ? fromLow >= 0 : fromLow > 0) &&
        (excl_end === undefined ? toHigh <= 0 : toHigh < 0)
      );
    };
    const id = Number.parseInt(request.collection ?? "0", 16);
    const keys = (await allKeys(bucket, id)).filter(inside);
    if (keys.length === 0) return { vbOrStatus: Status.keyNotFound };
    const uuid = Buffer.alloc(16);
    uuid.writeBigUInt64BE(this.#next++, 8);
    this.#open.set(uuid.toString("hex"), keys);
    return { value: uuid };
  }
}

/** The figures of the statistics group "collections". */
export async function itemCounts(node: LoopbackNode): Promise<Answer> {
  const { bucket } = node.cluster;
  const figures = [];
  for (const id of Object.values(COLLECTIONS)) {
    const keys = await allKeys(bucket, id);
    const own = keys.filter((key) => node.owns(vbucketOf(key, bucket.vbuckets)));
    figures.push({
      key: Buffer.from(`0x0:0x${id.toString(16)}:items`),
      value: Buffer.from(String(own.length)),
    });
  }
  return [...figures, {}];
}

async function allKeys(bucket: EmbeddedBucket, collectionId: number): Promise<string[]> {
  const collection = collectionOf(bucket, collectionId);
  if (collection !== undefined) return collection.keys("", { limit: 10_000 });
  const keys: string[] = [];
  for await (const page of bucket.documents.scan({}, { withBody: false })) {
    for (const { key } of page) keys.push(key);
  }
  return keys;
}
