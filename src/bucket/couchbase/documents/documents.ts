// The collection of the users' documents on Couchbase Server. Live documents are written by the SDK
// (durability, retries), tombstones by a request of our own, reads by one lookup that gives bytes.
//
// A write without an answer is settled by reading back: a version that carries exactly our `_sync`
// is ours, since revision ids are made of the content. So one save never becomes two revisions.

import {
  CasMismatchError,
  type Collection,
  DocumentExistsError,
  DocumentNotFoundError,
  MutateInMacro,
  type MutateInResult,
  MutateInSpec,
  StoreSemantics,
  ValueTooLargeError,
} from "couchbase";
import { isTidegateError, TidegateError } from "../../../base/errors.ts";
import type { Json, JsonObject } from "../../../base/json.ts";
import type { Random } from "../../../runtime/random.ts";
import { sleep, type Time } from "../../../runtime/time.ts";
import type {
  DocumentCollection,
  DocumentWrite,
  DocumentWriteResult,
  KeyRange,
  StoredDocument,
} from "../../bucket.ts";
import { vbucketOf } from "../../vbucket.ts";
import { type Durability, SDK_DURABILITY } from "../durability.ts";
import { retryDelayMs } from "../kv/retry.ts";
import { failureOfSdk } from "../kv/sdk-failures.ts";
import type { DocumentLookup, FoundDocument } from "./lookup.ts";
import type { RangeScan } from "./range-scan.ts";
import type { TombstoneWriter } from "./tombstones.ts";

/** Documents in one page of a scan. */
const SCAN_PAGE = 500;
/** The most keys that a descending scan holds: the server scans only upwards. */
export const MAX_DESCENDING_KEYS = 1_000_000;
/** A try may take an operation's whole time; this many times it may go by before giving up. */
const TRIES_WORTH = 3;
/** Keys that are the gateway's own. */
const OWN_PREFIX = "_sync:";

/** What the collection is made of. */
export interface CouchbaseDocumentsParts {
  readonly sdk: Collection;
  readonly lookup: DocumentLookup;
  readonly tombstones: TombstoneWriter;
  readonly scan: RangeScan;
  /** The number of items, tombstones aside, as the servers count them. */
  readonly count: () => Promise<number>;
  readonly vbuckets: number;
  readonly durability: Durability;
  readonly operationTimeoutMs: number;
  readonly time: Time;
  readonly random: Random;
}

/** What one try of a write came to. `passing`: nothing was changed, it may pass. */
type Outcome =
  | { readonly kind: "result"; readonly result: DocumentWriteResult }
  | { readonly kind: "ambiguous" | "passing"; readonly error: unknown };

/** The documents of a Couchbase bucket. */
export class CouchbaseDocuments implements DocumentCollection {
  readonly #parts: CouchbaseDocumentsParts;

  constructor(parts: CouchbaseDocumentsParts) {
    this.#parts = parts;
  }

  get(key: string, options?: { withBody?: boolean }): Promise<StoredDocument | undefined> {
    const withBody = options?.withBody ?? true;
    return this.#parts.lookup.get(key, { withBody, userAttributes: withBody });
  }

