// Running the sync function for a revision that is being made: its input, printed only when it is
// read.

import type { Json, JsonObject } from "../base/json.ts";
import { printStubs } from "./attachments.ts";
import type { StoreContext } from "./context.ts";
import { printDocument, textOf } from "./document-json.ts";
import { type NewRevision, printNewStubs } from "./edit.ts";
import { leafBody, type Version } from "./load.ts";
import { enforce } from "./requirements.ts";
import { normalizeResult, type StoredAttachment } from "./sync-metadata.ts";
import type { SyncInput, SyncMeta, SyncResult } from "./sync-port.ts";
import type { Actor } from "./types.ts";

/** The user's own extended attributes, for the sync function's `meta`. */
export function metaOf(xattrs: Readonly<Record<string, string>> | undefined): SyncMeta {
  const out: Record<string, Json> = Object.create(null);
  if (xattrs === undefined) return { xattrs: out };
  for (const name of Object.keys(xattrs)) {
    if (!name.startsWith("_")) out[name] = JSON.parse(xattrs[name]!) as Json;
  }
  return { xattrs: out };
}

/** The input of the sync function; its texts are made when they are first read. */
export class LazyInput implements SyncInput {
  readonly actor: Actor;
  readonly meta: SyncMeta;
  readonly body: JsonObject;
  readonly #print: () => string;
  readonly #printOld: (() => string) | undefined;
  #docJson: string | undefined;
  #oldDocJson: string | undefined;

  constructor(
    actor: Actor,
    meta: SyncMeta,
    body: JsonObject,
    print: () => string,
    printOld: (() => string) | undefined,
  ) {
    this.actor = actor;
    this.meta = meta;
    this.body = body;
    this.#print = print;
    this.#printOld = printOld;
  }

  get docJson(): string {
    this.#docJson ??= this.#print();
    return this.#docJson;
  }

  get oldDocJson(): string | null {
    if (this.#printOld === undefined) return null;
    this.#oldDocJson ??= this.#printOld();
    return this.#oldDocJson;
  }
}

/**
 * Runs the sync function for a new revision.
 *
 * @throws TidegateError `forbidden` (also when what it requires is not fulfilled), `unauthorized`,
 *   `sync_function_failed`
 */
export async function runSyncFunction(
  ctx: StoreContext,
  actor: Actor,
  id: string,
  made: NewRevision,
  current: Version | undefined,
  xattrs: Readonly<Record<string, string>> | undefined,
): Promise<SyncResult> {
  const printOld = await oldDocument(ctx, id, made, current);
  const input = new LazyInput(
    actor,
    metaOf(xattrs),
    made.body ?? JSON.parse(made.bodyText),
    () => {
      const stubs = printNewStubs(made.attachments);
      return printDocument(id, made.rev, made.deleted, stubs, made.bodyText);
    },
    printOld,
  );
  const running = ctx.syncFunction.run(input);
  const result = normalizeResult(running instanceof Promise ? await running : running);
  if (result.requires.length > 0) enforce(actor, result.requires);
  return result;
}

/** How to print the revision that the new one builds on; undefined when it is not to be had. */
async function oldDocument(
  ctx: StoreContext,
  id: string,
  made: NewRevision,
  current: Version | undefined,
): Promise<(() => string) | undefined> {
  const { parent, oldParent } = made;
  if (parent === undefined || current === undefined) return undefined;
  const print = (deleted: boolean, attachments: readonly StoredAttachment[], text: string) =>
    printDocument(
      id,
      parent,
      deleted,
      attachments.length === 0 ? "" : `,"_attachments":${printStubs(attachments)}`,
      text,
    );
  if (oldParent !== undefined) {
    return () => print(oldParent.deleted, oldParent.attachments, oldParent.bodyText);
  }
  const leaf = current.sync.leaves.get(parent);
  if (leaf === undefined) return undefined;
  const deleted = current.sync.tree.some((node) => node.rev === parent && node.deleted);
  if (leaf.body.in === "document" && current.body !== undefined) {
    const bytes = current.body;
    return () => print(deleted, leaf.attachments, textOf(bytes));
  }
  const text = await leafBody(ctx, current, parent);
  return () => print(deleted, leaf.attachments, text);
}
