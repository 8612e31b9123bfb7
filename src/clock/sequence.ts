// Sequences: a client's position as a string, in all the forms of DESIGN part 5. Each position has
// one spelling, and what is not one is refused. Which clock a sequence stands for: position.ts.

import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import { MAX_SEQ, MAX_VBUCKETS } from "../bucket/vbucket.ts";
import { clockFromText, clockToText } from "./clock-text.ts";
import type { Clock, Tick } from "./tick.ts";

/** What a client has, as it says it. */
export type Sequence =
  /** `T`: everything in the clock of tick `T`. Tick 0, printed `0`, is nothing. */
  | { readonly kind: "tick"; readonly tick: Tick }
  /** `S-T:vb.seq`: everything in `S`, and of the interval `(S, T]` everything up to `(vb, seq)`. */
  | {
      readonly kind: "interval";
      readonly from: Tick;
      readonly to: Tick;
      readonly vb: number;
      readonly seq: number;
    }
  /** `T*vb.seq`: an eager row beyond the stable clock. */
  | { readonly kind: "eager"; readonly tick: Tick; readonly vb: number; readonly seq: number }
  /** `c_` + base64url: a whole clock. */
  | { readonly kind: "clock"; readonly clock: Clock };

/** Tick 0: the name of the clock in which nothing is. */
export const TICK_ZERO = 0 as Tick;

/** The largest tick: the largest integer that a JavaScript number holds exactly. */
export const MAX_TICK = Number.MAX_SAFE_INTEGER as Tick;

/** Ticks and positions are printed in this base. */
const RADIX = 36;

/** 2^53-1 in base 36 has eleven digits. */
const MAX_DIGITS = 11;

/** How much of a malformed sequence a message repeats. */
const MAX_QUOTED = 64;

/** `sequence` as text, safe in a URL's query as it is. */
export function formatSequence(sequence: Sequence): string {
  switch (sequence.kind) {
    case "tick":
      return formatTick(sequence.tick);
    case "interval":
      return formatInterval(sequence.from, sequence.to, sequence.vb, sequence.seq);
    case "eager":
      return formatEager(sequence.tick, sequence.vb, sequence.seq);
    case "clock":
      return `c_${clockToText(sequence.clock)}`;
  }
}

/** The sequence `T`. */
export function formatTick(tick: Tick): string {
  assert(Number.isSafeInteger(tick) && tick >= 0, "a tick is an integer from 0 to 2^53-1");
  return tick.toString(RADIX);
}

/** The sequence `S-T:vb.seq`. */
export function formatInterval(from: Tick, to: Tick, vb: number, seq: number): string {
  assert(from < to, "an interval of ticks begins before it ends");
  return `${formatTick(from)}-${formatTick(to)}:${formatMutation(vb, seq)}`;
}

/** The sequence `T*vb.seq`. */
export function formatEager(tick: Tick, vb: number, seq: number): string {
  return `${formatTick(tick)}*${formatMutation(vb, seq)}`;
}

function formatMutation(vb: number, seq: number): string {
  assert(vb >= 0 && vb < MAX_VBUCKETS && seq > 0, "a mutation has a vbucket and a seq from 1");
  return `${vb.toString(RADIX)}.${seq.toString(RADIX)}`;
}

/**
 * Reads a sequence.
 *
 * @throws TidegateError `bad_sequence`, with what is wrong and where, for anything that
 *   {@link formatSequence} would not have printed
 */
export function parseSequence(text: string): Sequence {
  if (text.startsWith("c_")) {
    return { kind: "clock", clock: clockFromText(text.slice(2), (what) => bad(text, what)) };
  }
  const sign = text.search(/[-*]/);
  if (sign < 0) return { kind: "tick", tick: parseTick(text, text, "the tick") };
  const first = parseTick(text, text.slice(0, sign), "the tick before the sign");
  const rest = text.slice(sign + 1);
  if (text[sign] === "*") return { kind: "eager", tick: first, ...parseMutation(text, rest) };

  const colon = rest.indexOf(":");
  if (colon < 0) bad(text, "an interval S-T is followed by :vb.seq");
  const to = parseTick(text, rest.slice(0, colon), "the tick after the -");
  if (first >= to) bad(text, "the interval S-T ends at or before its beginning");
  return { kind: "interval", from: first, to, ...parseMutation(text, rest.slice(colon + 1)) };
}

function parseTick(whole: string, digits: string, what: string): Tick {
  return parseNumber(whole, digits, what, MAX_TICK) as Tick;
}

function parseMutation(whole: string, text: string): { vb: number; seq: number } {
  const dot = text.indexOf(".");
  if (dot < 0) bad(whole, "the mutation at its end is not of the form vb.seq");
  const vb = parseNumber(whole, text.slice(0, dot), "the vbucket", MAX_VBUCKETS - 1);
  const seq = parseNumber(whole, text.slice(dot + 1), "the seq", MAX_SEQ);
  if (seq === 0) bad(whole, "the seq is 0, and the first mutation of a vbucket is 1");
  return { vb, seq };
}

/** A number in its one spelling: lower-case digits of base 36 without leading zeros. */
function parseNumber(whole: string, digits: string, what: string, max: number): number {
  if (digits === "") bad(whole, `${what} is missing`);
  if (digits.length > MAX_DIGITS) bad(whole, `${what} is too large`);
  if (digits.length > 1 && digits[0] === "0") bad(whole, `${what} begins with a zero`);
  let value = 0;
  for (let index = 0; index < digits.length; index++) {
    const code = digits.charCodeAt(index);
    const digit = code <= 57 ? code - 48 : code >= 97 ? code - 87 : -1;
    if (digit < 0 || digit >= RADIX) bad(whole, `${what} has a character that is not in 0-9, a-z`);
    if (value > (max - digit) / RADIX) bad(whole, `${what} is too large`);
    value = value * RADIX + digit;
  }
  return value;
}

function bad(text: string, what: string): never {
  const shown = text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text;
  throw new TidegateError(
    "bad_sequence",
    `${JSON.stringify(shown)} is not a sequence: ${what}. Use one that a gateway sent, or 0.`,
  );
}
