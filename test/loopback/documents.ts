// Plain requests of a loopback node on the collection of documents: what other programs do with the
// SDK. Attributes survive a whole-document write, as on a real server.

import type { MutationToken } from "../../src/bucket/bucket.ts";
import type { Frame } from "../../src/bucket/couchbase/wire/frame.ts";
import { Opcode, Status } from "../../src/bucket/couchbase/wire/opcodes.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import type { Answer } from "./session.ts";

/** The 16 bytes that a mutation's answer carries: vbuuid and seq. */
export function mutationTokenOf({ vbuuid, seq }: MutationToken): Buffer {
  const extras = Buffer.alloc(16);
  extras.write(vbuuid, 0, "hex");
  extras.writeBigUInt64BE(BigInt(seq), 8);
  return extras;
}

/** Up to this many seconds an expiry is relative, beyond a time since 1970: the server's rule. */
const RELATIVE_SECONDS = 30 * 86_400;

/** When a document goes away by itself, in seconds since 1970, as a request's extras say it. */
export function expiryAt(seconds: number): number {
  if (seconds === 0 || seconds > RELATIVE_SECONDS) return seconds;
  return Math.floor(Date.now() / 1000) + seconds;
}

/** How often a write that came between reading and writing is tried around. */
const MAX_RACES = 100;

/**
 * Carries out a request that reads and writes as a server does: at once. When another write came in
 * between it is carried out again, where the client gave no CAS; otherwise that CAS is old.
 */
export async function unraced(
  frame: Frame,
  carryOut: () => Promise<Answer | "raced">,
): Promise<Answer> {
  for (let race = 0; race < MAX_RACES; race++) {
    const answer = await carryOut();
    if (answer !== "raced") return answer;
    if (frame.cas !== 0n) return { vbOrStatus: Status.keyExists };
  }
  return { vbOrStatus: Status.temporaryFailure };
}

/** Carries out GET, SET, ADD, REPLACE or DELETE of a whole document. */
export async function wholeDocument(
  bucket: EmbeddedBucket,
  frame: Frame,
  key: string,
): Promise<Answer> {
  return unraced(frame, () => once(bucket, frame, key));
}

async function once(bucket: EmbeddedBucket, frame: Frame, key: string): Promise<Answer | "raced"> {
  const item = await bucket.documents.get(key);
  const live = item !== undefined && !item.deleted;
  if (frame.opcode === Opcode.get) {
    if (!live) return { vbOrStatus: Status.keyNotFound };
    return { cas: item.cas, extras: Buffer.from([2, 0, 0, 6]), value: Buffer.from(item.body!) };
  }
  if (frame.opcode === Opcode.add && live) return { vbOrStatus: Status.keyExists };
  const needsLive = frame.opcode === Opcode.replace || frame.opcode === Opcode.delete;
  if (needsLive && !live) return { vbOrStatus: Status.keyNotFound };
  if (frame.cas !== 0n && frame.cas !== item?.cas) return { vbOrStatus: Status.keyExists };
  const result = await bucket.documents.write({
    key,
    cas: item?.cas ?? 0n,
    body: frame.opcode === Opcode.delete ? null : Uint8Array.from(frame.value),
    xattrs: {},
    macros: [],
    expiry: frame.extras.length >= 8 ? expiryAt(frame.extras.readUInt32BE(4)) : 0,
  });
  if (!result.ok && result.refusal === "too_large") return { vbOrStatus: Status.valueTooLarge };
  if (!result.ok) return "raced";
  return { cas: result.cas, extras: mutationTokenOf(result) };
}
