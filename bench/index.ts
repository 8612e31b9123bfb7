// What the channel index costs by itself, over the embedded bucket: CPU and bytes for a mutation,
// entries read a second, and what a live tick reads however long the history is; computed shapes
// beside the two fixed ones in the same run. All times are CPU time of this process, so that what
// else the machine does matters little; the bucket works in this process too. Run: bun
// bench/index.ts [mutations=50000] [write|read|live|sparse …]. What it prints is also one line of
// JSON at the end.

import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { cpuUsage } from "node:process";
import { silentLog } from "../src/base/log.ts";
import type {
  KeyValueCollection,
  KeyValueOperation,
  KeyValueResult,
} from "../src/bucket/bucket.ts";
import { type EmbeddedBucket, openEmbeddedBucket } from "../src/bucket/embedded/embedded-bucket.ts";
import type { Clock } from "../src/clock/tick.ts";
import { encodeFrame } from "../src/index/frame.ts";
import { listHeader, packAddresses, packWindows, rootHeader } from "../src/index/list-codec.ts";
import { type Index, type IndexOptions, openIndex } from "../src/index/open.ts";
import {
  addressOf,
  type BlockAddress,
  channelInKeys,
  fixedShape,
  type ListWindow,
  listKey,
  rootKey,
  type Shape,
  type ShapeMode,
  shapeOfGap,
  windowOf,
} from "../src/index/shape.ts";
import type { IndexMutation } from "../src/index/types.ts";
import { systemRandom } from "../src/runtime/random.ts";
import { systemTime } from "../src/runtime/time.ts";

const MUTATIONS = Number(process.argv[2] ?? 50_000);
const PARTS = process.argv.length > 3 ? process.argv.slice(3) : ["write", "read", "live", "sparse"];
const VBUCKETS = 1024;
const PARTITIONS = 16;
const GROUP = 32;
const MODES: readonly ShapeMode[] = ["computed", "vbucket", "partition"];
const time = systemTime();
const results: Record<string, number> = {};

function report(name: string, value: number, unit: string, extra = ""): void {
  const rounded = value >= 100 ? Math.round(value) : Math.round(value * 10) / 10;
  results[name] = rounded;
  console.log(`${name.padEnd(52)} ${String(rounded).padStart(10)} ${unit.padEnd(12)} ${extra}`);
}

async function withBucket(
  use: (bucket: EmbeddedBucket, directory: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "tidegate-bench-index-"));
  const options = { directory, name: "bench", time, random: systemRandom, log: silentLog };
  const bucket = await openEmbeddedBucket({ ...options, vbuckets: VBUCKETS });
  try {
    await use(bucket, directory);
  } finally {
    await bucket.close();
    rmSync(directory, { recursive: true });
  }
}

function open(bucket: EmbeddedBucket, options: Partial<IndexOptions> = {}): Promise<Index> {
  const collection = bucket.index;
  const fixed = { collection, vbuckets: VBUCKETS, partitions: PARTITIONS, time, log: silentLog };
  return openIndex({ ...fixed, ...options });
}

/** Mutations of random documents: every one in a dense channel and in one of 50 others. */
function mutations(count: number, documents: number, high: Clock): IndexMutation[] {
  const seqs = new Map<number, number>();
  return Array.from({ length: count }, () => {
    const id = Math.floor(systemRandom.fraction() * documents);
    const vb = id % VBUCKETS;
    const seq = ++high[vb]!;
    const supersedes = seqs.get(id) ?? 0;
    seqs.set(id, seq);
    const hash = Buffer.from(systemRandom.bytes(16)).toString("hex");
    const channels = ["airports", `country-${id % 50}`];
    const docId = `airport-${id.toString(36).padStart(6, "0")}`;
    return {
      ...{ vb, seq, vbuuid: "1", docId, revId: `1-${hash}`, flags: 0, supersedes },
      ...{ channels, removals: [] },
    };
  });
}

async function writeAll(index: Index, made: readonly IndexMutation[]): Promise<void> {
  for (let at = 0; at < made.length; at += GROUP) {
    await Promise.all(made.slice(at, at + GROUP).map((one) => index.write(one)));
  }
}

/** The CPU time of this process so far, in milliseconds. */
function cpuMs(): number {
  const { user, system } = cpuUsage();
  return (user + system) / 1000;
}