  getMany(
    keys: readonly string[],
    options?: { withBody?: boolean },
  ): Promise<(StoredDocument | undefined)[]> {
    const withBody = options?.withBody ?? true;
    return Promise.all(keys.map((key) => this.#parts.lookup.get(key, { withBody })));
  }

  async write(write: DocumentWrite): Promise<DocumentWriteResult> {
    const { time, random, operationTimeoutMs } = this.#parts;
    const deadlineMs = time.monotonicMs() + operationTimeoutMs * TRIES_WORTH;
    let doubt: unknown;
    for (let attempt = 0; ; attempt++) {
      if (attempt > 0) {
        await sleep(time, retryDelayMs(attempt, random));
        if (time.monotonicMs() >= deadlineMs)
          throw timeIsUp(doubt, operationTimeoutMs * TRIES_WORTH);
      }
      const before = attempt === 0 ? undefined : await this.#lookAgain(write.key);
      if (before === "unknown") continue;
      if (doubt !== undefined) {
        const settled = this.#settle(write, before);
        if (settled !== undefined) return settled;
      }
      const outcome = await this.#try(write);
      if (outcome.kind === "result") return outcome.result;
      if (outcome.kind === "ambiguous") doubt = outcome.error;
    }
  }

  /**
   * Removes the document and our attribute with it. The server keeps a tombstone without attributes
   * until its own purge; what comes on the feed is a deletion without `_sync`.
   */
  async purge(key: string, cas: bigint): Promise<DocumentWriteResult> {
    const found = await this.#parts.lookup.get(key, { withBody: false });
    if (found === undefined) return { ok: false, refusal: "not_found" };
    if (found.cas !== cas) return { ok: false, refusal: "cas_mismatch" };
    if (found.deleted) {
      const result = await this.#parts.tombstones.strip(key, cas);
      const vb = vbucketOf(key, this.#parts.vbuckets);
      return result.ok ? { ...result, vb } : { ok: false, refusal: "cas_mismatch" };
    }
    const specs = [MutateInSpec.remove("_sync", { xattr: true }), MutateInSpec.remove("")];
    const { sdk, durability, operationTimeoutMs: timeout } = this.#parts;
    try {
      const options = { cas: cas.toString(), durabilityLevel: SDK_DURABILITY[durability], timeout };
      return this.#landed(key, await sdk.mutateIn(key, specs, options));
    } catch (error) {
      if (error instanceof CasMismatchError || error instanceof DocumentNotFoundError) {
        return { ok: false, refusal: "cas_mismatch" };
      }
      throw new TidegateError("ambiguous", `The purge of "${key}" has no certain outcome.`, {
        cause: error,
      });
    }
  }

  async *scan(range: KeyRange, options?: { withBody?: boolean }): AsyncIterable<StoredDocument[]> {
    let page: string[] = [];
    for await (const key of this.#keys(range)) {
      page.push(key);
      if (page.length < SCAN_PAGE) continue;
      yield await this.#live(page, options);
      page = [];
    }
    if (page.length > 0) yield await this.#live(page, options);
  }

  count(): Promise<number> {
    return this.#parts.count();
  }

  async #live(keys: string[], options?: { withBody?: boolean }): Promise<StoredDocument[]> {
    const found = await this.getMany(keys, options);
    return found.filter((item): item is StoredDocument => item !== undefined && !item.deleted);
  }

  async *#keys(range: KeyRange): AsyncIterable<string> {
    const { from, to, includeTo = true, descending = false } = range;
    const low = descending ? to : from;
    const high = descending ? from : to;
    const keys = this.#parts.scan.keys({
      ...(low === undefined ? {} : { from: { key: low, included: descending ? includeTo : true } }),
      ...(high === undefined ? {} : { to: { key: high, included: descending ? true : includeTo } }),
    });
    if (!descending) {
      for await (const key of keys) if (!key.startsWith(OWN_PREFIX)) yield key;
      return;
    }
    const all: string[] = [];
    for await (const key of keys) {
      if (key.startsWith(OWN_PREFIX)) continue;
      if (all.length === MAX_DESCENDING_KEYS) {
        throw new TidegateError(
          "too_large",
          `A descending range on Couchbase Server has at most ${MAX_DESCENDING_KEYS} documents. ` +
            "Give a narrower range.",
        );
      }
      all.push(key);
    }
    for (let at = all.length - 1; at >= 0; at--) yield all[at] as string;
  }

  /** One try of a write. */
  async #try(write: DocumentWrite): Promise<Outcome> {
    try {
      // For the server an insert over a tombstone is fine; for us it would lose the history there.
      if (
        write.cas === 0n &&
        (await this.#parts.lookup.get(write.key, { withBody: false })) !== undefined
      ) {
        return { kind: "result", result: mismatch(write) };
      }
      // A tombstone from nothing is beyond the SDK.
      if (write.cas === 0n && write.body === null) return await this.#tombstone(write);
      return { kind: "result", result: this.#landed(write.key, await this.#bySdk(write)) };
    } catch (error) {
      if (error instanceof DocumentExistsError || error instanceof CasMismatchError) {
        return { kind: "result", result: mismatch(write) };
      }
      // For the SDK a tombstone is not there: the CAS says which of the two it was.
      if (error instanceof DocumentNotFoundError) return this.#tombstone(write);
      return failureOf(error);
    }
  }

  async #tombstone(write: DocumentWrite): Promise<Outcome> {
    try {
      const result = await this.#parts.tombstones.write(write);
      const vb = vbucketOf(write.key, this.#parts.vbuckets);
      return { kind: "result", result: result.ok ? { ...result, vb } : mismatch(write) };
    } catch (error) {
      return failureOf(error);
    }
  }

  #bySdk(write: DocumentWrite): Promise<MutateInResult> {
    const specs: MutateInSpec[] = [];
    for (const [path, value] of Object.entries(write.xattrs)) {
      specs.push(MutateInSpec.upsert(path, value, { xattr: true }));
    }
    for (const { path, value } of write.macros) {
      const macro = value === "seqno" ? MutateInMacro.SeqNo : MutateInMacro.Cas;
      specs.push(MutateInSpec.upsert(path.join("."), macro, { xattr: true }));
    }
    if (write.body === null) specs.push(MutateInSpec.remove(""));
    else specs.push(MutateInSpec.replace("", JSON.parse(Buffer.from(write.body).toString())));
    const { durability, sdk, operationTimeoutMs } = this.#parts;
    return sdk.mutateIn(write.key, specs, {
      durabilityLevel: SDK_DURABILITY[durability],
      timeout: operationTimeoutMs,
      ...(write.cas === 0n
        ? { storeSemantics: StoreSemantics.Insert }
        : { cas: write.cas.toString() }),
      ...(write.expiry ? { expiry: new Date(write.expiry * 1000) } : {}),
    });
  }

  #landed(key: string, result: MutateInResult): DocumentWriteResult {
    const token = result.token?.toJSON() as
      | { partition_id?: unknown; partition_uuid?: unknown; sequence_number?: unknown }
      | undefined;
    if (token?.sequence_number === undefined || token.partition_uuid === undefined) {
      throw new TidegateError("ambiguous", `Couchbase did not say where "${key}" was written.`);
    }
    return {
      ok: true,
      cas: BigInt(result.cas.toString()),
      vb: vbucketOf(key, this.#parts.vbuckets),
      seq: Number(token.sequence_number),
      vbuuid: BigInt(String(token.partition_uuid)).toString(16).padStart(16, "0"),
    };
  }

  async #lookAgain(key: string): Promise<FoundDocument | undefined | "unknown"> {
    try {
      return await this.#parts.lookup.get(key, { withBody: false });
    } catch (error) {
      if (isTidegateError(error, "unavailable") || isTidegateError(error, "ambiguous")) {
        return "unknown";
      }
      throw error;
    }
  }

  /** The outcome of a write in doubt; undefined: it did not happen, and may be tried again. */
  #settle(write: DocumentWrite, found: FoundDocument | undefined): DocumentWriteResult | undefined {
    if ((found?.cas ?? 0n) === write.cas) return undefined;
    const { key } = write;
    const ours =
      found !== undefined &&
      sameAttribute(found.xattrs._sync, write) &&
      found.deleted === (write.body === null);
    if (!ours) return mismatch(write);
    if (found.seq === undefined || found.vbuuid === undefined) {
      throw new TidegateError("ambiguous", `Couchbase does not say where "${key}" was written.`);
    }
    const vb = vbucketOf(key, this.#parts.vbuckets);
    return { ok: true, cas: found.cas, vb, seq: found.seq, vbuuid: found.vbuuid };
  }
}

