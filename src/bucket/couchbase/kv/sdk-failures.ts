// The SDK's errors in the words of the catalogue: nothing was changed, or nobody knows.

import { DocumentLockedError, RateLimitedError, TemporaryFailureError } from "couchbase";
import { TidegateError } from "../../../base/errors.ts";

/**
 * An error of the SDK as `unavailable` (nothing was changed, it may pass) or `ambiguous` (time-outs,
 * cancelled requests, lost durability: the outcome is not known).
 */
export function failureOfSdk(error: unknown): TidegateError {
  if (error instanceof TidegateError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const passing =
    error instanceof TemporaryFailureError ||
    error instanceof DocumentLockedError ||
    error instanceof RateLimitedError;
  return passing
    ? new TidegateError("unavailable", `Couchbase can't do this now: ${message}.`, { cause: error })
    : new TidegateError("ambiguous", `Couchbase gave no certain outcome: ${message}.`, {
        cause: error,
      });
}
