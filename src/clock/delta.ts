// A clock as a delta against one that both sides know: version, payload, checksum.

import { crc32 } from "node:zlib";
import { MAX_SEQ } from "../bucket/vbucket.ts";
import { ByteReader, ByteWriter, MalformedBytes } from "./bytes.ts";
import type { Clock } from "./tick.ts";

const VERSION = 1;

/** Layout: version byte, then (vb gap, zigzag change) varints of each changed vbucket, CRC-32. */
export function encodeDelta(base: Clock, clock: Clock): Uint8Array {
  const writer = new ByteWriter(256);
  writer.byte(VERSION);
  let before = -1;
  for (let vb = 0; vb < clock.length; vb++) {
    const change = clock[vb]! - base[vb]!;
    if (change === 0) continue;
    writer.varint(vb - before - 1);
    writer.byte(change < 0 ? 1 : 0);
    writer.varint(Math.abs(change));
    before = vb;
  }
  writer.uint32(crc32(writer.view()));
  return writer.bytes();
}

/** Turns `clock`, which holds the base, into what {@link encodeDelta} was given. Throws {@link MalformedBytes}. */
export function applyDelta(clock: Clock, bytes: Uint8Array): void {
  if (bytes.length < 5) throw new MalformedBytes("they end too early");
  const body = bytes.subarray(0, bytes.length - 4);
  if (new ByteReader(bytes.subarray(body.length)).uint32() !== crc32(body)) {
    throw new MalformedBytes("the checksum does not match");
  }
  const reader = new ByteReader(body);
  const version = reader.byte();
  if (version !== VERSION) throw new MalformedBytes(`version ${version} is not known`);
  let vb = -1;
  while (reader.left > 0) {
    vb += reader.varint() + 1;
    if (vb >= clock.length) throw new MalformedBytes("a vbucket is out of range");
    const sign = reader.byte() === 0 ? 1 : -1;
    const seq = clock[vb]! + sign * reader.varint();
    if (seq < 0 || seq > MAX_SEQ) throw new MalformedBytes("a seq is out of range");
    clock[vb] = seq;
  }
}
