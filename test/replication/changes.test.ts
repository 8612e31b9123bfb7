// The changes engine over a real database: what a reader is sent, in which order, with which
// positions, and what it gets when it comes back with one of them.

import { describe, expect, test } from "bun:test";
import { TidegateError } from "../../src/base/errors.ts";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import { type Bench, type Row, withBench } from "../simulation/support.ts";
import { ADMIN } from "../simulation/world.ts";

const numbered = (count: number, channels: string[] = ["A"]) =>
  Array.from({ length: count }, (_, i) => ({ _id: `doc${i}`, channels, i }));
const ids = (rows: readonly Row[]) => rows.map(({ id }) => id);
const bench = (name: string, task: (bench: Bench) => Promise<void>) =>
  test(name, () => withBench({}, task));

describe("order and positions", () => {
  bench("a reader from 0 gets every document once, in the order of vbuckets", async (b) => {
    await b.bulk(numbered(300));
    await b.save("doc7", { channels: ["A"], again: true });
    await b.settle();
    const { rows, lastSeq } = await b.all();
    expect(new Set(ids(rows)).size).toBe(300);
    expect(rows).toHaveLength(300);
    const vbs = rows.map(({ id }) => vbucketOf(id, 8));
    expect(vbs).toEqual(vbs.toSorted((x, y) => x - y));
    expect(lastSeq).toBe(b.database.changes.currentSequence());
    expect(rows.at(-1)?.seq).toBe(lastSeq);
  });

  bench(
    "in a long answer there is a new position every 100 rows, and the last is exact",
    async (b) => {
      await b.bulk(numbered(350));
      await b.settle();
      const { rows } = await b.all();
      const seqs = rows.map(({ seq }) => seq);
      expect(seqs.slice(0, 99)).toEqual(Array(99).fill("0"));
      expect(new Set(seqs).size).toBe(5);
      expect(seqs[99]).toMatch(/^0-[0-9a-z]+:[0-7]\.[0-9a-z]+$/);
      expect(seqs[198]).toBe(seqs[99] as string);
    },
  );

  bench("live, all but the last row of an interval carry the tick before", async (b) => {
    await b.bulk(numbered(5));
    await b.settle();
    const feed = await b.open();
    const first = await b.batch(feed);
    await b.bulk(Array.from({ length: 4 }, (_, i) => ({ _id: `more${i}` })));
    await b.settle();
    const { parsed, lastSeq } = await b.batch(feed);
    expect(parsed.map(({ seq }) => seq)).toEqual([
      first.lastSeq,
      first.lastSeq,
      first.lastSeq,
      lastSeq,
    ]);
    expect(lastSeq).not.toBe(first.lastSeq);
  });

  bench("a reader may resume from the seq of any row, and misses nothing", async (b) => {
    await b.bulk(numbered(250));
    await b.settle();
    const { rows } = await b.all();
    for (let at = 0; at < rows.length; at += 23) {
      const known = new Set(ids(rows.slice(0, at + 1)));
      for (const id of ids((await b.all({ since: rows[at]?.seq as string })).rows)) known.add(id);
      expect(known.size).toBe(250);
    }
  });

  bench("a page in the middle of an interval is finished first, as it was", async (b) => {
    await b.bulk(numbered(20));
    await b.settle();
    const page = await b.all({ limit: 8 });
    expect(page.rows).toHaveLength(8);
    expect(page.rows.at(-1)?.seq).toBe(page.lastSeq);
    const tick = b.database.changes.currentSequence();
    expect(page.lastSeq).toStartWith(`0-${tick}:`);

    const sent = page.rows[0]?.id as string;
    await b.save(sent, { channels: ["A"], again: true });
    await b.settle();
    const feed = await b.open({ since: page.lastSeq });
    const rest = await b.batch(feed);
    expect(rest.lastSeq).toBe(tick);
    expect(ids([...page.rows, ...rest.parsed]).toSorted()).toEqual(
      numbered(20)
        .map(({ _id }) => _id)
        .toSorted(),
    );
    expect(ids((await b.batch(feed)).parsed)).toEqual([sent]);
  });

  bench("pages of a limit lead through everything, each row once", async (b) => {
    await b.bulk(numbered(100));
    await b.settle();
    const seen: string[] = [];
    let since = "0";
    for (let pages = 0; pages < 30; pages++) {
      const { rows, lastSeq } = await b.all({ since, limit: 7 });
      if (rows.length === 0) break;
      seen.push(...ids(rows));
      since = rows.at(-1)?.seq as string;
      expect(since).toBe(lastSeq);
    }
    expect(seen).toHaveLength(100);
    expect(new Set(seen).size).toBe(100);
  });

  bench("a limit of 0 counts as 1", async (b) => {
    await b.bulk(numbered(3));
    await b.settle();
    expect((await b.all({ limit: 0 })).rows).toHaveLength(1);
  });

  bench("a position from before many ticks gives each document once", async (b) => {
    for (let i = 0; i < 10; i++) {
      await b.save("one", { channels: ["A"], i });
      await b.save(`two${i}`, { channels: ["A"] });
      await b.settle();
    }
    const { rows } = await b.all();
    expect(rows.filter(({ id }) => id === "one")).toHaveLength(1);
    expect(rows).toHaveLength(11);
  });

  bench("what is no sequence is refused", async (b) => {
    for (const since of ["x y", "-1", "5-4:0.1", "0-1:999.1", "c_%", ""]) {
      const opening = b.run(b.database.changes.open(ADMIN, { since }));
      await expect(opening).rejects.toBeInstanceOf(TidegateError);
      await expect(opening).rejects.toMatchObject({ code: "bad_sequence" });
    }
  });

  bench("since=now has nothing of before", async (b) => {
    await b.bulk(numbered(3));
    await b.settle();
    const feed = await b.open({ since: "now" });
    expect((await b.batch(feed)).rows).toEqual([]);
    await b.save("new", {});
    await b.settle();
    expect(ids((await b.batch(feed)).parsed)).toEqual(["new"]);
  });
});

