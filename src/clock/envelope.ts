// What the binary forms have in common: the envelope's version, how its errors look, and the
// checks.

import { crc32 } from "node:zlib";
import { MalformedBytes } from "./bytes.ts";
import type { Clock } from "./tick.ts";

/** The bytes of a full check. */
export const CHECK_BYTES = 4;

/** The number of vbuckets that an envelope need not name. */
export const USUAL_VBUCKETS = 1024;

/** The bytes of a message of generated code, on their own: not a Buffer, whose slices are views. */
export function finish(writer: { finish(): Uint8Array }): Uint8Array<ArrayBuffer> {
  return new Uint8Array(writer.finish());
}

/** Puts the check into the last four bytes of `message`: the CRC-32 of all before them. */
export function seal(message: Uint8Array): void {
  const end = message.length - CHECK_BYTES;
  writeCheck(message, end, CHECK_BYTES, crc32(message.subarray(0, end)));
}

/**
 * Says that the last four bytes must be the check of those before. Throws {@link MalformedBytes}.
 */
export function checkSeal(message: Uint8Array): void {
  const end = message.length - CHECK_BYTES;
  if (end < 1) throw new MalformedBytes("they end too early");
  if (readCheck(message, end, CHECK_BYTES) !== crc32(message.subarray(0, end))) throw mismatch();
}

/** What is thrown when a check does not match. */
export function mismatch(): MalformedBytes {
  return new MalformedBytes("the checksum does not match");
}

/** Writes the lowest `length` bytes of a check. */
export function writeCheck(target: Uint8Array, at: number, length: number, check: number): void {
  for (let index = 0; index < length; index++) target[at + index] = (check >>> (8 * index)) & 0xff;
}

/** Reads what {@link writeCheck} wrote. */
export function readCheck(bytes: Uint8Array, at: number, length: number): number {
  let check = 0;
  for (let index = 0; index < length; index++) check |= bytes[at + index]! << (8 * index);
  return check >>> 0;
}

/** The memory of a clock, as bytes, for checks. */
export function memoryOf(clock: Clock): Uint8Array {
  return new Uint8Array(clock.buffer, clock.byteOffset, clock.byteLength);
}

/**
 * Reads an envelope of generated code.
 *
 * @throws MalformedBytes when it is not one, or of a version or with fields that are not known
 */
export function openEnvelope<T extends { version: number; $unknowns?: Uint8Array[] }>(
  message: { decode(bytes: Uint8Array): T },
  bytes: Uint8Array,
): T {
  let envelope: T;
  try {
    envelope = message.decode(bytes);
  } catch (error) {
    throw new MalformedBytes("they are not the message expected", { cause: error });
  }
  if (envelope.version !== 0) {
    throw new MalformedBytes(`version ${envelope.version} is not known: a newer Tidegate wrote it`);
  }
  if (envelope.$unknowns !== undefined) throw new MalformedBytes("they have an unknown field");
  return envelope;
}
