// Ticks grow whatever happens to the process, to the index and to the machine's clock.

import { describe, expect, test } from "bun:test";
import { silentLog } from "../../src/base/log.ts";
import type { KeyValueCollection } from "../../src/bucket/bucket.ts";
import type { Tick } from "../../src/clock/tick.ts";
import {
  CEILING_KEY,
  CEILING_LEAD_MS,
  openTickSource,
  readCeiling,
  type TickSource,
} from "../../src/clock/tick-source.ts";
import { withBucket } from "../bucket/support.ts";
import { until } from "../harness/until.ts";
import { VirtualTime } from "../simulation/virtual-time.ts";

function open(metadata: KeyValueCollection, time: VirtualTime, above?: Tick): Promise<TickSource> {
  return openTickSource({
    metadata,
    time,
    log: silentLog,
    ...(above === undefined ? {} : { above }),
  });
}

describe("the source of ticks", () => {
  test("gives the time, or one more than the last", async () => {
    await withBucket(async ({ metadata }) => {
      const time = new VirtualTime(1_000_000);
      const source = await open(metadata, time);
      expect(await source.next()).toBe(1_000_000 as Tick);
      expect(await source.next()).toBe(1_000_001 as Tick);
      await time.advance(500);
      expect(await source.next()).toBe(1_000_500 as Tick);
      expect(source.last).toBe(1_000_500 as Tick);
    });
  });

  test("gives ticks above all before after a kill, at whatever moment", async () => {
    await withBucket(async ({ metadata }) => {
      const time = new VirtualTime(1_000_000);
      let last = 0;
      for (let life = 0; life < 40; life++) {
        // Nothing is closed: each life ends as if it were killed.
        const source = await open(metadata, time);
        for (let tick = 0; tick < 5; tick++) {
          const next = await source.next();
          expect(next).toBeGreaterThan(last);
          last = next;
          await time.advance(life * 700);
        }
      }
    });
  });

  test("goes on with the time as soon as that has caught up after a kill", async () => {
    await withBucket(async ({ metadata }) => {
      const time = new VirtualTime(1_000_000);
      await (await open(metadata, time)).next();
      const source = await open(metadata, time);
      const first = await source.next();
      expect(first).toBe((1_000_000 + CEILING_LEAD_MS + 1) as Tick);
      await time.advance(CEILING_LEAD_MS + 1000);
      expect(await source.next()).toBe(time.nowMs() as Tick);
    });
  });

  test("leaves no lead behind when it is closed", async () => {
    await withBucket(async ({ metadata }) => {
      const time = new VirtualTime(1_000_000);
      for (let life = 0; life < 3; life++) {
        const source = await open(metadata, time);
        expect(await source.next()).toBe((1_000_000 + life) as Tick);
        await source.close();
        const unused = await open(metadata, time);
        await unused.close();
      }
    });
  });

  test("grows when the clock of the machine goes back, in a life and between two", async () => {
    await withBucket(async ({ metadata }) => {
      const source = await open(metadata, new VirtualTime(2_000_000));
      await source.next();
      const back = await open(metadata, new VirtualTime(1_000));
      expect(await back.next()).toBeGreaterThan(2_000_000);
      await back.close();
      expect(await (await open(metadata, new VirtualTime(1_000))).next()).toBeGreaterThan(
        2_000_000,
      );
    });
  });

  test("grows above the newest tick of the lookup map when the ceiling is the older", async () => {
    await withBucket(async ({ metadata }) => {
      const source = await open(metadata, new VirtualTime(1_000), 5_000_000 as Tick);
      expect(await source.next()).toBe(5_000_001 as Tick);
    });
  });

  test("never gives a tick above the stored ceiling, and in a busy hour none waits for it", async () => {
    await withBucket(async ({ metadata }) => {
      const time = new VirtualTime(1_000_000);
      let open = Promise.resolve();
      const gated: KeyValueCollection = {
        get: (key) => metadata.get(key),
        getMany: (keys) => metadata.getMany(keys),
        keys: (prefix, options) => metadata.keys(prefix, options),
        batch: async (operations) => {
          await open;
          return metadata.batch(operations);
        },
      };
      const source = await openTickSource({ metadata: gated, time, log: silentLog });
      for (let second = 0; second < 3600; second++) {
        await time.advance(1000);
        // No write gets through until the tick is there: a tick that waited for one would hang.
        let release = () => {};
        open = new Promise((resolve) => {
          release = resolve;
        });
        const tick = await source.next();
        expect(tick).toBeLessThanOrEqual(await readCeiling(metadata));
        release();
        await until("the ceiling is ahead", async () => {
          return (await readCeiling(metadata)) >= tick + CEILING_LEAD_MS / 2;
        });
      }
    });
  });

  test("waits after a long idle time until the ceiling is above it", async () => {
    await withBucket(async ({ metadata }) => {
      const time = new VirtualTime(1_000_000);
      const source = await open(metadata, time);
      for (let idle = 0; idle < 5; idle++) {
        await time.advance(10 * CEILING_LEAD_MS);
        const tick = await source.next();
        expect(tick).toBe(time.nowMs() as Tick);
        expect(tick).toBeLessThanOrEqual(await readCeiling(metadata));
      }
    });
  });

  test("two sources on one bucket never give the same tick", async () => {
    await withBucket(async ({ metadata }) => {
      const time = new VirtualTime(1_000_000);
      const [a, b] = [await open(metadata, time), await open(metadata, time)];
      const seen = new Set<number>();
      for (let round = 0; round < 400; round++) {
        for (const source of [a, b]) {
          const before = source.last;
          const tick = await source.next();
          expect(tick).toBeGreaterThan(before);
          expect(seen.has(tick)).toBe(false);
          seen.add(tick);
        }
        await time.advance(997);
      }
    });
  });

  test("a damaged ceiling is said, not guessed", async () => {
    await withBucket(async ({ metadata }) => {
      const source = await open(metadata, new VirtualTime(1_000_000));
      await source.close();
      const stored = await metadata.get(CEILING_KEY);
      for (let at = 0; at < stored!.value.length; at++) {
        const value = stored!.value.slice();
        value[at]! ^= 4;
        await metadata.batch([{ op: "upsert", key: CEILING_KEY, value }]);
        await expect(open(metadata, new VirtualTime(0))).rejects.toThrow(/ceiling|version/);
      }
    });
  });
});
