// A key-value collection through the SDK: `metadata`, whose writes must be durable, and the index
// where a setting asks for it (to compare with the pipelined connections).

import {
  CasMismatchError,
  type Collection,
  DocumentExistsError,
  DocumentNotFoundError,
  type DurabilityLevel,
  RawBinaryTranscoder,
  ValueTooLargeError,
} from "couchbase";
import { TidegateError } from "../../../base/errors.ts";
import type { Random } from "../../../runtime/random.ts";
import { sleep, type Time } from "../../../runtime/time.ts";
import {
  type KeyValueCollection,
  type KeyValueOperation,
  type KeyValueResult,
  MAX_VALUE_BYTES,
  type StoredValue,
} from "../../bucket.ts";
import type { RangeScan } from "../documents/range-scan.ts";
import { retryDelayMs } from "./retry.ts";
import { failureOfSdk } from "./sdk-failures.ts";

/** What the collection is made of. */
export interface SdkValuesParts {
  readonly sdk: Collection;
  readonly scan: RangeScan;
  readonly durability: DurabilityLevel;
  readonly operationTimeoutMs: number;
  readonly time: Time;
  readonly random: Random;
}

/** The bytes as they are: the SDK's own transcoder for buffers. */
const transcoder = new RawBinaryTranscoder();

/** A collection through the SDK. */
export class SdkValues implements KeyValueCollection {
  readonly #parts: SdkValuesParts;

  constructor(parts: SdkValuesParts) {
    this.#parts = parts;
  }

  async get(key: string): Promise<StoredValue | undefined> {
    return this.#retried(true, async () => {
      try {
        const found = await this.#parts.sdk.get(key, { transcoder });
        return { value: bytesOf(found.content), cas: BigInt(found.cas.toString()) };
      } catch (error) {
        if (error instanceof DocumentNotFoundError) return undefined;
        throw error;
      }
    });
  }

  getMany(keys: readonly string[]): Promise<(StoredValue | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key)));
  }

  batch(operations: readonly KeyValueOperation[]): Promise<KeyValueResult[]> {
    const lastOfKey = new Map<string, Promise<unknown>>();
    return Promise.all(
      operations.map((operation) => {
        const run = () => this.#carryOut(operation);
        const result = (lastOfKey.get(operation.key) ?? Promise.resolve()).then(run, run);
        lastOfKey.set(operation.key, result);
        return result;
      }),
    );
  }

  keys(prefix: string, options: { after?: string; limit: number }): Promise<string[]> {
    return this.#parts.scan.keysWithPrefix(prefix, options);
  }

  #carryOut(operation: KeyValueOperation): Promise<KeyValueResult> {
    if ("value" in operation && operation.value.length > MAX_VALUE_BYTES) {
      return Promise.resolve({ ok: false, refusal: "too_large" });
    }
    // What is repeated without harm: everything that sets, none of what depends on what was there.
    const repeatable = ["upsert", "touch"].includes(operation.op);
    return this.#retried(repeatable, async () => {
      try {
        return await this.#send(operation);
      } catch (error) {
        if (error instanceof DocumentNotFoundError) return { ok: false, refusal: "not_found" };
        if (error instanceof DocumentExistsError || error instanceof CasMismatchError) {
          return { ok: false, refusal: operation.op === "insert" ? "exists" : "cas_mismatch" };
        }
        if (error instanceof ValueTooLargeError) return { ok: false, refusal: "too_large" };
        throw error;
      }
    });
  }

  async #send(operation: KeyValueOperation): Promise<KeyValueResult> {
    const { sdk, durability: durabilityLevel } = this.#parts;
    const options = { durabilityLevel, transcoder };
    const cas = "cas" in operation && operation.cas ? { cas: operation.cas.toString() } : {};
    const expiry =
      "expiry" in operation && operation.expiry
        ? { expiry: new Date(operation.expiry * 1000) }
        : {};
    switch (operation.op) {
      case "insert":
        return done(
          await sdk.insert(operation.key, bufferOf(operation.value), { ...options, ...expiry }),
        );
      case "upsert":
        return done(
          await sdk.upsert(operation.key, bufferOf(operation.value), { ...options, ...expiry }),
        );
      case "replace": {
        const value = bufferOf(operation.value);
        return done(await sdk.replace(operation.key, value, { ...options, ...expiry, ...cas }));
      }
      case "remove":
        return done(await sdk.remove(operation.key, { durabilityLevel, ...cas }));
      case "append": {
        const value = bufferOf(operation.value);
        return done(await sdk.binary().append(operation.key, value, { durabilityLevel, ...cas }));
      }
      case "touch":
        return done(await sdk.touch(operation.key, new Date(operation.expiry * 1000)));
      case "counter": {
        const result = await sdk.binary().increment(operation.key, operation.delta, {
          initial: operation.initial,
          durabilityLevel,
        });
        return { ...done(result), counter: result.value };
      }
    }
  }

  /** Tries again what may pass, and what has no outcome when repeating does no harm. */
  async #retried<T>(repeatable: boolean, run: () => Promise<T>): Promise<T> {
    const { time, random, operationTimeoutMs } = this.#parts;
    const deadlineMs = time.monotonicMs() + operationTimeoutMs;
    for (let attempt = 1; ; attempt++) {
      try {
        return await run();
      } catch (error) {
        const failure = failureOfSdk(error);
        const again = failure.code === "unavailable" || repeatable;
        if (!again || time.monotonicMs() >= deadlineMs) throw failure;
        await sleep(time, retryDelayMs(attempt, random));
      }
    }
  }
}

function done(result: { cas: { toString(): string } }): {
  readonly ok: true;
  readonly cas: bigint;
} {
  return { ok: true, cas: BigInt(result.cas.toString()) };
}

function bufferOf(value: Uint8Array): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function bytesOf(content: unknown): Uint8Array {
  if (Buffer.isBuffer(content)) return Uint8Array.from(content);
  throw new TidegateError("corrupt", "A value of the gateway was overwritten by another program.");
}
