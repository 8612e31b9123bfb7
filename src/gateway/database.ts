// One open database: bucket, index, documents, controller and changes put together, and the saves
// handed from one to the next. What any of them does lives on its own floor.

import { isTidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Bucket } from "../bucket/bucket.ts";
import { openLookupMap } from "../clock/lookup-map.ts";
import { type Controller, openController } from "../controller/controller.ts";
import { Problems } from "../controller/problems.ts";
import type { ControllerSettings } from "../controller/settings.ts";
import { createHealer } from "../documents/healer.ts";
import { createDocumentStore, type DocumentStoreHandle } from "../documents/store.ts";
import { type Index, openIndex } from "../index/open.ts";
import { channelHash } from "../index/shape.ts";
import { ALL_CHANNEL } from "../index/types.ts";
import { createChangesEngine, type RunningChangesEngine } from "../replication/engine.ts";
import type { ChangesEngine } from "../replication/types.ts";
import type { Random } from "../runtime/random.ts";
import type { Time } from "../runtime/time.ts";
import { compactInBackground } from "./compaction-loop.ts";
import { IndexFeeder } from "./index-feeder.ts";
import { instanceIsGone, newInstance } from "./instance.ts";
import { SyncFunctionHolder } from "./sync-function-holder.ts";
import type { Database, DatabaseSettings, HealthProblem } from "./types.ts";

/** How long a closing database waits for its last mutations to become stable. */
const LAST_TICK_LIMIT_MS = 3000;

/** What {@link openDatabase} needs. */
export interface DatabaseOptions {
  /** The database's bucket, open; it is closed with the database. */
  readonly bucket: Bucket;
  readonly settings: DatabaseSettings;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
  /** The controller's settings where they are not the defaults. */
  readonly controller?: Partial<ControllerSettings>;
}

/** Opens a database over its bucket. Throws `bad_config`, `corrupt`, `newer_version`, `unavailable`. */
export async function openDatabase(options: DatabaseOptions): Promise<OpenDatabase> {
  const { bucket, settings, time, random } = options;
  const log = options.log.child({ database: bucket.name });
  const problems = new Problems(time, log);
  const syncFunction = await SyncFunctionHolder.open(settings.syncFunction, log, time);
  const { partitions, shape, writer } = settings.index;
  const { vbuckets } = bucket;
  const collection = bucket.index;
  const index = await openIndex({ collection, vbuckets, partitions, shape, time, log });
  const feeder = new IndexFeeder(index, problems);
  const live = new LiveSettings(settings);
  let controller: Controller | undefined;
  let changes: RunningChangesEngine | undefined;
  const documents = createDocumentStore({
    bucket,
    settings: { limits: live.limits },
    syncFunction: feeder.paced(() => syncFunction.current),
    onSaved: (mutation) => {
      if (writer === "frontend") feeder.saved(mutation);
      changes?.saved(mutation);
    },
    stableSeq: (vb) => controller?.head().clock[vb] ?? 0,
    time,
    random,
    log,
  });
  const { instance, end } = newInstance(random);
  try {
    controller = await openController({
      bucket,
      openLookup: (branches) => openLookupMap({ collection, vbuckets, time, log, branches }),
      journal: index,
      healer: createHealer({ context: documents.context, writer: index }),
      time,
      log,
      problems,
      instance,
      gone: instanceIsGone,
      settings: {
        partitions: Math.min(partitions, vbuckets),
        ...(writer === "feed" ? { graceMs: 0 } : {}),
        ...options.controller,
      },
    });
  } catch (error) {
    end();
    throw error;
  }
  changes = createChangesEngine({
    vbuckets,
    stable: controller,
    lookup: controller.lookup,
    branches: controller.branches,
    index,
    documents,
    channelHash,
    visible: () => [ALL_CHANNEL],
    eager: () => live.current.changes.mode === "eager",
  });
  const ending = new AbortController();
  const owner = controller;
  const compaction = compactInBackground(
    {
      time,
      problems,
      stable: () => (owner.role === "owner" ? owner.head().clock : undefined),
      compact: (stable, budget) => index.compact(stable, budget),
    },
    ending.signal,
  );
  return new OpenDatabase({
    ending,
    compaction,
    bucket,
    live,
    time,
    log,
    problems,
    syncFunction,
    index,
    feeder,
    documents,
    controller,
    changes,
    end,
  });
}

