// What a person sees of clocks, and the traces that are recorded for the bench.

import { describe, expect, test } from "bun:test";
import { silentLog } from "../../src/base/log.ts";
import { noBranches } from "../../src/clock/branches.ts";
import {
  inspectClock,
  inspectPosition,
  inspectSequence,
  inspectTicks,
  linesOf,
} from "../../src/clock/inspect.ts";
import { openLookupMap } from "../../src/clock/lookup-map.ts";
import { formatSequence, parseSequence } from "../../src/clock/sequence.ts";
import type { Clock, Stable, Tick } from "../../src/clock/tick.ts";
import { headOf, readTrace, recordTrace, SINCE_HEAD, TraceWriter } from "../../src/clock/trace.ts";
import { withBucket } from "../bucket/support.ts";
import { VirtualTime } from "../simulation/virtual-time.ts";
import { random, shapes } from "./support.ts";

const NOW = 1_763_685_600_000 as Tick;

describe("inspecting", () => {
  test("a sequence says what it means, and when its ticks were", () => {
    const text = formatSequence({ kind: "interval", from: 0 as Tick, to: NOW, vb: 7, seq: 99 });
    const lines = linesOf(inspectSequence(text)).join("\n");
    expect(lines).toContain("2025-11-21T00:40:00.000Z");
    expect(lines).toContain("mutation:\n  vb:  7\n  seq: 99");
    expect(() => inspectSequence("1-")).toThrow("is not a sequence");
    expect(inspectSequence("2gosa7pa2gv").tick).toEqual({
      sequence: "2gosa7pa2gv",
      tick: Number.MAX_SAFE_INTEGER,
      at: null,
    });
  });

  test("a clock says what is in it and what each codec makes of it", () => {
    const clock = shapes.Poisson!(1024, random(1));
    const report = inspectClock(clock);
    expect(report.vbuckets).toBe(1024);
    expect(Object.keys(report.payloadBytes as object)).toContain("model");
    expect(report.bytes).toBeLessThan(report.rawBytes as number);
    const text = formatSequence({ kind: "clock", clock });
    expect(inspectSequence(text).clock).toEqual(report);
    expect(linesOf(inspectSequence(text)).join("\n")).toContain("median");
  });

  test("a position and the ticks of a database", async () => {
    await withBucket(async ({ index }) => {
      const time = new VirtualTime();
      const map = await openLookupMap({ collection: index, vbuckets: 4, time, log: silentLog });
      for (let n = 1; n <= 30; n++) {
        await map.append((NOW + n * 10) as Tick, new Float64Array(4).fill(n));
      }
      const since = formatSequence({ kind: "tick", tick: (NOW + 105) as Tick });
      const report = await inspectPosition(since, map, noBranches, 4);
      expect(report.from).toMatchObject({
        tick: NOW + 100,
        mutations: 40,
        clock: [10, 10, 10, 10],
      });
      expect(report.behind).toBe(80);
      const head = await inspectPosition(SINCE_HEAD, map, noBranches, 4);
      expect(headOf(JSON.parse(JSON.stringify(head)))).toEqual(map.newest()!);
      expect(headOf({ from: { tick: 0, clock: [0] } })).toBeUndefined();
      const page = await inspectTicks(map, { from: (NOW + 20) as Tick, limit: 5 });
      expect((page.ticks as unknown[]).length).toBe(5);
      expect(parseSequence(page.next as string)).toEqual({
        kind: "tick",
        tick: (NOW + 70) as Tick,
      });
      const all = await inspectTicks(map);
      expect((all.ticks as { mutations: number }[]).map(({ mutations }) => mutations)).toEqual(
        Array.from({ length: 30 }, (_, n) => (n + 1) * 4),
      );
      expect(linesOf(all).length).toBeGreaterThan(30);
    });
  });
});

describe("a trace", () => {
  function* ticks(count: number): Generator<Stable> {
    const next = random(2);
    let clock: Clock = new Float64Array(16);
    for (let at = 1; at <= count; at++) {
      clock = clock.map((seq) => seq + (next() < 0.1 ? Math.ceil(next() * 5) : 0));
      yield { tick: (NOW + at) as Tick, clock };
    }
  }

  test("is read back as it was recorded", () => {
    const writer = new TraceWriter();
    const all = [...ticks(2500)];
    const lines = all.map((stable) => writer.line(stable)!);
    expect(writer.line(all.at(-1)!)).toBeUndefined();
    expect(lines.filter((line) => line.includes('"clock"')).length).toBe(3);
    expect([...readTrace(lines)]).toEqual(all);
  });

  test("is recorded from whoever knows the head, until it is ended", async () => {
    const time = new VirtualTime();
    const source = ticks(20);
    const lines: string[] = [];
    const end = new AbortController();
    const head = async () => {
      const { value } = source.next();
      if (value === undefined) end.abort();
      return value as Stable | undefined;
    };
    const write = (line: string) => void lines.push(line);
    const recording = recordTrace({ head, write, time, everyMs: 100, signal: end.signal });
    await time.advance(3000);
    expect(await recording).toBe(20);
    expect([...readTrace(lines)]).toEqual([...ticks(20)]);
  });

  test.each([
    ["[1]", "line 1 of the trace: it is not a JSON object"],
    ["{", "line 1 of the trace: it is not a JSON object"],
    ['{"tick":5,"changes":{}}', "there is no whole clock before it"],
    ['{"tick":0,"clock":[1]}', "its tick is not an integer above the one before"],
    ['{"tick":5,"clock":[-1]}', "bad clock"],
    ['{"tick":5,"clock":[1]}\n{"tick":6,"changes":{"1":1}}', "line 2 of the trace: bad changes"],
    ['{"tick":5,"clock":[1]}\n{"tick":5,"clock":[1]}', "line 2 of the trace: its tick"],
  ])("%s is refused: %s", (text, reason) => {
    expect(() => [...readTrace(text.split("\n"))]).toThrow(reason);
  });
});
