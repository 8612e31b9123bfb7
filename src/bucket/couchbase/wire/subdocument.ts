// Sub-document requests: several paths of one document, its attributes and its body, in one request.
//
//   lookup   spec: u8 opcode, u8 flags, u16 path length, path
//            result: u16 status, u32 length, value; one for each spec
//   mutation spec: u8 opcode, u8 flags, u16 path length, u32 value length, path, value

import { TidegateError } from "../../../base/errors.ts";
import { Status } from "./opcodes.ts";

/** What is done at a path. The document forms take the empty path. */
export const PathOpcode = {
  getDocument: 0x00,
  setDocument: 0x01,
  deleteDocument: 0x04,
  get: 0xc5,
  upsert: 0xc8,
  delete: 0xc9,
} as const;

/** Flags of a path. */
export const PathFlag = { createParents: 0x01, attribute: 0x04, expandMacros: 0x10 } as const;

/** Flags of the whole request. */
export const DocumentFlag = {
  make: 0x01,
  add: 0x02,
  accessDeleted: 0x04,
  createAsDeleted: 0x08,
  revive: 0x10,
} as const;

/** Statuses that only sub-document requests give. */
export const SubdocumentStatus = {
  pathNotFound: 0xc0,
  multiPathFailure: 0xcc,
  successDeleted: 0xcd,
  multiPathFailureDeleted: 0xd3,
  onlyReviveDeleted: 0xd6,
} as const;

/** One path of a request. */
export interface PathSpec {
  readonly opcode: number;
  readonly flags: number;
  readonly path: string;
  /** Mutations only. */
  readonly value?: Uint8Array;
}

/** The value of a multi-path request. */
export function encodeSpecs(specs: readonly PathSpec[], mutations: boolean): Buffer {
  const parts: Uint8Array[] = [];
  for (const { opcode, flags, path, value } of specs) {
    const pathBytes = Buffer.from(path, "utf8");
    const head = Buffer.alloc(mutations ? 8 : 4);
    head[0] = opcode;
    head[1] = flags;
    head.writeUInt16BE(pathBytes.length, 2);
    if (mutations) head.writeUInt32BE(value?.length ?? 0, 4);
    parts.push(head, pathBytes);
    if (value !== undefined) parts.push(value);
  }
  return Buffer.concat(parts);
}

/**
 * The values of a multi-path lookup's answer; undefined for a path that is not there.
 *
 * Throws `corrupt` when the answer does not fit its lengths, `unavailable` for a path that could not
 * be looked at.
 */
export function decodeLookup(answer: Buffer, count: number): (Buffer | undefined)[] {
  const values: (Buffer | undefined)[] = [];
  let at = 0;
  for (let spec = 0; spec < count; spec++) {
    const end = at + 6 <= answer.length ? at + 6 + answer.readUInt32BE(at + 2) : -1;
    if (end < 0 || end > answer.length) {
      throw new TidegateError("corrupt", "A sub-document answer does not fit its lengths.");
    }
    const status = answer.readUInt16BE(at);
    const absent = status === SubdocumentStatus.pathNotFound;
    // A tombstone has no body: asking for it says "key not found" at that path.
    if (status !== Status.success && !absent && status !== Status.keyNotFound) {
      throw new TidegateError(
        "unavailable",
        `Couchbase could not look at a path (status 0x${status.toString(16)}).`,
      );
    }
    values.push(status === Status.success ? answer.subarray(at + 6, end) : undefined);
    at = end;
  }
  return values;
}
