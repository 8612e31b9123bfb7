// The byte layouts: what is written is read back, and what is truncated or corrupted is never taken
// for something else.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MalformedBytes } from "../../src/clock/bytes.ts";
import { packBranches, unpackBranches } from "../../src/index/branch-table.ts";
import { EntryTable, packEntry, packIdentity, type Range } from "../../src/index/entry-codec.ts";
import {
  type Damage,
  decodeHeader,
  encodeFrame,
  encodeHeader,
  Kind,
  payloadOf,
  readFrames,
} from "../../src/index/frame.ts";
import {
  blockHeader,
  decodeLayout,
  encodeLayout,
  listHeader,
  packAddresses,
  packWindows,
  readBlockHeader,
  readListHeader,
  readSequenceHeader,
  sequenceHeader,
  unpackAddresses,
  unpackWindows,
} from "../../src/index/list-codec.ts";
import { PackWriter } from "../../src/index/pack.ts";
import { SequenceGrid } from "../../src/index/shape.ts";
import { type Entry, EntryFlag, type Grant } from "../../src/index/types.ts";

const rev = fc.oneof(
  fc
    .tuple(
      fc.integer({ min: 1, max: 999_999_999 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    )
    .map(([generation, hash]) => `${generation}-${Buffer.from(hash).toString("hex")}`),
  fc.constantFrom("", "1-abc", "01-0123456789abcdef0123456789abcdef", `9-${"F".repeat(32)}`),
  fc.constantFrom(`1234567890-${"a".repeat(32)}`, `1-${"é".repeat(32)}`, `1-${"0".repeat(31)}g`),
  fc.string({ unit: "grapheme" }),
);
const docId = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 100 }),
  fc.string({ unit: "grapheme-ascii", minLength: 50, maxLength: 300 }),
);

const ranges: fc.Arbitrary<Range> = fc
  .tuple(
    fc.integer({ min: 0, max: 16 }),
    fc.integer({ min: 0, max: 30 }),
    fc.integer({ min: 0, max: 2 ** 22 }),
  )
  .map(([vbBits, seqBits, tile]) => ({
    vbFrom: 0,
    vbTo: 2 ** vbBits,
    seqFrom: tile * 2 ** seqBits,
    seqTo: (tile + 1) * 2 ** seqBits,
  }));

/** A pseudo-channel's entry: the same with spans that begin and end at or before its seq. */
function withGrants(
  { entry, channels }: { entry: Entry; channels: number[] },
  spans: readonly { role: boolean; name: string; from: number; until: number }[] | undefined,
): { entry: Entry; channels: number[] } {
  if (spans === undefined) return { entry, channels };
  const grants = spans.map(({ role, name, from, until }): Grant => {
    const kind = role ? "role" : "channel";
    return { kind, name, from: from % (entry.seq + 1), until: until % (entry.seq + 1) };
  });
  return { entry: { ...entry, flags: entry.flags | EntryFlag.grants, grants }, channels };
}

const grantsOf = fc.option(
  fc.array(
    fc.record({
      role: fc.boolean(),
      name: fc.string({ unit: "grapheme", maxLength: 100 }),
      from: fc.nat(),
      until: fc.oneof(fc.constant(0), fc.nat()),
    }),
    { maxLength: 4 },
  ),
  { nil: undefined },
);

function entriesIn(range: Range): fc.Arbitrary<{ entry: Entry; channels: number[] }[]> {
  const one = fc.record({
    entry: fc.record({
      vb: fc.integer({ min: range.vbFrom, max: range.vbTo - 1 }),
      seq: fc.integer({ min: range.seqFrom, max: range.seqTo - 1 }),
      branch: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 300 })),
      flags: fc.integer({ min: 0, max: 7 }),
      docId,
      revId: rev,
      supersedes: fc.oneof(fc.constant(0), fc.nat(), fc.integer({ min: 0, max: range.seqTo })),
    }),
    channels: fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 5 }),
  });
  const line = fc.tuple(one, grantsOf).map(([entry, spans]) => withGrants(entry, spans));
  return fc.array(line, { maxLength: 20 });
}

const chunks = ranges.chain((range) =>
  fc.record({ range: fc.constant(range), lines: entriesIn(range), isSequences: fc.boolean() }),
);

function packChunk(
  range: Range,
  lines: readonly { entry: Entry; channels: number[] }[],
  isSequences: boolean,
): Uint8Array {
  const writer = new PackWriter(8);
  writer.varint(lines.length);
  for (const { entry, channels } of lines) {
    const identity = packIdentity(entry.docId, entry.revId);
    packEntry(writer, range, entry, identity, isSequences ? channels : undefined);
  }
  return writer.slice();
}

