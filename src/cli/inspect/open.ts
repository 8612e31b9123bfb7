// Opens a database to look at it, beside a gateway that may be running: no controller is started,
// nothing is owned, nothing is written.

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { TidegateError } from "../../base/errors.ts";
import { silentLog } from "../../base/log.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import { openEmbeddedBucket } from "../../bucket/embedded/embedded-bucket.ts";
import type { Branches } from "../../clock/branches.ts";
import { openLookupMap, type TickHistory } from "../../clock/lookup-map.ts";
import { ControllerStore } from "../../controller/store.ts";
import { readSettings } from "../../gateway/settings.ts";
import type { DatabaseSettings } from "../../gateway/types.ts";
import { type Index, openIndex } from "../../index/open.ts";
import { systemRandom } from "../../runtime/random.ts";
import { systemTime } from "../../runtime/time.ts";

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

/** The databases of a data directory. Throws `not_found` when there is no such directory. */
export function databaseNames(data: string): string[] {
  if (!existsSync(data)) {
    throw new TidegateError(
      "not_found",
      `there is no data directory ${data}; --data names another`,
    );
  }
  const entries = readdirSync(data, { withFileTypes: true });
  return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort();
}

/**
 * Opens the database `name` of the directory `data`, hands it to `look`, and closes it. Throws
 * `not_found` when there is none, and what opening a bucket throws.
 */
export async function withDatabase<T>(
  data: string,
  name: string,
  look: (opened: Opened) => Promise<T>,
): Promise<T> {
  const names = databaseNames(data);
  if (!names.includes(name)) {
    const there = names.length > 0 ? names.join(", ") : "none";
    throw new TidegateError(
      "not_found",
      `there is no database ${name} in ${data} (there: ${there})`,
    );
  }
  const time = systemTime();
  const common = { time, log: silentLog };
  const directory = join(data, name);
  const bucket = await openEmbeddedBucket({ directory, name, random: systemRandom, ...common });
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
