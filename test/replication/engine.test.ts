// The engine's wake-ups, and feeds whose index fails in the middle.

import { describe, expect, test } from "bun:test";
import { TidegateError } from "../../src/base/errors.ts";
import { WakeTable } from "../../src/controller/wake-table.ts";
import { channelHash } from "../../src/index/shape.ts";
import type { IndexReader } from "../../src/index/types.ts";
import { createChangesEngine } from "../../src/replication/engine.ts";
import { withBench } from "../simulation/support.ts";
import { ADMIN } from "../simulation/world.ts";

describe("whom a tick concerns", () => {
  test("those who watch a changed channel, and those who watch all", () => {
    const table = new WakeTable<string>();
    table.add("a", [1]);
    table.add("ab", [1, 2]);
    table.add("c", [3]);
    table.add("all", "all");
    expect([...table.concerned(new Set([1]))].toSorted()).toEqual(["a", "ab", "all"]);
    expect([...table.concerned(new Set([2, 3]))].toSorted()).toEqual(["ab", "all", "c"]);
    expect([...table.concerned(new Set([9]))]).toEqual(["all"]);
    expect([...table.concerned("unknown")].toSorted()).toEqual(["a", "ab", "all", "c"]);
    table.remove("ab", [1, 2]);
    table.remove("all", "all");
    expect([...table.concerned(new Set([1, 2]))]).toEqual(["a"]);
    expect(table.size).toBe(2);
  });

  test("100,000 idle feeds cost a tick nothing", () => {
    const table = new WakeTable<object>();
    for (let i = 0; i < 100_000; i++) table.add({}, [i]);
    const changed = new Set([5, 500_000]);
    const started = performance.now();
    let woken = 0;
    for (let tick = 0; tick < 10_000; tick++) woken += table.concerned(changed).size;
    expect(woken).toBe(10_000);
    // Looking at every feed even once a tick would take minutes.
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

test("a feed whose index fails in the middle goes on where it was, and misses nothing", async () => {
  await withBench({}, async (b) => {
    await b.bulk(Array.from({ length: 50 }, (_, i) => ({ _id: `doc${i}`, channels: ["A"] })));
    await b.settle();
    const { stable, lookup, documents, index, bucket } = b.database;
    let failures = 3;
    const flaky: IndexReader = {
      async *read(...parameters) {
        for await (const batch of index.read(...parameters)) {
          for (const entry of batch) {
            if (entry.vb >= 4 && failures-- > 0) throw new TidegateError("unavailable", "busy");
            yield [entry];
          }
        }
      },
    };
    const engine = createChangesEngine({
      vbuckets: bucket.vbuckets,
      stable,
      lookup,
      branches: b.database.stable.branches,
      index: flaky,
      documents,
      channelHash,
      time: b.time,
    });
    const feed = await b.run(engine.open(ADMIN, { since: "0" }));
    const ids: string[] = [];
    let failed = 0;
    for (let caughtUp = false; !caughtUp; ) {
      try {
        const batch = await b.run(feed.read(false));
        ids.push(...batch.rows.map((row) => (JSON.parse(row) as { id: string }).id));
        ({ caughtUp } = batch);
      } catch (error) {
        expect(error).toBeInstanceOf(TidegateError);
        failed++;
      }
    }
    // One failure came while rows were at hand: it cost nothing, and those after it were shown.
    expect(failed).toBe(2);
    expect(ids).toHaveLength(50);
    expect(new Set(ids).size).toBe(50);
    engine.close();
  });
});
