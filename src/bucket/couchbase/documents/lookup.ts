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

/** The attribute of gateways, and the server's own virtual ones: what it knows, and their names. */
const SYNC = "_sync";
const VIRTUAL = "$document";
const NAMES = "$XTOC";

/** User attributes that are read with a document; of more, the first by name. */
export const MAX_USER_ATTRIBUTES = 64;
/** How often a document is read again that changed while its attributes were read. */
const MAX_LOOKUPS = 20;

const attribute = (path: string): PathSpec => ({
  opcode: PathOpcode.get,
  flags: PathFlag.attribute,
  path,
});
const body: PathSpec = { opcode: PathOpcode.getDocument, flags: 0, path: "" };

const META_SPECS = [attribute(VIRTUAL), attribute(SYNC)];
const BODY_SPECS = [...META_SPECS, body];
const FULL_SPECS = [...BODY_SPECS, attribute(NAMES)];
const META_REQUEST = encodeSpecs(META_SPECS, false);
const BODY_REQUEST = encodeSpecs(BODY_SPECS, false);
const FULL_REQUEST = encodeSpecs(FULL_SPECS, false);
const EXTRAS = Buffer.from([DocumentFlag.accessDeleted]);

const namesSchema = z.array(z.string());

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

  /**
   * The document, a tombstone too; undefined when there is no item. User attributes only when asked
   * for, and with the body: a server gives one attribute a request beside its virtual ones.
   */
  async get(
    key: string,
    options: { withBody: boolean; userAttributes?: boolean },
  ): Promise<FoundDocument | undefined> {
    const [specs, request] = options.withBody
      ? options.userAttributes
        ? [FULL_SPECS, FULL_REQUEST]
        : [BODY_SPECS, BODY_REQUEST]
      : [META_SPECS, META_REQUEST];
    for (let attempt = 0; attempt < MAX_LOOKUPS; attempt++) {
      const look = await this.#look(key, request, specs.length);
      if (look === undefined || look.names.length === 0) return look?.found;
      const attributes = await this.#userAttributes(key, look.found.cas, look.names);
      if (attributes === undefined) continue;
      return { ...look.found, xattrs: { ...look.found.xattrs, ...attributes } };
    }
    throw new TidegateError("unavailable", `The document "${key}" changes all the time.`);
  }

  /** The user attributes of version `cas`; undefined when the document is another one now. */
  async #userAttributes(
    key: string,
    cas: bigint,
    names: readonly string[],
  ): Promise<Record<string, string> | undefined> {
    const answers = await Promise.all(
      names.map((name) => this.#send(key, encodeSpecs([attribute(name)], false))),
    );
    const attributes: Record<string, string> = Object.create(null);
    for (const [at, answer] of answers.entries()) {
      if (answer.status === Status.keyNotFound || answer.cas !== cas) return undefined;
      isDeleted(answer);
      const [value] = decodeLookup(answer.value, 1);
      if (value !== undefined) attributes[names[at] as string] = value.toString("utf8");
    }
    return attributes;
  }

  #send(key: string, value: Buffer): Promise<Frame> {
    return this.#client.send(
      vbucketOf(key, this.#vbuckets),
      {
        opcode: Opcode.subdocMultiLookup,
        extras: EXTRAS,
        key: encodeCollectionKey(this.#collectionId, key),
        value,
      },
      true,
    );
  }

  /** The document with our own attribute, and the names of the users' ones. */
  async #look(
    key: string,
    request: Buffer,
    paths: number,
  ): Promise<{ found: FoundDocument; names: readonly string[] } | undefined> {
    const answer = await this.#send(key, request);
    if (answer.status === Status.keyNotFound) return undefined;
    const deleted = isDeleted(answer);
    const [virtual, sync, stored, names] = decodeLookup(answer.value, paths);
    const meta = virtualSchema.parse(virtual === undefined ? {} : JSON.parse(virtual.toString()));
    const found = {
      key,
      cas: answer.cas,
      deleted,
      body: stored === undefined || deleted ? undefined : Uint8Array.from(stored),
      xattrs: sync === undefined ? {} : { [SYNC]: sync.toString("utf8") },
      expiry: meta.exptime,
      seq: meta.seqno === undefined ? undefined : Number(BigInt(meta.seqno)),
      vbuuid: meta.vbucket_uuid?.replace(/^0x/, "").padStart(16, "0"),
    };
    return { found, names: names === undefined ? [] : userNames(names) };
  }
}

/** The names of user attributes: not the system's, which begin with an underscore. */
function userNames(text: Buffer): string[] {
  const names = namesSchema.parse(JSON.parse(text.toString("utf8")));
  return names
    .filter((name) => !name.startsWith("_"))
    .sort()
    .slice(0, MAX_USER_ATTRIBUTES);
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
