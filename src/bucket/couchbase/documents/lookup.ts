// Reading a document with its attributes in one request, tombstones too, its body as the bytes that
// are stored: over the pipelined connections, since the SDK parses bodies and has no tombstones.

import { z } from "zod";
import { TidegateError } from "../../../base/errors.ts";
import type { StoredDocument } from "../../bucket.ts";
import { vbucketOf } from "../../vbucket.ts";
import type { PipelinedClient } from "../kv/pipelined-client.ts";
import type { Frame } from "../wire/frame.ts";
import { nameOf, Opcode, Status } from "../wire/opcodes.ts";
import {
  DocumentFlag,
  decodeLookup,
  encodeSpecs,
  PathFlag,
  PathOpcode,
  type PathSpec,
  SubdocumentStatus,
} from "../wire/subdocument.ts";
import { encodeCollectionKey } from "../wire/values.ts";

/** The attribute of gateways, and the server's own virtual one. */
const SYNC = "_sync";
const VIRTUAL = "$document";

const attribute = (path: string): PathSpec => ({
  opcode: PathOpcode.get,
  flags: PathFlag.attribute,
  path,
});
const body: PathSpec = { opcode: PathOpcode.getDocument, flags: 0, path: "" };

const META_SPECS = [attribute(VIRTUAL), attribute(SYNC)];
const FULL_SPECS = [...META_SPECS, body];
const META_REQUEST = encodeSpecs(META_SPECS, false);
const FULL_REQUEST = encodeSpecs(FULL_SPECS, false);
const EXTRAS = Buffer.from([DocumentFlag.accessDeleted]);

const virtualSchema = z.object({
  exptime: z.number().int().nonnegative().default(0),
  vbucket_uuid: z.string().optional(),
  seqno: z.string().optional(),
});

/** A document as looked up, with the place of its last mutation where the server says it. */
export interface FoundDocument extends StoredDocument {
  readonly seq: number | undefined;
  readonly vbuuid: string | undefined;
}

/** Looks up documents of one collection. */
export class DocumentLookup {
  readonly #client: PipelinedClient;
  readonly #collectionId: number;
  readonly #vbuckets: number;

  constructor(client: PipelinedClient, collectionId: number, vbuckets: number) {
    this.#client = client;
    this.#collectionId = collectionId;
    this.#vbuckets = vbuckets;
  }

  /** The document, a tombstone too; undefined when there is no item. */
  async get(key: string, withBody: boolean): Promise<FoundDocument | undefined> {
    const answer = await this.#client.send(
      vbucketOf(key, this.#vbuckets),
      {
        opcode: Opcode.subdocMultiLookup,
        extras: EXTRAS,
        key: encodeCollectionKey(this.#collectionId, key),
        value: withBody ? FULL_REQUEST : META_REQUEST,
      },
      true,
    );
    if (answer.status === Status.keyNotFound) return undefined;
    const deleted = isDeleted(answer);
    const specs = withBody ? FULL_SPECS : META_SPECS;
    const [virtual, sync, stored] = decodeLookup(answer.value, specs.length);
    const meta = virtualSchema.parse(virtual === undefined ? {} : JSON.parse(virtual.toString()));
    return {
      key,
      cas: answer.cas,
      deleted,
      body: stored === undefined || deleted ? undefined : Uint8Array.from(stored),
      xattrs: sync === undefined ? {} : { [SYNC]: sync.toString("utf8") },
      expiry: meta.exptime,
      seq: meta.seqno === undefined ? undefined : Number(BigInt(meta.seqno)),
      vbuuid: meta.vbucket_uuid?.replace(/^0x/, "").padStart(16, "0"),
    };
  }
}

function isDeleted(answer: Frame): boolean {
  switch (answer.status) {
    case Status.success:
    case SubdocumentStatus.multiPathFailure:
      return false;
    case SubdocumentStatus.successDeleted:
    case SubdocumentStatus.multiPathFailureDeleted:
      return true;
    default:
      throw new TidegateError(
        "unavailable",
        `Couchbase answered a lookup with ${nameOf(Status, answer.status)}.`,
      );
  }
}
