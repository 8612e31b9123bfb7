// Edits: what a save wants to do to whatever version it finds. An edit is worked out anew against
// each version that the save meets, so that a conflict is decided by revisions and never by a CAS.

import type { Access } from "../access/types.ts";
import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import {
  type AttachmentInput,
  type NewAttachment,
  printStubs,
  resolveAttachments,
} from "./attachments.ts";
import type { StoreContext } from "./context.ts";
import type { ParsedDocument } from "./document-json.ts";
import { leafBody, type Version } from "./load.ts";
import { generationOf, makeRevisionId } from "./revision-id.ts";
import {
  addRevision,
  EMPTY_TREE,
  hasChild,
  historyOf,
  indexOfRevision,
  mergeHistory,
  type RevisionTree,
} from "./revision-tree.ts";
import { type OldRevision, readAttachment, readOldRevision } from "./side-items.ts";
import type { StoredAttachment } from "./sync-metadata.ts";
import { mayRead, mayReadLeaf, noAccess } from "./visibility.ts";

/** The revision that an edit makes. */
export interface NewRevision {
  readonly rev: string;
  /** The tree with it. */
  readonly tree: RevisionTree;
  /** The nearest revision known that it builds on. */
  readonly parent: string | undefined;
  readonly deleted: boolean;
  readonly bodyText: string;
  /** The body parsed, where it is at hand. */
  readonly body: JsonObject | undefined;
  readonly attachments: readonly NewAttachment[];
  /** The superseded revision that it builds on, when `parent` is no leaf and its body is kept. */
  readonly oldParent: OldRevision | undefined;
}

/** What a save wants. */
export interface Edit {
  /** Whether it can be tried on the assumption that there is no such document. */
  readonly mayBeFirst: boolean;
  /**
   * The revision it makes of the version found, or the revision that is there already and is it.
   *
   * @param access what the writer sees: attachments of the revision before can be kept by naming
   *   them only when it may be read, or they could be carried into a channel of the writer's
   * @throws TidegateError `conflict`, `not_found`, `deleted`, `missing_stub`, `bad_revision` …
   */
  resolve(
    current: Version | undefined,
    access: Access,
  ): Promise<NewRevision | { readonly done: string }>;
}

/** The content of a revision that a client names no id for. */
interface Content {
  readonly deleted: boolean;
  readonly bodyText: string;
  readonly body: JsonObject | undefined;
  readonly attachments: readonly AttachmentInput[];
  readonly editId?: string | undefined;
}

/** An edit that makes a new revision (`new_edits=true`) with the document's content. */
export function newEdit(
  document: ParsedDocument,
  rev: string | undefined,
  attachments: readonly AttachmentInput[],
  editId?: string,
): Edit {
  const { deleted, bodyText, body } = document;
  const content: Content = { deleted, bodyText, body, attachments, editId };
  return {
    mayBeFirst: rev === undefined,
    async resolve(current, access) {
      const done = repeated(current, content, rev);
      if (done !== undefined) return { done };
      const parent = chooseParent(current, rev, deleted);
      return makeRevision(access, current, parent, content);
    },
  };
}

/** An edit that deletes a document. */
export function removal(rev: string | undefined): Edit {
  const content: Content = { deleted: true, bodyText: "{}", body: {}, attachments: [] };
  return {
    mayBeFirst: false,
    async resolve(current, access) {
      if (current === undefined) throw new TidegateError("not_found", "missing");
      if (rev === undefined && current.sync.deleted) throw new TidegateError("deleted", "deleted");
      return makeRevision(access, current, chooseParent(current, rev, true), content);
    },
  };
}

/**
 * An edit that changes the attachments alone and keeps the body.
 *
 * @param change gives the attachments of the new revision from those of the one before
 */
export function attachmentEdit(
  ctx: StoreContext,
  rev: string | undefined,
  change: (before: readonly StoredAttachment[]) => readonly AttachmentInput[],
): Edit {
  return {
    mayBeFirst: false,
    async resolve(current, access) {
      const parent = chooseParent(current, rev, false);
      if (current !== undefined && parent >= 0) {
        const before = current.sync.tree[parent]!;
        if (!before.deleted && !mayReadLeaf(access, current, before.rev)) throw noAccess();
      }
      const leaf =
        parent < 0 ? undefined : current?.sync.leaves.get(current.sync.tree[parent]!.rev);
      const live = parent >= 0 && current !== undefined && !current.sync.tree[parent]!.deleted;
      const bodyText = live ? await leafBody(ctx, current, current.sync.tree[parent]!.rev) : "{}";
      const attachments = change(live ? (leaf?.attachments ?? []) : []);
      const content = { deleted: false, bodyText, body: undefined, attachments };
      return makeRevision(access, current, parent, content);
    },
  };
}

