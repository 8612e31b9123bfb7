// One save: load, decide, run the sync function, write body and `_sync` in one CAS write, tell the
// index. Tried again when another node was faster.

import { isTidegateError, TidegateError } from "../base/errors.ts";
import type { Change } from "./compose.ts";
import type { StoreContext } from "./context.ts";
import { checkBodySize } from "./document-json.ts";
import type { Edit } from "./edit.ts";
import { MAX_SAVE_ATTEMPTS } from "./limits.ts";
import { loadOwn, type Own } from "./load-own.ts";
import { stem } from "./revision-tree.ts";
import { runSyncFunction } from "./run-sync.ts";
import type { Actor, WriteOutcome } from "./types.ts";
import { writeChange } from "./write-change.ts";

/**
 * Carries out `edit` on document `id`: at most one new revision, however often it has to be tried.
 * Resolves when it is durable.
 *
 * @throws TidegateError what the edit, the sync function and the limits refuse; `unavailable` when
 *   other nodes change the document faster than this one can
 */
export function save(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  edit: Edit,
): Promise<WriteOutcome> {
  return ctx.queue.run(id, async () => {
    // Most new documents are not there indeed: try the write before looking, the CAS will tell.
    let found: Own = { kind: "absent", cas: 0n };
    let looked = !edit.mayBeFirst;
    if (looked) found = await loadOwn(ctx, id);
    for (let attempt = 0; attempt < MAX_SAVE_ATTEMPTS; attempt++) {
      try {
        const rev = await attemptSave(ctx, actor, id, edit, found);
        if (rev !== undefined) return { id, rev };
      } catch (error) {
        // On a document that was only assumed not to be there no refusal is final; but a write
        // that may have happened must not be repeated.
        if (looked || !isTidegateError(error) || error.code === "ambiguous") throw error;
      }
      found = await loadOwn(ctx, id);
      looked = true;
    }
    throw new TidegateError(
      "unavailable",
      `Others changed the document ${MAX_SAVE_ATTEMPTS} times meanwhile. Nothing was changed.`,
    );
  });
}

/** Gives the revision that is durable, or undefined when the version found is not the newest. */
async function attemptSave(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  edit: Edit,
  found: Own,
): Promise<string | undefined> {
  if (found.kind === "unusable") {
    const reason =
      "Another program keeps a value under this id that is not a JSON document, or one that the " +
      "import filter leaves out.";
    throw new TidegateError("conflict", reason);
  }
  const current = found.kind === "version" ? found.version : undefined;
  const made = await edit.resolve(current, actor.access);
  if ("done" in made) return made.done;
  checkBodySize(made.bodyText, ctx.limits.documentBytes);
  const result = await runSyncFunction(ctx, actor, id, made, current, current?.item.xattrs);
  const fresh = {
    bodyText: made.bodyText,
    attachments: made.attachments,
    result,
  };
  const change: Change = {
    tree: stem(made.tree, ctx.limits.revisionDepth),
    fresh: new Map([[made.rev, fresh]]),
  };
  const cas = found.kind === "absent" ? found.cas : current!.cas;
  return (await writeChange(ctx, id, current, cas, change)) ? made.rev : undefined;
}
