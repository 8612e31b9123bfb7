// A key-value collection over the pipelined connections: the index's own traffic. Everything that
// the index writes may be repeated, which is what makes plain retries right here.

import { assert } from "../../../base/assert.ts";
import { TidegateError } from "../../../base/errors.ts";
import {
  type KeyValueCollection,
  type KeyValueOperation,
  type KeyValueResult,
  MAX_KEY_BYTES,
  MAX_VALUE_BYTES,
  type Refusal,
  type StoredValue,
} from "../../bucket.ts";
import { vbucketOf } from "../../vbucket.ts";
import type { Frame, FrameParts } from "../wire/frame.ts";
import { nameOf, Opcode, Status } from "../wire/opcodes.ts";
import { encodeCollectionKey } from "../wire/values.ts";
import type { PipelinedClient } from "./pipelined-client.ts";

/** The common flags of a binary value, so that SDKs read it as bytes. */
const BINARY_FLAGS = 0x0300_0000;
/** "Do not create" as a counter's expiry; any other value creates. */
const COUNTER_EXPIRY = 0;

/** Lists the keys of a collection: by the SDK, which has range scans. */
export type KeyLister = KeyValueCollection["keys"];

/** A collection over pipelined connections. */
export class PipelinedCollection implements KeyValueCollection {
  readonly #client: PipelinedClient;
  readonly #collectionId: number;
  readonly #vbuckets: number;
  readonly keys: KeyLister;

  constructor(options: {
    client: PipelinedClient;
    collectionId: number;
    vbuckets: number;
    keys: KeyLister;
  }) {
    this.#client = options.client;
    this.#collectionId = options.collectionId;
    this.#vbuckets = options.vbuckets;
    this.keys = options.keys;
  }

  async get(key: string): Promise<StoredValue | undefined> {
    const answer = await this.#send(key, { opcode: Opcode.get }, true);
    if (answer.status === Status.keyNotFound) return undefined;
    requireVerdict(answer, "GET");
    // A copy: the frame is a view of a chunk that holds its neighbours too.
    return { value: Uint8Array.from(answer.value), cas: answer.cas };
  }

  getMany(keys: readonly string[]): Promise<(StoredValue | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key)));
  }

  /** Operations on different keys go out at once; those on one key one after the other. */
  batch(operations: readonly KeyValueOperation[]): Promise<KeyValueResult[]> {
    const lastOfKey = new Map<string, Promise<unknown>>();
    return Promise.all(
      operations.map((operation) => {
        const before = lastOfKey.get(operation.key);
        const result =
          before === undefined
            ? this.#carryOut(operation)
            : before.then(
                () => this.#carryOut(operation),
                () => this.#carryOut(operation),
              );
        lastOfKey.set(operation.key, result);
        return result;
      }),
    );
  }

  async #carryOut(operation: KeyValueOperation): Promise<KeyValueResult> {
    if (Buffer.byteLength(operation.key) > MAX_KEY_BYTES) return refuse("too_large");
    if ("value" in operation && operation.value.length > MAX_VALUE_BYTES) {
      return refuse("too_large");
    }
    const conditional = "cas" in operation && operation.cas !== undefined;
    const repeatable = !conditional && operation.op !== "counter";
    return resultOf(operation, await this.#send(operation.key, partsOf(operation), repeatable));
  }

  #send(key: string, parts: FrameParts, repeatable: boolean): Promise<Frame> {
    const encoded = encodeCollectionKey(this.#collectionId, key);
    return this.#client.send(
      vbucketOf(key, this.#vbuckets),
      { ...parts, key: encoded },
      repeatable,
    );
  }
}

function partsOf(operation: KeyValueOperation): FrameParts {
  switch (operation.op) {
    case "insert":
    case "upsert":
    case "replace": {
      const opcodes = { insert: Opcode.add, upsert: Opcode.set, replace: Opcode.replace };
      const extras = Buffer.alloc(8);
      extras.writeUInt32BE(BINARY_FLAGS, 0);
      extras.writeUInt32BE(operation.expiry ?? 0, 4);
      const cas = operation.op === "replace" ? (operation.cas ?? 0n) : 0n;
      return { opcode: opcodes[operation.op], extras, value: operation.value, cas };
    }
    case "remove":
      return { opcode: Opcode.delete, cas: operation.cas ?? 0n };
    case "append":
      return { opcode: Opcode.append, value: operation.value, cas: operation.cas ?? 0n };
    case "touch": {
      const extras = Buffer.alloc(4);
      extras.writeUInt32BE(operation.expiry, 0);
      return { opcode: Opcode.touch, extras };
    }
    case "counter": {
      assert(operation.delta >= 0, "A counter of the index only grows.");
      const extras = Buffer.alloc(20);
      extras.writeBigUInt64BE(BigInt(operation.delta), 0);
      extras.writeBigUInt64BE(BigInt(operation.initial), 8);
      extras.writeUInt32BE(COUNTER_EXPIRY, 16);
      return { opcode: Opcode.increment, extras };
    }
  }
}

function resultOf(operation: KeyValueOperation, answer: Frame): KeyValueResult {
  switch (answer.status) {
    case Status.success:
      return operation.op === "counter"
        ? { ok: true, cas: answer.cas, counter: Number(answer.value.readBigUInt64BE(0)) }
        : { ok: true, cas: answer.cas };
    case Status.keyNotFound:
      return refuse("not_found");
    case Status.keyExists:
      return refuse(operation.op === "insert" ? "exists" : "cas_mismatch");
    // APPEND to nothing says "not stored"; ADD onto something does too on older servers.
    case Status.notStored:
      return refuse(operation.op === "insert" ? "exists" : "not_found");
    case Status.valueTooLarge:
      return refuse("too_large");
    case Status.badDelta:
      return refuse("not_a_counter");
    default:
      requireVerdict(answer, operation.op);
      throw new TidegateError("internal", `An answer to ${operation.op} was not understood.`);
  }
}

function refuse(refusal: Refusal): KeyValueResult {
  return { ok: false, refusal };
}

function requireVerdict(answer: Frame, what: string): void {
  if (answer.status === Status.success) return;
  throw new TidegateError(
    "unavailable",
    `Couchbase answered ${what} with ${nameOf(Status, answer.status)}.`,
  );
}
