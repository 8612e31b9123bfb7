// An open database as the server sees it: every floor of it, its numbers, and its end. How it is put
// together: open-database.ts.

import type { PrincipalStore } from "../access/ports.ts";
import type { OpenAccess } from "../access/visibility/open-access.ts";
import { isTidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { Controller } from "../controller/controller.ts";
import type { Problems } from "../controller/problems.ts";
import type { DocumentStoreHandle } from "../documents/store.ts";
import type { Index } from "../index/open.ts";
import type { RunningChangesEngine } from "../replication/engine.ts";
import type { ChangesEngine } from "../replication/types.ts";
import type { Time } from "../runtime/time.ts";
import type { IndexFeeder } from "./index-feeder.ts";
import type { LiveSettings } from "./live-settings.ts";
import type { Database, DatabaseSettings, HealthProblem } from "./types.ts";
import type { UserFunctions } from "./user-functions.ts";

/** How long a closing database waits for its last mutations to become stable. */
const LAST_TICK_LIMIT_MS = 3000;

/** What an open database is made of. */
export interface DatabaseParts {
  /** Ends what goes on in the background. */
  readonly ending: AbortController;
  readonly compaction: Promise<void>;
  readonly bucket: Bucket;
  readonly live: LiveSettings;
  readonly time: Time;
  readonly log: Log;
  readonly problems: Problems;
  readonly functions: UserFunctions;
  readonly index: Index;
  readonly feeder: IndexFeeder;
  readonly documents: DocumentStoreHandle;
  readonly controller: Controller;
  readonly access: OpenAccess;
  readonly changes: RunningChangesEngine;
  readonly end: () => void;
}

/** An open database. Made by `openDatabase`. */
export class OpenDatabase implements Database {
  readonly bucket: Bucket;
  readonly documents: DocumentStoreHandle;
  readonly access: OpenAccess;
  readonly changes: ChangesEngine;
  readonly index: Index;
  readonly stable: Controller;
  /** For tests: where index writes can be made to get lost. */
  readonly feeder: IndexFeeder;
  readonly #parts: DatabaseParts;
  #closed = false;

  constructor(parts: DatabaseParts) {
    this.#parts = parts;
    this.bucket = parts.bucket;
    this.documents = parts.documents;
    this.access = parts.access;
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

  get principals(): PrincipalStore {
    return this.documents.principals;
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
      ...prefixed("access_", this.access.stats()),
      changes_open_feeds: changes.openFeeds,
    };
  }

  /**
   * Takes other settings, but for `index`, which is fixed while a database is open. Throws
   * `bad_config` when the sync function or the import filter does not compile; nothing is
   * changed then.
   */
  async configure(settings: DatabaseSettings): Promise<void> {
    await this.#parts.functions.replace(settings);
    this.#parts.live.current = settings;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { bucket, controller, index, changes, documents, functions, end } = this.#parts;
    this.#parts.ending.abort();
    await this.#parts.compaction;
    await documents.idle();
    await index.idle();
    await this.#lastTick();
    changes.close();
    this.access.close();
    await controller.close();
    end();
    await index.close();
    functions.close();
    await bucket.close();
  }

  /** Ends as a crash would, for tests: nothing is finished, published or let go of. */
  async abandon(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { bucket, controller, index, changes, functions, end } = this.#parts;
    this.#parts.ending.abort();
    await this.#parts.compaction;
    changes.close();
    this.access.close();
    await controller.abandon();
    end();
    await index.close();
    functions.close();
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
