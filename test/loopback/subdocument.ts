// Sub-document requests of a loopback node: whole documents and extended attributes, as far as the
// SDK and the gateway use them. Paths into bodies are not known here.

import type { Json, JsonObject } from "../../src/base/json.ts";
import type { Macro, StoredDocument } from "../../src/bucket/bucket.ts";
import type { Frame } from "../../src/bucket/couchbase/wire/frame.ts";
import { Opcode, Status } from "../../src/bucket/couchbase/wire/opcodes.ts";
import type { EmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { expiryAt, mutationTokenOf, unraced } from "./documents.ts";
import type { Answer } from "./session.ts";

const PathOpcode = {
  getDocument: 0x00,
  setDocument: 0x01,
  deleteDocument: 0x04,
  get: 0xc5,
  exists: 0xc6,
  add: 0xc7,
  upsert: 0xc8,
  delete: 0xc9,
  replace: 0xca,
} as const;
const PathFlag = { attribute: 0x04, expandMacros: 0x10 } as const;
const DocumentFlag = { make: 0x01, add: 0x02, accessDeleted: 0x04, revive: 0x10 } as const;
const SubdocStatus = {
  pathNotFound: 0xc0,
  pathExists: 0xc9,
  multiPathFailure: 0xcc,
  successDeleted: 0xcd,
  multiPathFailureDeleted: 0xd3,
  attributeCombination: 0xce,
  onlyReviveDeleted: 0xd6,
} as const;

const MACROS: Readonly<Record<string, Macro["value"]>> = {
  '"${Mutation.seqno}"': "seqno",
  '"${Mutation.CAS}"': "cas",
};

interface Spec {
  readonly opcode: number;
  readonly flags: number;
  readonly path: string;
  readonly value: Buffer;
}

/** Whether `opcode` is a sub-document request that this file knows. */
export function isSubdocument(opcode: number): boolean {
  return opcode === Opcode.subdocMultiLookup || opcode === Opcode.subdocMultiMutation;
}

/** Carries out a sub-document request on `key` of the documents. */
export async function subdocument(
  bucket: EmbeddedBucket,
  frame: Frame,
  key: string,
): Promise<Answer> {
  return unraced(frame, () => once(bucket, frame, key));
}

async function once(bucket: EmbeddedBucket, frame: Frame, key: string): Promise<Answer | "raced"> {
  const item = await bucket.documents.get(key);
  const mutations = frame.opcode === Opcode.subdocMultiMutation;
  if (attributesOf(readSpecs(frame.value, mutations)).size > 1) {
    return { vbOrStatus: SubdocStatus.attributeCombination };
  }
  if (frame.opcode === Opcode.subdocMultiLookup) {
    const log = (await bucket.feed.failoverLogs())[frame.vb] ?? [];
    return lookup(frame, item, log[0]?.vbuuid ?? "0");
  }
  return mutate(bucket, frame, key, item);
}

/** The attributes named by `specs`: a real server takes one a request, virtual ones aside. */
function attributesOf(specs: readonly Spec[]): Set<string> {
  const names = specs
    .filter(({ flags }) => (flags & PathFlag.attribute) !== 0)
    .map(({ path }) => path.split(".")[0]!);
  return new Set(names.filter((name) => !name.startsWith("$")));
}

function lookup(frame: Frame, item: StoredDocument | undefined, vbuuid: string): Answer {
  const flags = frame.extras[0] ?? 0;
  const visible = item !== undefined && (!item.deleted || (flags & DocumentFlag.accessDeleted) > 0);
  if (!visible) return { vbOrStatus: Status.keyNotFound };
  let failed = false;
  const parts = readSpecs(frame.value, false).map((spec) => {
    const value = look(item, spec, vbuuid);
    failed ||= value === undefined;
    const bytes = spec.opcode === PathOpcode.exists ? Buffer.alloc(0) : (value ?? Buffer.alloc(0));
    const head = Buffer.alloc(6);
    head.writeUInt16BE(value === undefined ? SubdocStatus.pathNotFound : Status.success, 0);
    head.writeUInt32BE(bytes.length, 2);
    return Buffer.concat([head, bytes]);
  });
  const status = failed
    ? item.deleted
      ? SubdocStatus.multiPathFailureDeleted
      : SubdocStatus.multiPathFailure
    : item.deleted
      ? SubdocStatus.successDeleted
      : Status.success;
  return { vbOrStatus: status, cas: item.cas, value: Buffer.concat(parts) };
}

function look(item: StoredDocument, spec: Spec, vbuuid: string): Buffer | undefined {
  if ((spec.flags & PathFlag.attribute) === 0) {
    return item.body === undefined ? undefined : Buffer.from(item.body);
  }
  const [name, ...keys] = spec.path.split(".");
  let value: Json | undefined;
  if (name === "$document") {
    value = {
      deleted: item.deleted,
      exptime: item.expiry,
      CAS: `0x${item.cas.toString(16).padStart(16, "0")}`,
      vbucket_uuid: `0x${vbuuid}`,
      ...placeOf(item),
    };
  } else if (name === "$XTOC") {
    value = Object.keys(item.xattrs);
  } else {
    const text = item.xattrs[name!];
    if (text === undefined) return undefined;
    if (keys.length === 0) return Buffer.from(text);
    value = JSON.parse(text) as Json;
  }
  for (const key of keys) value = (value as JsonObject | undefined)?.[key];
  return value === undefined ? undefined : Buffer.from(JSON.stringify(value));
}

/** Where the gateway's own last write of the item landed, as far as its attribute tells. */
function placeOf(item: StoredDocument): JsonObject {
  const sync = JSON.parse(item.xattrs._sync ?? "null") as { seq?: string } | null;
  return sync?.seq === undefined ? {} : { seqno: sync.seq };
}

async function mutate(
  bucket: EmbeddedBucket,
  frame: Frame,
  key: string,
  item: StoredDocument | undefined,
): Promise<Answer | "raced"> {
  const { extras } = frame;
  const expiry = extras.length >= 4 ? expiryAt(extras.readUInt32BE(0)) : undefined;
  const flags = extras.length === 1 || extras.length === 5 ? extras[extras.length - 1]! : 0;
  const refused = admit(frame, flags, item);
  if (refused !== undefined) return { vbOrStatus: refused };
  let body = item?.deleted ? undefined : item?.body;
  let strip = false;
  const xattrs: JsonObject = {};
  const macros: Macro[] = [];
  for (const [at, spec] of readSpecs(frame.value, true).entries()) {
    if ((spec.flags & PathFlag.attribute) === 0) {
      if (spec.opcode === PathOpcode.deleteDocument) body = undefined;
      else if (spec.opcode === PathOpcode.setDocument) body = Uint8Array.from(spec.value);
      else return failure(at, Status.invalidArguments);
      continue;
    }
    const [attribute, ...keys] = spec.path.split(".") as [string, ...string[]];
    if (spec.opcode === PathOpcode.delete) {
      strip = true;
      continue;
    }
    const macro = MACROS[spec.value.toString("utf8")];
    if ((spec.flags & PathFlag.expandMacros) !== 0 && macro !== undefined) {
      macros.push({ path: [attribute, ...keys], value: macro });
    } else if (keys.length > 0) {
      return failure(at, Status.invalidArguments);
    } else if (spec.opcode === PathOpcode.add && item?.xattrs[attribute] !== undefined) {
      return failure(at, SubdocStatus.pathExists);
    } else {
      xattrs[attribute] = JSON.parse(spec.value.toString("utf8")) as Json;
    }
  }
  if (strip) {
    // The one use of removing an attribute: a purge.
    const purged = await bucket.documents.purge(key, item?.cas ?? 0n);
    if (!purged.ok) return "raced";
    return { cas: purged.cas, extras: mutationTokenOf(purged) };
  }
  const result = await bucket.documents.write({
    key,
    cas: item?.cas ?? 0n,
    body: body ?? null,
    xattrs,
    macros,
    expiry: expiry ?? item?.expiry ?? 0,
  });
  if (!result.ok && result.refusal === "too_large") return { vbOrStatus: Status.valueTooLarge };
  if (!result.ok) return "raced";
  return { cas: result.cas, extras: mutationTokenOf(result) };
}

/** The status of a request that the document's state forbids. */
function admit(frame: Frame, flags: number, item: StoredDocument | undefined): number | undefined {
  const live = item !== undefined && !item.deleted;
  if ((flags & DocumentFlag.revive) !== 0) {
    if (live) return SubdocStatus.onlyReviveDeleted;
    if (item === undefined) return Status.keyNotFound;
  } else if ((flags & DocumentFlag.add) !== 0) {
    if (live) return Status.keyExists;
  } else if (!live) {
    const reachable = item !== undefined && (flags & DocumentFlag.accessDeleted) !== 0;
    if (!reachable && (flags & DocumentFlag.make) === 0) return Status.keyNotFound;
  }
  if (frame.cas !== 0n && frame.cas !== item?.cas) return Status.keyExists;
  return undefined;
}

function failure(at: number, status: number): Answer {
  const value = Buffer.alloc(3);
  value[0] = at;
  value.writeUInt16BE(status, 1);
  return { vbOrStatus: SubdocStatus.multiPathFailure, value };
}

function readSpecs(bytes: Buffer, mutations: boolean): Spec[] {
  const specs: Spec[] = [];
  let at = 0;
  while (at < bytes.length) {
    const pathBytes = bytes.readUInt16BE(at + 2);
    const valueBytes = mutations ? bytes.readUInt32BE(at + 4) : 0;
    const pathAt = at + (mutations ? 8 : 4);
    const end = pathAt + pathBytes + valueBytes;
    specs.push({
      opcode: bytes[at]!,
      flags: bytes[at + 1]!,
      path: bytes.toString("utf8", pathAt, pathAt + pathBytes),
      value: bytes.subarray(pathAt + pathBytes, end),
    });
    at = end;
  }
  return specs;
}
