// The lookup map: a tick names its clock for ever, or an older one; never a newer one, never an
// error.

import { describe, expect, test } from "bun:test";
import { silentLog } from "../../src/base/log.ts";
import type { KeyValueCollection } from "../../src/bucket/bucket.ts";
import type { Branches, Rollback } from "../../src/clock/branches.ts";
import { includesClock } from "../../src/clock/clock.ts";
import { openLookupMap, type TickHistory } from "../../src/clock/lookup-map.ts";
import { SEGMENT_PREFIX } from "../../src/clock/segment-store.ts";
import type { ThinningPolicy } from "../../src/clock/thinning.ts";
import type { Clock, Tick } from "../../src/clock/tick.ts";
import { withBucket } from "../bucket/support.ts";
import { VirtualTime } from "../simulation/virtual-time.ts";
import { damaged, poisson, random } from "./support.ts";

const V = 64;
const START = 1_700_000_000_000;

interface Setting {
  readonly index: KeyValueCollection;
  readonly time: VirtualTime;
  open(options?: { branches?: Branches; policy?: ThinningPolicy }): Promise<TickHistory>;
}

async function withMap(use: (setting: Setting) => Promise<void>, vbuckets = V): Promise<void> {
  await withBucket(
    async ({ index }) => {
      const time = new VirtualTime(START);
      await use({
        index,
        time,
        open: (options = {}) =>
          openLookupMap({ collection: index, vbuckets, time, log: silentLog, ...options }),
      });
    },
    { vbuckets },
  );
}

/** A history of `count` ticks, `gapMs` apart on average, with about `writes` writes each. */
function history(count: number, gapMs: number, writes: number, seed: number, from = START) {
  const next = random(seed);
  let clock: Clock = new Float64Array(V);
  let tick = from;
  return Array.from({ length: count }, () => {
    clock = clock.map((seq) => seq + poisson(next, writes / V));
    tick += 1 + Math.floor(next() * gapMs * 2);
    return { tick: tick as Tick, clock };
  });
}

/** The newest pair at or before `tick`, by looking at all of them. */
function plain(ticks: readonly { tick: Tick; clock: Clock }[], tick: number) {
  return ticks.findLast((pair) => pair.tick <= tick) ?? { tick: 0, clock: new Float64Array(V) };
}

async function segmentKeys(index: KeyValueCollection): Promise<string[]> {
  return index.keys(SEGMENT_PREFIX, { limit: 10_000 });
}

