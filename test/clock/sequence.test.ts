// Sequences: one spelling for each, and a clear refusal of everything else.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isTidegateError } from "../../src/base/errors.ts";
import { formatSequence, parseSequence, type Sequence } from "../../src/clock/sequence.ts";
import type { Tick } from "../../src/clock/tick.ts";

const tick = fc.oneof(fc.nat(50), fc.maxSafeNat()).map((value) => value as Tick);
const mutation = {
  vb: fc.nat(65535),
  seq: fc.oneof(fc.nat(99), fc.maxSafeNat()).map((n) => n || 1),
};

const sequence: fc.Arbitrary<Sequence> = fc.oneof(
  fc.record({ kind: fc.constant("tick" as const), tick }),
  fc
    .record({ kind: fc.constant("interval" as const), from: tick, to: tick, ...mutation })
    .filter(({ from, to }) => from < to),
  fc.record({ kind: fc.constant("eager" as const), tick, ...mutation }),
  fc
    .array(fc.maxSafeNat(), { minLength: 1, maxLength: 80 })
    .map((seqs) => ({ kind: "clock" as const, clock: Float64Array.from(seqs) })),
);

function reasonOf(text: string): string {
  try {
    parseSequence(text);
  } catch (error) {
    if (isTidegateError(error, "bad_sequence")) return error.message;
    throw error;
  }
  return "accepted";
}

describe("sequences", () => {
  test("are read back as they were printed, and need no escaping in a URL", () => {
    fc.assert(
      fc.property(sequence, (one) => {
        const text = formatSequence(one);
        expect(parseSequence(text)).toEqual(one);
        expect(encodeURIComponent(text).replaceAll("%3A", ":")).toBe(text);
        expect(new URL(`http://host/db/_changes?since=${text}`).searchParams.get("since")).toBe(
          text,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test("look as the design says", () => {
    const now = 1_763_685_600_000 as Tick;
    expect(formatSequence({ kind: "tick", tick: 0 as Tick })).toBe("0");
    expect(formatSequence({ kind: "tick", tick: now })).toBe("mi84vaio");
    expect(formatSequence({ kind: "interval", from: 0 as Tick, to: now, vb: 1023, seq: 36 })).toBe(
      "0-mi84vaio:sf.10",
    );
    expect(formatSequence({ kind: "eager", tick: now, vb: 0, seq: 1 })).toBe("mi84vaio*0.1");
    expect(formatSequence({ kind: "clock", clock: Float64Array.of(1, 2) })).toMatch(/^c_[\w-]+$/);
  });

  test("whatever is accepted is spelled in its one way", () => {
    const nearly = fc.oneof(
      fc.stringMatching(/^[0-9a-z*.:-]{0,12}$/),
      fc
        .tuple(sequence, fc.nat(40), fc.constantFrom("", "0", "-", "*", ":", ".", "A", " ", "_"))
        .map(([one, at, sign]) => {
          const text = formatSequence(one);
          return text.slice(0, at) + sign + text.slice(at + 1);
        }),
    );
    let accepted = 0;
    fc.assert(
      fc.property(nearly, (text) => {
        if (reasonOf(text) !== "accepted") return;
        accepted++;
        expect(formatSequence(parseSequence(text))).toBe(text);
      }),
      { numRuns: 5000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });

  test.each([
    ["", "the tick is missing"],
    ["00", "the tick begins with a zero"],
    ["MI8", "a character that is not in 0-9, a-z"],
    [" 1", "a character that is not in 0-9, a-z"],
    ["1\n", "a character that is not in 0-9, a-z"],
    ["2gosa7pa2gw", "the tick is too large"],
    ["zzzzzzzzzzzzzzz", "the tick is too large"],
    ["1-", "an interval S-T is followed by :vb.seq"],
    ["1-2", "an interval S-T is followed by :vb.seq"],
    ["-2:1.1", "the tick before the sign is missing"],
    ["1-:1.1", "the tick after the - is missing"],
    ["2-2:1.1", "ends at or before its beginning"],
    ["3-2:1.1", "ends at or before its beginning"],
    ["1-2:1", "not of the form vb.seq"],
    ["1-2:.1", "the vbucket is missing"],
    ["1-2:1.", "the seq is missing"],
    ["1-2:1.0", "the seq is 0"],
    ["1-2:1.01", "the seq begins with a zero"],
    ["1-2:1ekg.1", "the vbucket is too large"],
    ["1-2:1.1.1", "a character that is not in 0-9, a-z"],
    ["1*", "not of the form vb.seq"],
    ["1*2", "not of the form vb.seq"],
    ["1*2.3*", "a character that is not in 0-9, a-z"],
    ["c_", "its clock cannot be read"],
    ["c_AAAA", "its clock cannot be read"],
    ["c_AB==", "without padding"],
    ["c_A+/A", "without padding"],
    ["C_AAAA", "a character that is not in 0-9, a-z"],
  ])("%j is refused: %s", (text, reason) => {
    expect(reasonOf(text)).toContain(reason);
  });

  test("a message repeats only a part of a long malformed sequence", () => {
    expect(reasonOf("!".repeat(100_000)).length).toBeLessThan(300);
  });
});
