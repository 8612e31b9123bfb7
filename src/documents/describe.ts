// The documents' own pure function: what the index must say of a mutation of the feed.

import type { FeedMutation } from "../bucket/feed.ts";
import type { ExpectedMutation } from "../index/verify.ts";
import { isDocumentKey, principalOfKey } from "./document-id.ts";
import { classify } from "./load.ts";
import { indexMutationOf, unversionedMutationOf } from "./sync-metadata.ts";

/**
 * What the index must say of a mutation; undefined: nothing, its key is no document's and no
 * principal's.
 *
 * @param vbuuid the branch that the mutation belongs to
 * @throws TidegateError `corrupt`, `newer_version`
 */
export function describeMutation(
  mutation: FeedMutation,
  vbuuid: string,
): ExpectedMutation | undefined {
  const { key, vb, seq } = mutation;
  const isPrincipal = principalOfKey(key) !== undefined;
  if (!isPrincipal && !isDocumentKey(key)) return undefined;
  const token = { vb, seq, vbuuid };
  const found = classify(key, mutation);
  if (found.kind === "version") {
    const { sync } = found.version;
    return { mutation: indexMutationOf(key, sync, token), forgottenUpTo: sync.forgottenUpTo };
  }
  return isPrincipal ? undefined : { mutation: unversionedMutationOf(key, token) };
}