describe("the lookup map", () => {
  test("is empty at first: everything resolves to nothing", async () => {
    await withMap(async ({ open }) => {
      const map = await open();
      expect(map.newest()).toBeUndefined();
      expect(await map.resolve(5 as Tick)).toEqual({ tick: 0 as Tick, clock: new Float64Array(V) });
      expect((await map.floor(new Float64Array(V).fill(9))).tick).toBe(0 as Tick);
    });
  });

  test("names every clock exactly, before and after it is opened again", async () => {
    await withMap(async ({ index, open }) => {
      const ticks = history(2000, 25, 20, 1);
      const map = await open();
      for (const { tick, clock } of ticks) await map.append(tick, clock);
      expect((await segmentKeys(index)).length).toBeGreaterThan(3);
      for (const again of [map, await open()]) {
        expect(again.newest()).toEqual(ticks.at(-1)!);
        const next = random(2);
        for (let run = 0; run < 500; run++) {
          const tick = (START + Math.floor(next() * 2000 * 27)) as Tick;
          expect(await again.resolve(tick)).toEqual(plain(ticks, tick) as never);
        }
        expect(await again.resolve((START - 1) as Tick)).toEqual(plain(ticks, 0) as never);
        expect(await again.resolve(Number.MAX_SAFE_INTEGER as Tick)).toEqual(ticks.at(-1)!);
      }
    });
  });

  test("goes on after it was opened again, also when its newest segment is lost", async () => {
    await withMap(async ({ index, open }) => {
      const ticks = history(900, 25, 20, 3);
      const first = await open();
      for (const { tick, clock } of ticks.slice(0, 600)) await first.append(tick, clock);
      const lost = (await segmentKeys(index)).at(-1)!;
      await index.batch([{ op: "remove", key: lost }]);
      const second = await open();
      const rest = second.newest()!;
      expect(rest).toEqual(plain(ticks, rest.tick) as never);
      for (const { tick, clock } of ticks.slice(600)) await second.append(tick, clock);
      // A client that holds a lost tick is given an older clock.
      const held = ticks[599]!;
      expect(await second.resolve(held.tick)).toEqual(rest);
      expect(includesClock(held.clock, rest.clock)).toBe(true);
      expect(await second.resolve(ticks[750]!.tick)).toEqual(ticks[750]!);
    });
  });

  test("an open segment that vanished does not stop the ticks", async () => {
    await withMap(async ({ index, open }) => {
      const ticks = history(50, 25, 20, 4);
      const map = await open();
      for (const [at, { tick, clock }] of ticks.entries()) {
        await map.append(tick, clock);
        if (at === 20) {
          await index.batch((await segmentKeys(index)).map((key) => ({ op: "remove", key })));
        }
      }
      expect(await map.resolve(ticks[30]!.tick)).toEqual(ticks[30]!);
      expect((await (await open()).resolve(ticks[10]!.tick)).tick).toBe(0 as Tick);
    });
  });

  test("damaged anywhere rounds down: an older clock, never a wrong one, never an error", async () => {
    await withMap(async ({ index, open }) => {
      const ticks = history(400, 25, 20, 5);
      const map = await open();
      for (const { tick, clock } of ticks) await map.append(tick, clock);
      const byTick = new Map(ticks.map(({ tick, clock }) => [tick as number, clock]));
      const next = random(6);
      let rounded = 0;
      const [key = "", after = ""] = await segmentKeys(index);
      const right = (await index.get(key))!.value;
      const end = Number.parseInt(after.split(":")[1] ?? "", 36);
      const inside = ticks.filter(({ tick }) => tick < end);
      const wrongBytes = Array.from({ length: 120 }, () => {
        const wrong = right.slice();
        const at = Math.floor(next() * wrong.length);
        wrong[at] = wrong[at]! ^ (1 << Math.floor(next() * 8));
        return wrong;
      });
      for (const value of [...damaged(right, next, 12), ...wrongBytes]) {
        await index.batch([{ op: "upsert", key, value }]);
        const opened = await open();
        for (let run = 0; run < 40; run++) {
          const wanted = inside[Math.floor(next() * inside.length)]!;
          const found = await opened.resolve(wanted.tick);
          expect(found.tick).toBeLessThanOrEqual(wanted.tick);
          expect(found.clock).toEqual(byTick.get(found.tick) ?? new Float64Array(V));
          if (found.tick !== wanted.tick) rounded++;
        }
      }
      expect(rounded).toBeGreaterThan(50);
    });
  });

  test("large clocks are not written whole with each tick", async () => {
    await withMap(async ({ index, open }) => {
      const next = random(13);
      let clock: Clock = Float64Array.from({ length: 65_536 }, () => poisson(next, 1000));
      const ticks = Array.from({ length: 40 }, (_, at) => {
        clock = clock.map((seq, vb) => seq + (vb % 1000 === at ? 1 : 0));
        return { tick: (START + at * 25) as Tick, clock };
      });
      const map = await open();
      for (const { tick, clock: each } of ticks) await map.append(tick, each);
      const keys = await segmentKeys(index);
      const values = await index.getMany(keys);
      const bytes = values.reduce((sum, found) => sum + (found?.value.length ?? 0), 0);
      expect(bytes).toBeLessThan(70_000);
      const opened = await open();
      for (const pair of ticks) expect(await opened.resolve(pair.tick)).toEqual(pair);
    }, 65_536);
  });

  test("another node's ticks are seen, and its thinning does not lose any", async () => {
    await withMap(async ({ time, open }) => {
      const policy = [{ olderThanMs: 10_000, keepEveryMs: 1000 }];
      const ticks = history(4000, 25, 20, 7);
      const owner = await open({ policy });
      const reader = await open({ policy });
      for (const [at, { tick, clock }] of ticks.entries()) {
        await owner.append(tick, clock);
        if (at % 100 !== 0) continue;
        reader.observe({ tick, clock });
        expect(reader.newest()).toEqual(ticks[at]!);
        const older = ticks[Math.max(0, at - 3)]!;
        expect(await reader.resolve(older.tick)).toEqual(older);
      }
      await time.advance(ticks.at(-1)!.tick - START + 2000);
      await owner.thin();
      for (let at = 0; at < 3000; at += 7) {
        const found = await reader.resolve(ticks[at]!.tick);
        expect(found).toEqual(plain(ticks, found.tick) as never);
        expect(ticks[at]!.tick - found.tick).toBeLessThan(2100);
      }
    });
  });

  test("finds the newest tick that a clock includes, and the oldest that has a mutation", async () => {
    await withMap(async ({ open }) => {
      const ticks = history(1500, 25, 20, 8);
      const map = await open();
      for (const { tick, clock } of ticks) await map.append(tick, clock);
      const next = random(9);
      for (let run = 0; run < 60; run++) {
        const at = Math.floor(next() * ticks.length);
        const { clock } = ticks[at]!;
        const later = ticks[Math.min(ticks.length - 1, at + 1 + Math.floor(next() * 3))]!;
        expect(await map.floor(clock)).toEqual(
          ticks.findLast((t) => includesClock(clock, t.clock))!,
        );
        // A clock between two ticks: some vbuckets are ahead already.
        const between = clock.map((seq, vb) => (vb % 2 === 0 ? later.clock[vb]! : seq));
        const floor = ticks.findLast((pair) => includesClock(between, pair.clock))!;
        expect((await map.floor(between)).tick).toBe(floor.tick);

        const vb = Math.floor(next() * V);
        const seq = Math.floor(next() * (ticks.at(-1)!.clock[vb]! + 3)) + 1;
        const oldest = ticks.find((pair) => pair.clock[vb]! >= seq);
        expect(await map.tickOf(vb, seq)).toBe(oldest?.tick as Tick);
      }
    });
  });

  test("cuts back what later rollbacks took, for the ticks before them alone", async () => {
    await withMap(async ({ open }) => {
      const rollbacks: Rollback[] = [];
      const branches = {
        get version() {
          return rollbacks.length;
        },
        rollbacks: () => rollbacks,
      };
      const ticks = history(300, 25, 100, 10);
      const map = await open({ branches });
      for (const { tick, clock } of ticks) await map.append(tick, clock);
      const old = ticks[200]!;
      expect(await map.resolve(old.tick)).toEqual(old);
      const cut = Math.floor(old.clock[5]! / 2);
      rollbacks.push({ vb: 5, seq: cut, tick: ticks.at(-1)!.tick });
      const clamped = await map.resolve(old.tick);
      expect(clamped.clock).toEqual(old.clock.map((seq, vb) => (vb === 5 ? cut : seq)));
      expect((await map.resolve(ticks[0]!.tick)).clock[5]).toBe(Math.min(cut, ticks[0]!.clock[5]!));
      // The other branch goes on from the cut; its ticks are as they were published.
      const after = ticks.at(-1)!.clock.map((seq, vb) => (vb === 5 ? cut + 3 : seq + 1));
      const newTick = (ticks.at(-1)!.tick + 10) as Tick;
      await map.append(newTick, after);
      expect(await map.resolve(newTick)).toEqual({ tick: newTick, clock: after });
      expect(await (await open({ branches })).resolve(newTick)).toEqual({
        tick: newTick,
        clock: after,
      });
      expect(await map.tickOf(5, cut + 1)).toBe(newTick);
    });
  });
});

