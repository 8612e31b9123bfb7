// The JSON text of one row of `_changes`. Built by hand: it is the hottest text of the gateway.

import { EntryFlag } from "../index/types.ts";
import type { Change } from "./merge.ts";

// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes exactly these
const NEEDS_ESCAPE = /["\\\u0000-\u001f\ud800-\udfff]/;

/** `text` as a JSON string. */
export function quote(text: string): string {
  return NEEDS_ESCAPE.test(text) ? JSON.stringify(text) : `"${text}"`;
}

/** The `changes` member for the revisions `revs`. */
export function changesText(revs: readonly string[]): string {
  let text = "";
  for (const rev of revs) text += `${text === "" ? "" : ","}{"rev":${quote(rev)}}`;
  return `[${text}]`;
}

/**
 * A row.
 *
 * @param seq the resume point, as printed
 * @param leaves all leaf revisions, when the reader wants them; otherwise the entry's alone
 * @param doc the JSON text of the document, when the reader wants it
 */
export function rowText(
  seq: string,
  { entry, left, revoked }: Change,
  leaves?: readonly string[],
  doc?: string,
): string {
  const changes = leaves === undefined ? `[{"rev":${quote(entry.revId)}}]` : changesText(leaves);
  let text = `{"seq":"${seq}","id":${quote(entry.docId)},"changes":${changes}`;
  if (revoked) text += ',"revoked":true';
  if (left !== undefined) text += `,"removed":[${left.map(quote).join(",")}]`;
  if (entry.flags & EntryFlag.deleted) text += ',"deleted":true';
  if (doc !== undefined) text += `,"doc":${doc}`;
  return `${text}}`;
}
