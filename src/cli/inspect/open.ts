// Opens a database to look at it, beside a gateway that may be running: no controller is started,
// nothing is owned, nothing is written.

import { existsSync } from "node:fs";
import { TidegateError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { Branches } from "../../clock/branches.ts";
import { openLookupMap, type TickHistory } from "../../clock/lookup-map.ts";
import type { Config } from "../../config/schema.ts";
import { ControllerStore } from "../../controller/store.ts";
import { type BucketSource, couchbaseSource, embeddedSource } from "../../gateway/bucket-source.ts";
import { readSettings } from "../../gateway/settings.ts";
import type { DatabaseSettings } from "../../gateway/types.ts";
import { type Index, openIndex } from "../../index/open.ts";
import { systemRandom } from "../../runtime/random.ts";
import { systemTime } from "../../runtime/time.ts";
import { couchbaseOptions } from "../couchbase.ts";

/** A database's parts, open for reading. */
export interface Opened {
  readonly name: string;
  readonly settings: DatabaseSettings;
  readonly bucket: Bucket;
  readonly index: Index;
  readonly ticks: TickHistory;
  readonly branches: Branches;
  readonly store: ControllerStore;
}

function sourceOf(config: Config): BucketSource {
  const parts = { time: systemTime(), random: systemRandom, log: silentLog };
  if (config.bucket !== "embedded") return couchbaseSource(couchbaseOptions(config, parts));
  // A gateway makes its data directory; somebody who looks for one has mistaken its name.
  if (existsSync(config.data)) return embeddedSource({ dataDirectory: config.data, ...parts });
  const reason = `there is no data directory ${config.data}; --data names another`;
  throw new TidegateError("not_found", reason);
}

/** The databases of the settings. Throws `not_found` when there is no data directory. */
export function databaseNames(config: Config): string[] {
  return sourceOf(config).names().sort();
}

/**
 * Opens a database of the settings, hands it to `look`, and closes it. Throws `not_found` when there
 * is none, and what opening a bucket throws.
 */
export async function withDatabase<T>(
  config: Config,
  name: string,
  look: (opened: Opened) => Promise<T>,
): Promise<T> {
  const source = sourceOf(config);
  const names = source.names();
  if (!names.includes(name)) {
    const there = names.length > 0 ? names.sort().join(", ") : "none";
    throw new TidegateError("not_found", `there is no database ${name} (there: ${there})`);
  }
  const common = { time: systemTime(), log: silentLog };
  const bucket = await source.open(name);
  let ticks: TickHistory | undefined;
  try {
    const settings = await readSettings(bucket);
    if (!settings) {
      throw new TidegateError("not_found", `the database ${name} was never completely made`);
    }
    const { index: collection, vbuckets } = bucket;
    const { partitions, shape } = settings.index;
    const index = await openIndex({ collection, vbuckets, partitions, shape, ...common });
    const store = new ControllerStore(collection);
    const branches = (await store.rollbacks()).record;
    ticks = await openLookupMap({ collection, vbuckets, branches, ...common });
    return await look({ name, settings, bucket, index, ticks, branches, store });
  } finally {
    await ticks?.close();
    await bucket.close();
  }
}
