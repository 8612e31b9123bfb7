// A key-value collection, as the floors above call it.

import { TidegateError } from "../../base/errors.ts";
import type {
  KeyValueCollection,
  KeyValueOperation,
  KeyValueResult,
  StoredValue,
} from "../bucket.ts";
import type { Query } from "./connection.ts";
import { checkExpiry } from "./documents.ts";
import { checkKey } from "./keys.ts";
import { MAX_EXPIRED_PER_PASS, MAX_KEYS_PAGE } from "./limits.ts";
import type { StoreFile } from "./store-file.ts";

/** Bytes that an operation costs besides its value, about: for the bounds of groups and queue. */
const OPERATION_OVERHEAD_BYTES = 128;

/** Every text is smaller than every blob in SQLite's order: the bound that bounds nothing. */
const NO_UPPER_BOUND = new Uint8Array(0);

/** The collection behind `Bucket.metadata` and `Bucket.index`. */
export class EmbeddedValues implements KeyValueCollection {
  readonly #file: StoreFile;
  readonly #keysFrom: Query<[key: string]>;
  readonly #keysAfter: Query<[key: string]>;
  readonly #expired: Query<[key: string]>;

  constructor(file: StoreFile) {
    this.#file = file;
    const keys = (lower: string) =>
      file.connection.query<[string]>(
        `SELECT key FROM items WHERE key ${lower} ? AND key < ?
         AND (expiry = 0 OR expiry > ?) ORDER BY key LIMIT ?`,
      );
    this.#keysFrom = keys(">=");
    this.#keysAfter = keys(">");
    this.#expired = file.connection.query(
      "SELECT key FROM items WHERE expiry > 0 AND expiry <= ? ORDER BY expiry LIMIT ?",
    );
  }

  async get(key: string): Promise<StoredValue | undefined> {
    return (await this.getMany([key]))[0];
  }

  async getMany(keys: readonly string[]): Promise<(StoredValue | undefined)[]> {
    for (const key of keys) checkKey(key);
    const now = this.#file.nowSeconds();
    return this.#file.read(() =>
      keys.map((key) => {
        const row = this.#file.values.read(key, now);
        return row && { value: row.value, cas: BigInt(row.cas) };
      }),
    );
  }

  async batch(operations: readonly KeyValueOperation[]): Promise<KeyValueResult[]> {
    let bytes = 0;
    for (const operation of operations) {
      check(operation);
      bytes += OPERATION_OVERHEAD_BYTES + ("value" in operation ? operation.value.length : 0);
    }
    return this.#file.groups.run(operations.length, bytes, (index) =>
      this.#file.values.apply(operations[index] as KeyValueOperation, this.#file.nowSeconds()),
    );
  }

  async keys(prefix: string, options: { after?: string; limit: number }): Promise<string[]> {
    const { after, limit } = options;
    const inside =
      after !== undefined && Buffer.compare(Buffer.from(after), Buffer.from(prefix)) >= 0;
    const query = inside ? this.#keysAfter : this.#keysFrom;
    const lower = inside ? after : prefix;
    const upper = firstTextAfter(prefix) ?? NO_UPPER_BOUND;
    const now = this.#file.nowSeconds();
    const rows = await this.#file.read(() =>
      query.all(lower, upper, now, Math.min(limit, MAX_KEYS_PAGE)),
    );
    return rows.map(([key]) => key);
  }

  /** Removes values that have expired, at most so many; gives how many it looked at. */
  async expirePass(): Promise<number> {
    const now = this.#file.nowSeconds();
    const rows = await this.#file.read(() => this.#expired.all(now, MAX_EXPIRED_PER_PASS));
    await this.#file.groups.run(rows.length, rows.length * OPERATION_OVERHEAD_BYTES, (index) =>
      this.#file.values.expire((rows[index] as [string])[0], this.#file.nowSeconds()),
    );
    return rows.length;
  }
}

function check(operation: KeyValueOperation): void {
  checkKey(operation.key);
  if ("expiry" in operation) checkExpiry(operation.expiry);
  if (operation.op !== "counter") return;
  const { delta, initial } = operation;
  if (Number.isSafeInteger(delta) && Number.isSafeInteger(initial)) return;
  throw new TidegateError("bad_request", `counter: expected integers, got ${delta} and ${initial}`);
}

/**
 * The first text in UTF-8 byte order that is greater than every text that starts with `prefix`;
 * undefined when there is none.
 */
export function firstTextAfter(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) as number);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last >= 0x10ffff) continue;
    // Surrogates are no characters: the one after U+D7FF is U+E000.
    const next = last === 0xd7ff ? 0xe000 : last + 1;
    return String.fromCodePoint(...points, next);
  }
  return undefined;
}
