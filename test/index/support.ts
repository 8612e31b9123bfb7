// What the tests of the index share: a bucket in a temporary directory, mutations made up from a
// seed, and the model that the index is held against.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Log, silentLog } from "../../src/base/log.ts";
import {
  type EmbeddedBucket,
  openEmbeddedBucket,
} from "../../src/bucket/embedded/embedded-bucket.ts";
import type { Clock } from "../../src/clock/tick.ts";
import { type Index, type IndexOptions, openIndex } from "../../src/index/open.ts";
import type { Entry, IndexMutation, IndexReader, Removal } from "../../src/index/types.ts";
import { EntryFlag } from "../../src/index/types.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";

/** The branch of every vbucket unless a test cuts it. */
export const VBUUID = "00000000000000aa";

/** How long a test with much work may take on a machine that is busy. */
export const TEST_LIMIT_MS = 60_000;

/** Opens a bucket in a new temporary directory, hands it to `use`, and removes it. */
export async function withBucket(
  vbuckets: number,
  use: (bucket: EmbeddedBucket) => Promise<void>,
  keepHistory = false,
): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "tidegate-index-"));
  const bucket = await openEmbeddedBucket({
    directory,
    name: "test",
    time: systemTime(),
    random: systemRandom,
    log: silentLog,
    vbuckets,
    keepHistory,
  });
  try {
    await use(bucket);
  } finally {
    await bucket.close();
    await rm(directory, { recursive: true });
  }
}

/** Opens an index over the bucket. */
export function indexOf(
  bucket: Pick<EmbeddedBucket, "index" | "vbuckets">,
  options: Partial<IndexOptions> = {},
): Promise<Index> {
  return openIndex({
    collection: bucket.index,
    vbuckets: bucket.vbuckets,
    time: systemTime(),
    log: silentLog,
    ...options,
  });
}

/** A generator of numbers in [0, 1), the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = (seed + 0x9e3779b9) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A revision id made of a seed. */
export function revOf(generation: number, random: () => number): string {
  let hash = "";
  while (hash.length < 32) hash += Math.floor(random() * 16).toString(16);
  return `${generation}-${hash}`;
}

/** A mutation with everything not said filled in. */
export function mutation(
  over: Partial<IndexMutation> & { vb: number; seq: number; docId: string },
): IndexMutation {
  return {
    vbuuid: VBUUID,
    revId: `1-${"0".repeat(32)}`,
    flags: 0,
    supersedes: 0,
    channels: [],
    removals: [],
    ...over,
  };
}

/** Everything that `read` gives, as one array; checks that batches are never empty. */
export async function readAll(
  reader: IndexReader,
  channel: string,
  from: Clock,
  to: Clock,
  start?: { vb: number; seq: number },
): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const batch of reader.read(channel, from, to, start)) {
    if (batch.length === 0) throw new Error("a batch is empty");
    entries.push(...batch);
  }
  return entries;
}

/** A log that keeps what it was told. */
export function keepingLog(): Log & { lines: { level: string; message: string }[] } {
  const lines: { level: string; message: string }[] = [];
  const add = (level: string) => (_fields: object, message: string) => {
    lines.push({ level, message });
  };
  const log = {
    lines,
    debug: add("debug"),
    info: add("info"),
    warn: add("warn"),
    error: add("error"),
    child: () => log,
  };
  return log;
}

interface ModelDocument {
  readonly docId: string;
  readonly vb: number;
  generation: number;
  seq: number;
  channels: string[];
  removals: Removal[];
}

/** Documents that change, and every entry that the index must have of them. */
export class Model {
  readonly high: Clock;
  readonly entries: { channel: string; entry: Entry }[] = [];
  readonly mutations: IndexMutation[] = [];
  readonly #documents = new Map<string, ModelDocument>();
  readonly #random: () => number;
  readonly #channels: readonly string[];
  readonly #ids: number;

  constructor(vbuckets: number, random: () => number, channels: readonly string[], ids: number) {
    this.high = new Float64Array(vbuckets);
    this.#random = random;
    this.#channels = channels;
    this.#ids = ids;
  }

  /** The newest mutation of each document. */
  newest(): IndexMutation[] {
    const newest = new Map<string, IndexMutation>();
    for (const made of this.mutations) newest.set(made.docId, made);
    return [...newest.values()];
  }

  /** Changes a random document: new channels, a new rev, sometimes a deletion. */
  change(): IndexMutation {
    const random = this.#random;
    const number = Math.floor(random() * this.#ids);
    const docId = number % 7 === 0 ? `ünï-${number}` : `doc-${number}`;
    const vb = number % this.high.length;
    let document = this.#documents.get(docId);
    if (!document) {
      document = { docId, vb, generation: 0, seq: 0, channels: [], removals: [] };
      this.#documents.set(docId, document);
    }
    this.high[vb]! += random() < 0.1 ? 1 + Math.floor(random() * 40) : 1;
    const seq = this.high[vb]!;
    const deleted = random() < 0.1;
    const channels = this.#channels.filter(() => !deleted && random() < 0.4);
    const revId = revOf(++document.generation, random);
    const flags = deleted ? EntryFlag.deleted : 0;
    const left = document.channels.filter((channel) => !channels.includes(channel));
    const removals = document.removals
      .filter(({ channel }) => !channels.includes(channel))
      .concat(left.map((channel) => ({ channel, seq, revId, flags: flags | EntryFlag.removed })));
    const supersedes = document.seq;
    Object.assign(document, { seq, channels, removals });
    const made = mutation({ vb, seq, docId, revId, flags, supersedes, channels, removals });
    this.mutations.push(made);
    const record = { vb, seq, branch: 0, flags, docId, revId, supersedes };
    for (const channel of ["*", ...channels]) this.entries.push({ channel, entry: record });
    for (const { channel } of left.map((name) => ({ channel: name }))) {
      const entry = { ...record, flags: flags | EntryFlag.removed, supersedes: 0 };
      this.entries.push({ channel, entry });
    }
    return made;
  }

  /** What a reader must give: by definition, without any cleverness. */
  read(channel: string, from: Clock, to: Clock, start?: { vb: number; seq: number }): Entry[] {
    const newest = new Map<string, Entry>();
    for (const { channel: name, entry } of this.entries) {
      if (name !== channel || entry.seq <= from[entry.vb]! || entry.seq > to[entry.vb]!) continue;
      const other = newest.get(entry.docId);
      if (!other || other.seq < entry.seq) newest.set(entry.docId, entry);
    }
    return [...newest.values()]
      .filter(({ vb, seq }) => !start || vb > start.vb || (vb === start.vb && seq > start.seq))
      .sort((one, other) => one.vb - other.vb || one.seq - other.seq);
  }

  /** A random clock at or below `high`, and at or above `low`. */
  clock(low?: Clock): Clock {
    const whole = this.#random() < 0.2;
    return this.high.map((seq, vb) => {
      const from = low?.[vb] ?? 0;
      return whole ? seq : from + Math.floor(this.#random() * (seq - from + 1));
    });
  }
}
