// `tidegate check couchbase://HOST/BUCKET`: before anyone deploys.

import process from "node:process";
import { TidegateError } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import type { Config } from "../config/schema.ts";
import { systemRandom } from "../runtime/random.ts";
import { systemTime } from "../runtime/time.ts";
import { couchbaseOptions } from "./couchbase.ts";

/** Prints what works and what is missing; resolves with the exit code: 0 when nothing is. */
export async function check(config: Config): Promise<number> {
  if (config.bucket === "embedded") {
    throw new TidegateError("bad_config", "give the bucket to check: couchbase://HOST/BUCKET");
  }
  // Not before it is needed: Couchbase's native client costs a start a quarter of its time.
  const { checkCouchbase, findingLine } = await import("../bucket/couchbase/check.ts");
  const parts = { time: systemTime(), random: systemRandom, log: silentLog };
  let missing = 0;
  for await (const finding of checkCouchbase(couchbaseOptions(config, parts))) {
    process.stdout.write(`${findingLine(finding)}\n`);
    if (!finding.ok) missing++;
  }
  const verdict =
    missing === 0
      ? "Everything that a gateway needs is there."
      : "A gateway will not run on this bucket until that is mended; docs/06-couchbase.md says how.";
  process.stdout.write(`\n${verdict}\n`);
  return missing === 0 ? 0 : 1;
}
