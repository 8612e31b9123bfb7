// The documents of users and roles: revisions like others, under keys that no client can address,
// with a fixed result in place of the sync function's. What they say is `src/access/principals/`.

import { principalKey, principalName } from "../access/names.ts";
import type { AdminGrants, PrincipalStore, StoredPrincipal } from "../access/ports.ts";
import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import type { MutationToken } from "../bucket/bucket.ts";
import type { PrincipalId } from "../index/pseudo-channel.ts";
import type { StoreContext } from "./context.ts";
import { printJson, textOf } from "./document-json.ts";
import { classify, type Version } from "./load.ts";
import { makeRevisionId } from "./revision-id.ts";
import { addRevision, EMPTY_TREE, indexOfRevision, stem } from "./revision-tree.ts";
import { EMPTY_SYNC_RESULT, type SyncResult } from "./sync-port.ts";
import { writeChange } from "./write-change.ts";

/** How many revisions of a principal's document are remembered: nobody replicates them. */
const REVISION_DEPTH = 5;

/** What stands before every principal's name of a kind, and what stands after all of them. */
function rangeOf(kind: "user" | "role"): { first: string; end: string } {
  return { first: `_sync:${kind}:`, end: `_sync:${kind};` };
}

/** The principals' documents of a store. */
export function createPrincipalStore(ctx: StoreContext): PrincipalStore {
  return {
    load: (principal) => load(ctx, principal),
    save: (principal, rev, body, grants) =>
      ctx.queue.run(principalKey(principal), () => save(ctx, principal, rev, body, grants)),
    list: (kind, after, limit) => list(ctx, kind, after, limit),
  };
}

/** The newest version, deletions too, and the CAS that its successor must name. */
async function find(
  ctx: StoreContext,
  principal: PrincipalId,
): Promise<{ version: Version | undefined; cas: bigint }> {
  const key = principalKey(principal);
  const found = classify(key, await ctx.bucket.documents.get(key, { withBody: true }));
  if (found.kind === "absent") return { version: undefined, cas: found.cas };
  if (found.kind === "version") return { version: found.version, cas: found.version.cas };
  const reason = `Another program has written over ${key}, the document of a user or role.`;
  throw new TidegateError("corrupt", reason);
}

async function load(
  ctx: StoreContext,
  principal: PrincipalId,
): Promise<StoredPrincipal | undefined> {
  const { version } = await find(ctx, principal);
  if (version === undefined || version.sync.deleted || version.body === undefined) return undefined;
  return { rev: version.sync.rev, body: JSON.parse(textOf(version.body)) as JsonObject };
}

async function save(
  ctx: StoreContext,
  principal: PrincipalId,
  rev: string | undefined,
  body: JsonObject | null,
  grants: AdminGrants,
): Promise<MutationToken & { readonly rev: string }> {
  const key = principalKey(principal);
  const { version, cas } = await find(ctx, principal);
  const current = version === undefined || version.sync.deleted ? undefined : version.sync.rev;
  if (current !== rev) throw changed(principal);
  const deleted = body === null;
  const bodyText = body === null ? "{}" : printJson(body);
  const parent = version?.sync.rev;
  const made = makeRevisionId({ parent, deleted, bodyText, attachments: [] });
  const before = version?.sync.tree ?? EMPTY_TREE;
  const at = parent === undefined ? -1 : indexOfRevision(before, parent);
  const tree = stem(addRevision(before, at, made, deleted), REVISION_DEPTH);
  const result = deleted ? EMPTY_SYNC_RESULT : resultOf(principal, grants);
  const fresh = new Map([[made, { bodyText, attachments: [], result }]]);
  // Nothing is kept of what was: it may be the digest of a password.
  const token = await writeChange(ctx, key, version, cas, { tree, fresh, purge: true });
  if (token === undefined) throw changed(principal);
  return { ...token, rev: made };
}

/** What the document of a principal says in place of the sync function. */
function resultOf(principal: PrincipalId, { channels, roles }: AdminGrants): SyncResult {
  const isUser = principal.startsWith("user:");
  const name = isUser ? principalName(principal) : principal;
  return {
    ...EMPTY_SYNC_RESULT,
    access: channels.length === 0 ? [] : [{ principal: name, channels: [...channels] }],
    roles: !isUser || roles.length === 0 ? [] : [{ user: name, roles: [...roles] }],
  };
}

function changed(principal: PrincipalId): TidegateError {
  return new TidegateError("conflict", `${principal} was changed meanwhile. Read it again.`);
}

async function list(
  ctx: StoreContext,
  kind: "user" | "role",
  after: string,
  limit: number,
): Promise<string[]> {
  const { first, end } = rangeOf(kind);
  const names: string[] = [];
  if (limit <= 0) return names;
  const range = { from: first + after, to: end, includeTo: false };
  for await (const page of ctx.bucket.documents.scan(range, { withBody: false })) {
    for (const { key } of page) {
      const name = key.slice(first.length);
      if (name === after) continue;
      names.push(name);
      if (names.length === limit) return names;
    }
  }
  return names;
}
