// What else a clock could be written with: the formats that our codecs are measured against.

import {
  brotliCompressSync,
  brotliDecompressSync,
  constants,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import { decode as decodeCbor, encode as encodeCbor } from "cbor-x";
import protobuf from "protobufjs/minimal.js";
import { ByteReader, ByteWriter } from "../../src/clock/bytes.ts";
import { addPayload, encodePayload } from "../../src/clock/codec/payload.ts";
import type { Clock } from "../../src/clock/tick.ts";

/** A way of writing down a whole clock. */
export interface Format {
  readonly name: string;
  encode(clock: Clock): Uint8Array;
  decode(bytes: Uint8Array, vbuckets: number): Clock;
  /** Bytes that must be kept elsewhere for each clock, besides those that are sent. */
  stored?(clock: Clock): number;
  /** Compressors of the highest level take milliseconds: fewer samples are taken. */
  readonly slow?: boolean;
}

/** The doubles' integers as 64-bit numbers, lowest byte first. */
function raw(clock: Clock): Uint8Array {
  return new Uint8Array(BigUint64Array.from(clock, BigInt).buffer);
}

function fromRaw(bytes: Uint8Array): Clock {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: bytes.byteLength / 8 }, (_, vb) =>
    Number(view.getBigUint64(vb * 8, true)),
  );
}

function varints(clock: Clock): Uint8Array {
  const writer = new ByteWriter(clock.length * 4);
  for (const seq of clock) writer.varint(seq);
  return writer.bytes();
}

function fromVarints(bytes: Uint8Array, vbuckets: number): Clock {
  const reader = new ByteReader(bytes);
  return Float64Array.from({ length: vbuckets }, () => reader.varint());
}

/** A compressor is given the raw numbers and the varints, and keeps what becomes smaller. */
function compressed(
  name: string,
  compress: (bytes: Uint8Array) => Uint8Array,
  decompress: (bytes: Uint8Array) => Uint8Array,
  slow: boolean,
): Format {
  return {
    name,
    slow,
    encode(clock) {
      const a = compress(raw(clock));
      const b = compress(varints(clock));
      return a.length <= b.length ? Uint8Array.of(0, ...a) : Uint8Array.of(1, ...b);
    },
    decode(bytes, vbuckets) {
      const plain = decompress(bytes.subarray(1));
      return bytes[0] === 0 ? fromRaw(new Uint8Array(plain)) : fromVarints(plain, vbuckets);
    },
  };
}

const zstd = (level: number) =>
  compressed(
    `zstd-${level}`,
    (bytes) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } }),
    (bytes) => zstdDecompressSync(bytes),
    level > 10,
  );

/** Protobuf's own: a packed repeated uint64. */
const protobufVarints: Format = {
  name: "protobuf varints",
  encode(clock) {
    const writer = protobuf.Writer.create().uint32(10).fork();
    for (const seq of clock) writer.uint64(seq);
    return writer.ldelim().finish();
  },
  decode(bytes, vbuckets) {
    const reader = protobuf.Reader.create(bytes);
    reader.uint32();
    reader.uint32();
    return Float64Array.from({ length: vbuckets }, () => Number(reader.uint64()));
  },
};

