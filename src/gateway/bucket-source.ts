// Where a gateway's databases live: directories with embedded buckets, or one bucket of Couchbase
// Server. The gateway asks; what a bucket is made of stays on its own floor.

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Bucket } from "../bucket/bucket.ts";
import { parseConnectionString } from "../bucket/couchbase/connection-string.ts";
import type { CouchbaseBucketOptions } from "../bucket/couchbase/couchbase-bucket.ts";
import { openEmbeddedBucket, removeEmbeddedBucket } from "../bucket/embedded/embedded-bucket.ts";
import type { Random } from "../runtime/random.ts";
import type { Time } from "../runtime/time.ts";
import { checkDatabaseName } from "./settings.ts";

/** The buckets that a gateway may open, by the names of their databases. */
export interface BucketSource {
  /** The databases that there are, or may be. */
  names(): string[];
  /** Opens a database's bucket, and makes it where that is possible. */
  open(name: string): Promise<Bucket>;
  /** Throws `bad_request` where removing a database's data is not the gateway's to do. */
  checkRemovable(name: string): void;
  /** Removes a closed database's data. */
  remove(name: string): Promise<void>;
}

/** What every bucket is opened with. */
export interface SourceParts {
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
}

/** Options of {@link embeddedSource}. */
export interface EmbeddedSourceOptions extends SourceParts {
  /** The directory with a directory for each database; made when missing. */
  readonly dataDirectory: string;
  /** Vbuckets of databases made from now on; 1024 unless said. For tests. */
  readonly vbuckets?: number;
  /** For simulations: a tail can be lost, and everything happens on the event loop. */
  readonly simulated?: boolean;
}

/** Embedded buckets: one directory each. Throws `unavailable` when the directory can't be made. */
export function embeddedSource(options: EmbeddedSourceOptions): BucketSource {
  const { dataDirectory, time, random, log, vbuckets, simulated } = options;
  try {
    mkdirSync(dataDirectory, { recursive: true });
  } catch (error) {
    const reason = `the data directory ${dataDirectory} can't be made`;
    throw new TidegateError("unavailable", reason, { cause: error });
  }
  return {
    names: () =>
      readdirSync(dataDirectory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && isDatabaseName(entry.name))
        .map((entry) => entry.name),
    open(name) {
      const directory = join(dataDirectory, name);
      // A bucket that exists has its number of vbuckets.
      const wanted = vbuckets === undefined || existsSync(directory) ? {} : { vbuckets };
      const stepped = simulated ? { keepHistory: true, inlineCheckpoints: true } : {};
      return openEmbeddedBucket({ directory, name, time, random, log, ...wanted, ...stepped });
    },
    checkRemovable: () => {},
    remove: (name) => removeEmbeddedBucket(join(dataDirectory, name)),
  };
}

/** Options of {@link couchbaseSource}: how the bucket is reached. */
export type CouchbaseSourceOptions = CouchbaseBucketOptions;

/**
 * One bucket of Couchbase Server: the gateway's one database, named like the bucket. Throws
 * `bad_config` for a connection string that is none, `bad_database_name` for a name that can't be a
 * database's.
 */
export function couchbaseSource(options: CouchbaseSourceOptions): BucketSource {
  const { bucket } = parseConnectionString(options.connectionString);
  checkDatabaseName(bucket);
  const refuseRemoval = () => {
    throw new TidegateError(
      "bad_request",
      `The data of "${bucket}" is Couchbase Server's: remove the bucket there.`,
    );
  };
  return {
    names: () => [bucket],
    async open(name) {
      if (name !== bucket) {
        throw new TidegateError(
          "bad_request",
          `This gateway runs on the Couchbase bucket "${bucket}" and serves the one database of ` +
            "that name. Run another gateway for another bucket.",
        );
      }
      // Not before it is needed: Couchbase's native client costs a start a quarter of its time.
      const { openCouchbaseBucket } = await import("../bucket/couchbase/couchbase-bucket.ts");
      return openCouchbaseBucket(options);
    },
    checkRemovable: refuseRemoval,
    remove: async () => refuseRemoval(),
  };
}

function isDatabaseName(name: string): boolean {
  try {
    checkDatabaseName(name);
    return true;
  } catch {
    // Not an error: the directory may hold other things than databases.
    return false;
  }
}