/** Whether the stored `_sync` is the one of `write`, what the macros put in aside. */
function sameAttribute(stored: string | undefined, write: DocumentWrite): boolean {
  if (stored === undefined) return false;
  const cleared = (value: Json): string => {
    const copy = structuredClone(value) as JsonObject | null;
    for (const { path } of write.macros) {
      let place: JsonObject | null = copy;
      const keys = path.slice(1);
      for (const key of keys.slice(0, -1)) place = (place?.[key] ?? null) as JsonObject | null;
      const last = keys[keys.length - 1];
      if (place !== null && last !== undefined) delete place[last];
    }
    return JSON.stringify(copy);
  };
  return cleared(JSON.parse(stored) as Json) === cleared(write.xattrs._sync ?? null);
}

function failureOf(error: unknown): Outcome {
  if (error instanceof ValueTooLargeError) {
    return { kind: "result", result: { ok: false, refusal: "too_large" } };
  }
  const failure = failureOfSdk(error);
  return { kind: failure.code === "unavailable" ? "passing" : "ambiguous", error: failure };
}

function mismatch(write: DocumentWrite): DocumentWriteResult {
  return { ok: false, refusal: write.cas === 0n ? "exists" : "cas_mismatch" };
}

function timeIsUp(doubt: unknown, timeoutMs: number): TidegateError {
  if (doubt === undefined) {
    return new TidegateError(
      "unavailable",
      `Couchbase did not take a write within ${timeoutMs} ms. Nothing was changed.`,
    );
  }
  return new TidegateError(
    "ambiguous",
    `Couchbase did not say within ${timeoutMs} ms whether a write happened. Read the document.`,
    { cause: doubt },
  );
}
