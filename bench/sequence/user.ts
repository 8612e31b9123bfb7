// A user's own trace as a history: what its ticks cost, one after the other.

import { ByteWriter } from "../../src/clock/bytes.ts";
import { encodeDelta } from "../../src/clock/delta.ts";
import { SegmentWriter } from "../../src/clock/segment.ts";
import type { Clock, Tick } from "../../src/clock/tick.ts";

/** A segment is closed at this size, as in the lookup map. */
const SEGMENT_BYTES = 8 * 1024;

/** What the ticks of a trace cost. */
export interface UserResult {
  readonly ticks: number;
  readonly writesBetween: number;
  readonly deltaBytes: number;
  readonly bytesInSegments: number;
  readonly pairsBytes: number;
}

/** Writes every tick of the trace as the gateway would. */
export function measureUser(clocks: readonly Clock[]): UserResult {
  let writes = 0;
  let deltas = 0;
  let pairs = 0;
  let segments = 0;
  let writer = new SegmentWriter(SEGMENT_BYTES);
  for (const [index, clock] of clocks.entries()) {
    if (writer.isFull(SEGMENT_BYTES)) {
      segments += writer.length;
      writer = new SegmentWriter(SEGMENT_BYTES);
    }
    writer.add(writer.encode((index + 1) as Tick, clock));
    const before = clocks[index - 1];
    if (before === undefined) continue;
    deltas += encodeDelta(before, clock).length;
    const pair = new ByteWriter(256);
    let last = -1;
    for (let vb = 0; vb < clock.length; vb++) {
      const by = Math.abs(clock[vb]! - before[vb]!);
      if (by === 0) continue;
      writes += by;
      pair.varint(vb - last - 1);
      pair.varint(by);
      last = vb;
    }
    pairs += pair.length;
  }
  const between = Math.max(1, clocks.length - 1);
  return {
    ticks: clocks.length,
    writesBetween: writes / between,
    deltaBytes: deltas / between,
    bytesInSegments: (segments + writer.length) / clocks.length,
    pairsBytes: pairs / between,
  };
}
