// The loopback node says what a real server said: its frames for the recorded sessions equal the
// recorded ones, field by field. What the store does not keep is left out, and named here:
//   CAS values        compared as names: the same where the same, and in the same order
//   a mutation's revision number, flags and hotness: the gateway uses none of them
//   branches made while it runs, as names; the cluster map's text, as a map

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import { parseClusterMap } from "../../src/bucket/couchbase/cluster/cluster-map.ts";
import type { Frame } from "../../src/bucket/couchbase/wire/frame.ts";
import { Opcode, Status } from "../../src/bucket/couchbase/wire/opcodes.ts";
import { splitValue } from "../../src/bucket/couchbase/wire/values.ts";
import {
  type EmbeddedBucket,
  openEmbeddedBucket,
} from "../../src/bucket/embedded/embedded-bucket.ts";
import { loseTail } from "../../src/bucket/embedded/testing.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { LoopbackCluster } from "./cluster.ts";
import { branch, type Happening, play, put, type RecordedItem, recording } from "./recorded.ts";

let directory: string;
let bucket: EmbeddedBucket;
let cluster: LoopbackCluster;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidegate-recorded-"));
  bucket = await openEmbeddedBucket({
    directory,
    name: "cap",
    time: systemTime(),
    random: systemRandom,
    log: silentLog,
    vbuckets: 16,
    keepHistory: true,
  });
  const user = { username: "Administrator", password: "password" };
  cluster = await LoopbackCluster.start(bucket, { user });
});

afterEach(async () => {
  await cluster.stop();
  await bucket.close();
  rmSync(directory, { recursive: true });
});

/** Names for values that differ from run to run: one for each value, in the order of their coming. */
class Names {
  readonly #names = new Map<string, string>();

  of(value: string): string {
    const name = this.#names.get(value) ?? `#${this.#names.size}`;
    this.#names.set(value, name);
    return name;
  }
}

const MUTATIONS: readonly number[] = [Opcode.dcpMutation, Opcode.dcpDeletion];
const LOGS: readonly number[] = [Opcode.dcpGetFailoverLog, Opcode.dcpStreamRequest];

/** Every field of a frame, those that differ from run to run replaced by names. */
function fields(frame: Frame, cas: Names, branches: Names): Record<string, unknown> {
  const { magic, opcode, opaque, dataType, vb } = frame;
  const isMutation = !frame.isResponse && MUTATIONS.includes(opcode);
  const all = {
    magic: magic.toString(16),
    opcode: opcode.toString(16),
    dataType,
    vbOrStatus: vb,
    opaque,
    cas: frame.cas === 0n ? "none" : cas.of(String(frame.cas)),
    framing: frame.framing.toString("hex"),
    extras: isMutation ? mutationExtras(frame) : frame.extras.toString("hex"),
    key: frame.key.toString("latin1"),
    bytes: frame.length,
    value: frame.value.toString("latin1"),
  };
  if (frame.isResponse && frame.status === Status.notMyVbucket) {
    const map = parseClusterMap(frame.value.toString("utf8"), "127.0.0.1", false);
    return { ...all, bytes: "", value: map.active.length };
  }
  if (frame.isResponse && LOGS.includes(opcode) && frame.status === Status.success) {
    const log: string[] = [];
    for (let at = 0; at < frame.value.length; at += 16) {
      const uuid = branches.of(frame.value.toString("hex", at, at + 8));
      log.push(`${uuid} from ${frame.value.readBigUInt64BE(at + 8)}`);
    }
    return { ...all, value: log };
  }
  return all;
}

/** The extras of a mutation: seq, expiry, lock time; attributes' length. Not what is named above. */
function mutationExtras({ opcode, extras }: Frame): unknown {
  const seq = extras.readBigUInt64BE(0);
  const numbered = extras.readBigUInt64BE(8) > 0n;
  if (opcode !== Opcode.dcpMutation) {
    return { bytes: extras.length, seq, numbered, rest: extras.toString("hex", 16) };
  }
  const rest = extras.toString("hex", 20, 30);
  return { bytes: extras.length, seq, numbered, rest };
}

async function expectSame(name: string, happenings: readonly Happening[] = []): Promise<void> {
  const frames = await play(cluster.address.port, recording(name), happenings);
  const names = () => [new Names(), new Names()] as const;
  const [recordedCas, recordedBranches] = names();
  const [saidCas, saidBranches] = names();
  const recorded = frames.map((pair) => fields(pair.recorded, recordedCas, recordedBranches));
  const said = frames.map((pair) => fields(pair.said, saidCas, saidBranches));
  expect(said).toEqual(recorded);
  expect(frames.length).toBeGreaterThan(14);
  // CAS values grow as the server's do.
  const mutations = frames.filter(({ said }) => said.cas !== 0n);
  const order = (which: "recorded" | "said") => {
    const sorted = [...new Set(mutations.map((pair) => pair[which].cas))].sort((a, b) =>
      a < b ? -1 : 1,
    );
    return mutations.map((pair) => sorted.indexOf(pair[which].cas));
  };
  expect(order("said")).toEqual(order("recorded"));
}

