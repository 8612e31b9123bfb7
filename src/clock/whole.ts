// A whole clock in binary, self-contained: version, payload, checksum.

import { crc32 } from "node:zlib";
import { MAX_SEQ, MAX_VBUCKETS } from "../bucket/vbucket.ts";
import { ByteReader, ByteWriter, MalformedBytes } from "./bytes.ts";
import type { Clock } from "./tick.ts";

const VERSION = 1;

/** Layout: version byte, V varint, smallest seq varint, V × (seq - smallest) varint, CRC-32. */
export function encodeClock(clock: Clock): Uint8Array {
  const writer = new ByteWriter(clock.length * 4 + 16);
  let least = MAX_SEQ;
  for (let vb = 0; vb < clock.length; vb++) least = Math.min(least, clock[vb]!);
  writer.byte(VERSION);
  writer.varint(clock.length);
  writer.varint(least);
  for (let vb = 0; vb < clock.length; vb++) writer.varint(clock[vb]! - least);
  writer.uint32(crc32(writer.view()));
  return writer.bytes();
}

/** Reads what {@link encodeClock} wrote. Throws {@link MalformedBytes}. */
export function decodeClock(bytes: Uint8Array): Clock {
  if (bytes.length < 5) throw new MalformedBytes("they end too early");
  const body = bytes.subarray(0, bytes.length - 4);
  if (new ByteReader(bytes.subarray(body.length)).uint32() !== crc32(body)) {
    throw new MalformedBytes("the checksum does not match");
  }
  const reader = new ByteReader(body);
  const version = reader.byte();
  if (version !== VERSION) throw new MalformedBytes(`version ${version} is not known`);
  const vbuckets = reader.varint();
  if (vbuckets < 1 || vbuckets > MAX_VBUCKETS) throw new MalformedBytes("V is out of range");
  const least = reader.varint();
  const clock = new Float64Array(vbuckets);
  for (let vb = 0; vb < vbuckets; vb++) {
    clock[vb] = least + reader.varint();
    if (clock[vb]! > MAX_SEQ) throw new MalformedBytes("a seq is larger than 2^53-1");
  }
  reader.end();
  return clock;
}
