// The core of a DCP stream, driven by the recorded sessions of a real server.

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DcpStream, parseFailoverLog } from "../../../src/bucket/couchbase/dcp/stream.ts";
import { Frame } from "../../../src/bucket/couchbase/wire/frame.ts";
import { Opcode, Status } from "../../../src/bucket/couchbase/wire/opcodes.ts";
import type { FeedEvent, StreamPosition } from "../../../src/bucket/feed.ts";

const beginning = (vb: number): StreamPosition => ({
  vb,
  vbuuid: "0",
  seq: 0,
  snapshotStart: 0,
  snapshotEnd: 0,
});

interface Step {
  fromClient: boolean;
  frame: Frame;
}

function session(name: string): Step[] {
  const path = join(import.meta.dir, "../../vectors/dcp", `${name}.jsonl`);
  const lines = readFileSync(path, "utf8").trim().split("\n").slice(1);
  return lines.map((line) => {
    const { dir, bytes } = JSON.parse(line) as { dir: string; bytes: string };
    return { fromClient: dir.startsWith("client"), frame: new Frame(Buffer.from(bytes, "hex")) };
  });
}

/** Plays the server's half of a session into a stream, from its first stream request on. */
function play(stream: DcpStream, steps: Step[]): FeedEvent[] {
  const events: FeedEvent[] = [];
  let opaque = -1;
  for (const { fromClient, frame } of steps) {
    if (frame.opcode === Opcode.dcpStreamRequest && fromClient && stream.state === "wanting") {
      stream.requested();
      opaque = frame.opaque;
    } else if (frame.opcode === Opcode.dcpStreamRequest && frame.opaque === opaque && !fromClient) {
      if (frame.status === Status.success) events.push(...stream.accepted(frame.value));
      else if (frame.status === Status.rollback) events.push(...stream.rollback(frame.value));
      else stream.interrupted();
      if (frame.status !== Status.success) opaque = -1;
    } else if (!fromClient && !frame.isResponse && frame.opcode !== Opcode.dcpNoop) {
      events.push(...stream.message(frame));
    }
  }
  return events;
}

function told(events: readonly FeedEvent[]): string[] {
  return events.map((event) => {
    if (event.kind === "snapshot") return `snapshot ${event.start}..${event.end}`;
    if (event.kind === "failover") return `failover ${event.log.map((e) => e.seq).join(",")}`;
    if (event.kind === "end") return `end ${event.reason}`;
    if (event.kind === "advanced" || event.kind === "rollback") return `${event.kind} ${event.seq}`;
    return `${event.kind} ${event.key}@${event.seq}`;
  });
}

test("a recorded backfill and what came live after it", () => {
  const stream = new DcpStream(beginning(3), { withBody: true });
  const events = play(stream, session("backfill-then-live"));
  expect(told(events)).toEqual([
    "failover 0",
    "snapshot 0..13",
    "mutation doc-0@1",
    "mutation doc-4@5",
    "mutation doc-1@6",
    "mutation doc-2@7",
    "deletion doc-3@8",
    "mutation raw@11",
    "mutation counter@12",
    "deletion doc-exp@13",
    "snapshot 14..14",
    "mutation doc-live@14",
    "snapshot 15..15",
    "deletion doc-4@15",
  ]);
  expect(stream.position).toMatchObject({ seq: 15, snapshotEnd: 15, vbuuid: "0000efef1357c8b3" });
  const doc = events.find((event) => event.kind === "mutation" && event.key === "doc-2");
  expect(doc).toMatchObject({ xattrs: { _sync: '{"rev":"2-abc","seq":"0x0000000000000007"}' } });
});

test("the request for a resume is the recorded one, byte for byte", () => {
  const recorded = session("resume-and-rollback").find(
    ({ fromClient, frame }) => fromClient && frame.opcode === Opcode.dcpStreamRequest,
  )!.frame;
  const position = { vb: 3, vbuuid: "0000efef1357c8b3", seq: 6, snapshotStart: 6, snapshotEnd: 6 };
  const stream = new DcpStream(position, { withBody: true });
  expect(stream.requested().toString("hex")).toBe(recorded.extras.toString("hex"));
});

