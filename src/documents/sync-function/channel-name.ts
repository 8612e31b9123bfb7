// Which names channels, users and roles may have. What does not live here: what a name grants.

import { MAX_NAME_BYTES } from "../sync-port.ts";

/** C0 controls and DEL: they break logs, terminals and lists, and no person can type them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f]/;

const encoder = new TextEncoder();

/** UTF-8 takes at most this many bytes for one UTF-16 unit. */
const MAX_BYTES_PER_UNIT = 3;

/**
 * What is wrong with `name` as the name of a channel, user or role; undefined when it is legal.
 *
 * Legal is well-formed Unicode of 1 to {@link MAX_NAME_BYTES} bytes of UTF-8 without control
 * characters (U+0000 to U+001F, U+007F). Case, spaces and every other character count as they are;
 * nothing is trimmed or normalized. `!` (everybody) and `*` (all documents) are legal and special.
 */
export function nameProblem(name: string): string | undefined {
  if (name === "") return "is empty";
  if (name.length * MAX_BYTES_PER_UNIT > MAX_NAME_BYTES) {
    if (name.length > MAX_NAME_BYTES || encoder.encode(name).length > MAX_NAME_BYTES) {
      return `is longer than ${MAX_NAME_BYTES} bytes`;
    }
  }
  if (CONTROL.test(name)) return "has a control character";
  if (!name.isWellFormed()) return "is not well-formed Unicode (half of a surrogate pair)";
  return undefined;
}