/** An edit that stores a revision which another replica made (`new_edits=false`). */
export function replicatedEdit(
  ctx: StoreContext,
  id: string,
  document: ParsedDocument,
  history: readonly string[],
  attachments: readonly AttachmentInput[],
): Edit {
  const rev = history[0]!;
  return {
    mayBeFirst: generationOf(rev) === 1,
    async resolve(current, access) {
      const before = current?.sync.tree ?? EMPTY_TREE;
      const tree = mergeHistory(before, history, document.deleted);
      if (tree === before) return { done: rev };
      const parent = historyOf(tree, indexOfRevision(tree, rev)).find(
        (ancestor) => ancestor !== rev && indexOfRevision(before, ancestor) >= 0,
      );
      const base = await baseOf(ctx, access, id, current, parent);
      const { deleted, bodyText, body } = document;
      return {
        rev,
        tree,
        parent,
        deleted,
        bodyText,
        body,
        oldParent: base.old,
        attachments: await resolveAttachments(
          attachments,
          base.attachments,
          generationOf(rev),
          base.readStale,
        ),
      };
    },
  };
}

/** The node that a new edit hangs on; -1 for a first revision. Throws `conflict`. */
function chooseParent(
  current: Version | undefined,
  rev: string | undefined,
  deleted: boolean,
): number {
  if (current === undefined) {
    if (rev === undefined) return -1;
    throw conflict(`There is no such document, so none with the revision ${rev}.`);
  }
  const { tree } = current.sync;
  if (rev === undefined) {
    if (current.sync.deleted && !deleted) return indexOfRevision(tree, current.sync.rev);
    throw conflict("The document exists: its current revision must be named (_rev).");
  }
  const parent = indexOfRevision(tree, rev);
  if (parent >= 0 && !hasChild(tree, parent)) return parent;
  throw conflict(`${rev} is not a current revision of the document.`);
}

/**
 * The revision that this very edit made before, when its answer was lost and it is repeated.
 * Content alone proves nothing, since two clients that count up from the same number both send the
 * same: only the client's own name of the edit, which is part of the revision's digest, does.
 */
function repeated(
  current: Version | undefined,
  content: Content,
  rev: string | undefined,
): string | undefined {
  if (content.editId === undefined || current === undefined) return undefined;
  const { tree } = current.sync;
  const attachments: { name: string; contentType: string; digest: string }[] = [];
  for (const input of content.attachments) {
    if (input.kind === "stub") return undefined;
    attachments.push(input);
  }
  const parents = rev === undefined ? deletedParents(tree) : [rev];
  for (const parent of parents) {
    const { deleted, bodyText, editId } = content;
    const made = makeRevisionId({ parent, deleted, bodyText, attachments, editId });
    if (indexOfRevision(tree, made) >= 0) return made;
  }
  return undefined;
}

/** What an edit that names no parent may have been hung on: nothing, or a deletion. */
function deletedParents(tree: RevisionTree): (string | undefined)[] {
  return [undefined, ...tree.filter((node) => node.deleted).map((node) => node.rev)];
}

async function makeRevision(
  access: Access,
  current: Version | undefined,
  parentIndex: number,
  content: Content,
): Promise<NewRevision> {
  const before = current?.sync.tree ?? EMPTY_TREE;
  const parent = parentIndex < 0 ? undefined : before[parentIndex]!.rev;
  const generation = parent === undefined ? 1 : generationOf(parent) + 1;
  const { deleted, bodyText, body, editId } = content;
  let attachments: readonly NewAttachment[] = [];
  if (content.attachments.length > 0) {
    const ancestor = parent === undefined ? undefined : current?.sync.leaves.get(parent);
    const readable = ancestor !== undefined && mayRead(access, ancestor.channels);
    attachments = await resolveAttachments(
      content.attachments,
      readable ? ancestor.attachments : [],
      generation,
    );
  }
  const digests = attachments.map((a) => a.info);
  const rev = makeRevisionId({ parent, deleted, bodyText, attachments: digests, editId });
  if (indexOfRevision(before, rev) >= 0) throw conflict(`${rev} exists already.`);
  return {
    rev,
    tree: addRevision(before, parentIndex, rev, deleted),
    parent,
    deleted,
    bodyText,
    body,
    attachments,
    oldParent: undefined,
  };
}

/**
 * The revision that a replicated one builds on, leaf or superseded; its attachments when the writer
 * may read it.
 */
async function baseOf(
  ctx: StoreContext,
  access: Access,
  id: string,
  current: Version | undefined,
  parent: string | undefined,
): Promise<{
  attachments: readonly StoredAttachment[];
  old: OldRevision | undefined;
  readStale?: (attachment: StoredAttachment) => Promise<Uint8Array>;
}> {
  if (parent === undefined || current === undefined) return { attachments: [], old: undefined };
  const leaf = current.sync.leaves.get(parent);
  if (leaf !== undefined) {
    const attachments = mayRead(access, leaf.channels) ? leaf.attachments : [];
    return { attachments, old: undefined };
  }
  const old = await readOldRevision(ctx, id, parent);
  const readStale = (attachment: StoredAttachment) => readAttachment(ctx, id, attachment);
  const readable = old !== undefined && mayRead(access, old.channels);
  return { attachments: readable ? old.attachments : [], old, readStale };
}

/** The value of `_attachments` of a new revision, as the sync function sees it. */
export function printNewStubs(attachments: readonly NewAttachment[]): string {
  return attachments.length === 0
    ? ""
    : `,"_attachments":${printStubs(attachments.map((a) => a.info))}`;
}

function conflict(reason: string): TidegateError {
  return new TidegateError("conflict", reason);
}
