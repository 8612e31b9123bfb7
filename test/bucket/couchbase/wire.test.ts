// The wire layer against the recorded sessions: every frame of a real server, byte for byte.

import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { encodeFrame, Frame, HEADER_BYTES } from "../../../src/bucket/couchbase/wire/frame.ts";
import { DataType, Opcode } from "../../../src/bucket/couchbase/wire/opcodes.ts";
import { FrameSplitter } from "../../../src/bucket/couchbase/wire/splitter.ts";
import {
  decodeCollectionKey,
  encodeCollectionKey,
  joinValue,
  splitValue,
} from "../../../src/bucket/couchbase/wire/values.ts";

const recordings = join(import.meta.dir, "../../vectors/dcp");

interface Recorded {
  dir: string;
  name: string;
  bytes: string;
}

function recordedFrames(file: string): Recorded[] {
  const lines = readFileSync(join(recordings, file), "utf8").trim().split("\n").slice(1);
  return lines.map((line) => JSON.parse(line) as Recorded);
}

const files = readdirSync(recordings).filter((name) => name.endsWith(".jsonl"));

function rebuilt(frame: Frame): Buffer {
  return encodeFrame({
    magic: frame.magic,
    opcode: frame.opcode,
    vbOrStatus: frame.vb,
    opaque: frame.opaque,
    cas: frame.cas,
    dataType: frame.dataType,
    framing: frame.framing,
    extras: frame.extras,
    key: frame.key,
    value: frame.value,
  });
}

describe("the recorded sessions", () => {
  test.each(files)("every frame of %s is read and written back byte for byte", (file) => {
    const frames = recordedFrames(file);
    expect(frames.length).toBeGreaterThan(10);
    for (const { bytes } of frames) {
      const [frame, ...more] = new FrameSplitter().push(Buffer.from(bytes, "hex"));
      expect(more).toEqual([]);
      expect(rebuilt(frame as Frame).toString("hex")).toBe(bytes);
    }
  });

  test("a whole session comes out the same, however the stream is cut", () => {
    const sent = recordedFrames("collections-filter.jsonl")
      .filter(({ dir }) => dir === "server>client")
      .map(({ bytes }) => bytes);
    const stream = Buffer.from(sent.join(""), "hex");
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 40 }), (cuts) => {
        const splitter = new FrameSplitter();
        const points = [0, ...cuts.sort((a, b) => a - b), stream.length];
        const out: string[] = [];
        for (let i = 1; i < points.length; i++) {
          const piece = stream.subarray(points[i - 1], points[i]);
          for (const frame of splitter.push(piece)) out.push(rebuilt(frame).toString("hex"));
        }
        expect(out).toEqual(sent);
        expect(splitter.heldBytes).toBe(0);
      }),
    );
  });

  test("the expanded attribute of the recorded document is found before its body", () => {
    const mutation = recordedFrames("backfill-then-live.jsonl")
      .map(({ bytes }) => new Frame(Buffer.from(bytes, "hex")))
      .find((f) => f.opcode === Opcode.dcpMutation && (f.dataType & DataType.xattr) !== 0);
    const split = splitValue(mutation!.value, mutation!.dataType);
    expect(split.xattrs._sync).toBe('{"rev":"2-abc","seq":"0x0000000000000007"}');
    expect(JSON.parse(split.body.toString("utf8"))).toHaveProperty("n");
    expect(decodeCollectionKey(mutation!.key)).toEqual({ collectionId: 0, key: "doc-2" });
    expect(joinValue(split.xattrs, split.body).equals(mutation!.value)).toBe(true);
  });

  test("snappy values inflate to the JSON that was saved", () => {
    const compressed = recordedFrames("compressed-values.jsonl")
      .map(({ bytes }) => new Frame(Buffer.from(bytes, "hex")))
      .filter((f) => f.opcode === Opcode.dcpMutation && (f.dataType & DataType.snappy) !== 0);
    expect(compressed.length).toBe(3);
    for (const frame of compressed) {
      const { body, json } = splitValue(frame.value, frame.dataType);
      expect(json).toBe(true);
      expect(JSON.parse(body.toString("utf8")).text).toContain("quick brown fox");
    }
  });
});

describe("what a peer could send by mistake or malice", () => {
  const frame = encodeFrame({ opcode: Opcode.get, key: Buffer.from("k") });

  test("bytes of another protocol are refused with a word about it", () => {
    expect(() => new FrameSplitter().push(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"))).toThrow(
      "does not speak",
    );
  });

  test("a body over the limit is refused before it is collected", () => {
    const huge = Buffer.from(frame.subarray(0, HEADER_BYTES));
    huge.writeUInt32BE(0xffffffff, 8);
    expect(() => new FrameSplitter().push(huge)).toThrow("limit");
  });

  test("parts longer than the body are refused", () => {
    const lying = Buffer.from(frame);
    lying.writeUInt16BE(200, 2);
    expect(() => new FrameSplitter().push(lying)).toThrow("longer than its body");
  });

  test("attributes whose lengths lie are refused, never read past their end", () => {
    const good = joinValue({ _sync: '{"a":1}' }, Buffer.from("{}"));
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, byte) => {
        const bad = Buffer.from(good);
        bad[at] = byte;
        try {
          splitValue(bad, DataType.xattr);
        } catch (error) {
          expect((error as Error).message).toContain("attributes");
        }
      }),
    );
    expect(() => splitValue(good.subarray(0, 9), DataType.xattr)).toThrow("attributes");
    expect(() => splitValue(Buffer.from([9, 9, 9]), DataType.snappy)).toThrow("inflate");
  });
});

test("keys with any collection round trip", () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.string({ unit: "binary" }), (collectionId, key) => {
      const wellFormed = key.toWellFormed();
      expect(decodeCollectionKey(encodeCollectionKey(collectionId, wellFormed))).toEqual({
        collectionId,
        key: wellFormed,
      });
    }),
  );
  expect(() => decodeCollectionKey(Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0x80]))).toThrow();
});
