// Bytes that versions of Tidegate have written, and what they mean: what is stored once is read for
// ever.
// `v1.json` is never changed; a new layout adds a file beside it. Runs on every runtime.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import {
  binomialTable,
  GAUSSIAN_STEPS,
  gaussianTable,
  MEAN_STEPS,
  poissonTable,
  SHAPE_STEPS,
} from "../../../src/clock/codec/model.ts";
import { addPayload } from "../../../src/clock/codec/payload.ts";
import { applyDelta } from "../../../src/clock/delta.ts";
import { decodePartitionClock } from "../../../src/clock/partition.ts";
import { Segment } from "../../../src/clock/segment.ts";
import { parseSequence } from "../../../src/clock/sequence.ts";
import { decodeClock } from "../../../src/clock/whole.ts";

/** One thing that was written, in hexadecimal digits, and what it must be read as. */
export type Golden =
  | { form: "payload" | "whole"; name: string; hex: string; clock: number[] }
  | { form: "delta"; name: string; hex: string; base: number[]; clock: number[] }
  | { form: "segment"; name: string; hex: string; ticks: number[]; clocks: number[][] }
  | { form: "partition"; name: string; hex: string; partition: unknown }
  | { form: "sequence"; name: string; text: string; clock: number[] }
  | { form: "tables"; name: string; sha256: string };

/**
 * A digest of every table of the entropy coder: the same on every machine, or clocks are misread.
 */
export function digestOfTables(): string {
  const hash = createHash("sha256");
  for (let step = 0; step < GAUSSIAN_STEPS; step++) hash.update(gaussianTable(step).slots);
  for (let mean = 1; mean <= MEAN_STEPS; mean++) {
    hash.update(poissonTable(mean).slots);
    for (let shape = 0; shape < SHAPE_STEPS; shape++) {
      hash.update(binomialTable(mean, shape).slots);
    }
  }
  return hash.digest("hex");
}

/** The golden bytes of a version. */
export function readGolden(version: string): Golden[] {
  return JSON.parse(readFileSync(new URL(`./${version}.json`, import.meta.url), "utf8"));
}

/** What `golden` is read as today, as JSON, beside what it must be. */
export function check(golden: Golden): { found: string; expected: string } {
  if (golden.form === "tables") return { found: digestOfTables(), expected: golden.sha256 };
  if (golden.form === "sequence") {
    const sequence = parseSequence(golden.text);
    const clock = sequence.kind === "clock" ? [...sequence.clock] : sequence;
    return { found: JSON.stringify(clock), expected: JSON.stringify(golden.clock) };
  }
  const bytes = new Uint8Array(Buffer.from(golden.hex, "hex"));
  switch (golden.form) {
    case "payload": {
      const clock = new Float64Array(golden.clock.length);
      addPayload(bytes, clock);
      return { found: JSON.stringify([...clock]), expected: JSON.stringify(golden.clock) };
    }
    case "whole":
      return {
        found: JSON.stringify([...decodeClock(bytes)]),
        expected: JSON.stringify(golden.clock),
      };
    case "delta": {
      const clock = Float64Array.from(golden.base);
      applyDelta(clock, bytes);
      return { found: JSON.stringify([...clock]), expected: JSON.stringify(golden.clock) };
    }
    case "segment": {
      const segment = new Segment(bytes, golden.clocks[0]?.length ?? 0);
      const found = golden.ticks.map((_, at) => [segment.tickAt(at), [...segment.clockAt(at)]]);
      const expected = golden.ticks.map((tick, at) => [tick, golden.clocks[at]]);
      return { found: JSON.stringify(found), expected: JSON.stringify(expected) };
    }
    case "partition":
      return {
        found: JSON.stringify(decodePartitionClock(bytes)),
        expected: JSON.stringify(golden.partition),
      };
  }
}