describe("channels", () => {
  bench("a document that leaves the only channel of a reader is removed for it", async (b) => {
    await b.save("x", { channels: ["A"] });
    const rev = await b.save("x", { channels: ["B"] });
    await b.settle();
    const { rows } = await b.all({ channels: ["A"] });
    expect(rows).toMatchObject([{ id: "x", changes: [{ rev }], removed: ["A"] }]);
  });

  bench("a document that leaves one channel of a reader for another is not", async (b) => {
    await b.save("x", { channels: ["A"] });
    await b.save("x", { channels: ["B"] });
    await b.settle();
    const { rows } = await b.all({ channels: ["A", "B"] });
    expect(rows).toHaveLength(1);
    expect(rows[0]?.removed).toBeUndefined();
  });

  bench("a document that leaves all channels of a reader names those it left then", async (b) => {
    await b.save("x", { channels: ["A", "B", "C"] });
    await b.save("x", { channels: ["D"] });
    await b.settle();
    const { rows } = await b.all({ channels: ["A", "B"] });
    expect(rows[0]?.removed?.toSorted()).toEqual(["A", "B"]);
  });

  bench("a document that left a channel long ago does not come to its readers again", async (b) => {
    await b.save("x", { channels: ["A"] });
    await b.save("x", { channels: ["B"] });
    await b.settle();
    const { lastSeq } = await b.all({ channels: ["A"] });
    await b.save("x", { channels: ["B"], again: true });
    await b.settle();
    expect((await b.all({ channels: ["A"], since: lastSeq })).rows).toEqual([]);
    expect((await b.all({ channels: ["B"], since: lastSeq })).rows).toHaveLength(1);
  });

  bench("many channels together give each document once, in order", async (b) => {
    const channels = ["A", "B", "C", "D", "E"];
    await b.bulk(
      Array.from({ length: 400 }, (_, i) => ({
        _id: `doc${i}`,
        channels: channels.filter((_, n) => (i >> n) & 1),
      })),
    );
    await b.settle();
    const { rows } = await b.all({ channels });
    expect(new Set(ids(rows)).size).toBe(rows.length);
    expect(rows).toHaveLength(400 - Math.ceil(400 / 32));
    const vbs = rows.map(({ id }) => vbucketOf(id, 8));
    expect(vbs).toEqual(vbs.toSorted((x, y) => x - y));
  });
});

