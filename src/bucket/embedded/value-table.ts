// The tables of a key-value collection: what each operation does to them, inside a transaction.
// What does not live here: queueing, grouping, and the collection's interface (values.ts).

import { assert } from "../../base/assert.ts";
import type { ExpirySeconds, KeyValueOperation, KeyValueResult, Refusal } from "../bucket.ts";
import { MAX_VALUE_BYTES } from "../bucket.ts";
import type { CasClock } from "./cas.ts";
import type { Connection, Query } from "./connection.ts";
import {
  INLINE_APPEND_BYTES,
  MAX_CHUNKS,
  MAX_REMEMBERED_VALUES,
  MIN_MERGED_CHUNKS,
} from "./limits.ts";
import { CHUNKS_PER_ITEM } from "./schema.ts";

/** What the next operation on an item has to know of it; not its bytes. */
interface Head {
  readonly id: number;
  cas: number;
  expiry: ExpirySeconds;
  /** Bytes in the item's own row. */
  inline: number;
  /** Bytes altogether. */
  length: number;
  /** Chunks after the item's own bytes; their places are 0 … chunks - 1. */
  chunks: number;
}

/** A value as read. */
export interface ValueRow {
  readonly value: Uint8Array;
  readonly cas: number;
}

/**
 * A whole value in one statement, so that no other process can write between an item and its chunks.
 * Blobs joined by || and string_agg are texts of the same bytes; the cast makes them a blob again.
 */
const READ_VALUE = `
  SELECT expiry,
    CASE chunked WHEN 0 THEN cas ELSE max(cas, (
      SELECT cas FROM chunks
      WHERE id >= items.id * ${CHUNKS_PER_ITEM} AND id < (items.id + 1) * ${CHUNKS_PER_ITEM}
      ORDER BY id DESC LIMIT 1
    )) END,
    CASE chunked WHEN 0 THEN value ELSE CAST(value || (
      SELECT string_agg(bytes, '') FROM (
        SELECT bytes FROM chunks
        WHERE id >= items.id * ${CHUNKS_PER_ITEM} AND id < (items.id + 1) * ${CHUNKS_PER_ITEM}
        ORDER BY id
      )
    ) AS BLOB) END
  FROM items WHERE key = ?
`;

const NO_BYTES = new Uint8Array(0);

/**
 * Reads and changes the tables `items` and `chunks`.
 *
 * An append to a short value rewrites its row; an append to a longer one adds a chunk, because
 * rewriting a row costs its whole length in the log (measured in bench/bucket.ts). Chunks are merged
 * so that their lengths grow towards the front like the digits of a binary counter: a value has at
 * most {@link MAX_CHUNKS}, and a byte is rewritten about log2(length / appended) times in its life.
 */
export class ValueTable {
  readonly #cas: CasClock;
  readonly #heads = new Map<string, Head>();
  readonly #find: Query<[id: number, cas: number, expiry: number, chunked: number, length: number]>;
  readonly #sum: Query<[count: number, cas: number, length: number]>;
  readonly #insert: Query<[id: number]>;
  readonly #replace: Query<[]>;
  readonly #lengthen: Query<[]>;
  readonly #mark: Query<[]>;
  readonly #touch: Query<[]>;
  readonly #delete: Query<[]>;
  readonly #chunkInsert: Query<[]>;
  readonly #chunkReplace: Query<[]>;
  readonly #chunkDelete: Query<[]>;
  readonly #chunkLengths: Query<[id: number, length: number]>;
  readonly #chunks: Query<[bytes: Uint8Array, cas: number]>;
  readonly #value: Query<[expiry: number, cas: number, value: Uint8Array]>;