function fileBytes(directory: string): number {
  const files = readdirSync(directory).filter((name) => name.startsWith("index"));
  return files.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

async function storedBytes(bucket: EmbeddedBucket): Promise<number> {
  let bytes = 0;
  for (let after: string | undefined; ; ) {
    const keys = await bucket.index.keys("ix:", { limit: 1000, ...(after ? { after } : {}) });
    if (keys.length === 0) return bytes;
    after = keys.at(-1);
    for (const stored of await bucket.index.getMany(keys)) bytes += stored?.value.length ?? 0;
  }
}

/** Entries a second of whole reads by an index that has nothing in memory; the second of two. */
async function readRate(bucket: EmbeddedBucket, name: string, high: Clock): Promise<void> {
  for (const channel of ["*", "airports"]) {
    let rate = 0;
    let entries = 0;
    for (let round = 0; round < 2; round++) {
      const index = await open(bucket);
      const started = cpuMs();
      entries = 0;
      for await (const batch of index.read(channel, new Float64Array(VBUCKETS), high)) {
        entries += batch.length;
      }
      rate = (entries / (cpuMs() - started)) * 1000;
    }
    report(`read ${channel} from 0, ${name}`, rate, "entries/s", `${entries}`);
  }
}

/** What the index itself costs: the same writes over a collection that only holds bytes. */
async function writeToMemory(): Promise<void> {
  const values = new Map<string, Uint8Array[]>();
  const apply = ({ op, key, ...rest }: KeyValueOperation): KeyValueResult => {
    const chunks = values.get(key);
    if (op === "append" && !chunks) return { ok: false, refusal: "not_found" };
    if (op === "insert" && chunks) return { ok: false, refusal: "exists" };
    const value = "value" in rest ? rest.value : new Uint8Array();
    if (chunks) chunks.push(value);
    else values.set(key, [value]);
    return { ok: true, cas: 1n };
  };
  const collection: KeyValueCollection = {
    async get(key) {
      const chunks = values.get(key);
      return chunks && { value: Buffer.concat(chunks), cas: 1n };
    },
    getMany: (keys) => Promise.all(keys.map((key) => collection.get(key))),
    batch: async (operations) => operations.map(apply),
    keys: async () => [],
  };
  const high = new Float64Array(VBUCKETS);
  const index = await openIndex({ collection, vbuckets: VBUCKETS, time, log: silentLog });
  const made = mutations(MUTATIONS, MUTATIONS, high);
  const started = cpuMs();
  await writeAll(index, made);
  const micros = ((cpuMs() - started) * 1000) / MUTATIONS;
  report(`write, groups of ${GROUP}, the index alone`, micros, "µs CPU each");
}

async function writeAndRead(shape: ShapeMode): Promise<void> {
  await withBucket(async (bucket, directory) => {
    const high = new Float64Array(VBUCKETS);
    const index = await open(bucket, { shape });
    const made = mutations(MUTATIONS, MUTATIONS, high);
    const started = cpuMs();
    await writeAll(index, made);
    const micros = ((cpuMs() - started) * 1000) / MUTATIONS;
    const appends = index.stats().write_appends! / MUTATIONS;
    const extra = `${appends.toFixed(2)} appends`;
    report(`write, groups of ${GROUP}, ${shape}`, micros, "µs CPU each", extra);
    report(`stored, ${shape}`, (await storedBytes(bucket)) / MUTATIONS, "bytes each");
    if (!PARTS.includes("read")) return;
    await readRate(bucket, shape, high);
    const compacting = cpuMs();
    await index.compact(high, { documents: Number.POSITIVE_INFINITY, always: true });
    const perMutation = ((cpuMs() - compacting) * 1000) / MUTATIONS;
    report(`compaction, ${shape}`, perMutation, "µs each");
    const files = `${(fileBytes(directory) / MUTATIONS).toFixed(0)} in the files`;
    const bytes = (await storedBytes(bucket)) / MUTATIONS;
    report(`stored after compaction, ${shape}`, bytes, "bytes each", files);
    await readRate(bucket, `${shape}, compacted`, high);
  });
}

/** Lists so many blocks of old sequences: history that a live read must not pay for. */
async function listHistory(
  bucket: EmbeddedBucket,
  channel: string,
  shape: Shape,
  blocks: number,
): Promise<number> {
  const inKeys = channelInKeys(channel);
  const columns = VBUCKETS / 2 ** shape.vbBits;
  const windows = new Map<string, { window: ListWindow; addresses: BlockAddress[] }>();
  let seq = 0;
  for (let made = 0; made < blocks; seq += 2 ** shape.seqBits) {
    for (let column = 0; column < columns && made < blocks; column++, made++) {
      const address = addressOf(shape, column << shape.vbBits, seq);
      const window = windowOf(address, VBUCKETS);
      const key = listKey(inKeys, window);
      const list = windows.get(key) ?? { window, addresses: [] };
      windows.set(key, list);
      list.addresses.push(address);
    }
  }
  const listed = [...windows.values()].map(({ window }) => window);
  const operations: KeyValueOperation[] = [
    { op: "insert", key: rootKey(inKeys), value: rootHeader(channel, 1) },
    { op: "append", key: rootKey(inKeys), value: encodeFrame(packWindows(listed)) },
  ];
  for (const [key, { window, addresses }] of windows) {
    const value = Buffer.concat([
      listHeader(channel, window, 1),
      encodeFrame(packAddresses(addresses)),
    ]);
    operations.push({ op: "insert", key, value });
  }
  await bucket.index.batch(operations);
  return seq;
}

/** One tick: 32 mutations in as many vbuckets, read by a node that did not write them. */
async function liveTicks(shape: ShapeMode, blocks: number): Promise<void> {
  const ROUNDS = 200;
  await withBucket(async (bucket) => {
    const dense = shape === "computed" ? shapeOfGap(1, VBUCKETS) : undefined;
    const listed = dense ?? fixedShape(shape as "vbucket", VBUCKETS, PARTITIONS);
    const seq = await listHistory(bucket, "airports", listed, blocks);
    const writer = await open(bucket, { shape });
    const reader = await open(bucket, { shape });
    const own = await open(bucket, { shape });
    let from = new Float64Array(VBUCKETS).fill(seq);
    let stored = 0;
    let tail = 0;
    let fetched = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const high = from.slice();
      const made = mutations(GROUP, 1_000_000, high);
      await Promise.all(made.map((one) => writer.write(one)));
      await Promise.all(made.map((one) => own.write(one)));
      for (let vb = 0; vb < VBUCKETS; vb++) {
        if (round === 0 || high[vb]! > from[vb]!) own.validated(vb, from[vb]!, high[vb]!);
      }
      const before = reader.stats().documents_fetched!;
      stored += await readTime(reader, from, high);
      fetched += reader.stats().documents_fetched! - before;
      // The first round of the memory is before it was used.
      if (round > 0) tail += await readTime(own, from, high);
      reader.passed(high);
      from = high;
    }
    const gets = `${(fetched / ROUNDS).toFixed(1)} documents`;
    const name = `live tick of ${GROUP}, ${blocks} blocks`;
    report(`${name}, ${shape}`, (stored * 1000) / ROUNDS, "µs", gets);
    report(`${name}, ${shape}, own`, (tail * 1000) / (ROUNDS - 1), "µs", "from memory");
  });
}

