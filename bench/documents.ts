// What the document store costs by itself: its own JavaScript for a save and a read, over a bucket
// that is a Map. Run: bun bench/documents.ts [documents=20000]. The bounds are the project's own.
// What it prints is also one line of JSON at the end.

import { cpus } from "node:os";
import type { JsonObject } from "../src/base/json.ts";
import { silentLog } from "../src/base/log.ts";
import type {
  Bucket,
  DocumentWrite,
  DocumentWriteResult,
  KeyValueOperation,
  StoredDocument,
} from "../src/bucket/bucket.ts";
import { DEFAULT_LIMITS } from "../src/documents/limits.ts";
import { createDocumentStore } from "../src/documents/store.ts";
import { FREE_GUEST } from "../src/documents/types.ts";
import { systemRandom } from "../src/runtime/random.ts";
import { systemTime } from "../src/runtime/time.ts";

const DOCUMENTS = Number(process.argv[2] ?? 20_000);
const GROUP = 64;
const GUEST = FREE_GUEST;
const time = systemTime();
const results: Record<string, number> = {};

/** The time that the bucket itself took, in milliseconds: it is not the store's. */
let bucketMs = 0;

function timed<T>(work: () => T): T {
  const started = performance.now();
  const result = work();
  bucketMs += performance.now() - started;
  return result;
}

/** A bucket of maps that answers at once; it has what saves and reads ask for, nothing more. */
function memoryBucket(): Bucket {
  const documents = new Map<string, StoredDocument>();
  const values = new Map<string, { value: Uint8Array; cas: bigint }>();
  let seq = 0;
  const write = (write: DocumentWrite): DocumentWriteResult => {
    const before = documents.get(write.key);
    if ((before?.cas ?? 0n) !== write.cas) return { ok: false, refusal: "cas_mismatch" };
    const cas = BigInt(++seq);
    const hex = seq.toString(16).padStart(16, "0");
    const sync = write.xattrs._sync as JsonObject;
    sync.seq = `0x${hex}`;
    sync.cas = `0x${(hex.match(/../g) ?? []).toReversed().join("")}`;
    documents.set(write.key, {
      key: write.key,
      cas,
      body: write.body ?? undefined,
      deleted: write.body === null,
      xattrs: { _sync: JSON.stringify(sync) },
      expiry: 0,
    });
    return { ok: true, cas, vb: 0, seq, vbuuid: "0000000000000001" };
  };
  const batch = (operations: readonly KeyValueOperation[]) =>
    operations.map((operation) => {
      if (operation.op === "upsert") values.set(operation.key, { value: operation.value, cas: 1n });
      if (operation.op === "remove") values.delete(operation.key);
      return { ok: true as const, cas: 1n };
    });
  const bucket = {
    name: "memory",
    vbuckets: 1024,
    documents: {
      get: async (key: string) => timed(() => documents.get(key)),
      getMany: async (keys: string[]) => timed(() => keys.map((key) => documents.get(key))),
      write: async (one: DocumentWrite) => timed(() => write(one)),
    },
    metadata: {
      get: async (key: string) => values.get(key),
      getMany: async (keys: string[]) => keys.map((key) => values.get(key)),
      batch: async (operations: KeyValueOperation[]) => timed(() => batch(operations)),
    },
  };
  // Only a part of a bucket: what is missing is never called here, and would throw loudly.
  return bucket as unknown as Bucket;
}

function body(i: number): JsonObject {
  return {
    type: "reading",
    channels: ["all", `device-${i % 100}`],
    n: i,
    values: Array.from({ length: 40 }, (_, k) => (i * 31 + k * 17) % 10_000),
    place: { name: "Somewhere", latitude: 47.3 + i / 1e6, longitude: 8.5 },
    text: "x".repeat(640),
  };
}

async function measure(
  name: string,
  boundUs: number | undefined,
  operation: (index: number) => Promise<unknown>,
): Promise<void> {
  bucketMs = 0;
  const started = time.monotonicMs();
  for (let index = 0; index < DOCUMENTS; index += GROUP) {
    const size = Math.min(GROUP, DOCUMENTS - index);
    await Promise.all(Array.from({ length: size }, (_, place) => operation(index + place)));
  }
  report(name, boundUs, time.monotonicMs() - started - bucketMs);
}

function report(name: string, boundUs: number | undefined, ms: number): void {
  const us = (ms * 1000) / DOCUMENTS;
  results[name] = Math.round(us * 10) / 10;
  const bound =
    boundUs === undefined ? "" : `bound ${boundUs} us  ${us <= boundUs ? "kept" : "MISSED"}`;
  console.log(`${name.padEnd(28)} ${us.toFixed(1).padStart(8)} us each   ${bound}`);
}

async function run(round: string): Promise<void> {
  const store = createDocumentStore({
    bucket: memoryBucket(),
    settings: { limits: DEFAULT_LIMITS },
    onSaved() {},
    time,
    random: systemRandom,
    log: silentLog,
  });
  const bodies = Array.from({ length: DOCUMENTS }, (_, i) => body(i));
  const revs = new Array<string>(DOCUMENTS);
  console.log(`${round}: ${DOCUMENTS} documents of ${JSON.stringify(bodies[7]).length} bytes`);
  await measure("put, new", 60, async (i) => {
    revs[i] = (await store.put(GUEST, `doc-${i}`, bodies[i]!)).rev;
  });
  await measure("put, update", undefined, async (i) => {
    revs[i] = (await store.put(GUEST, `doc-${i}`, { ...bodies[i]!, _rev: revs[i]! })).rev;
  });
  await measure("get", 20, (i) => store.get(GUEST, `doc-${i}`));
  await measure("get, revs", undefined, (i) => store.get(GUEST, `doc-${i}`, { revs: true }));
  const bulk = bodies.map((document, i) => ({ ...document, _id: `bulk-${i}` }));
  bucketMs = 0;
  let started = time.monotonicMs();
  for (let at = 0; at < DOCUMENTS; at += 500) await store.bulk(GUEST, bulk.slice(at, at + 500));
  report("bulk, new", 60, time.monotonicMs() - started - bucketMs);
  bucketMs = 0;
  started = time.monotonicMs();
  for await (const row of store.bulkGet(
    GUEST,
    bulk.map(({ _id }) => ({ id: _id })),
  ))
    void row;
  report("bulk get", undefined, time.monotonicMs() - started - bucketMs);
  bucketMs = 0;
  started = time.monotonicMs();
  await store.revsDiff(GUEST, new Map(bulk.map(({ _id }) => [_id, ["2-x"]])));
  report("revs diff", undefined, time.monotonicMs() - started - bucketMs);
}

console.log(
  `${cpus()[0]?.model ?? "unknown processor"}, ${process.versions.bun ?? process.version}`,
);
await run("warm-up");
await run("measured");
console.log(JSON.stringify({ bench: "documents", documents: DOCUMENTS, us: results }));