const well = (text: string) => text.isWellFormed();

describe("entries", () => {
  test("a chunk is read back as it was written, entry by entry and in any order", () => {
    fc.assert(
      fc.property(chunks, fc.uint8Array({ maxLength: 5 }), ({ range, lines, isSequences }, pad) => {
        fc.pre(lines.every(({ entry }) => well(entry.docId) && well(entry.revId)));
        fc.pre(lines.every(({ entry }) => entry.grants?.every(({ name }) => well(name)) ?? true));
        const chunk = packChunk(range, lines, isSequences);
        const bytes = Buffer.concat([pad, chunk, pad]);
        const span = [pad.length, pad.length + chunk.length] as const;
        const table = new EntryTable(bytes, [span], range, isSequences);
        expect(table.count).toBe(lines.length);
        for (let i = lines.length - 1; i >= 0; i--) {
          const { entry, channels } = lines[i]!;
          expect(table.entry(i)).toEqual(entry);
          expect(table.branch(i)).toBe(entry.branch);
          expect(table.docId(i)).toBe(entry.docId);
          expect([table.vb[i], table.seq[i]]).toEqual([entry.vb, entry.seq]);
          if (isSequences) expect(table.channels(i)).toEqual(channels);
        }
      }),
    );
  });

  test("a truncated chunk is refused at every length", () => {
    fc.assert(
      fc.property(chunks, ({ range, lines, isSequences }) => {
        fc.pre(lines.length > 0);
        const chunk = packChunk(range, lines, isSequences);
        for (let length = 0; length < chunk.length; length++) {
          const read = () => new EntryTable(chunk, [[0, length]], range, isSequences);
          expect(read).toThrow(MalformedBytes);
        }
      }),
      { numRuns: 30 },
    );
  });

  test("any bytes are refused or read, never a crash or an endless loop", () => {
    fc.assert(
      fc.property(ranges, fc.uint8Array({ maxLength: 60 }), fc.boolean(), (range, bytes, both) => {
        try {
          const table = new EntryTable(bytes, [[0, bytes.length]], range, both);
          for (let i = 0; i < table.count; i++) table.entry(i);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedBytes);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test("an ordinary entry takes its id, 17 bytes of revision, and about five more", () => {
    const range = { vbFrom: 64, vbTo: 65, seqFrom: 1024, seqTo: 1152 };
    const entry = { vb: 64, seq: 1100, branch: 0, flags: 0, docId: "airport-ABQ", supersedes: 0 };
    const chunk = packChunk(
      range,
      [{ entry: { ...entry, revId: `1-${"ab".repeat(16)}` }, channels: [] }],
      false,
    );
    expect(chunk.length).toBeLessThanOrEqual("airport-ABQ".length + 17 + 5);
  });
});

describe("frames", () => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 600 }), { minLength: 1, maxLength: 8 });
  const documentOf = (bodies: readonly Uint8Array[]) =>
    Buffer.concat(bodies.map((body, i) => encodeFrame(body, i % 2 === 1)));

  test("frames are read back, compressed ones too", () => {
    fc.assert(
      fc.property(payloads, (bodies) => {
        const damages: Damage[] = [];
        const frames = readFrames(documentOf(bodies), 0, (damage) => damages.push(damage));
        expect(damages).toEqual([]);
        expect(frames.map((frame) => Buffer.from(payloadOf(frame)))).toEqual(
          bodies.map((body) => Buffer.from(body)),
        );
      }),
    );
  });

  test("a long payload that repeats itself is stored compressed", () => {
    const payload = Buffer.from("airport ".repeat(500));
    expect(encodeFrame(payload, true).length).toBeLessThan(200);
    expect(encodeFrame(payload, false).length).toBeGreaterThan(payload.length);
  });

  test("a torn tail is reported, and what came before and is appended after is read", () => {
    fc.assert(
      fc.property(payloads, fc.nat(), fc.uint8Array({ maxLength: 50 }), (bodies, cut, later) => {
        const whole = documentOf(bodies);
        const last = encodeFrame(bodies.at(-1)!, false);
        const torn = last.subarray(0, 1 + (cut % (last.length - 1)));
        const damages: Damage[] = [];
        const document = Buffer.concat([whole, torn, encodeFrame(later)]);
        const frames = readFrames(document, 0, (damage) => damages.push(damage));
        expect(damages.length).toBeGreaterThan(0);
        const read = frames.map((frame) => Buffer.from(payloadOf(frame)));
        expect(read.slice(0, bodies.length)).toEqual(bodies.map((body) => Buffer.from(body)));
        expect(read.at(-1)).toEqual(Buffer.from(later));
      }),
    );
  });

  test("one changed byte costs its own frame at most, and is reported", () => {
    fc.assert(
      fc.property(payloads, fc.nat(), fc.integer({ min: 1, max: 255 }), (bodies, at, change) => {
        const document = documentOf(bodies);
        const position = at % document.length;
        document[position]! ^= change;
        const damages: Damage[] = [];
        const read = readFrames(document, 0, (damage) => damages.push(damage)).flatMap((frame) => {
          try {
            return [Buffer.from(payloadOf(frame)).toString("hex")];
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedBytes);
            damages.push({ at: frame.at, length: 0, reason: "does not unfold" });
            return [];
          }
        });
        const starts = bodies.map((body, i) => encodeFrame(body, i % 2 === 1).length);
        let hit = 0;
        for (let end = starts[0]!; end <= position; end += starts[++hit]!);
        const others = bodies.filter((_body, i) => i !== hit);
        for (const body of others) expect(read).toContain(Buffer.from(body).toString("hex"));
        expect(damages.length).toBeGreaterThan(0);
      }),
    );
  });
});

