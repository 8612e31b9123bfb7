// Revision ids: `N-digest`, N the generation. Their form, their order, and how a new one is made.
// What does not live here: how revisions hang together (revision-tree.ts).

import { createHash } from "node:crypto";
import { TidegateError } from "../base/errors.ts";

/** 9 digits of generation; a digest of characters that need no escaping anywhere. */
const FORM = /^[1-9][0-9]{0,8}-[0-9A-Za-z._~-]{1,64}$/;
const DIGEST_FORM = /^[0-9A-Za-z._~-]{1,64}$/;

/** Whether `text` can be what follows the generation in a revision id. */
export function isRevisionDigest(text: string): boolean {
  return DIGEST_FORM.test(text);
}

/** Gives `rev` back when it is a revision id. Throws `bad_revision`. */
export function checkRevisionId(rev: string): string {
  if (FORM.test(rev)) return rev;
  throw new TidegateError(
    "bad_revision",
    `A revision is a number, "-" and 1 to 64 of 0-9 A-Z a-z . _ ~ -, not ${quoted(rev)}.`,
  );
}

/** The generation of a revision id: the number before the dash. */
export function generationOf(rev: string): number {
  return Number.parseInt(rev, 10);
}

/** The part of a revision id after its first dash. */
export function digestOf(rev: string): string {
  return rev.slice(rev.indexOf("-") + 1);
}

/**
 * Orders revisions of the same deletedness: negative when `a` comes after `b` in rank, that is when
 * its generation is lower, or equal and its digest lower by byte order.
 */
export function compareRevisions(a: string, b: string): number {
  const byGeneration = generationOf(a) - generationOf(b);
  if (byGeneration !== 0) return byGeneration;
  const left = digestOf(a);
  const right = digestOf(b);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** What a revision's digest is made of. */
export interface RevisionContent {
  /** The revision it replaces; undefined for a first one. */
  readonly parent: string | undefined;
  readonly deleted: boolean;
  /** The body's text as `JSON.stringify` prints it: spaces and escapes do not count. */
  readonly bodyText: string;
  /** The attachments: name, content type, digest; in any order. */
  readonly attachments: readonly {
    readonly name: string;
    readonly contentType: string;
    readonly digest: string;
  }[];
  /** The client's own name of this edit, where it gave one. */
  readonly editId?: string | undefined;
}

/** The revision id of an edit: the same edit always gets the same one. */
export function makeRevisionId(content: RevisionContent): string {
  const generation = content.parent === undefined ? 1 : generationOf(content.parent) + 1;
  // One line of what surrounds the body, as JSON: so that no two different edits print the same.
  let head = `[${content.parent === undefined ? "" : `"${content.parent}"`},${content.deleted}`;
  if (content.attachments.length > 0) {
    const sorted = content.attachments
      .map((a) => [a.name, a.contentType, a.digest] as const)
      .sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
    head += `,${JSON.stringify(sorted)}`;
  }
  if (content.editId !== undefined) head += `,{"edit":${JSON.stringify(content.editId)}}`;
  const digest = createHash("md5").update(`${head}]\n${content.bodyText}`).digest("hex");
  return `${generation}-${digest}`;
}

/** `text` in quotes for an error's reason, cut when it is long. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text);
}
