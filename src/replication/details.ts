// What a row needs beside its entry: every leaf revision, or the document. Read in bounded batches.

import type { Actor, DocumentStore, GetOptions } from "../documents/types.ts";
import { EntryFlag } from "../index/types.ts";
import { MAX_BATCH_CHARS } from "./limits.ts";
import type { Change } from "./merge.ts";
import { quote } from "./row-text.ts";
import type { ChangesOptions } from "./types.ts";

/** The details of one change. */
export interface Details {
  readonly leaves?: readonly string[];
  readonly doc?: string;
}

const NO_DETAILS: Details = {};

/** Whether rows under these options need more than their entries. */
export function needsDetails(options: ChangesOptions): boolean {
  return options.includeDocs === true || options.style === "all_docs";
}

/**
 * The details of `changes`, in their order: of all of them or, when documents are many bytes, of the
 * first of them; always of at least one.
 */
export async function readDetails(
  changes: readonly Change[],
  options: ChangesOptions,
  documents: DocumentStore,
  actor: Actor,
): Promise<readonly Details[]> {
  const allLeaves = options.style === "all_docs";
  const leaves = allLeaves ? await readLeaves(changes, documents, actor) : undefined;
  const withLeaves = (change: Change): Details => {
    const revs = leaves?.get(change.entry.docId);
    return revs === undefined ? NO_DETAILS : { leaves: revs };
  };
  if (!options.includeDocs) return changes.map(withLeaves);
  const details: Details[] = [];
  let chars = 0;
  for await (const doc of readDocuments(changes, options, documents, actor)) {
    const change = changes[details.length];
    if (change === undefined) break;
    details.push({ ...withLeaves(change), doc });
    chars += doc.length;
    if (chars >= MAX_BATCH_CHARS) break;
  }
  return details;
}

/** The leaf revisions, as far as they may be read, of the documents that have more than one. */
async function readLeaves(
  changes: readonly Change[],
  documents: DocumentStore,
  actor: Actor,
): Promise<Map<string, string[]>> {
  const ids: string[] = [];
  for (const { entry, left } of changes) {
    if (left === undefined && entry.flags & EntryFlag.conflict) ids.push(entry.docId);
  }
  const leaves = new Map<string, string[]>();
  if (ids.length === 0) return leaves;
  const found = await documents.leaves(ids, actor.access);
  for (const [i, revs] of found.entries()) {
    const id = ids[i];
    // A document that is gone since has no leaves: its row says what the entry knows.
    if (id !== undefined && revs !== undefined && revs.length > 0) {
      leaves.set(
        id,
        revs.map(({ rev }) => rev),
      );
    }
  }
  return leaves;
}

/** The documents' JSON texts, one for each change; `null` for a revision that is gone. */
async function* readDocuments(
  changes: readonly Change[],
  options: ChangesOptions,
  documents: DocumentStore,
  actor: Actor,
): AsyncGenerator<string> {
  const wanted = changes.filter(({ left }) => left === undefined);
  const items = wanted.map(({ entry }) => ({ id: entry.docId, rev: entry.revId }));
  const get: GetOptions = {
    conflicts: options.conflicts ?? false,
    attachments: options.attachments ?? false,
  };
  const results = documents.bulkGet(actor, items, get)[Symbol.asyncIterator]();
  try {
    for (const { entry, left } of changes) {
      if (left !== undefined) {
        // Who lost the document must not see it: only that it went.
        const { docId, revId } = entry;
        yield `{"_id":${quote(docId)},"_rev":${quote(revId)},"_removed":true}`;
        continue;
      }
      const next = await results.next();
      yield !next.done && "ok" in next.value ? next.value.ok.json : "null";
    }
  } finally {
    await results.return?.();
  }
}