describe("what rows carry", () => {
  bench("deletions are rows, unless only active documents are wanted", async (b) => {
    await b.save("gone", { channels: ["A"] });
    await b.save("here", { channels: ["A"] });
    const rev = await b.remove("gone");
    await b.settle();
    const { rows } = await b.all();
    expect(rows.find(({ id }) => id === "gone")).toMatchObject({
      deleted: true,
      changes: [{ rev }],
    });
    expect(ids((await b.all({ activeOnly: true })).rows)).toEqual(["here"]);
    expect((await b.all({ channels: ["A"], activeOnly: true })).lastSeq).toBe(
      b.database.changes.currentSequence(),
    );
  });

  bench("documents come along, but not to who lost them", async (b) => {
    await b.save("x", { channels: ["A"], secret: 1 });
    await b.save("y", { channels: ["A"], open: 2 });
    await b.save("x", { channels: ["B"], secret: 3 });
    await b.settle();
    const { rows } = await b.all({ channels: ["A"], includeDocs: true });
    const docs = new Map(rows.map(({ id, doc }) => [id, doc]));
    expect(docs.get("y")).toMatchObject({ _id: "y", open: 2 });
    expect(docs.get("x")).toMatchObject({ _id: "x", _removed: true });
    expect(JSON.stringify(docs.get("x"))).not.toContain("secret");
  });

  bench("documents of many bytes make short batches", async (b) => {
    const pad = "x".repeat(200_000);
    for (let i = 0; i < 8; i++) await b.save(`big${i}`, { pad });
    await b.settle();
    const feed = await b.open({ includeDocs: true });
    const sizes: number[] = [];
    for (let total = 0; total < 8; ) {
      const { rows } = await b.batch(feed);
      sizes.push(rows.length);
      total += rows.length;
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(2);
  });

  bench("in style all_docs every leaf revision is named, the winner first", async (b) => {
    const rev = await b.save("x", { a: 1 });
    const other = `1-${"0".repeat(32)}`;
    const { documents } = b.database;
    await b.run(documents.put(ADMIN, "x", { _rev: other, b: 1 }, { newEdits: false }));
    await b.save("y", {});
    await b.settle();
    const all = await b.all({ style: "all_docs" });
    const x = all.rows.find(({ id }) => id === "x");
    expect(x?.changes).toEqual([{ rev }, { rev: other }]);
    expect((await b.all()).rows.find(({ id }) => id === "x")?.changes).toEqual([{ rev }]);
  });

  bench("ids that JSON must escape are escaped", async (b) => {
    const odd = ['quo"te', "back\\slash", "tab\t", "ünïcödé", "\u2028", "😀"];
    for (const id of odd) await b.save(id, {});
    await b.settle();
    expect(ids((await b.all()).rows).toSorted()).toEqual(odd.toSorted());
  });

  bench("a reader of some documents gets those alone, and exact positions", async (b) => {
    await b.bulk(numbered(200));
    await b.settle();
    const { rows, lastSeq } = await b.all({ docIds: ["doc3", "doc150", "none"] });
    expect(ids(rows).toSorted()).toEqual(["doc150", "doc3"]);
    expect(lastSeq).toBe(b.database.changes.currentSequence());
  });

  bench("a purged document is not in the changes any more", async (b) => {
    const rev = await b.save("x", { channels: ["A"] });
    await b.save("y", { channels: ["A"] });
    await b.run(b.database.documents.purge(new Map([["x", [rev]]])));
    await b.settle();
    expect(ids((await b.all()).rows)).toEqual(["y"]);
  });
});

describe("descending", () => {
  bench("rows come in the opposite order, whole", async (b) => {
    await b.bulk(numbered(300));
    await b.settle();
    const up = await b.all();
    const down = await b.all({ descending: true });
    expect(ids(down.rows)).toEqual(ids(up.rows).toReversed());
    expect(down.lastSeq).toBe(up.lastSeq);
  });

  bench("a limit takes from the end, and its position misses nothing", async (b) => {
    await b.bulk(numbered(30));
    await b.settle();
    const up = await b.all();
    const down = await b.all({ descending: true, limit: 4 });
    expect(ids(down.rows)).toEqual(ids(up.rows).toReversed().slice(0, 4));
    expect(down.lastSeq).toBe("0");
  });
});

describe("waiting", () => {
  bench("a waiting feed wakes for its channel, and sleeps through others", async (b) => {
    const feed = await b.open({ channels: ["A"] });
    let woken = false;
    const reading = feed.read(true).then((batch) => {
      woken = true;
      return batch;
    });
    await b.save("other", { channels: ["B"] });
    await b.settle();
    await b.time.advance(1000);
    expect(woken).toBe(false);
    await b.save("mine", { channels: ["A"] });
    const batch = await b.run(reading);
    expect(batch.rows).toHaveLength(1);
    // Its position has moved with the ticks that did not concern it.
    expect(batch.lastSeq).toBe(b.database.changes.currentSequence());
    expect((await b.all({ channels: ["A"], since: batch.lastSeq })).rows).toEqual([]);
  });

  bench("a wait that is aborted gives an empty batch at the newest tick", async (b) => {
    const feed = await b.open({ channels: ["A"] });
    const ended = new AbortController();
    const reading = feed.read(true, ended.signal);
    await b.save("other", { channels: ["B"] });
    await b.settle();
    ended.abort();
    const batch = await b.run(reading);
    expect(batch).toMatchObject({ rows: [], caughtUp: true, done: false });
    expect(batch.lastSeq).toBe(b.database.changes.currentSequence());
  });

  bench("closing a feed ends its wait", async (b) => {
    const feed = await b.open();
    const reading = feed.read(true);
    expect(b.database.changes.openFeeds).toBe(1);
    feed.close();
    feed.close();
    expect((await b.run(reading)).rows).toEqual([]);
    expect(b.database.changes.openFeeds).toBe(0);
  });

  bench("a slow reader's ticks come as one", async (b) => {
    const feed = await b.open();
    for (let i = 0; i < 20; i++) {
      await b.save("x", { i });
      await b.settle();
    }
    const { parsed, caughtUp } = await b.batch(feed);
    expect(parsed).toHaveLength(1);
    expect(parsed[0]?.changes[0]?.rev).toStartWith("20-");
    expect(caughtUp).toBe(true);
  });
});
