// Traces: the clocks that a gateway published, as a text file that the sequence bench replays. One
// JSON object a line: `{"tick":T,"clock":[…]}` first and now and then,
// `{"tick":T,"changes":{"vb":by}}` otherwise. Who asks a running gateway for its head is the
// command line.

import { TidegateError } from "../base/errors.ts";
import type { Json, JsonObject } from "../base/json.ts";
import { MAX_SEQ, MAX_VBUCKETS } from "../bucket/vbucket.ts";
import { sleep, type Time } from "../runtime/time.ts";
import { copyClock } from "./clock.ts";
import { formatTick, MAX_TICK } from "./sequence.ts";
import type { Clock, Stable, Tick } from "./tick.ts";

/** A whole clock comes at least every so many lines, so that a damaged trace is not lost. */
const WHOLE_EVERY = 1000;

/** Makes the lines of a trace. */
export class TraceWriter {
  #last: Stable | undefined;
  #lines = 0;

  /** The line of a tick; undefined when it is the last one again. */
  line({ tick, clock }: Stable): string | undefined {
    const last = this.#last;
    if (last !== undefined && tick <= last.tick) return undefined;
    this.#last = { tick, clock: copyClock(clock) };
    if (last === undefined || this.#lines++ % WHOLE_EVERY === WHOLE_EVERY - 1) {
      return JSON.stringify({ tick, clock: [...clock] });
    }
    const changes: JsonObject = {};
    for (let vb = 0; vb < clock.length; vb++) {
      const by = clock[vb]! - last.clock[vb]!;
      if (by !== 0) changes[vb] = by;
    }
    return JSON.stringify({ tick, changes });
  }
}

/** What {@link recordTrace} needs. */
export interface TraceOptions {
  /** Asks for the newest tick: of a database in this process, or of a gateway by HTTP. */
  readonly head: () => Promise<Stable | undefined>;
  /** Takes a line, without its end. */
  readonly write: (line: string) => void | Promise<void>;
  readonly time: Time;
  /** How often to ask, in milliseconds. */
  readonly everyMs: number;
  /** Ends the recording. */
  readonly signal: AbortSignal;
}

/** The `since` whose answer of `GET /{db}/_clock` is the newest tick: it counts as the head. */
export const SINCE_HEAD = formatTick(MAX_TICK);

/** The newest tick in an answer of `GET /{db}/_clock`; undefined when it has none yet. */
export function headOf(answer: Json): Stable | undefined {
  const from = isObject(answer) && answer.from !== undefined ? answer.from : null;
  if (!isObject(from) || typeof from.tick !== "number" || from.tick === 0) return undefined;
  const clock = Array.isArray(from.clock) ? wholeClock(from.clock) : undefined;
  return clock === undefined ? undefined : { tick: from.tick as Tick, clock };
}

function isObject(value: Json): value is JsonObject {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** Records a trace until `signal` is aborted. Gives the number of ticks recorded. */
export async function recordTrace(options: TraceOptions): Promise<number> {
  const { head, write, time, everyMs, signal } = options;
  const writer = new TraceWriter();
  let ticks = 0;
  while (!signal.aborted) {
    const stable = await head();
    const line = stable && writer.line(stable);
    if (line !== undefined) {
      await write(line);
      ticks++;
    }
    await sleep(time, everyMs, signal);
  }
  return ticks;
}

/**
 * Reads a trace.
 *
 * @param lines its lines, without their ends; empty ones are passed over
 * @throws TidegateError `bad_request` naming the line that is not one of a trace
 */
export function* readTrace(lines: Iterable<string>): Generator<Stable> {
  let clock: Clock | undefined;
  let last = 0;
  let number = 0;
  for (const line of lines) {
    number++;
    if (line.trim() === "") continue;
    const refuse = (what: string): never => {
      throw new TidegateError("bad_request", `line ${number} of the trace: ${what}`);
    };
    const record = parseLine(line) ?? refuse("it is not a JSON object");
    const { tick } = record;
    if (typeof tick !== "number" || !Number.isSafeInteger(tick) || tick <= last) {
      return refuse("its tick is not an integer above the one before");
    }
    if (Array.isArray(record.clock)) clock = wholeClock(record.clock) ?? refuse("bad clock");
    else if (clock === undefined) return refuse("there is no whole clock before it");
    else clock = changedClock(clock, record.changes ?? null) ?? refuse("bad changes");
    last = tick;
    yield { tick: tick as Tick, clock };
  }
}

function parseLine(line: string): JsonObject | undefined {
  try {
    const parsed = JSON.parse(line) as Json;
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isSeq(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= MAX_SEQ;
}

function wholeClock(seqs: readonly Json[]): Clock | undefined {
  if (seqs.length === 0 || seqs.length > MAX_VBUCKETS || !seqs.every(isSeq)) return undefined;
  return Float64Array.from(seqs as number[]);
}

function changedClock(before: Clock, changes: Json): Clock | undefined {
  if (!isObject(changes)) return undefined;
  const clock = copyClock(before);
  for (const [vb, by] of Object.entries(changes)) {
    const seq = clock[Number(vb)];
    if (seq === undefined || typeof by !== "number" || !isSeq(seq + by)) return undefined;
    clock[Number(vb)] = seq + by;
  }
  return clock;
}