/** Every way but our own. */
export const baselines: readonly Format[] = [
  { name: "raw", encode: raw, decode: fromRaw },
  {
    name: "JSON",
    encode: (clock) => Buffer.from(JSON.stringify([...clock])),
    decode: (bytes) => Float64Array.from(JSON.parse(Buffer.from(bytes).toString()) as number[]),
  },
  protobufVarints,
  {
    name: "CBOR (cbor-x)",
    encode: (clock) => encodeCbor([...clock]),
    decode: (bytes) => Float64Array.from(decodeCbor(bytes) as number[], Number),
  },
  compressed("gzip", (bytes) => gzipSync(bytes, { level: 9 }), gunzipSync, false),
  compressed(
    "brotli-11",
    (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
    brotliDecompressSync,
    true,
  ),
  zstd(3),
  zstd(19),
  {
    name: "frame of reference",
    encode: (clock) => encodePayload(clock, "fast", "frame") ?? raw(clock),
    decode(bytes, vbuckets) {
      const clock = new Float64Array(vbuckets);
      addPayload(bytes, clock);
      return clock;
    },
  },
  {
    name: "CouchDB's update_seq",
    encode: couchSequence,
    decode: fromCouchSequence,
  },
  {
    // The earlier system sent "sum-index" and stored the clock under it, for thirty days.
    name: "hash pointer",
    encode(clock) {
      let sum = 0;
      for (const seq of clock) sum = (sum + seq) % 2 ** 32;
      return Buffer.from(`${sum}-0`);
    },
    decode: (_bytes, vbuckets) => new Float64Array(vbuckets),
    stored: gobSize,
  },
];

/** Bytes that Go's gob takes for one clock as [][]uint64, with the definitions of these types. */
function gobSize(clock: Clock): number {
  const definitions = 27;
  const frame = 10;
  let bytes = definitions + frame;
  for (const seq of clock) {
    bytes += 1;
    if (seq >= 128) for (let rest = seq; rest >= 1; rest = Math.floor(rest / 256)) bytes++;
  }
  return bytes + "_sequence:4294967295".length;
}

// ---------------------------------------------------------------------------------------------
// CouchDB: "sum-" and base64url of Erlang's compressed term of [{Node, [From, To], {Seq, Uuid,
// Node}}], one for each shard. Here a shard stands for a vbucket, so q = V; a usual CouchDB has q =
// 2.

const NODE = Buffer.from("couchdb@127.0.0.1");
const UUID = Buffer.from("a1b2c3d");

function couchSequence(clock: Clock): Uint8Array {
  const term = new ByteWriter(clock.length * 64);
  const atom = (name: Uint8Array) => {
    term.byte(119);
    term.byte(name.length);
    term.raw(name);
  };
  const uint32 = (value: number) => {
    for (const shift of [24, 16, 8, 0]) term.byte((value >>> shift) & 255);
  };
  const integer = (value: number) => {
    if (value < 256) {
      term.byte(97);
      term.byte(value);
    } else if (value < 2 ** 31) {
      term.byte(98);
      uint32(value);
    } else {
      const bytes: number[] = [];
      for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.push(rest % 256);
      term.raw(Uint8Array.of(110, bytes.length, 0, ...bytes));
    }
  };
  const width = 2 ** 32 / clock.length;
  term.byte(108);
  uint32(clock.length);
  for (const [shard, seq] of clock.entries()) {
    term.raw(Uint8Array.of(104, 3));
    atom(NODE);
    term.raw(Uint8Array.of(108, 0, 0, 0, 2));
    integer(shard * width);
    integer((shard + 1) * width - 1);
    term.byte(106);
    term.raw(Uint8Array.of(104, 3));
    integer(seq);
    term.byte(109);
    uint32(UUID.length);
    term.raw(UUID);
    atom(NODE);
  }
  term.byte(106);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(term.length);
  const packed = Buffer.concat([Uint8Array.of(131, 80), size, deflateSync(term.view())]);
  const sum = clock.reduce((all, seq) => all + seq, 0);
  return Buffer.from(`${sum}-${packed.toString("base64url")}`);
}

/** Reads only what {@link couchSequence} writes: enough to be timed fairly. */
function fromCouchSequence(bytes: Uint8Array, vbuckets: number): Clock {
  const text = Buffer.from(bytes).toString("latin1");
  const packed = Buffer.from(text.slice(text.indexOf("-") + 1), "base64url");
  const term = inflateSync(packed.subarray(6));
  let at = 5;
  const integer = (): number => {
    const tag = term[at++];
    if (tag === 97) return term[at++]!;
    if (tag === 98) {
      at += 4;
      return term.readInt32BE(at - 4);
    }
    const length = term[at]!;
    let value = 0;
    for (let index = length; index > 0; index--) value = value * 256 + term[at + 1 + index]!;
    at += 2 + length;
    return value;
  };
  return Float64Array.from({ length: vbuckets }, () => {
    at += 2 + 2 + NODE.length + 5;
    integer();
    integer();
    at += 1 + 2;
    const seq = integer();
    at += 5 + UUID.length + 2 + NODE.length;
    return seq;
  });
}
