// The writes that the SDK has no way for: those onto tombstones, and those that make one where there
// was nothing. One sub-document request over the pipelined connections, with durability.

import { TidegateError } from "../../../base/errors.ts";
import type { DocumentWrite } from "../../bucket.ts";
import { vbucketOf } from "../../vbucket.ts";
import { type Durability, WIRE_DURABILITY } from "../durability.ts";
import type { PipelinedClient } from "../kv/pipelined-client.ts";
import type { Frame } from "../wire/frame.ts";
import { nameOf, Opcode, Status } from "../wire/opcodes.ts";
import {
  DocumentFlag,
  encodeSpecs,
  PathFlag,
  PathOpcode,
  type PathSpec,
  SubdocumentStatus,
} from "../wire/subdocument.ts";
import { encodeCollectionKey } from "../wire/values.ts";

/** The macros' texts. */
// biome-ignore lint/suspicious/noTemplateCurlyInString: these are the server's own names.
export const MACRO_TEXT = { seqno: "${Mutation.seqno}", cas: "${Mutation.CAS}" } as const;

/** Where a write landed, or that the item was not as the write expected. */
export type TombstoneWriteResult =
  | { readonly ok: true; readonly cas: bigint; readonly seq: number; readonly vbuuid: string }
  | { readonly ok: false };

/** Writes of documents that are, or become from nothing, tombstones. */
export class TombstoneWriter {
  readonly #client: PipelinedClient;
  readonly #collectionId: number;
  readonly #vbuckets: number;
  readonly #durability: Durability;

  constructor(options: {
    client: PipelinedClient;
    collectionId: number;
    vbuckets: number;
    durability: Durability;
  }) {
    this.#client = options.client;
    this.#collectionId = options.collectionId;
    this.#vbuckets = options.vbuckets;
    this.#durability = options.durability;
  }

  /**
   * Writes onto a tombstone (`write.cas` is its CAS), or makes one from nothing (`0n`, no body).
   * Throws `ambiguous` when the outcome is not known: to be settled by reading back.
   */
  write(write: DocumentWrite): Promise<TombstoneWriteResult> {
    const flags =
      write.body !== null
        ? DocumentFlag.revive | DocumentFlag.accessDeleted
        : write.cas === 0n
          ? DocumentFlag.add | DocumentFlag.createAsDeleted | DocumentFlag.accessDeleted
          : DocumentFlag.accessDeleted;
    return this.#send(write.key, write.cas, write.expiry ?? 0, flags, specsOf(write));
  }

  /** Removes `_sync` from a tombstone: it then is one like any other program's. */
  strip(key: string, cas: bigint): Promise<TombstoneWriteResult> {
    const spec = { opcode: PathOpcode.delete, flags: PathFlag.attribute, path: "_sync" };
    return this.#send(key, cas, 0, DocumentFlag.accessDeleted, [spec]);
  }

  async #send(
    key: string,
    cas: bigint,
    expiry: number,
    flags: number,
    specs: readonly PathSpec[],
  ): Promise<TombstoneWriteResult> {
    const extras = Buffer.alloc(5);
    extras.writeUInt32BE(expiry, 0);
    extras[4] = flags;
    const level = WIRE_DURABILITY[this.#durability];
    const answer = await this.#client.send(
      vbucketOf(key, this.#vbuckets),
      {
        opcode: Opcode.subdocMultiMutation,
        cas,
        extras,
        key: encodeCollectionKey(this.#collectionId, key),
        value: encodeSpecs(specs, true),
        // Framing extra 1 (durability) of one byte: the level.
        ...(level === 0 ? {} : { framing: Buffer.from([0x11, level]) }),
      },
      false,
    );
    return resultOf(answer);
  }
}

function specsOf(write: DocumentWrite): PathSpec[] {
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const specs: PathSpec[] = [];
  // The server wants the attributes' paths before the body's.
  for (const [path, value] of Object.entries(write.xattrs)) {
    specs.push({
      opcode: PathOpcode.upsert,
      flags: PathFlag.attribute,
      path,
      value: json(value),
    });
  }
  for (const { path, value } of write.macros) {
    specs.push({
      opcode: PathOpcode.upsert,
      flags: PathFlag.attribute | PathFlag.expandMacros,
      path: path.join("."),
      value: json(MACRO_TEXT[value]),
    });
  }
  if (write.body !== null) {
    specs.push({ opcode: PathOpcode.setDocument, flags: 0, path: "", value: write.body });
  }
  return specs;
}

function resultOf(answer: Frame): TombstoneWriteResult {
  switch (answer.status) {
    case Status.success:
    case SubdocumentStatus.successDeleted: {
      const { extras } = answer;
      if (extras.length < 16) {
        throw new TidegateError("corrupt", "A mutation's answer has no sequence number.");
      }
      return {
        ok: true,
        cas: answer.cas,
        vbuuid: extras.subarray(0, 8).toString("hex"),
        seq: Number(extras.readBigUInt64BE(8)),
      };
    }
    case Status.keyExists:
    case Status.keyNotFound:
    case SubdocumentStatus.onlyReviveDeleted:
      return { ok: false };
    default:
      throw new TidegateError(
        "unavailable",
        `Couchbase answered a write of a tombstone with ${nameOf(Status, answer.status)}.`,
      );
  }
}
