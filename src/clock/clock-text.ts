// A whole clock as text, for `c_` sequences: its binary form in base64url without padding.

import { MalformedBytes } from "./bytes.ts";
import type { Clock } from "./tick.ts";
import { decodeClock, encodeClock } from "./whole.ts";

/** The longest text taken: a clock of 65,536 vbuckets of eight bytes each fits well. */
export const MAX_CLOCK_TEXT = 1024 * 1024;

/** The clock's text, without `c_`. */
export function clockToText(clock: Clock): string {
  return Buffer.from(encodeClock(clock, "small")).toString("base64url");
}

/**
 * The clock that `text` stands for.
 *
 * @param bad throws the caller's error; it is told what is wrong
 */
export function clockFromText(text: string, bad: (what: string) => never): Clock {
  if (text.length > MAX_CLOCK_TEXT) bad("its clock is too long");
  const bytes = Buffer.from(text, "base64url");
  // What the decoder skips (padding, other alphabets, stray bits) is not in its own spelling.
  if (bytes.toString("base64url") !== text) bad("its clock is not in base64url without padding");
  try {
    return decodeClock(bytes);
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    return bad(`its clock cannot be read: ${error.message}`);
  }
}
