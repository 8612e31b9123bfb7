// OBSERVE_SEQNO: how much of a vbucket's branch a node has on disk. Request and answer, each with
// its reader beside its writer. Who asks, and what is made of it, is `dcp/persistence.ts`.
//
//   request   value: u64 vbuuid                                      (the vbucket is in the header)
//   answer    u8 0, u16 vb, u64 vbuuid, u64 persisted seq, u64 current seq
//             u8 1, the same with the vbuuid that the node is on now, then u64 the vbuuid asked for,
//                   u64 the last seq of that one                     (after a failover)

import { TidegateError } from "../../../base/errors.ts";
import type { FrameParts } from "./frame.ts";
import { Opcode } from "./opcodes.ts";

const SAME_BRANCH = 0;
const OTHER_BRANCH = 1;
const SAME_BRANCH_BYTES = 27;
const OTHER_BRANCH_BYTES = 43;

/** What a node says of its copy of a vbucket. */
export interface SeqnoReport {
  readonly vb: number;
  /** The branch that the node is on. */
  readonly vbuuid: string;
  /** On that branch, the last seq on the node's disk. */
  readonly persistedSeq: number;
  /** The last seq in the node's memory. */
  readonly currentSeq: number;
  /** The branch asked for and its last seq, when the node has left it. */
  readonly left?: { readonly vbuuid: string; readonly seq: number };
}

/** Asks for branch `vbuuid` of `vb`. */
export function observeSeqnoRequest(vb: number, vbuuid: string): FrameParts {
  const value = Buffer.alloc(8);
  value.writeBigUInt64BE(BigInt(`0x${vbuuid}`));
  return { opcode: Opcode.observeSeqno, vbOrStatus: vb, value };
}

/** The branch that a request asks for. Throws `corrupt` when it names none. */
export function askedVbuuid(value: Buffer): string {
  if (value.length !== 8) throw misfit("request", value);
  return value.toString("hex");
}

/** The value of an answer. */
export function encodeSeqnoReport(report: SeqnoReport): Buffer {
  const { vb, vbuuid, persistedSeq, currentSeq, left } = report;
  const out = Buffer.alloc(left === undefined ? SAME_BRANCH_BYTES : OTHER_BRANCH_BYTES);
  out[0] = left === undefined ? SAME_BRANCH : OTHER_BRANCH;
  out.writeUInt16BE(vb, 1);
  out.writeBigUInt64BE(BigInt(`0x${vbuuid}`), 3);
  out.writeBigUInt64BE(BigInt(persistedSeq), 11);
  out.writeBigUInt64BE(BigInt(currentSeq), 19);
  if (left !== undefined) {
    out.writeBigUInt64BE(BigInt(`0x${left.vbuuid}`), 27);
    out.writeBigUInt64BE(BigInt(left.seq), 35);
  }
  return out;
}

/** Reads an answer's value. Throws `corrupt` when it is none of the two forms. */
export function parseSeqnoReport(value: Buffer): SeqnoReport {
  const left = value[0] === OTHER_BRANCH;
  if (!left && value[0] !== SAME_BRANCH) throw misfit("answer", value);
  if (value.length !== (left ? OTHER_BRANCH_BYTES : SAME_BRANCH_BYTES)) {
    throw misfit("answer", value);
  }
  const report = {
    vb: value.readUInt16BE(1),
    vbuuid: value.toString("hex", 3, 11),
    persistedSeq: Number(value.readBigUInt64BE(11)),
    currentSeq: Number(value.readBigUInt64BE(19)),
  };
  if (!left) return report;
  const seq = Number(value.readBigUInt64BE(35));
  return { ...report, left: { vbuuid: value.toString("hex", 27, 35), seq } };
}

function misfit(what: string, value: Buffer): TidegateError {
  const text = `An OBSERVE_SEQNO ${what} of ${value.length} bytes is none of the forms known.`;
  return new TidegateError("corrupt", text);
}
