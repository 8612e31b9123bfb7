// What access needs of the floor above it: the principals' documents. Implemented by
// `src/documents/principal-documents.ts`.

import type { JsonObject } from "../base/json.ts";
import type { MutationToken } from "../bucket/bucket.ts";
import type { PrincipalId } from "../index/pseudo-channel.ts";

/** A principal's document as it is stored. */
export interface StoredPrincipal {
  readonly rev: string;
  readonly body: JsonObject;
}

/** What administrators gave a principal. Of a role the `roles` are empty. */
export interface AdminGrants {
  readonly channels: readonly string[];
  /** Names without `role:`. */
  readonly roles: readonly string[];
}

/**
 * Principals are documents of the bucket under `_sync:user:NAME` and `_sync:role:NAME`, which no
 * client can address. Each version is a mutation, which grants its own principal what administrators
 * gave it, and always has an entry in that principal's pseudo-channel.
 */
export interface PrincipalStore {
  /** The newest version; undefined when there is none, or it was deleted. */
  load(principal: PrincipalId): Promise<StoredPrincipal | undefined>;
  /**
   * Writes the next version; resolves when it is durable.
   *
   * @param rev the version it replaces; undefined: there must be none
   * @param body null deletes the principal and withdraws what it was granted by administrators
   * @throws TidegateError `conflict` when `rev` is not the newest
   */
  save(
    principal: PrincipalId,
    rev: string | undefined,
    body: JsonObject | null,
    grants: AdminGrants,
  ): Promise<MutationToken & { readonly rev: string }>;
  /** Names of the users or roles that exist, greater than `after`, in order, at most `limit`. */
  list(kind: "user" | "role", after: string, limit: number): Promise<string[]>;
}
