// A document store over a real embedded bucket in a temporary directory, for the tests here.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "../../src/base/json.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Bucket } from "../../src/bucket/bucket.ts";
import { openEmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { DEFAULT_LIMITS } from "../../src/documents/limits.ts";
import {
  createDocumentStore,
  type DocumentStoreHandle,
  type DocumentStoreOptions,
} from "../../src/documents/store.ts";
import { type Actor, type DocumentView, FREE_GUEST } from "../../src/documents/types.ts";
import type { IndexMutation } from "../../src/index/types.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime, type Time } from "../../src/runtime/time.ts";

export const GUEST: Actor = FREE_GUEST;

/** A store, its bucket, and what it told the index. */
export interface Bench {
  readonly bucket: Bucket;
  readonly store: DocumentStoreHandle;
  readonly saved: IndexMutation[];
  /** Another store over the same bucket, as another node would have. */
  another(options?: Partial<DocumentStoreOptions>): DocumentStoreHandle;
  close(): Promise<void>;
}

/** Opens a store in a new directory. */
export async function openBench(
  options: Partial<DocumentStoreOptions> = {},
  wrap: (bucket: Bucket) => Bucket = (bucket) => bucket,
  time: Time = systemTime(false),
): Promise<Bench> {
  const directory = await mkdtemp(join(tmpdir(), "tidegate-documents-"));
  const log = silentLog;
  const inner = await openEmbeddedBucket({
    directory,
    name: "test",
    time,
    random: systemRandom,
    log,
    vbuckets: 16,
  });
  const bucket = wrap(inner);
  const saved: IndexMutation[] = [];
  const stores: DocumentStoreHandle[] = [];
  const another = (more: Partial<DocumentStoreOptions> = {}) => {
    const store = createDocumentStore({
      bucket,
      settings: { limits: DEFAULT_LIMITS },
      onSaved: (mutation) => saved.push(mutation),
      time,
      random: systemRandom,
      log,
      ...options,
      ...more,
    });
    stores.push(store);
    return store;
  };
  return {
    bucket,
    store: another(),
    saved,
    another,
    async close() {
      for (const store of stores) await store.idle();
      await inner.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A view's JSON, parsed. */
export function parsed(view: DocumentView): JsonObject {
  return JSON.parse(view.json) as JsonObject;
}

/** The code of the error that `work` fails with; "none" when it does not fail. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "none";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