describe("thinning", () => {
  const policy: ThinningPolicy = [
    { olderThanMs: 10_000, keepEveryMs: 1000 },
    { olderThanMs: 50_000, keepEveryMs: 4000 },
  ];

  /** Publishes `ticks` at their times, thinning as it comes. */
  async function live(map: TickHistory, time: VirtualTime, ticks: { tick: Tick; clock: Clock }[]) {
    for (const { tick, clock } of ticks) {
      await time.advance(Math.max(0, tick - time.nowMs()));
      await map.append(tick, clock);
    }
    await map.thin();
  }

  test("keeps every tick while it is young, then one a period; the newest always", async () => {
    await withMap(async ({ index, time, open }) => {
      const ticks = history(8000, 40, 20, 11);
      const map = await open({ policy });
      await live(map, time, ticks);
      const nowMs = time.nowMs();
      // The map that was published to still has the newest ones in memory.
      for (const opened of [await open({ policy })]) {
        expect(opened.newest()).toEqual(ticks.at(-1)!);
        const worst = { young: 0, middle: 0, old: 0 };
        for (const { tick } of ticks) {
          const found = await opened.resolve(tick);
          expect(found).toEqual(plain(ticks, found.tick) as never);
          const age = nowMs - tick;
          const name = age < 10_000 ? "young" : age < 50_000 ? "middle" : "old";
          worst[name] = Math.max(worst[name], tick - found.tick);
        }
        expect(worst.young).toBe(0);
        expect(worst.middle).toBeLessThan(2100);
        expect(worst.old).toBeLessThan(8100);
        expect(worst.old).toBeGreaterThan(2200);
      }
      const kept = await map.ticks(0 as Tick, 100_000);
      expect(kept.length).toBeLessThan(ticks.length / 4);
      expect(kept.map(({ tick }) => tick)).toEqual(
        kept.map(({ tick }) => tick).sort((a, b) => a - b),
      );
      // Segments of the first level are made of those of level 0, and so on: few are left.
      expect((await segmentKeys(index)).length).toBeLessThan(60);
    });
  });

  test("keeps the tick that stood the longest: what idle clients hold is exact for ever", async () => {
    await withMap(async ({ time, open }) => {
      const ticks: { tick: Tick; clock: Clock }[] = [];
      const held: { tick: Tick; clock: Clock }[] = [];
      let clock: Clock = new Float64Array(V);
      let at = START;
      for (let burst = 0; burst < 60; burst++) {
        for (let tick = 0; tick < 40; tick++) {
          clock = clock.map((seq, vb) => seq + (vb === tick ? 1 : 0));
          at += 25;
          ticks.push({ tick: at as Tick, clock });
        }
        held.push(ticks.at(-1)!);
        at += 20_000;
      }
      const map = await open({ policy });
      await live(map, time, ticks);
      const opened = await open({ policy });
      let thinned = 0;
      for (const pair of ticks) {
        if ((await opened.resolve(pair.tick)).tick !== pair.tick) thinned++;
      }
      expect(thinned).toBeGreaterThan(1000);
      for (const pair of held) expect(await opened.resolve(pair.tick)).toEqual(pair);
    });
  });

  test("killed between writing and removing, it leaves nothing wrong", async () => {
    await withMap(async ({ index, time, open }) => {
      const ticks = history(3000, 40, 20, 12);
      const map = await open({ policy: [] });
      for (const { tick, clock } of ticks) await map.append(tick, clock);
      await time.advance(ticks.at(-1)!.tick - time.nowMs());
      for (let killed = 0; killed < 12; killed++) {
        let left = killed;
        const failing: KeyValueCollection = {
          get: (key) => index.get(key),
          getMany: (keys) => index.getMany(keys),
          keys: (prefix, options) => index.keys(prefix, options),
          batch: async (operations) => {
            if (left-- <= 0) throw new Error("killed");
            return index.batch(operations);
          },
        };
        const options = { collection: failing, vbuckets: V, time, log: silentLog, policy };
        const dying = await openLookupMap(options);
        await dying.thin().catch(() => {});
        const opened = await open({ policy });
        for (let at = 0; at < ticks.length; at += 61) {
          const found = await opened.resolve(ticks[at]!.tick);
          expect(found).toEqual(plain(ticks, found.tick) as never);
          expect(ticks[at]!.tick - found.tick).toBeLessThan(8100);
        }
      }
    });
  });

  test("a policy that is none is refused, with what is wrong", async () => {
    await withMap(async ({ open }) => {
      const bad = [
        { olderThanMs: 10, keepEveryMs: 5 },
        { olderThanMs: 10, keepEveryMs: 6 },
      ];
      await expect(open({ policy: bad })).rejects.toThrow("olderThanMs does not grow");
      await expect(open({ policy: [{ olderThanMs: 5, keepEveryMs: 6 }] })).rejects.toThrow(
        "longer",
      );
    });
  });
});
