// Positions: what a client has that says a sequence. Whatever happened meanwhile, nothing is
// missed.

import { describe, expect, test } from "bun:test";
import { silentLog } from "../../src/base/log.ts";
import type { Branches, Rollback } from "../../src/clock/branches.ts";
import { includesClock } from "../../src/clock/clock.ts";
import { openLookupMap, type TickHistory } from "../../src/clock/lookup-map.ts";
import { type Position, resolvePosition } from "../../src/clock/position.ts";
import { formatSequence, parseSequence } from "../../src/clock/sequence.ts";
import type { Clock, Tick } from "../../src/clock/tick.ts";
import { withBucket } from "../bucket/support.ts";
import { VirtualTime } from "../simulation/virtual-time.ts";

const V = 4;

interface Setting {
  readonly map: TickHistory;
  readonly rollbacks: Rollback[];
  at(text: string): Promise<Position>;
}

/** A map with the ticks 10, 20 … 50, at tick 10n every seq is 100n; `rollbacks` may be added to. */
async function withTicks(use: (setting: Setting) => Promise<void>): Promise<void> {
  await withBucket(async ({ index }) => {
    const rollbacks: Rollback[] = [];
    const branches: Branches = {
      get version() {
        return rollbacks.length;
      },
      rollbacks: () => rollbacks,
    };
    const time = new VirtualTime();
    const options = { collection: index, vbuckets: V, time, log: silentLog, branches };
    const map = await openLookupMap(options);
    for (let n = 1; n <= 5; n++) await map.append((n * 10) as Tick, clockOf(n * 100));
    const at = (text: string) => resolvePosition(parseSequence(text), map, V, branches);
    await use({ map, rollbacks, at });
  });
}

function clockOf(seq: number): Clock {
  return new Float64Array(V).fill(seq);
}

const text = (tick: number) => tick.toString(36);

describe("a position", () => {
  test("at a tick is its clock, or that of the nearest older one", async () => {
    await withTicks(async ({ at }) => {
      expect(await at(text(20))).toEqual({ from: { tick: 20 as Tick, clock: clockOf(200) } });
      expect(await at(text(29))).toEqual({ from: { tick: 20 as Tick, clock: clockOf(200) } });
      expect(await at(text(9))).toEqual({ from: { tick: 0 as Tick, clock: clockOf(0) } });
      expect(await at("0")).toEqual({ from: { tick: 0 as Tick, clock: clockOf(0) } });
    });
  });

  test("newer than the head is the head", async () => {
    await withTicks(async ({ at }) => {
      expect(await at(text(51))).toEqual({ from: { tick: 50 as Tick, clock: clockOf(500) } });
      expect((await at(`${text(60)}-${text(70)}:1.5`)).from.tick).toBe(50 as Tick);
      expect((await at(`${text(60)}-${text(70)}:1.5`)).within).toBeUndefined();
    });
  });

  test("inside an interval is both ends and the mutation", async () => {
    await withTicks(async ({ at }) => {
      expect(await at(`${text(10)}-${text(30)}:2.3`)).toEqual({
        from: { tick: 10 as Tick, clock: clockOf(100) },
        within: { to: { tick: 30 as Tick, clock: clockOf(300) }, vb: 2, seq: 3 },
      });
      expect((await at(`0-${text(30)}:2.3`)).from.tick).toBe(0 as Tick);
      // Both ends are gone, and are the same older tick now: the client has that.
      expect(await at(`${text(31)}-${text(39)}:2.3`)).toEqual({
        from: { tick: 30 as Tick, clock: clockOf(300) },
      });
    });
  });

  test("at an eager row is its tick", async () => {
    await withTicks(async ({ at }) => {
      expect(await at(`${text(40)}*3.zz`)).toEqual({
        from: { tick: 40 as Tick, clock: clockOf(400) },
      });
    });
  });

  test("of a whole clock is that clock, and the newest tick that it includes", async () => {
    await withTicks(async ({ at }) => {
      const clock = Float64Array.of(250, 320, 201, 400);
      const found = await at(formatSequence({ kind: "clock", clock }));
      expect(found).toEqual({ from: { tick: 20 as Tick, clock } });
      const ahead = Float64Array.of(250, 9e9, 1, Number.MAX_SAFE_INTEGER);
      expect(await at(formatSequence({ kind: "clock", clock: ahead }))).toEqual({
        from: { tick: 0 as Tick, clock: Float64Array.of(250, 500, 1, 500) },
      });
    });
  });

  test("that does not fit the database is refused with both numbers", async () => {
    await withTicks(async ({ at }) => {
      const other = formatSequence({ kind: "clock", clock: new Float64Array(1024) });
      await expect(at(other)).rejects.toThrow("clock of 1024 vbuckets, and this database has 4");
      await expect(at(`${text(10)}-${text(20)}:4.1`)).rejects.toThrow("vbucket 4");
      await expect(at(`${text(10)}*4.1`)).rejects.toThrow("vbucket 4");
    });
  });

  test("from before a rollback never skips what the new branch has", async () => {
    await withTicks(async ({ map, rollbacks, at }) => {
      const clock = Float64Array.of(480, 480, 480, 480);
      const whole = formatSequence({ kind: "clock", clock });
      expect((await at(text(50))).from.clock).toEqual(clockOf(500));
      rollbacks.push({ vb: 1, seq: 320, tick: 50 as Tick });
      await map.append(60 as Tick, Float64Array.of(600, 700, 600, 600));
      for (const sequence of [text(40), text(50), `${text(40)}-${text(50)}:1.dd`, whole]) {
        const { from, within } = await at(sequence);
        const has = within === undefined ? from.clock : within.to.clock;
        // 321 to 700 of the new branch are all still to be sent.
        expect(has[1]).toBe(320);
      }
      expect((await at(text(30))).from.clock).toEqual(clockOf(300));
      expect((await at(text(60))).from.clock[1]).toBe(700);
      expect(includesClock(clock, (await map.resolve((await at(whole)).from.tick)).clock)).toBe(
        true,
      );
    });
  });
});
