// A clock as a delta against one that both sides know.
//
// Layout: the payload of a codec for the differences, then its check: the CRC-32 of the resulting
// clock and the payload, lowest byte first. A wrong base is found out by it as surely as a wrong
// byte. The check has 2 bytes after a payload of up to 64 bytes, and 4 after a longer one: a delta
// of few writes is not to be mostly checksum. The version is the codec's number in the payload
// (plan.ts).

import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { MalformedBytes } from "./bytes.ts";
import { difference } from "./clock.ts";
import { addPayload, type Effort, encodePayload } from "./codec/payload.ts";
import { CHECK_BYTES, memoryOf, mismatch, readCheck, writeCheck } from "./envelope.ts";
import type { Clock } from "./tick.ts";

/** Payloads up to this length have the short check. */
const SHORT_PAYLOAD = 64;
const SHORT_CHECK = 2;

/** Where the differences are put before they are encoded; as long as the clocks seen last. */
let scratch = new Float64Array(0);

/**
 * Writes down `clock` as what changed since `base`.
 *
 * @param seed makes the check cover more: whoever reads it must know the same number
 */
export function encodeDelta(
  base: Clock,
  clock: Clock,
  seed = 0,
  effort: Effort = "fast",
): Uint8Array {
  if (scratch.length !== clock.length) scratch = new Float64Array(clock.length);
  const payload = encodePayload(difference(scratch, base, clock), effort);
  const checkBytes = payload.length <= SHORT_PAYLOAD ? SHORT_CHECK : CHECK_BYTES;
  const bytes = new Uint8Array(payload.length + checkBytes);
  bytes.set(payload);
  writeCheck(bytes, payload.length, checkBytes, checkOf(clock, payload, seed));
  return bytes;
}

function checkOf(clock: Clock, payload: Uint8Array, seed: number): number {
  return crc32(payload, crc32(memoryOf(clock), seed));
}

/**
 * Turns `clock`, which holds the base, into what {@link encodeDelta} was given.
 *
 * @param seed the number that the delta was written with
 * @param verify false leaves the check out: for a base of a base, of which only the end is checked
 * @throws MalformedBytes when it is not such a delta, or another base; `clock` is then of no use
 */
export function applyDelta(clock: Clock, bytes: Uint8Array, seed = 0, verify = true): void {
  const checkBytes = bytes.length <= SHORT_PAYLOAD + SHORT_CHECK ? SHORT_CHECK : CHECK_BYTES;
  const length = bytes.length - checkBytes;
  if (length < 1 || (checkBytes === CHECK_BYTES && length <= SHORT_PAYLOAD)) {
    throw new MalformedBytes("they end too early");
  }
  const payload = bytes.subarray(0, length);
  addPayload(payload, clock, verify);
  if (!verify) return;
  const mask = checkBytes === SHORT_CHECK ? 0xffff : 0xffffffff;
  const expected = (checkOf(clock, payload, seed) & mask) >>> 0;
  if (readCheck(bytes, length, checkBytes) !== expected) throw mismatch();
}

/** The bytes of a delta that hold its payload: for looking into it. */
export function payloadOfDelta(bytes: Uint8Array): Uint8Array {
  const checkBytes = bytes.length <= SHORT_PAYLOAD + SHORT_CHECK ? SHORT_CHECK : CHECK_BYTES;
  assert(bytes.length > checkBytes, "a delta has a payload");
  return bytes.subarray(0, bytes.length - checkBytes);
}