test("of a snapshot that has the end asked for in it, nothing beyond the end is told", () => {
  const steps = session("resume-and-rollback");
  const at = steps.findLastIndex(
    ({ fromClient, frame }) =>
      fromClient && frame.opcode === Opcode.dcpStreamRequest && frame.extras.readUInt32BE(20) === 4,
  );
  const stream = new DcpStream(beginning(3), { withBody: true, until: 4 });
  const events = play(stream, steps.slice(at));
  expect(told(events)).toEqual(["failover 0", "snapshot 0..15", "mutation doc-0@1", "end ended"]);
  expect(stream.state).toBe("ended");
});

test("an unknown branch is rolled back to its beginning, and the consumer restarts it", () => {
  const steps = session("resume-and-rollback");
  const at = steps.findIndex(({ frame }) => frame.status === Status.rollback && frame.isResponse);
  const position = { vb: 3, vbuuid: "1234567890abcdef", seq: 6, snapshotStart: 6, snapshotEnd: 6 };
  const stream = new DcpStream(position, { withBody: true });
  expect(told(play(stream, steps.slice(at - 1, at + 1)))).toEqual(["rollback 0"]);
  expect(stream.state).toBe("rolledBack");
  stream.restart(beginning(3));
  expect(stream.state).toBe("wanting");
});

test("a stream ended by a state change goes on from where it was, on its new branch", () => {
  const stream = new DcpStream(beginning(5), { withBody: false });
  const steps = session("stream-end-state-change");
  const firstEnd = steps.findIndex(({ frame }) => frame.opcode === Opcode.dcpStreamEnd);
  expect(told(play(stream, steps.slice(0, firstEnd + 1)))).toEqual([
    "failover 0",
    "snapshot 0..3",
    "mutation s-0@1",
    "mutation s-1@2",
    "mutation s-2@3",
  ]);
  expect(stream.state).toBe("wanting");
  expect(stream.position).toMatchObject({ seq: 3, snapshotEnd: 3 });
  const lastLog = steps
    .filter(({ frame }) => frame.isResponse && frame.value.length === 32)
    .at(-1)!;
  stream.requested();
  expect(told(stream.accepted(lastLog.frame.value))).toEqual(["failover 3,0"]);
  expect(stream.position.vbuuid).toBe("0000cb65583b95df");
});

test("one collection's stream jumps over the others' sequence numbers", () => {
  const stream = new DcpStream(beginning(8), { withBody: true });
  expect(told(play(stream, session("collections-filter")))).toEqual([
    "failover 0",
    "snapshot 0..2",
    "advanced 2",
    "snapshot 3..10",
    "mutation k-0@4",
    "mutation k-1@5",
    "mutation k-9@10",
    "snapshot 13..13",
    "mutation k-10@13",
  ]);
});

test("a message that can't be read is not counted as delivered", () => {
  const steps = session("backfill-then-live");
  const stream = new DcpStream(beginning(3), { withBody: true });
  const third = steps.findIndex(
    ({ frame }) => frame.opcode === Opcode.dcpMutation && frame.extras.readBigUInt64BE(0) === 7n,
  );
  play(stream, steps.slice(0, third));
  const bytes = Buffer.from(
    JSON.parse(
      readFileSync(join(import.meta.dir, "../../vectors/dcp/backfill-then-live.jsonl"), "utf8")
        .trim()
        .split("\n")[third + 1]!,
    ).bytes,
    "hex",
  );
  bytes.writeUInt32BE(0xffff, bytes.length - new Frame(bytes).value.length);
  expect(() => stream.message(new Frame(bytes))).toThrow("attributes");
  expect(stream.position.seq).toBe(6);
});

test("a stream never goes back, and never leaves its snapshot", () => {
  const steps = session("backfill-then-live");
  const stream = new DcpStream(beginning(3), { withBody: true });
  const live = steps.findLastIndex(({ frame }) => frame.opcode === Opcode.dcpMutation);
  play(stream, steps.slice(0, live + 1));
  expect(() => stream.message(steps[live]!.frame)).toThrow("after seq");
  const marker = steps.find(({ frame }) => frame.opcode === Opcode.dcpSnapshotMarker)!.frame;
  expect(() => stream.message(marker)).toThrow("behind seq");
});

test("a failover log of odd length is refused", () => {
  expect(() => parseFailoverLog(Buffer.alloc(17))).toThrow("17 bytes");
});
