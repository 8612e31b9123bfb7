// The document store as the server and the changes engine see it: CouchDB's document model.
// JSON travels as text: the store splices `_id`, `_rev` and friends into the stored text, so that
// nobody parses a document only to print it again.

import { type Access, FULL_ACCESS, fixedAccess } from "../access/types.ts";
import type { Json, JsonObject } from "../base/json.ts";

/** Who makes a request, and what that one may see. */
export interface Actor {
  /** The user's name; null for the guest. */
  readonly name: string | null;
  /** Whether the request came by the admin listener: `require*` of the sync function are passed. */
  readonly admin: boolean;
  /** What the actor may see; of an administrator {@link FULL_ACCESS}. */
  readonly access: Access;
}

/** An administrator, or the gateway itself. */
export const ADMIN: Actor = { name: null, admin: true, access: FULL_ACCESS };

/** A guest that sees every document. */
export const FREE_GUEST: Actor = { name: null, admin: false, access: fixedAccess(["*"]) };

/** What a write of one document gives back. */
export interface WriteOutcome {
  readonly id: string;
  readonly rev: string;
}

/** One line of the answer of `_bulk_docs`. */
export type BulkOutcome =
  | { readonly ok: true; readonly id: string; readonly rev: string }
  | {
      readonly id: string;
      readonly error: string;
      readonly reason: string;
      readonly status: number;
    };

/** Which revisions and what beside the body a read wants. */
export interface GetOptions {
  readonly rev?: string;
  /** `_revisions: {start, ids}`. */
  readonly revs?: boolean;
  /** `_revs_info`. */
  readonly revsInfo?: boolean;
  /** `_conflicts`. */
  readonly conflicts?: boolean;
  /** `_deleted_conflicts`. */
  readonly deletedConflicts?: boolean;
  /** The newest leaf descending from `rev` in place of `rev`. */
  readonly latest?: boolean;
  /** Attachments inline (base64) in place of stubs; `attsSince`: only those newer than these revs. */
  readonly attachments?: boolean;
  readonly attsSince?: readonly string[];
  /** `_local_seq`. */
  readonly localSeq?: boolean;
}

/** A document read: its JSON text, whole, as CouchDB prints it. */
export interface DocumentView {
  readonly id: string;
  readonly rev: string;
  readonly deleted: boolean;
  readonly json: string;
}

/**
 * One line of `open_revs`. A revision with which the document left the reader's channels is a view
 * with `_removed: true` and no body.
 */
export type OpenRevision = { readonly ok: DocumentView } | { readonly missing: string };

/** One document asked for by `_bulk_get`, and what was found. */
export interface BulkGetItem {
  readonly id: string;
  readonly rev?: string;
  readonly attsSince?: readonly string[];
}
export type BulkGetResult =
  | { readonly id: string; readonly ok: DocumentView }
  | { readonly id: string; readonly rev: string; readonly error: string; readonly reason: string };

/** What a document is now. */
export interface Winner {
  readonly rev: string;
  readonly seq: number;
  readonly deleted: boolean;
  readonly channels: readonly string[];
}

/** Options of `_all_docs`. */
export interface AllDocsOptions {
  readonly keys?: readonly string[];
  readonly startKey?: string;
  readonly endKey?: string;
  readonly inclusiveEnd?: boolean;
  readonly descending?: boolean;
  readonly limit?: number;
  readonly skip?: number;
  readonly includeDocs?: boolean;
  readonly conflicts?: boolean;
  readonly attachments?: boolean;
  readonly updateSeq?: boolean;
}

/** An attachment's description. `digest` is `md5-` + base64, as CouchDB has it. */
export interface AttachmentInfo {
  readonly name: string;
  readonly contentType: string;
  readonly length: number;
  readonly digest: string;
  readonly revpos: number;
  readonly encoding?: string;
}

/** An attachment with its bytes; `rev` is the revision that it was read from. */
export interface AttachmentView extends AttachmentInfo {
  readonly rev: string;
  readonly data: Uint8Array;
}

