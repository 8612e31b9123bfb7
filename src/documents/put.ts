// Saving documents as clients send them: one, or many at once.

import { Buffer } from "node:buffer";
import { isTidegateError, TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import { type AttachmentInput, dataInput, parseAttachments } from "./attachments.ts";
import { mapConcurrently } from "./concurrency.ts";
import type { StoreContext } from "./context.ts";
import { checkDocumentId } from "./document-id.ts";
import { type ParsedDocument, parseDocument } from "./document-json.ts";
import { attachmentEdit, newEdit, removal, replicatedEdit } from "./edit.ts";
import { BULK_CONCURRENCY } from "./limits.ts";
import { checkRevisionId, generationOf } from "./revision-id.ts";
import { save } from "./save.ts";
import type { Actor, BulkOutcome, DocumentStore, WriteOutcome } from "./types.ts";

type PutOptions = NonNullable<Parameters<DocumentStore["put"]>[3]>;

/** Saves one revision; see {@link DocumentStore.put}. */
export async function putDocument(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  document: JsonObject,
  options: PutOptions = {},
): Promise<WriteOutcome> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  const parsed = parseDocument(document);
  if (parsed.id !== undefined && parsed.id !== id) {
    throw new TidegateError(
      "bad_document",
      "The document's _id is not the id that it is saved as.",
    );
  }
  return saveParsed(ctx, actor, id, parsed, options);
}

function saveParsed(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  parsed: ParsedDocument,
  options: PutOptions,
): Promise<WriteOutcome> {
  const attachments = parseAttachments(parsed.attachments, options.followed, ctx.limits);
  if (options.newEdits === false) {
    const history = historyGiven(parsed, options.rev);
    return save(ctx, actor, id, replicatedEdit(ctx, id, parsed, history, attachments));
  }
  const rev = parentGiven(parsed, options.rev);
  return save(ctx, actor, id, newEdit(parsed, rev, attachments, options.editId));
}

/** The revision that a new edit replaces. Throws `bad_revision`. */
function parentGiven(parsed: ParsedDocument, rev: string | undefined): string | undefined {
  if (rev !== undefined) checkRevisionId(rev);
  if (rev !== undefined && parsed.rev !== undefined && parsed.rev !== rev) {
    const reason = `The document's _rev is ${parsed.rev}, but the request names ${rev}.`;
    throw new TidegateError("bad_revision", reason);
  }
  return rev ?? parsed.rev;
}

/** The revision to be stored as it is, with its ancestors. Throws `bad_revision`. */
function historyGiven(parsed: ParsedDocument, given: string | undefined): readonly string[] {
  const rev = parentGiven(parsed, given);
  const { history } = parsed;
  if (history === undefined) {
    if (rev !== undefined) return [rev];
    const reason = "With new_edits=false a document must have _rev or _revisions.";
    throw new TidegateError("bad_revision", reason);
  }
  if (rev !== undefined && rev !== history[0]) {
    const reason = `_revisions begins with ${history[0]}, but _rev is ${rev}.`;
    throw new TidegateError("bad_revision", reason);
  }
  if (generationOf(history[0]!) > 999_999_999) {
    throw new TidegateError("bad_revision", "A generation has at most 9 digits.");
  }
  return history;
}

/** Deletes a document. Throws `not_found`, `deleted`, `conflict`. */
export async function removeDocument(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  rev: string | undefined,
): Promise<WriteOutcome> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  if (rev !== undefined) checkRevisionId(rev);
  return save(ctx, actor, id, removal(rev));
}

/**
 * Saves many documents, each by itself: one that fails has its error in its row. They are in work
 * at the same time and so share group commits; several of the same id are saved in their order.
 */
export function putMany(
  ctx: StoreContext,
  actor: Actor,
  documents: readonly JsonObject[],
  options: { newEdits?: boolean } = {},
): Promise<BulkOutcome[]> {
  return mapConcurrently(documents, BULK_CONCURRENCY, (document) =>
    putOne(ctx, actor, document, options),
  );
}

async function putOne(
  ctx: StoreContext,
  actor: Actor,
  document: JsonObject,
  options: { newEdits?: boolean },
): Promise<BulkOutcome> {
  let id = "";
  try {
    if (document === null || typeof document !== "object" || Array.isArray(document)) {
      throw new TidegateError("bad_document", "A document must be a JSON object.");
    }
    const parsed = parseDocument(document);
    id = parsed.id ?? newDocumentId(ctx);
    checkDocumentId(id, ctx.limits.documentIdBytes);
    return { ok: true, ...(await saveParsed(ctx, actor, id, parsed, options)) };
  } catch (cause) {
    if (id === "" && typeof document?._id === "string") id = document._id;
    return errorRow(ctx, id, cause);
  }
}

function errorRow(ctx: StoreContext, id: string, cause: unknown): BulkOutcome {
  let error = cause;
  if (!isTidegateError(error)) {
    ctx.log.error({ err: cause, id }, "A document of a bulk save failed");
    error = new TidegateError("internal", "Saving the document failed; the log has the reason.");
  }
  const { status } = error as TidegateError;
  return { id, ...(error as TidegateError).toJSON(), status };
}

/** An id for a document that came without one: 32 random hexadecimal digits. */
export function newDocumentId(ctx: StoreContext): string {
  return Buffer.from(ctx.random.bytes(16)).toString("hex");
}

/** Sets one attachment; the body stays, or is empty when there was no document. */
export async function putAttachment(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  name: string,
  rev: string | undefined,
  contentType: string,
  data: Uint8Array,
): Promise<WriteOutcome> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  if (rev !== undefined) checkRevisionId(rev);
  const input = dataInput(name, contentType, data, ctx.limits);
  const edit = attachmentEdit(ctx, rev, (before) => [
    ...before.filter((a) => a.name !== name).map(stub),
    input,
  ]);
  return save(ctx, actor, id, edit);
}

/** Removes one attachment. Throws `not_found` when the revision has none of this name. */
export async function removeAttachment(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  name: string,
  rev: string | undefined,
): Promise<WriteOutcome> {
  checkDocumentId(id, ctx.limits.documentIdBytes);
  if (rev !== undefined) checkRevisionId(rev);
  const edit = attachmentEdit(ctx, rev, (before) => {
    if (!before.some((a) => a.name === name)) {
      throw new TidegateError("not_found", "Document is missing attachment");
    }
    return before.filter((a) => a.name !== name).map(stub);
  });
  return save(ctx, actor, id, edit);
}

function stub(attachment: { name: string; digest: string }): AttachmentInput {
  return { kind: "stub", name: attachment.name, digest: attachment.digest };
}