  constructor(connection: Connection, cas: CasClock) {
    this.#cas = cas;
    const query = connection.query.bind(connection);
    this.#find = query("SELECT id, cas, expiry, chunked, length(value) FROM items WHERE key = ?");
    this.#sum = query(
      `SELECT count(*), coalesce(max(cas), 0), coalesce(sum(length(bytes)), 0)
       FROM chunks WHERE id >= ? AND id < ?`,
    );
    this.#insert = query(
      "INSERT INTO items (key, cas, expiry, chunked, value) VALUES (?, ?, ?, 0, ?) RETURNING id",
    );
    this.#replace = query(
      "UPDATE items SET cas = ?, expiry = ?, chunked = 0, value = ? WHERE id = ?",
    );
    this.#lengthen = query(
      "UPDATE items SET cas = ?, value = CAST(value || ? AS BLOB) WHERE id = ?",
    );
    this.#mark = query("UPDATE items SET chunked = 1 WHERE id = ?");
    this.#touch = query("UPDATE items SET cas = ?, expiry = ? WHERE id = ?");
    this.#delete = query("DELETE FROM items WHERE id = ?");
    this.#chunkInsert = query("INSERT INTO chunks (id, cas, bytes) VALUES (?, ?, ?)");
    this.#chunkReplace = query("UPDATE chunks SET cas = ?, bytes = ? WHERE id = ?");
    this.#chunkDelete = query("DELETE FROM chunks WHERE id >= ? AND id < ?");
    this.#chunkLengths = query(
      "SELECT id, length(bytes) FROM chunks WHERE id >= ? AND id < ? ORDER BY id DESC",
    );
    this.#chunks = query("SELECT bytes, cas FROM chunks WHERE id >= ? AND id < ? ORDER BY id");
    this.#value = query(READ_VALUE);
  }

  /** Forgets what was remembered of items: the file was changed elsewhere, or a group failed. */
  forget(): void {
    this.#heads.clear();
  }

  /** The value of `key`; undefined when there is none, or it has expired. */
  read(key: string, nowSeconds: number): ValueRow | undefined {
    const row = this.#value.get(key);
    if (row === undefined || isExpired(row[0], nowSeconds)) return undefined;
    return { value: row[2], cas: row[1] };
  }

  /** Carries out one operation. Call it in a transaction. */
  apply(operation: KeyValueOperation, nowSeconds: number): KeyValueResult {
    const head = this.#live(operation.key, nowSeconds);
    switch (operation.op) {
      case "insert":
        if (head !== undefined) return refused("exists");
        return this.#set(operation.key, undefined, operation.value, operation.expiry);
      case "upsert":
        return this.#set(operation.key, head, operation.value, operation.expiry);
      case "counter":
        return this.#count(operation, head);
      default:
    }
    if (head === undefined) return refused("not_found");
    if ("cas" in operation && operation.cas !== undefined && operation.cas !== BigInt(head.cas)) {
      return refused("cas_mismatch");
    }
    switch (operation.op) {
      case "replace":
        return this.#set(operation.key, head, operation.value, operation.expiry);
      case "append":
        return this.#append(head, operation.value);
      case "remove":
        this.#drop(operation.key, head);
        return done(this.#cas.next());
      case "touch":
        head.cas = this.#cas.next();
        head.expiry = operation.expiry;
        this.#touch.run(head.cas, head.expiry, head.id);
        return done(head.cas);
    }
  }

  /** Removes `key` when it has expired. Call it in a transaction. */
  expire(key: string, nowSeconds: number): void {
    this.#live(key, nowSeconds);
  }

  /** The item, when there is one; one that has expired is removed. */
  #live(key: string, nowSeconds: number): Head | undefined {
    const head = this.#heads.get(key) ?? this.#load(key);
    if (head === undefined || !isExpired(head.expiry, nowSeconds)) return head;
    this.#drop(key, head);
    return undefined;
  }

  #load(key: string): Head | undefined {
    const row = this.#find.get(key);
    if (row === undefined) return undefined;
    const [id, cas, expiry, chunked, inline] = row;
    const head: Head = { id, cas, expiry, inline, length: inline, chunks: 0 };
    if (chunked !== 0) {
      const sum = this.#sum.get(firstChunk(id), firstChunk(id + 1));
      assert(sum !== undefined, "an aggregate gives one row");
      head.chunks = sum[0];
      head.cas = Math.max(cas, sum[1]);
      head.length += sum[2];
    }
    this.#remember(key, head);
    return head;
  }

  #remember(key: string, head: Head): void {
    if (this.#heads.size >= MAX_REMEMBERED_VALUES) {
      for (const oldest of this.#heads.keys()) {
        this.#heads.delete(oldest);
        break;
      }
    }
    this.#heads.set(key, head);
  }

  #set(
    key: string,
    head: Head | undefined,
    value: Uint8Array,
    expiry: ExpirySeconds = 0,
  ): KeyValueResult {
    if (value.length > MAX_VALUE_BYTES) return refused("too_large");
    const cas = this.#cas.next();
    if (head === undefined) {
      const row = this.#insert.get(key, cas, expiry, value);
      assert(row !== undefined, "an insert gives its id");
      const length = value.length;
      this.#remember(key, { id: row[0], cas, expiry, inline: length, length, chunks: 0 });
      return done(cas);
    }
    this.#replace.run(cas, expiry, value, head.id);
    if (head.chunks > 0) this.#chunkDelete.run(firstChunk(head.id), firstChunk(head.id + 1));
    head.cas = cas;
    head.expiry = expiry;
    head.inline = value.length;
    head.length = value.length;
    head.chunks = 0;
    return done(cas);
  }

  #drop(key: string, head: Head): void {
    this.#delete.run(head.id);
    if (head.chunks > 0) this.#chunkDelete.run(firstChunk(head.id), firstChunk(head.id + 1));
    this.#heads.delete(key);
  }

  #append(head: Head, value: Uint8Array): KeyValueResult {
    const length = head.length + value.length;
    if (length > MAX_VALUE_BYTES) return refused("too_large");
    head.cas = this.#cas.next();
    head.length = length;
    if (head.chunks === 0 && length <= INLINE_APPEND_BYTES) {
      this.#lengthen.run(head.cas, value, head.id);
      head.inline = length;
      return done(head.cas);
    }
    if (head.chunks === 0) this.#mark.run(head.id);
    this.#chunkInsert.run(firstChunk(head.id) + head.chunks, head.cas, value);
    head.chunks++;
    if (head.chunks >= MAX_CHUNKS) this.#merge(head);
    return done(head.cas);
  }

  /** Merges the newest chunks: so many, and then every one that is not longer than all after it. */
  #merge(head: Head): void {
    const first = firstChunk(head.id);
    const lengths = this.#chunkLengths.all(first, first + head.chunks);
    assert(lengths.length === head.chunks, "chunks have the places 0 to chunks - 1");
    let from = first + head.chunks;
    let merged = 0;
    for (const [id, length] of lengths) {
      if (first + head.chunks - from >= MIN_MERGED_CHUNKS && length > merged) break;
      merged += length;
      from = id;
    }
    const end = first + head.chunks;
    const bytes = this.#chunks.all(from, end).map((chunk) => chunk[0]);
    this.#chunkDelete.run(from + 1, end);
    this.#chunkReplace.run(head.cas, Buffer.concat(bytes, merged), from);
    head.chunks = from + 1 - first;
  }

  #count(operation: KeyValueOperation & { op: "counter" }, head: Head | undefined): KeyValueResult {
    let counter = operation.initial;
    if (head !== undefined) {
      const stored = head.length <= 32 ? this.read(operation.key, 0)?.value : undefined;
      const text = Buffer.from(stored ?? NO_BYTES).toString("latin1");
      if (!/^-?\d{1,16}$/.test(text)) return refused("not_a_counter");
      counter = Number(text) + operation.delta;
    }
    if (!Number.isSafeInteger(counter)) return refused("not_a_counter");
    const result = this.#set(operation.key, head, Buffer.from(String(counter)), head?.expiry);
    return result.ok ? { ...result, counter } : result;
  }
}

function firstChunk(item: number): number {
  return item * CHUNKS_PER_ITEM;
}

/** Whether an item with this expiry is gone. */
export function isExpired(expiry: ExpirySeconds, nowSeconds: number): boolean {
  return expiry > 0 && expiry <= nowSeconds;
}

function done(cas: number): KeyValueResult {
  return { ok: true, cas: BigInt(cas) };
}

function refused(refusal: Refusal): KeyValueResult {
  return { ok: false, refusal };
}
