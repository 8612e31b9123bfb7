// What sequences cost on the rows of changes feeds: a real gateway's own rows, and the binary form.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "../../src/base/json.ts";
import { silentLog } from "../../src/base/log.ts";
import { encodeRowPositions, type RowPosition } from "../../src/clock/row-positions.ts";
import { type Actor, ADMIN } from "../../src/documents/types.ts";
import { openGateway } from "../../src/gateway/gateway.ts";
import type { Database } from "../../src/gateway/types.ts";
import type { ChangesFeed } from "../../src/replication/types.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { VBUCKETS } from "./traces.ts";

/** Documents of the database, and how many are saved at once. */
const DOCUMENTS = 20_000;
const BULK = 500;
/** Documents saved while a live feed is open, and how many at once. */
const LIVE = 1000;
const LIVE_AT_ONCE = 10;

/** A tick as its distance to the one before, in a varint: up to 16 seconds. */
const LIVE_TICK_BYTES = 2;

const nobody: Actor = ADMIN;

/** What sequences cost on one kind of feed. */
export interface RowResult {
  readonly feed: string;
  readonly rows: number;
  /** Bytes of the sequence a row; JSON's two quotation marks around it are not counted. */
  readonly bytes: number;
  /** Different positions among the rows. */
  readonly positions: number;
  readonly example: string;
}

/** Measures JSON feeds of a gateway in this process, and the binary form of the same rows. */
export async function measureRows(): Promise<{ json: RowResult[]; binary: RowResult[] }> {
  const directory = mkdtempSync(join(tmpdir(), "tidegate-bench-rows-"));
  const parts = { time: systemTime(), random: systemRandom, log: silentLog };
  const gateway = await openGateway({ dataDirectory: directory, ...parts });
  try {
    const database = await gateway.create("rows", {});
    const first = await save(database, "a", DOCUMENTS, BULK);
    const middle = database.changes.currentSequence();
    const live = await database.changes.open(nobody, { since: "now" });
    const liveRows: string[] = [];
    for (let saved = 0; saved < LIVE; saved += LIVE_AT_ONCE) {
      await save(database, `live${saved}`, LIVE_AT_ONCE, LIVE_AT_ONCE);
      liveRows.push(...(await readAll(live)));
    }
    live.close();
    await save(database, "b", DOCUMENTS / 4, BULK);
    const json = [
      resultOf("from the beginning", await read(database, "0", undefined)),
      resultOf("from the beginning, pages of 100", await pages(database, "0", 100)),
      resultOf("catching up from a tick", await read(database, middle, undefined)),
      resultOf("live, ten saves at a time", liveRows),
    ];
    const head = database.stable.head().clock;
    const all = await positionsOf(database, new Float64Array(VBUCKETS), head);
    const binary = [
      binaryResult("from the beginning, batches of 1,000", all, 1000),
      binaryResult("from the beginning, batches of 100", all, 100),
      ...[10, 100].map((one) =>
        binaryResult(`one row in ${one}, batches of 1,000`, thinned(one), 1000),
      ),
      // All rows of an interval but the last carry its start, so one tick is all that is sent.
      { ...binaryResult("live, ten rows a tick", [], 10), rows: 10, bytes: LIVE_TICK_BYTES / 10 },
      binaryResult("live, ten rows a tick, each with its own", scattered(1000), 10),
    ];
    if (first !== DOCUMENTS) throw new Error("documents are missing");
    return { json, binary };
  } finally {
    await gateway.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function save(
  database: Database,
  prefix: string,
  count: number,
  atOnce: number,
): Promise<number> {
  let saved = 0;
  for (let from = 0; from < count; from += atOnce) {
    const documents = Array.from(
      { length: Math.min(atOnce, count - from) },
      (_, index): JsonObject => ({ _id: `${prefix}:${from + index}`, channels: ["c"] }),
    );
    const outcomes = await database.documents.bulk(nobody, documents);
    saved += outcomes.filter((outcome) => "ok" in outcome).length;
  }
  const high = await database.bucket.feed.highSeqs();
  await database.stable.reached(high);
  return saved;
}

async function readAll(feed: ChangesFeed): Promise<string[]> {
  const rows: string[] = [];
  for (;;) {
    const batch = await feed.read(false);
    rows.push(...batch.rows);
    if (batch.caughtUp || batch.done) return rows;
  }
}

async function read(database: Database, since: string, limit: number | undefined) {
  const options = limit === undefined ? { since } : { since, limit };
  const feed = await database.changes.open(nobody, options);
  try {
    return await readAll(feed);
  } finally {
    feed.close();
  }
}

/** As a replicator reads: each page from the last row of the one before. */
async function pages(database: Database, since: string, limit: number): Promise<string[]> {
  const rows: string[] = [];
  let at = since;
  for (;;) {
    const page = await read(database, at, limit);
    rows.push(...page);
    if (page.length < limit) return rows;
    at = seqOf(page.at(-1)!);
  }
}

function seqOf(row: string): string {
  return String((JSON.parse(row) as { seq: string }).seq);
}

function resultOf(feed: string, rows: readonly string[]): RowResult {
  const seqs = rows.map(seqOf);
  const bytes = seqs.reduce((sum, seq) => sum + seq.length, 0);
  const positions = new Set(seqs);
  const example = seqs[seqs.length >>> 1] ?? "";
  return {
    feed,
    rows: rows.length,
    bytes: bytes / rows.length,
    positions: positions.size,
    example,
  };
}

async function positionsOf(
  database: Database,
  from: Float64Array,
  to: Float64Array,
): Promise<RowPosition[]> {
  const rows: RowPosition[] = [];
  for await (const entries of database.index.read("*", from, to)) {
    for (const { vb, seq } of entries) rows.push({ vb, seq });
  }
  return rows;
}

/** A sparse channel of a large bucket: one row in so many, of a million writes. */
function thinned(one: number): RowPosition[] {
  const rows: RowPosition[] = [];
  let state = 7;
  for (let vb = 0; vb < VBUCKETS; vb++) {
    for (let seq = 1; seq <= 1000; seq++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      if ((state >>> 8) % one === 0) rows.push({ vb, seq });
    }
  }
  return rows;
}

/** The newest rows of a large bucket: in any vbucket, near its newest seq. */
function scattered(count: number): RowPosition[] {
  let state = 11;
  const draw = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  return Array.from({ length: count }, () => ({ vb: draw(VBUCKETS), seq: 1_000_000 + draw(3000) }));
}

function binaryResult(feed: string, rows: readonly RowPosition[], batch: number): RowResult {
  let bytes = 0;
  for (let at = 0; at < rows.length; at += batch) {
    const part = rows.slice(at, at + batch).sort((a, b) => a.vb - b.vb || a.seq - b.seq);
    bytes += encodeRowPositions(part).length;
  }
  return {
    feed,
    rows: rows.length,
    bytes: bytes / rows.length,
    positions: rows.length,
    example: "",
  };
}