/** Vbucket 3 of the first two recordings; what was in it at first, and what came later. */
const DOCUMENTS: readonly RecordedItem[] = [
  { key: "doc-0", seq: 1, body: '{"n": 0, "text": ""}' },
  { key: "doc-4", seq: 5, body: '{"n": 4, "text": "hello hello hello hello "}' },
  { key: "doc-1", seq: 6, body: '{"n":1,"second":true}' },
  {
    key: "doc-2",
    seq: 7,
    body: bodyOf("doc-2"),
    xattrs: '_sync\t{"rev":"2-abc","seq":"0x0000000000000007"}\n',
  },
  { key: "doc-3", seq: 8 },
  { key: "raw", seq: 11, body: Buffer.from("\u0000\u0001\u0002not json+more", "latin1") },
  { key: "counter", seq: 12, body: "10" },
  { key: "doc-exp", seq: 13, expired: true },
];
const LIVE: RecordedItem = { key: "doc-live", seq: 14, body: '{"live":1}' };
const REMOVED: RecordedItem = { key: "doc-4", seq: 15 };

/** The body of a document of vbucket 3 that has attributes. */
function bodyOf(key: string): string {
  const frame = recording("backfill-then-live").find(
    (step) => step.frame.opcode === Opcode.dcpMutation && step.frame.key.includes(key),
  )!.frame;
  return frame.value.toString("utf8", 4 + frame.value.readUInt32BE(0));
}

/** The number, among the server's frames, of the first DCP message that `is`. */
function place(name: string, is: (frame: Frame) => boolean): number {
  const frames = recording(name).filter(({ fromClient }) => !fromClient);
  const at = frames.findIndex(({ frame }) => !frame.isResponse && is(frame));
  expect(at).toBeGreaterThan(0);
  return at;
}

const marker = (end: bigint) => (frame: Frame) =>
  frame.opcode === Opcode.dcpSnapshotMarker && frame.extras.readBigUInt64BE(8) === end;

test("a backfill, then what comes live, then the stream's end", async () => {
  await branch(bucket, 3, "0000efef1357c8b3");
  await put(bucket, 3, DOCUMENTS);
  // The recording's other vbuckets are empty; the answer has them all.
  await expectSame("backfill-then-live", [
    { before: place("backfill-then-live", marker(14n)), run: () => put(bucket, 3, [LIVE]) },
    { before: place("backfill-then-live", marker(15n)), run: () => put(bucket, 3, [REMOVED]) },
  ]);
});

test("resuming, rollbacks, a range that can't be, an end inside a snapshot, another's vbucket", async () => {
  await branch(bucket, 3, "0000efef1357c8b3");
  await put(bucket, 3, DOCUMENTS);
  await put(bucket, 3, [LIVE]);
  await put(bucket, 3, [REMOVED]);
  await expectSame("resume-and-rollback");
});

test("compressed values, byte for byte", async () => {
  await branch(bucket, 6, "000044a24edceefa");
  const bodies = recording("compressed-values")
    .filter(({ frame }) => frame.opcode === Opcode.dcpMutation)
    .map(({ frame }) => inflated(frame));
  await put(
    bucket,
    6,
    bodies.map((body, n) => ({ key: `c-${n}`, seq: n + 1, body })),
  );
  await expectSame("compressed-values");
});

test("gaps where prepares of durable writes were", async () => {
  await branch(bucket, 7, "0000612cca8fe753");
  await put(bucket, 7, [
    { key: "d-0", seq: 1, body: '{"i":0}' },
    { key: "d-1", seq: 3, body: '{"durable":1}' },
    { key: "d-2", seq: 4, body: '{"i":2}' },
  ]);
  const later = { key: "d-3", seq: 6, body: '{"durable":3}' };
  await expectSame("durable-writes", [
    { before: place("durable-writes", marker(6n)), run: () => put(bucket, 7, [later]) },
  ]);
});

test("one collection's stream: its making, its keys, the gaps of the others", async () => {
  cluster.collection = { id: 8, made: { vb: 8, seq: 2, name: "docs", scopeId: 8 } };
  const highs = [2, 2, 2, 17, 2, 5, 5, 8];
  for (const [vb, high] of highs.entries()) await put(bucket, vb, [], high);
  for (let vb = 9; vb < 16; vb++) await put(bucket, vb, [], 2);
  await branch(bucket, 8, "00005503a902207f");
  await put(bucket, 8, [
    { key: "k-0", seq: 4, body: '{"docs":0}' },
    { key: "k-1", seq: 5, body: '{"docs":1}' },
    { key: "k-9", seq: 10, body: '{"docs":9}' },
  ]);
  const later = { key: "k-10", seq: 13, body: '{"docs":10}' };
  await expectSame("collections-filter", [
    { before: place("collections-filter", marker(13n)), run: () => put(bucket, 8, [later]) },
  ]);
});

test("streams that end by a change of state, and go on with another branch", async () => {
  await branch(bucket, 5, "000043ae5f044d36");
  await put(
    bucket,
    5,
    [0, 1, 2].map((i) => ({ key: `s-${i}`, seq: i + 1, body: `{"i":${i}}` })),
  );
  const frames = recording("stream-end-state-change").filter(({ fromClient }) => !fromClient);
  const ends = [...frames.keys()].filter((at) => frames[at]!.frame.opcode === Opcode.dcpStreamEnd);
  expect(ends.length).toBe(2);
  await expectSame("stream-end-state-change", [
    { before: ends[0]!, run: () => cluster.nodes[0]!.endStreams(5, 2) },
    // Active again: the vbucket begins a branch where it stands.
    { before: ends[1]!, run: () => loseTail(bucket, 5, 3) },
  ]);
});

function inflated(frame: Frame): Uint8Array {
  return Uint8Array.from(splitValue(frame.value, frame.dataType).body);
}
