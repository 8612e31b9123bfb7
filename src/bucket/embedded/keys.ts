// Which keys and attribute names the embedded bucket takes.

import { TidegateError } from "../../base/errors.ts";
import { MAX_KEY_BYTES } from "../bucket.ts";
import { MAX_ATTRIBUTE_NAME_BYTES } from "./limits.ts";

/** Keys of this length in UTF-16 units are surely short enough in UTF-8. */
const SURELY_SHORT = Math.floor(MAX_KEY_BYTES / 3);

/**
 * Checks a key: 1 to 250 bytes of UTF-8 without NUL. Order of keys is then the order of their
 * bytes, which is how SQLite compares texts.
 *
 * @throws TidegateError `bad_document_id`
 */
export function checkKey(key: string): void {
  if (key.length === 0) throw new TidegateError("bad_document_id", "the key is empty");
  if (key.length > SURELY_SHORT && Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw new TidegateError(
      "bad_document_id",
      `the key has ${Buffer.byteLength(key)} bytes, at most ${MAX_KEY_BYTES} are allowed`,
    );
  }
  if (!key.isWellFormed() || key.includes("\0")) {
    throw new TidegateError(
      "bad_document_id",
      "the key must be well-formed Unicode without the NUL character",
    );
  }
}

/**
 * Checks the name of an extended attribute: 1 to 16 bytes without control characters.
 *
 * @throws TidegateError `bad_request`
 */
export function checkAttributeName(name: string): void {
  const length = Buffer.byteLength(name);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
  if (length === 0 || length > MAX_ATTRIBUTE_NAME_BYTES || /[\0-\x1f\x7f]/.test(name)) {
    throw new TidegateError(
      "bad_request",
      `attribute name ${JSON.stringify(name)}: expected 1 to ${MAX_ATTRIBUTE_NAME_BYTES} ` +
        "bytes without control characters",
    );
  }
}
