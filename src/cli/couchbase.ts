// The settings of a Couchbase bucket, from the gateway's settings.

import { TidegateError } from "../base/errors.ts";
import type { Config } from "../config/schema.ts";
import type { CouchbaseSourceOptions, SourceParts } from "../gateway/bucket-source.ts";

/** How the bucket of the settings is reached. Throws `bad_config` when there are no credentials. */
export function couchbaseOptions(config: Config, parts: SourceParts): CouchbaseSourceOptions {
  const { time, random, log } = parts;
  const { username, password, caFile, feedBufferBytes, ...settings } = config.couchbase;
  if (username === undefined || password === undefined) {
    throw new TidegateError(
      "bad_config",
      "couchbase.username and couchbase.password are needed for a bucket of Couchbase Server; " +
        "the password best as TIDEGATE_COUCHBASE_PASSWORD",
    );
  }
  return {
    time,
    random,
    log,
    ...settings,
    username,
    password,
    ...(caFile === undefined ? {} : { caFile }),
    connectionString: config.bucket,
    dcp: { bufferBytes: feedBufferBytes },
  };
}
