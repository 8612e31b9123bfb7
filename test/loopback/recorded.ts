// Plays the client's half of a recorded session to a loopback node, and gives what the node said
// beside what the real server said. The state that the server had is put into the store as it was:
// keys in vbuckets that they do not hash to, gaps in the sequence numbers, the vbuckets' branches.

import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { Frame } from "../../src/bucket/couchbase/wire/frame.ts";
import { Opcode } from "../../src/bucket/couchbase/wire/opcodes.ts";
import { FrameSplitter } from "../../src/bucket/couchbase/wire/splitter.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { RowState } from "../../src/bucket/embedded/schema.ts";
import { until } from "../couchbase/dcp-world.ts";

const FOLDER = join(import.meta.dirname, "../vectors/dcp");

/** One frame of a recording. */
export interface Step {
  readonly fromClient: boolean;
  readonly frame: Frame;
  readonly bytes: Buffer;
}

/** The frames of a recorded session, but for no-ops: those come by the clock. */
export function recording(name: string): Step[] {
  const lines = readFileSync(join(FOLDER, `${name}.jsonl`), "utf8")
    .trim()
    .split("\n")
    .slice(1);
  return lines
    .map((line) => {
      const { dir, bytes: hex } = JSON.parse(line) as { dir: string; bytes: string };
      const bytes = Buffer.from(hex, "hex");
      return { fromClient: dir.startsWith("client"), frame: new Frame(bytes), bytes };
    })
    .filter(({ frame }) => frame.opcode !== Opcode.dcpNoop);
}

/** A document as the real server had it. */
export interface RecordedItem {
  readonly key: string;
  readonly seq: number;
  /** None: a deletion. */
  readonly body?: string | Uint8Array;
  /** `name TAB json LF`, as the store keeps attributes. */
  readonly xattrs?: string;
  readonly expired?: boolean;
}

/** Puts items into a vbucket as they are, whatever their keys hash to, up to seq `high`. */
export async function put(
  bucket: EmbeddedBucket,
  vb: number,
  items: readonly RecordedItem[],
  high = Math.max(0, ...items.map(({ seq }) => seq)),
): Promise<void> {
  const file = bucket.files.documents;
  const query = file.connection.query.bind(file.connection);
  await file.groups.run(1, 0, () => {
    for (const { key, seq, body, xattrs, expired } of items) {
      query("DELETE FROM documents WHERE key = ?").run(key);
      const state =
        body !== undefined ? RowState.live : expired ? RowState.expired : RowState.deleted;
      query(
        `INSERT INTO documents (seq, cas, state, expiry, xattrs, body, key, vb)
         VALUES (?, ?, ?, 0, ?, ?, ?, ?)`,
      ).run(
        seq,
        file.cas.next(),
        state,
        xattrs ?? "",
        body === undefined ? null : Buffer.from(body),
        key,
        vb,
      );
    }
    query("UPDATE vbuckets SET high_seq = ? WHERE vb = ?").run(high, vb);
    file.vbuckets.high[vb] = high;
    file.branched.push(vb);
  });
}

/** Gives a vbucket the branch that it had on the real server. */
export async function branch(bucket: EmbeddedBucket, vb: number, vbuuid: string): Promise<void> {
  const file = bucket.files.documents;
  const query = file.connection.query.bind(file.connection);
  await file.groups.run(1, 0, () => {
    query("UPDATE vbuckets SET vbuuid = ? WHERE vb = ?").run(vbuuid, vb);
    query("UPDATE failovers SET vbuuid = ? WHERE vb = ?").run(vbuuid, vb);
    file.vbuckets.vbuuid[vb] = vbuuid;
    file.branched.push(vb);
  });
}

/**
 * What else happens before the server's frame number `before` (from 0, no-ops not counted), which is
 * what it brings about.
 */
export interface Happening {
  readonly before: number;
  run(): Promise<void> | void;
}

/** Plays `steps` to the node at `port`. Gives the node's frames beside the real server's. */
export async function play(
  port: number,
  steps: readonly Step[],
  happenings: readonly Happening[] = [],
): Promise<{ recorded: Frame; said: Frame }[]> {
  const socket = await open(port);
  const splitter = new FrameSplitter();
  const said: Frame[] = [];
  socket.on("data", (chunk: Buffer) => {
    for (const frame of splitter.push(Buffer.from(chunk))) {
      if (frame.opcode !== Opcode.dcpNoop) said.push(frame);
    }
  });
  const recorded: Frame[] = [];
  const heard = (count: number) =>
    until(`frame ${count} of the node`, () => said.length >= count || socket.destroyed);
  try {
    for (const { fromClient, frame, bytes } of steps) {
      const happening = happenings.find(({ before }) => before === recorded.length);
      if (happening !== undefined && said.length <= recorded.length) {
        await heard(recorded.length);
        await happening.run();
        await heard(recorded.length + 1);
      }
      if (fromClient) {
        await heard(recorded.length);
        socket.write(bytes);
      } else {
        recorded.push(frame);
      }
    }
    await heard(recorded.length);
  } finally {
    socket.destroy();
  }
  return recorded.map((frame, at) => ({ recorded: frame, said: said[at]! }));
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve(socket));
    socket.on("error", reject);
  });
}
