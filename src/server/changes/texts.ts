// `_changes` as text: the four kinds that are one HTTP answer. Rows are texts already, nothing is
// parsed to be printed again.

import { FLUSH, type PieceSource } from "../piece-stream.ts";
import type { FeedStep } from "./pace.ts";

/** Steps of a feed, as `pace.ts` makes them. */
type Steps = AsyncGenerator<FeedStep, void, undefined>;

/**
 * `feed=normal`: what is there. `feed=longpoll`: the same, but when nothing is there it waits for
 * the first change. Both are one JSON object.
 */
async function* printObject(steps: Steps, start: string, waits: boolean): PieceSource {
  let lastSeq = start;
  let separator = "";
  yield '{"results":[\n';
  for await (const step of steps) {
    if (step.kind === "over") break;
    if (step.kind === "heartbeat") {
      yield "\n";
      yield FLUSH;
      continue;
    }
    const { rows, caughtUp, done } = step.batch;
    lastSeq = step.batch.lastSeq;
    if (rows.length > 0) {
      yield separator + rows.join(",\n");
      separator = ",\n";
    }
    if (done || (caughtUp && (separator !== "" || !waits))) break;
    if (caughtUp) yield FLUSH;
  }
  yield `\n],\n"last_seq":${JSON.stringify(lastSeq)}}\n`;
}

/**
 * `feed=continuous`: a row a line, then a line with `last_seq` when the feed ends. Begins with an
 * empty line when there is no row yet: the answer's head goes out with the first text.
 */
async function* printLines(steps: Steps, start: string): PieceSource {
  let lastSeq = start;
  let begun = false;
  for await (const step of steps) {
    if (step.kind === "over") break;
    if (step.kind === "heartbeat") yield "\n";
    else {
      const { rows, caughtUp } = step.batch;
      lastSeq = step.batch.lastSeq;
      if (rows.length > 0 || !begun) yield `${rows.join("\n")}\n`;
      begun = true;
      if (!caughtUp) continue;
    }
    yield FLUSH;
  }
  yield `{"last_seq":${JSON.stringify(lastSeq)}}\n`;
}

/** `feed=eventsource`: an event a row, its id the row's sequence. Begins with a comment. */
async function* printEvents(steps: Steps): PieceSource {
  yield ": tidegate\n\n";
  for await (const step of steps) {
    if (step.kind === "over") break;
    if (step.kind === "heartbeat") yield "event: heartbeat\ndata: \n\n";
    else {
      let text = "";
      for (const row of step.batch.rows) text += `data: ${row}\nid: ${seqOf(row)}\n\n`;
      if (text !== "") yield text;
      if (!step.batch.caughtUp) continue;
    }
    yield FLUSH;
  }
}

/** The sequence of a row's text, which is the first key. */
function seqOf(row: string): string {
  const found = /^\{"seq":"([^"\\]*)"/.exec(row)?.[1];
  return found ?? String((JSON.parse(row) as { seq: string }).seq);
}

/** The printers of the kinds that are one HTTP answer. */
export const printers = {
  normal: (steps: Steps, start: string) => printObject(steps, start, false),
  longpoll: (steps: Steps, start: string) => printObject(steps, start, true),
  continuous: printLines,
  eventsource: printEvents,
} as const;
