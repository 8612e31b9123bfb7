// The embedded bucket: documents, metadata and index in two SQLite files of one directory.
// What does not live here: what any of its parts does; this puts them together.

import type { Log } from "../../base/log.ts";
import type { Random } from "../../runtime/random.ts";
import type { Cancel, Time } from "../../runtime/time.ts";
import type { Bucket } from "../bucket.ts";
import { EmbeddedDocuments } from "./documents.ts";
import { DocumentsFile } from "./documents-file.ts";
import type { EmbeddedFeed } from "./feed.ts";
import { openFiles } from "./files.ts";
import { EXPIRY_PASS_MS, MAX_EXPIRED_PER_PASS } from "./limits.ts";
import { StoreFile } from "./store-file.ts";
import { EmbeddedValues } from "./values.ts";

export { removeEmbeddedBucket } from "./files.ts";

/** Options of {@link openEmbeddedBucket}. */
export interface EmbeddedBucketOptions {
  /** The directory of the bucket's files; made when missing. Several processes may open it. */
  readonly directory: string;
  readonly name: string;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
  /** A power of two; it is fixed when the files are made. 1024 unless said. */
  readonly vbuckets?: number;
  /** For tests: keep older versions of documents, so that `loseTail` can cut off a tail. */
  readonly keepHistory?: boolean;
  /** For simulations: make checkpoints on the event loop, not in a thread that nobody can step. */
  readonly inlineCheckpoints?: boolean;
}

/**
 * Opens the bucket in a directory, and makes it when there is none. Writes are durable when their
 * promise resolves: documents and metadata also through a power cut, the index through a crash of
 * the process. Several processes may have it open; their writers queue.
 *
 * @throws TidegateError `corrupt` or `newer_version` (the file is left as it is), `unavailable`
 *   (directory or file can't be written, or another process held it too long), `bad_config`
 */
export async function openEmbeddedBucket(options: EmbeddedBucketOptions): Promise<EmbeddedBucket> {
  const { directory, time, random } = options;
  const files = await openFiles(directory, options.vbuckets, time, random);
  const log = options.log.child({ bucket: options.name });
  const context = { time, random, log, inlineCheckpoints: options.inlineCheckpoints ?? false };
  const documents = new DocumentsFile(files.documents, context, {
    vbuckets: files.vbuckets,
    keepHistory: options.keepHistory ?? false,
  });
  const index = new StoreFile(files.index, context);
  await documents.read(() => documents.refresh());
  await index.read(() => index.refresh());
  return new EmbeddedBucket(options.name, documents, index, log);
}

/** A bucket in SQLite files, open. Made by {@link openEmbeddedBucket}. */
export class EmbeddedBucket implements Bucket {
  readonly name: string;
  readonly documents: EmbeddedDocuments;
  readonly metadata: EmbeddedValues;
  readonly index: EmbeddedValues;
  readonly feed: EmbeddedFeed;
  /** The files, for the hooks of tests. */
  readonly files: { readonly documents: DocumentsFile; readonly index: StoreFile };
  readonly #log: Log;
  #expiryTimer: Cancel;
  #expiryPass: Promise<void> = Promise.resolve();
  #expiryFailures = 0;
  #closed = false;

  constructor(name: string, documents: DocumentsFile, index: StoreFile, log: Log) {
    this.name = name;
    this.files = { documents, index };
    this.documents = new EmbeddedDocuments(documents);
    this.metadata = new EmbeddedValues(documents);
    this.index = new EmbeddedValues(index);
    this.feed = documents.feed;
    this.#log = log;
    this.#expiryTimer = this.#planExpiry(EXPIRY_PASS_MS);
  }

  get vbuckets(): number {
    return this.files.documents.vbuckets.high.length;
  }

  stats(): Readonly<Record<string, number>> {
    const { documents, index } = this.files;
    return {
      ...fileStats("documents", documents),
      ...fileStats("index", index),
      feed_readers: this.feed.readers,
      expiry_failures: this.#expiryFailures,
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#expiryTimer();
    const { documents, index } = this.files;
    this.feed.close();
    await this.#expiryPass;
    await Promise.all([documents.close(), index.close()]);
  }

  #planExpiry(ms: number): Cancel {
    return this.files.documents.time.after(ms, () => {
      this.#expiryPass = this.#expire();
    });
  }

  /** One expiry pass over everything, and the plan for the next: at once when there is more. */
  async #expire(): Promise<void> {
    let next = EXPIRY_PASS_MS;
    try {
      for (const part of [this.documents, this.metadata, this.index]) {
        if ((await part.expirePass()) === MAX_EXPIRED_PER_PASS) next = 0;
      }
    } catch (error) {
      this.#expiryFailures++;
      this.#log.warn({ err: error }, "expired items stay for now");
    }
    if (!this.#closed) this.#expiryTimer = this.#planExpiry(next);
  }
}

function fileStats(name: string, file: StoreFile): Record<string, number> {
  const { groups } = file;
  const counts = { ...groups.counts, ...file.counts };
  const stats: Record<string, number> = {
    [`${name}_queued_operations`]: groups.queued,
    [`${name}_queued_bytes`]: groups.queuedBytes,
    [`${name}_log_frames`]: file.logFrames,
  };
  for (const [count, value] of Object.entries(counts)) stats[`${name}_${count}`] = value;
  return stats;
}