describe("headers", () => {
  const name = fc.string({ unit: "grapheme", minLength: 1 }).filter(well);

  test("headers say what they were made of", () => {
    fc.assert(
      fc.property(name, fc.nat(), fc.nat(), fc.integer({ min: 0, max: 40 }), (channel, a, b, c) => {
        const address = { vbBits: 3, seqBits: c, vbTile: a, seqTile: b };
        expect(readBlockHeader(decodeHeader(blockHeader(channel, address, a)))).toEqual({
          channel,
          address,
        });
        const window = { bits: c, number: b };
        const list = decodeHeader(listHeader(channel, window, b));
        expect(readListHeader(list)).toEqual({ channel, window });
        expect(list.generation).toBe(b);
        expect(list.kind).toBe(Kind.list);
      }),
    );
    const grid = new SequenceGrid(1024, 16, 2);
    expect(readSequenceHeader(decodeHeader(sequenceHeader(grid, 3, 9, 1)))).toEqual({
      partition: 3,
      range: { vbFrom: 192, vbTo: 256, seqFrom: 36, seqTo: 40 },
    });
  });

  test("a header that is cut off, or has one changed byte, is refused", () => {
    const header = encodeHeader(Kind.block, new Uint8Array([1, 2, 3]), 1_700_000_000_000);
    for (let length = 0; length < header.length; length++) {
      expect(() => decodeHeader(header.subarray(0, length))).toThrow(MalformedBytes);
    }
    for (let at = 1; at < header.length; at++) {
      const changed = header.slice();
      changed[at]! ^= 0x40;
      expect(() => decodeHeader(changed)).toThrow(MalformedBytes);
    }
  });

  test("a document of a newer version is not guessed at", () => {
    const header = encodeHeader(Kind.layout, new Uint8Array([1]));
    header[0] = 2;
    expect(() => decodeHeader(header)).toThrow("newer Tidegate");
    const layout = encodeLayout(new SequenceGrid(1024, 16, 2)).slice();
    expect(decodeLayout(layout)).toEqual(new SequenceGrid(1024, 16, 2));
    layout[4]! ^= 1;
    expect(() => decodeLayout(layout)).toThrow("can't be read");
  });
});

test("lists, roots and branches are read back, and refused when cut off", () => {
  const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
  const small = fc.integer({ min: 0, max: 40 });
  const address = fc.record({ vbBits: small, seqBits: small, vbTile: number, seqTile: number });
  const window = fc.record({ bits: small, number });
  const point = fc.record({
    vb: small,
    seq: number,
    vbuuid: fc
      .uint8Array({ minLength: 8, maxLength: 8 })
      .map((b) => Buffer.from(b).toString("hex")),
  });
  const many = <T>(one: fc.Arbitrary<T>) => fc.array(one, { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(many(address), many(window), many(point), (addresses, windows, points) => {
      expect(unpackAddresses(packAddresses(addresses))).toEqual(addresses);
      expect(unpackWindows(packWindows(windows))).toEqual(windows);
      expect(unpackBranches(packBranches(points))).toEqual(points);
      expect(() => unpackAddresses(packAddresses(addresses).slice(0, -1))).toThrow(MalformedBytes);
      expect(() => unpackWindows(packWindows(windows).slice(0, -1))).toThrow(MalformedBytes);
      expect(() => unpackBranches(packBranches(points).slice(0, -1))).toThrow(MalformedBytes);
    }),
  );
});
