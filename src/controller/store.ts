// The controller's documents in the index collection: read, and written by compare-and-swap.
// Their layouts: records.ts. When to write them: owner.ts and election.ts.

import { isTidegateError, TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { KeyValueCollection, KeyValueOperation, StoredValue } from "../bucket/bucket.ts";
import {
  type ClusterRecord,
  decodeCluster,
  decodeHead,
  decodePartition,
  decodeRollbacks,
  encodeCluster,
  encodeHead,
  encodePartition,
  encodeRollbacks,
  type HeadRecord,
  type PartitionRecord,
} from "./records.ts";
import { Rollbacks } from "./rollbacks.ts";

/** A document read, with the CAS to replace it by; `0n`: there is none. */
export interface Stored<T> {
  readonly record: T;
  readonly cas: bigint;
}

/** The most documents that a controller may have: one for each partition, and a few more. */
const MAX_CONTROLLER_DOCUMENTS = 2048;

/** Where the controller's documents lie. */
export const CONTROLLER_PREFIX = "controller:";
const CLUSTER = `${CONTROLLER_PREFIX}cluster`;
const HEAD = `${CONTROLLER_PREFIX}head`;
const PARTITIONS = `${CONTROLLER_PREFIX}partition:`;
const ROLLBACKS = `${CONTROLLER_PREFIX}rollbacks`;

/** The key of a partition's clock document. */
export function partitionKey(partition: number): string {
  return `${PARTITIONS}${partition}`;
}

/** A partition clock to write. */
export interface PartitionWrite {
  readonly record: PartitionRecord;
  readonly cas: bigint;
}

/** The controller's documents of one bucket. */
export class ControllerStore {
  readonly #index: KeyValueCollection;

  constructor(index: KeyValueCollection) {
    this.#index = index;
  }

  /**
   * Removes documents whose bytes are damaged, but for the rollbacks: everything in them is made
   * again, from the documents and the lookup map. Throws `newer_version`.
   */
  async removeDamaged(log: Log): Promise<void> {
    const keys = await this.#index.keys(CONTROLLER_PREFIX, { limit: MAX_CONTROLLER_DOCUMENTS });
    const values = await this.#index.getMany(keys);
    for (const [i, key] of keys.entries()) {
      const decode = decoderOf(key);
      const value = values[i];
      if (decode === undefined || value === undefined) continue;
      try {
        decode(value.value, key);
      } catch (error) {
        if (!isTidegateError(error, "corrupt")) throw error;
        log.error({ err: error, key }, "a document of the controller is damaged: it is made again");
        await this.#index.batch([{ op: "remove", key, cas: value.cas }]);
      }
    }
  }

  /** The cluster document; undefined when no node ever owned anything. */
  async cluster(): Promise<Stored<ClusterRecord> | undefined> {
    return read(await this.#index.get(CLUSTER), CLUSTER, decodeCluster);
  }

  /** The head; undefined before the first tick. */
  async head(): Promise<Stored<HeadRecord> | undefined> {
    return read(await this.#index.get(HEAD), HEAD, decodeHead);
  }

  /** The rollbacks seen so far, with the CAS of their document. */
  async rollbacks(): Promise<Stored<Rollbacks>> {
    const found = read(await this.#index.get(ROLLBACKS), ROLLBACKS, decodeRollbacks);
    if (found === undefined) return { record: new Rollbacks(), cas: 0n };
    const { version, rollbacks } = found.record;
    return { record: new Rollbacks(version, rollbacks), cas: found.cas };
  }

  /** The clock documents of `partitions` partitions; undefined for one that does not exist. */
  async partitions(partitions: number): Promise<(Stored<PartitionRecord> | undefined)[]> {
    const keys = Array.from({ length: partitions }, (_, partition) => partitionKey(partition));
    const values = await this.#index.getMany(keys);
    return values.map((value, i) => read(value, keys[i] ?? "", decodePartition));
  }

  /** Writes the cluster document. Gives its CAS; undefined when another node wrote it. */
  async writeCluster(record: ClusterRecord, cas: bigint): Promise<bigint | undefined> {
    return (await this.#write([swap(CLUSTER, encodeCluster(record), cas)]))[0];
  }

  /** Writes the head. Gives its CAS; undefined when another node wrote it. */
  async writeHead(record: HeadRecord, cas: bigint): Promise<bigint | undefined> {
    return (await this.#write([swap(HEAD, encodeHead(record), cas)]))[0];
  }

  /** Writes the rollbacks. Gives the CAS; undefined when another node wrote them. */
  async writeRollbacks(record: Rollbacks, cas: bigint): Promise<bigint | undefined> {
    const value = encodeRollbacks(record.version, record.rollbacks());
    return (await this.#write([swap(ROLLBACKS, value, cas)]))[0];
  }

  /** Writes partition clocks. Gives each one's CAS; undefined where another node wrote it. */
  writePartitions(writes: readonly PartitionWrite[]): Promise<(bigint | undefined)[]> {
    return this.#write(
      writes.map(({ record, cas }) =>
        swap(partitionKey(record.partition), encodePartition(record), cas),
      ),
    );
  }

  async #write(operations: readonly KeyValueOperation[]): Promise<(bigint | undefined)[]> {
    const results = await this.#index.batch(operations);
    return results.map((result, i) => {
      if (result.ok) return result.cas;
      const { key } = operations[i] ?? { key: "?" };
      if (result.refusal === "too_large") {
        throw new TidegateError("internal", `${key} is larger than the bucket takes`);
      }
      return undefined;
    });
  }
}

function decoderOf(key: string): ((bytes: Uint8Array, place: string) => unknown) | undefined {
  if (key === CLUSTER) return decodeCluster;
  if (key === HEAD) return decodeHead;
  return key.startsWith(PARTITIONS) ? decodePartition : undefined;
}

function swap(key: string, value: Uint8Array, cas: bigint): KeyValueOperation {
  return cas === 0n ? { op: "insert", key, value } : { op: "replace", key, value, cas };
}

function read<T>(
  value: StoredValue | undefined,
  key: string,
  decode: (bytes: Uint8Array, place: string) => T,
): Stored<T> | undefined {
  if (value === undefined) return undefined;
  return { record: decode(value.value, key), cas: value.cas };
}
