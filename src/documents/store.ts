// The document store of one database, put together. What does not live here: what any part does.

import type { PrincipalStore } from "../access/ports.ts";
import { FULL_ACCESS } from "../access/types.ts";
import type { Log } from "../base/log.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { IndexMutation } from "../index/types.ts";
import type { Random } from "../runtime/random.ts";
import type { Time } from "../runtime/time.ts";
import { allDocs } from "./all-docs.ts";
import { Background } from "./background.ts";
import { bulkGet } from "./bulk-get.ts";
import { ByteGate } from "./byte-gate.ts";
import type { StoreContext } from "./context.ts";
import { defaultSyncFunction } from "./default-sync.ts";
import { KeyedQueue } from "./keyed-queue.ts";
import {
  DEFAULT_OLD_REVISION_SECONDS,
  type DocumentLimits,
  INLINE_AT_ONCE_BYTES,
  MAX_WAITING_INLINE,
} from "./limits.ts";
import { getLocal, putLocal, removeLocal } from "./local.ts";
import { createPrincipalStore } from "./principal-documents.ts";
import { purge } from "./purge.ts";
import { putAttachment, putDocument, putMany, removeAttachment, removeDocument } from "./put.ts";
import {
  attachmentsOf,
  getAttachment,
  getDocument,
  leavesOfMany,
  openRevisions,
  rawDocument,
  revisionTreeOf,
  revsDiff,
  winnersOfMany,
} from "./read.ts";
import { resync } from "./resync.ts";
import type { ImportFilter, SyncFunction } from "./sync-port.ts";
import type { DocumentStore } from "./types.ts";

/** What a document store is made of. */
export interface DocumentStoreOptions {
  readonly bucket: Bucket;
  readonly settings: {
    readonly limits: DocumentLimits;
    /** How long the body of a superseded revision can still be read; 300 unless said. */
    readonly oldRevisionSeconds?: number;
  };
  /** `channel(doc.channels)` unless given. */
  readonly syncFunction?: SyncFunction;
  /** The import filter of the moment of the question. None: everything is imported. */
  readonly importFilter?: () => ImportFilter | undefined;
  /**
   * Called with what the index must write as soon as a version is durable, before the client is
   * answered, in no promise's way. Must not throw.
   */
  readonly onSaved: (mutation: IndexMutation) => void;
  /**
   * The stable clock's seq in a vbucket as this node knows it. It decides when left channels and
   * withdrawn grants may be forgotten, and when a purged document may go; without it nothing is
   * ever forgotten, and a purge waits for nothing.
   */
  readonly stableSeq?: (vb: number) => number;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
}

/** A document store with what the gateway needs of it beside. */
export interface DocumentStoreHandle extends DocumentStore {
  /** The documents of users and roles. */
  readonly principals: PrincipalStore;
  /** For `createHealer`. */
  readonly context: StoreContext;
  /** Resolves when no clean-up write is under way; to be waited for before the bucket is closed. */
  idle(): Promise<void>;
}

/** Makes the document store of a bucket. It holds nothing that would have to be closed. */
export function createDocumentStore(options: DocumentStoreOptions): DocumentStoreHandle {
  const log = options.log.child({ part: "documents" });
  const ctx: StoreContext = {
    bucket: options.bucket,
    limits: options.settings.limits,
    oldRevisionSeconds: options.settings.oldRevisionSeconds ?? DEFAULT_OLD_REVISION_SECONDS,
    syncFunction: options.syncFunction ?? defaultSyncFunction,
    importFilter: options.importFilter ?? (() => undefined),
    onSaved: options.onSaved,
    stableSeq: options.stableSeq,
    time: options.time,
    random: options.random,
    log,
    queue: new KeyedQueue(),
    background: new Background(log),
    inline: new ByteGate(INLINE_AT_ONCE_BYTES, MAX_WAITING_INLINE, "attachments are being read"),
  };
  return {
    context: ctx,
    principals: createPrincipalStore(ctx),
    idle: () => ctx.background.idle(),
    get: ({ access }, id, wanted) => getDocument(ctx, access, id, wanted),
    openRevisions: ({ access }, id, revs, wanted) => openRevisions(ctx, access, id, revs, wanted),
    put: (actor, id, document, how) => putDocument(ctx, actor, id, document, how),
    remove: (actor, id, rev) => removeDocument(ctx, actor, id, rev),
    bulk: (actor, documents, how) => putMany(ctx, actor, documents, how),
    bulkGet: ({ access }, items, wanted) => bulkGet(ctx, access, items, wanted),
    revsDiff: ({ access }, revs) => revsDiff(ctx, access, revs),
    allDocs: ({ access }, wanted) => allDocs(ctx, access, wanted),
    count: () => ctx.bucket.documents.count(),
    getAttachment: ({ access }, id, name, rev) => getAttachment(ctx, access, id, name, rev),
    putAttachment: (actor, id, name, rev, contentType, data) =>
      putAttachment(ctx, actor, id, name, rev, contentType, data),
    removeAttachment: (actor, id, name, rev) => removeAttachment(ctx, actor, id, name, rev),
    attachmentsOf: ({ access }, id, rev) => attachmentsOf(ctx, access, id, rev),
    getLocal: (actor, id) => getLocal(ctx, actor, id),
    putLocal: (actor, id, document) => putLocal(ctx, actor, id, document),
    removeLocal: (actor, id, rev) => removeLocal(ctx, actor, id, rev),
    leaves: (ids, access = FULL_ACCESS) => leavesOfMany(ctx, access, ids),
    winners: (ids) => winnersOfMany(ctx, ids),
    raw: (id) => rawDocument(ctx, id),
    revisionTree: (id) => revisionTreeOf(ctx, id),
    purge: (ids) => purge(ctx, ids),
    resync: () => resync(ctx),
  };
}
