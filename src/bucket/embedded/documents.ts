// The collection of documents, as the floors above call it.

import { TidegateError } from "../../base/errors.ts";
import type {
  DocumentCollection,
  DocumentWrite,
  DocumentWriteResult,
  KeyRange,
  StoredDocument,
} from "../bucket.ts";
import type { DocumentsFile } from "./documents-file.ts";
import { checkKey } from "./keys.ts";
import { MAX_EXPIRED_PER_PASS } from "./limits.ts";
import { type ScanPosition, scanStart } from "./scan.ts";
import { checkAttributes } from "./xattrs.ts";

/** Bytes that a write costs besides its body, about: for the bounds of groups and queue. */
const WRITE_OVERHEAD_BYTES = 512;

/** The collection behind `Bucket.documents`. */
export class EmbeddedDocuments implements DocumentCollection {
  readonly #file: DocumentsFile;

  constructor(file: DocumentsFile) {
    this.#file = file;
  }

  async get(key: string, options?: { withBody?: boolean }): Promise<StoredDocument | undefined> {
    checkKey(key);
    const { table } = this.#file;
    const withBody = options?.withBody ?? true;
    const found = await this.#file.read(() => table.read(key, withBody, this.#file.nowSeconds()));
    return found === "expired" ? (await this.getMany([key], options))[0] : found;
  }

  async getMany(
    keys: readonly string[],
    options?: { withBody?: boolean },
  ): Promise<(StoredDocument | undefined)[]> {
    const withBody = options?.withBody ?? true;
    const { table } = this.#file;
    for (const key of keys) checkKey(key);
    const now = this.#file.nowSeconds();
    const found = await this.#file.read(() => keys.map((key) => table.read(key, withBody, now)));
    if (!found.includes("expired")) return found as (StoredDocument | undefined)[];
    // Whoever meets an expired document makes it the tombstone that it is.
    await this.expire(keys.filter((_, index) => found[index] === "expired"));
    return this.getMany(keys, options);
  }

  async write(write: DocumentWrite): Promise<DocumentWriteResult> {
    checkKey(write.key);
    checkAttributes(write.xattrs, write.macros);
    checkExpiry(write.expiry);
    const bytes = WRITE_OVERHEAD_BYTES + (write.body?.length ?? 0);
    return this.#one(bytes, () => this.#file.table.write(write, this.#file.nowSeconds()));
  }

  async purge(key: string, cas: bigint): Promise<DocumentWriteResult> {
    checkKey(key);
    const { table } = this.#file;
    return this.#one(WRITE_OVERHEAD_BYTES, () => table.purge(key, cas, this.#file.nowSeconds()));
  }

  async *scan(
    range: KeyRange,
    options?: { withBody?: boolean },
  ): AsyncGenerator<StoredDocument[], void, void> {
    const withBody = options?.withBody ?? true;
    let position: ScanPosition | undefined = scanStart(range);
    while (position !== undefined) {
      const from: ScanPosition = position;
      const page = await this.#file.read(() =>
        this.#file.scanner.page(from, withBody, this.#file.nowSeconds()),
      );
      if (page.documents.length > 0) yield page.documents;
      position = page.next;
    }
  }

  count(): Promise<number> {
    return this.#file.read(() => {
      this.#file.refresh();
      return this.#file.table.live - this.#file.table.expiredCount(this.#file.nowSeconds());
    });
  }

  /** Makes tombstones of documents that have expired, at most so many; gives how many it looked at. */
  async expirePass(): Promise<number> {
    const { table } = this.#file;
    const now = this.#file.nowSeconds();
    const keys = await this.#file.read(() => table.expiredKeys(now, MAX_EXPIRED_PER_PASS));
    await this.expire(keys);
    return keys.length;
  }

  /** Makes tombstones of those of `keys` that have expired. */
  async expire(keys: readonly string[]): Promise<void> {
    await this.#file.groups.run(keys.length, keys.length * WRITE_OVERHEAD_BYTES, (index) =>
      this.#file.table.expire(keys[index] as string, this.#file.nowSeconds()),
    );
  }

  async #one(bytes: number, apply: () => DocumentWriteResult): Promise<DocumentWriteResult> {
    return (await this.#file.groups.run(1, bytes, apply))[0] as DocumentWriteResult;
  }
}

/** @throws TidegateError `bad_request` when `expiry` is not a time in Unix seconds */
export function checkExpiry(expiry: number | undefined): void {
  if (expiry === undefined || (Number.isSafeInteger(expiry) && expiry >= 0)) return;
  throw new TidegateError("bad_request", `expiry ${expiry}: expected Unix seconds, or 0 for never`);
}
