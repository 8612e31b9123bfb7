// Eager feeds: rows beyond the stable clock, and nothing twice.

import { expect, test } from "bun:test";
import { type Bench, withBench } from "../simulation/support.ts";

const bench = (name: string, task: (bench: Bench) => Promise<void>) =>
  test(name, () => withBench({}, task));

/** Keeps the clock still: the index writes of saves get lost, and healing takes its time. */
async function withClockStill(b: Bench, task: () => Promise<void>): Promise<void> {
  b.node.dropping = true;
  const tick = b.database.stable.head().tick;
  await task();
  expect(b.database.stable.head().tick).toBe(tick);
  b.node.dropping = false;
}

bench("an eager reader has a row before its tick, and not again with it", async (b) => {
  const feed = await b.open({ eager: true });
  await b.batch(feed);
  let rev = "";
  await withClockStill(b, async () => {
    rev = await b.save("x", { channels: ["A"] });
    const ahead = await b.batch(feed);
    expect(ahead.parsed).toMatchObject([{ id: "x", changes: [{ rev }] }]);
    expect(ahead.lastSeq).toContain("*");
    expect(ahead.parsed[0]?.seq).toBe(ahead.lastSeq);
  });
  await b.settle();
  const after = await b.batch(feed);
  expect(after.rows).toEqual([]);
  expect(after.lastSeq).toBe(b.database.changes.currentSequence());
});

bench("an eager position resumes without missing anything", async (b) => {
  const feed = await b.open({ eager: true });
  await b.batch(feed);
  let position = "";
  await withClockStill(b, async () => {
    await b.save("x", {});
    await b.save("y", {});
    position = (await b.batch(feed)).lastSeq;
  });
  await b.settle();
  const { rows } = await b.all({ since: position });
  expect(rows.map(({ id }) => id).toSorted()).toEqual(["x", "y"]);
});

bench("an eager reader of a channel wakes for it alone, and sees what leaves it", async (b) => {
  await b.save("x", { channels: ["A"] });
  await b.settle();
  const feed = await b.open({ eager: true, channels: ["A"] });
  await b.batch(feed);
  await withClockStill(b, async () => {
    await b.save("other", { channels: ["B"] });
    expect((await b.batch(feed)).rows).toEqual([]);
    const reading = feed.read(true);
    await b.save("x", { channels: ["B"] });
    const batch = await b.run(reading);
    expect(batch.rows).toHaveLength(1);
    expect(JSON.parse(batch.rows[0] as string)).toMatchObject({ id: "x", removed: ["A"] });
  });
});

bench("a newer save than the one sent ahead comes with the tick", async (b) => {
  const feed = await b.open({ eager: true });
  await b.batch(feed);
  await withClockStill(b, async () => {
    await b.save("x", { n: 1 });
    expect((await b.batch(feed)).rows).toHaveLength(1);
  });
  b.node.dropping = true;
  const rev = await b.save("x", { n: 2 });
  await b.settle();
  const told = [...(await b.batch(feed)).parsed, ...(await b.batch(feed)).parsed];
  expect(told.map(({ changes }) => changes[0]?.rev)).toEqual([rev]);
});

bench("a database in eager mode makes every feed eager", async (b) => {
  await b.run(
    b.node.gateway.configure(b.database.name, { guest: true, changes: { mode: "eager" } }),
  );
  const feed = await b.open();
  await b.batch(feed);
  await withClockStill(b, async () => {
    await b.save("x", {});
    expect((await b.batch(feed)).rows).toHaveLength(1);
  });
});

bench("a row ahead counts towards the limit", async (b) => {
  const feed = await b.open({ eager: true, limit: 2 });
  await b.batch(feed);
  await withClockStill(b, async () => {
    for (const id of ["x", "y", "z"]) await b.save(id, {});
    const batch = await b.batch(feed);
    expect(batch.rows).toHaveLength(2);
    expect(batch.done).toBe(true);
  });
});
