// Whole clocks: what each format makes of each trace, and how long it takes.

import { codecOf, encodePayload } from "../../src/clock/codec/payload.ts";
import type { Clock } from "../../src/clock/tick.ts";
import { decodeClock, encodeClock } from "../../src/clock/whole.ts";
import { baselines, type Format } from "./baselines.ts";
import { type Timing, time } from "./timing.ts";
import type { Trace, TraceKind } from "./traces.ts";

/** Samples of a trace, and of them those that slow formats are given. */
const SAMPLES = 40;
const SLOW_SAMPLES = 6;
/** Clocks that decoding and encoding take in turn. */
const TIMED = 16;

/** What one format makes of one trace. */
export interface FormatResult {
  readonly format: string;
  /** Bytes sent, on average. */
  readonly bytes: number;
  /** Bytes kept elsewhere for each clock, besides those sent. */
  readonly stored: number;
  readonly ratio: number | undefined;
  readonly encode: Timing;
  readonly decode: Timing;
}

/** What all formats make of one trace. */
export interface WholeResult {
  readonly trace: string;
  readonly kind: TraceKind;
  readonly about: string;
  readonly writes: number;
  readonly bound: number | undefined;
  /** How often each codec was chosen. */
  readonly chosen: Readonly<Record<string, number>>;
  readonly formats: readonly FormatResult[];
}

/** The name of our own form in the results: the default, and with zstd tried too. */
export const OURS = "tidegate";
export const OURS_SMALL = "tidegate, small";

const ours: readonly Format[] = [
  { name: OURS, encode: (clock) => encodeClock(clock), decode: decodeClock },
  {
    name: OURS_SMALL,
    encode: (clock) => encodeClock(clock, "small"),
    decode: decodeClock,
    slow: true,
  },
];

/** Measures every format on `trace`. Throws when one does not give back what it was given. */
export function measureWhole(trace: Trace): WholeResult {
  const clocks = Array.from({ length: SAMPLES }, (_, seed) => trace.sample(seed + 1));
  const chosen: Record<string, number> = {};
  for (const clock of clocks) {
    const name = codecOf(encodePayload(clock, "fast"));
    chosen[name] = (chosen[name] ?? 0) + 1;
  }
  return {
    trace: trace.name,
    kind: trace.kind,
    about: trace.about,
    writes: trace.writes,
    bound: trace.bound,
    chosen,
    formats: [...ours, ...baselines].map((format) => measureFormat(format, clocks, trace.bound)),
  };
}

function measureFormat(
  format: Format,
  all: readonly Clock[],
  bound: number | undefined,
): FormatResult {
  const clocks = all.slice(0, format.slow ? SLOW_SAMPLES : SAMPLES);
  const vbuckets = clocks[0]!.length;
  let bytes = 0;
  let stored = 0;
  for (const clock of clocks) {
    const encoded = format.encode(clock);
    bytes += encoded.length / clocks.length;
    stored += (format.stored?.(clock) ?? 0) / clocks.length;
    if (format.stored === undefined) checkSame(format, encoded, clock);
  }
  const timed = clocks.slice(0, TIMED);
  const encoded = timed.map((clock) => format.encode(clock));
  return {
    format: format.name,
    bytes,
    stored,
    ratio: bound && (bytes + stored) / bound,
    encode: time((run) => format.encode(timed[run % timed.length]!)),
    decode: time((run) => format.decode(encoded[run % timed.length]!, vbuckets)),
  };
}

function checkSame(format: Format, encoded: Uint8Array, clock: Clock): void {
  const decoded = format.decode(encoded, clock.length);
  if (!decoded.every((seq, vb) => seq === clock[vb])) {
    throw new Error(`${format.name} does not give back the clock`);
  }
}
