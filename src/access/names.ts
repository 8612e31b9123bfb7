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

/** Whether `name` may name a channel: any well-formed text of 1 to 250 bytes without controls. */
export function isChannelName(name: string): boolean {
  return (
    name.length > 0 &&
    (name.length * 3 <= MAX_CHANNEL_BYTES || Buffer.byteLength(name) <= MAX_CHANNEL_BYTES) &&
    name.isWellFormed() &&
    !CONTROL.test(name)
  );
}

/** The key, and so the id, of the document that keeps a principal. */
export function principalKey(principal: PrincipalId): string {
  return `_sync:${principal}`;
}