/** Settings that can change while the database is open. */
class LiveSettings {
  current: DatabaseSettings;
  /** The limits as they are at the moment of the question. */
  readonly limits: DatabaseSettings["limits"];

  constructor(settings: DatabaseSettings) {
    this.current = settings;
    const now = () => this.current.limits;
    this.limits = {
      get documentBytes() {
        return now().documentBytes;
      },
      get attachmentBytes() {
        return now().attachmentBytes;
      },
      get revisionDepth() {
        return now().revisionDepth;
      },
      get documentIdBytes() {
        return now().documentIdBytes;
      },
    };
  }
}

interface Parts {
  /** Ends what goes on in the background. */
  readonly ending: AbortController;
  readonly compaction: Promise<void>;
  readonly bucket: Bucket;
  readonly live: LiveSettings;
  readonly time: Time;
  readonly log: Log;
  readonly problems: Problems;
  readonly syncFunction: SyncFunctionHolder;
  readonly index: Index;
  readonly feeder: IndexFeeder;
  readonly documents: DocumentStoreHandle;
  readonly controller: Controller;
  readonly changes: RunningChangesEngine;
  readonly end: () => void;
}

/** An open database. Made by {@link openDatabase}. */
export class OpenDatabase implements Database {
  readonly bucket: Bucket;
  readonly documents: DocumentStoreHandle;
  readonly changes: ChangesEngine;
  readonly index: Index;
  readonly stable: Controller;
  /** For tests: where index writes can be made to get lost. */
  readonly feeder: IndexFeeder;
  readonly #parts: Parts;
  #closed = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.bucket = parts.bucket;
    this.documents = parts.documents;
    this.changes = parts.changes;
    this.index = parts.index;
    this.stable = parts.controller;
    this.feeder = parts.feeder;
  }

  get name(): string {
    return this.bucket.name;
  }

  get settings(): DatabaseSettings {
    return this.#parts.live.current;
  }

  get lookup() {
    return this.#parts.controller.lookup;
  }

  get branches() {
    return this.#parts.controller.branches;
  }

  health(): HealthProblem[] {
    return this.#parts.problems.list();
  }

  metrics(): Readonly<Record<string, number>> {
    const { controller, index, feeder, changes, bucket } = this.#parts;
    return {
      ...prefixed("controller_", controller.metrics()),
      ...prefixed("feeder_", feeder.counts),
      feeder_under_way: feeder.underWay,
      ...prefixed("index_", index.stats()),
      ...prefixed("bucket_", bucket.stats()),
      changes_open_feeds: changes.openFeeds,
    };
  }

  /**
   * Takes other settings, but for `index`, which is fixed while a database is open. Throws
   * `bad_config` when the sync function does not compile; nothing is changed then.
   */
  async configure(settings: DatabaseSettings): Promise<void> {
    await this.#parts.syncFunction.replace(settings.syncFunction);
    this.#parts.live.current = settings;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { bucket, controller, index, changes, documents, syncFunction, end } = this.#parts;
    this.#parts.ending.abort();
    await this.#parts.compaction;
    await documents.idle();
    await index.idle();
    await this.#lastTick();
    changes.close();
    await controller.close();
    end();
    await index.close();
    await syncFunction.close();
    await bucket.close();
  }

  /** Ends as a crash would, for tests: nothing is finished, published or let go of. */
  async abandon(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { bucket, controller, index, changes, syncFunction, end } = this.#parts;
    this.#parts.ending.abort();
    await this.#parts.compaction;
    changes.close();
    await controller.abandon();
    end();
    await index.close();
    await syncFunction.close();
    await bucket.close();
  }

  /** Waits until everything that was saved is stable, but not for ever. */
  async #lastTick(): Promise<void> {
    const { bucket, controller, time, log } = this.#parts;
    const limit = new AbortController();
    const cancel = time.after(LAST_TICK_LIMIT_MS, () => limit.abort());
    try {
      await controller.reached(await bucket.feed.highSeqs(), limit.signal);
    } catch (error) {
      if (!isTidegateError(error, "unavailable")) throw error;
      log.warn({}, "closing before everything is stable: the next start completes it");
    } finally {
      cancel();
    }
  }
}

function prefixed(prefix: string, counts: object): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).map(([name, value]) => [prefix + name, value]));
}