async function readTime(index: Index, from: Clock, to: Clock): Promise<number> {
  const started = cpuMs();
  for await (const batch of index.read("airports", from, to)) void batch;
  return cpuMs() - started;
}

/** A user's own channel: 100 entries among many mutations, read as a whole. */
async function sparse(shape: ShapeMode): Promise<void> {
  await withBucket(async (bucket) => {
    const high = new Float64Array(VBUCKETS);
    const made = mutations(MUTATIONS, 1_000_000, high).map((one, i): IndexMutation => {
      return { ...one, channels: i % Math.ceil(MUTATIONS / 100) === 0 ? ["user"] : [] };
    });
    await writeAll(await open(bucket, { shape }), made);
    const index = await open(bucket);
    const started = cpuMs();
    for await (const batch of index.read("user", new Float64Array(VBUCKETS), high)) void batch;
    const ms = cpuMs() - started;
    const gets = `${index.stats().documents_fetched} documents`;
    report(`a sparse channel of 100 entries, ${shape}`, ms * 1000, "µs", gets);
  });
}

const cpu = cpus();
console.log(`${cpu[0]?.model ?? "?"}, ${cpu.length} cores; ${MUTATIONS} mutations\n`);
if (PARTS.includes("write")) {
  await writeToMemory();
  // Once more: the first run is compiled as it goes.
  await writeToMemory();
}
for (const shape of MODES) {
  if (PARTS.includes("write") || PARTS.includes("read")) await writeAndRead(shape);
}
for (const blocks of [10, 1000, 100_000]) {
  for (const shape of MODES) if (PARTS.includes("live")) await liveTicks(shape, blocks);
}
for (const shape of MODES) if (PARTS.includes("sparse")) await sparse(shape);
console.log(`\n${JSON.stringify({ bench: "index", mutations: MUTATIONS, ...results })}`);
