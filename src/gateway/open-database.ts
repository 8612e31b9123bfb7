// Opens a database over its bucket: index, documents, controller and changes put together, and the
// saves handed from one to the next. What any of them does lives on its own floor.

import { openAccess } from "../access/visibility/open-access.ts";
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
import { createChangesEngine, type RunningChangesEngine } from "../replication/engine.ts";
import type { Random } from "../runtime/random.ts";
import type { Time } from "../runtime/time.ts";
import { compactInBackground } from "./compaction-loop.ts";
import { OpenDatabase } from "./database.ts";
import { IndexFeeder } from "./index-feeder.ts";
import { instanceIsGone, newInstance } from "./instance.ts";
import { LiveSettings } from "./live-settings.ts";
import type { DatabaseSettings } from "./types.ts";
import { UserFunctions } from "./user-functions.ts";

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

/** What the parts of a database share while they are put together. */
interface Making extends Omit<DatabaseOptions, "controller"> {
  readonly controllerSettings: Partial<ControllerSettings>;
  readonly problems: Problems;
  readonly live: LiveSettings;
  readonly index: Index;
  readonly feeder: IndexFeeder;
  readonly functions: UserFunctions;
  /** Known only later than the documents that refer to them. */
  controller: Controller | undefined;
  changes: RunningChangesEngine | undefined;
}

/** Opens a database over its bucket. Throws `bad_config`, `corrupt`, `newer_version`, `unavailable`. */
export async function openDatabase(options: DatabaseOptions): Promise<OpenDatabase> {
  const { bucket, settings, time, random } = options;
  const log = options.log.child({ database: bucket.name });
  const problems = new Problems(time, log);
  const live = new LiveSettings(settings);
  const functions = await UserFunctions.open(settings, log, time);
  const { instance, end } = newInstance(random);
  try {
    const { partitions, shape } = settings.index;
    const { vbuckets, index: collection } = bucket;
    const index = await openIndex({ collection, vbuckets, partitions, shape, time, log });
    const feeder = new IndexFeeder(index, problems);
    const shared = { log, problems, live, index, feeder, functions };
    const making: Making = {
      ...options,
      ...shared,
      controllerSettings: options.controller ?? {},
      controller: undefined,
      changes: undefined,
    };
    const documents = makeDocuments(making);
    const controller = await makeController(making, documents, instance);
    making.controller = controller;
    const { branches } = controller;
    const access = openAccess({ index, stable: controller, branches, vbuckets });
    const changes = makeChanges(making, documents, controller);
    making.changes = changes;
    const ending = new AbortController();
    const compaction = compact(making, controller, ending.signal);
    const parts = { bucket, time, documents, controller, access, changes, ending, compaction, end };
    return new OpenDatabase({ ...shared, ...parts });
  } catch (error) {
    end();
    functions.close();
    throw error;
  }
}

function makeDocuments(making: Making): DocumentStoreHandle {
  const { bucket, time, random, log, live, feeder, functions, settings } = making;
  const { writer } = settings.index;
  return createDocumentStore({
    bucket,
    settings: { limits: live.limits },
    syncFunction: feeder.paced(() => functions.syncFunction),
    importFilter: () => functions.importFilter,
    onSaved: (mutation) => {
      if (writer === "frontend") feeder.saved(mutation);
      making.changes?.saved(mutation);
    },
    stableSeq: (vb) => making.controller?.head().clock[vb] ?? 0,
    time,
    random,
    log,
  });
}

function makeController(
  { bucket, settings, time, log, problems, index, controllerSettings }: Making,
  documents: DocumentStoreHandle,
  instance: ReturnType<typeof newInstance>["instance"],
): Promise<Controller> {
  const { vbuckets, index: collection } = bucket;
  const { partitions, writer } = settings.index;
  return openController({
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
      ...controllerSettings,
    },
  });
}

function makeChanges(
  { bucket, index, live, time }: Making,
  documents: DocumentStoreHandle,
  controller: Controller,
): RunningChangesEngine {
  return createChangesEngine({
    vbuckets: bucket.vbuckets,
    stable: controller,
    lookup: controller.lookup,
    branches: controller.branches,
    index,
    documents,
    channelHash,
    time,
    eager: () => live.current.changes.mode === "eager",
  });
}

/** Compacts the index while this node is the one to do it. */
function compact(
  { time, problems, index }: Making,
  controller: Controller,
  signal: AbortSignal,
): Promise<void> {
  const stable = () => (controller.role === "owner" ? controller.head().clock : undefined);
  const piece = (clock: Float64Array, budget: { readonly documents: number }) =>
    index.compact(clock, budget);
  return compactInBackground({ time, problems, stable, compact: piece }, signal);
}