/**
 * The document store of one database. A revision is read by who sees one of its own channels; a
 * document in none of them is `forbidden`, another revision of one that is read is as if it were not
 * there, and lists leave out what may not be read (docs/decisions.md). Methods reject with
 * `TidegateError`: `not_found`, `deleted`, `conflict`, `forbidden`, `bad_document`,
 * `bad_document_id`, `bad_revision`, `too_large`, `missing_stub`, `digest_mismatch`,
 * `sync_function_failed`, `unavailable`, `ambiguous`.
 */
export interface DocumentStore {
  get(actor: Actor, id: string, options?: GetOptions): Promise<DocumentView>;
  openRevisions(
    actor: Actor,
    id: string,
    revs: readonly string[] | "all",
    options?: GetOptions,
  ): Promise<OpenRevision[]>;

  /**
   * Saves one revision. `document` may carry `_id`, `_rev`, `_deleted`, `_attachments` (inline,
   * stubs, or `follows` with the bytes in `followed`), `_revisions`.
   *
   * @param options `rev`: the parent, when it is not in the document; `newEdits` false: the revision
   *   and its history are given (`_rev`, `_revisions`) and are stored as they are; `editId`: the
   *   client's own name of this edit, so that a repeat after a lost answer gives the same revision
   *   in place of a conflict
   */
  put(
    actor: Actor,
    id: string,
    document: JsonObject,
    options?: {
      rev?: string;
      newEdits?: boolean;
      followed?: ReadonlyMap<string, Uint8Array>;
      editId?: string;
    },
  ): Promise<WriteOutcome>;
  remove(actor: Actor, id: string, rev: string | undefined): Promise<WriteOutcome>;
  bulk(
    actor: Actor,
    documents: readonly JsonObject[],
    options?: { newEdits?: boolean },
  ): Promise<BulkOutcome[]>;
  /** One result for each item, in their order, produced as they are read. */
  bulkGet(
    actor: Actor,
    items: readonly BulkGetItem[],
    options?: GetOptions,
  ): AsyncIterable<BulkGetResult>;
  /** id -> the revisions given that are not here, with possible ancestors. */
  revsDiff(
    actor: Actor,
    revs: ReadonlyMap<string, readonly string[]>,
  ): Promise<Map<string, { missing: string[]; possibleAncestors: string[] }>>;
  /** The rows of `_all_docs` as JSON texts, in pages. The envelope is the server's. */
  allDocs(actor: Actor, options: AllDocsOptions): AsyncIterable<string[]>;
  count(): Promise<number>;

  getAttachment(actor: Actor, id: string, name: string, rev?: string): Promise<AttachmentView>;
  putAttachment(
    actor: Actor,
    id: string,
    name: string,
    rev: string | undefined,
    contentType: string,
    data: Uint8Array,
  ): Promise<WriteOutcome>;
  removeAttachment(
    actor: Actor,
    id: string,
    name: string,
    rev: string | undefined,
  ): Promise<WriteOutcome>;
  /** The attachments of a revision with their bytes, for multipart answers. */
  attachmentsOf(actor: Actor, id: string, rev: string): Promise<AttachmentView[]>;

  /** Local documents: a user has its own, guests and administrators share theirs. */
  getLocal(actor: Actor, id: string): Promise<DocumentView>;
  putLocal(actor: Actor, id: string, document: JsonObject): Promise<WriteOutcome>;
  removeLocal(actor: Actor, id: string, rev: string | undefined): Promise<WriteOutcome>;

  /**
   * For the changes engine: the leaf revisions of each document, winner first; undefined: gone. With
   * `access` only those that it may read, which may be none.
   */
  leaves(
    ids: readonly string[],
    access?: Access,
  ): Promise<({ rev: string; deleted: boolean }[] | undefined)[]>;
  /**
   * For the changes engine: what each document is now, by its winning revision; undefined: gone, or
   * it can't be read. `seq` is that of the mutation which wrote it.
   */
  winners(ids: readonly string[]): Promise<(Winner | undefined)[]>;

  /** Admin: the stored body and the `_sync` attribute, as they are. */
  raw(id: string): Promise<JsonObject>;
  /** Admin: the revision tree. */
  revisionTree(id: string): Promise<Json>;
  /** Admin: removes documents without trace. id -> the revisions removed. */
  purge(ids: ReadonlyMap<string, readonly string[]>): Promise<Map<string, string[]>>;
  /** Admin: runs the sync function again over every document. */
  resync(): Promise<{ checked: number; changed: number }>;
}
