// Names of principals and channels: what is legal. Pseudo-channels are named on the index's floor.

import { Buffer } from "node:buffer";
import type { PrincipalId } from "../index/pseudo-channel.ts";

/** The longest name of a user or a role, in UTF-8 bytes. */
export const MAX_PRINCIPAL_BYTES = 200;

/** The longest channel name, in UTF-8 bytes. */
export const MAX_CHANNEL_BYTES = 250;

/** Letters and digits of any script, and a few signs; no `:`, which ends a name in basic auth. */
const PRINCIPAL_NAME = /^[\p{L}\p{M}\p{Nd}+\-.@%=_]+$/u;

/** Control characters are nobody's: names of pseudo-channels begin with one. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/;

/** Whether `name` may name a user or a role. */
export function isPrincipalName(name: string): boolean {
  return PRINCIPAL_NAME.test(name) && Buffer.byteLength(name) <= MAX_PRINCIPAL_BYTES;
}

/**
 * What is wrong with `name` as the name of a channel; undefined when it is legal.
 *
 * Legal is well-formed Unicode of 1 to {@link MAX_CHANNEL_BYTES} bytes of UTF-8 without control
 * characters (U+0000 to U+001F, U+007F). Case, spaces and every other character count as they are;
 * nothing is trimmed or normalized. `!` (everybody) and `*` (all documents) are legal and special.
 */
export function channelNameProblem(name: string): string | undefined {
  if (name === "") return "is empty";
  // A character has at most 3 bytes for each unit of its length: most names need no counting.
  if (name.length * 3 > MAX_CHANNEL_BYTES && Buffer.byteLength(name) > MAX_CHANNEL_BYTES) {
    return `is longer than ${MAX_CHANNEL_BYTES} bytes`;
  }
  if (CONTROL.test(name)) return "has a control character";
  if (!name.isWellFormed()) return "is not well-formed Unicode (half of a surrogate pair)";
  return undefined;
}

/** Whether `name` may name a channel: see {@link channelNameProblem}. */
export function isChannelName(name: string): boolean {
  return channelNameProblem(name) === undefined;
}

/** The principal's name, without what kind it is. */
export function principalName(principal: PrincipalId): string {
  return principal.slice(principal.indexOf(":") + 1);
}

/** The key, and so the id, of the document that keeps a principal. */
export function principalKey(principal: PrincipalId): string {
  return `_sync:${principal}`;
}
