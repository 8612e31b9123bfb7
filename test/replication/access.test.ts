// Changes by access, case by case: grants and revocations under feeds that are open, in the middle of
// a page, of many channels. Random histories: test/access/model.test.ts.

import { expect } from "bun:test";
import { FULL_ACCESS } from "../../src/access/types.ts";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import { type Actor, ADMIN } from "../../src/documents/types.ts";
import { pseudoChannel } from "../../src/index/pseudo-channel.ts";
import type { ChangesFeed, ChangesOptions } from "../../src/replication/types.ts";
import { grant, put, rigged } from "../access/cases.ts";
import { documentOf, type Rig } from "../access/rig.ts";
import { until } from "../harness/until.ts";
import type { Row } from "../simulation/support.ts";

type AccessRow = Row & { readonly revoked?: boolean };

/** Saves `count` documents into `channels`. */
async function fill(rig: Rig, name: string, count: number, channels: string[]): Promise<void> {
  const documents = Array.from({ length: count }, (_, i) => ({
    ...documentOf({ channels }),
    _id: `${name}${i}`,
  }));
  await rig.documents.bulk(ADMIN, documents);
}

async function actor(rig: Rig, name: string): Promise<Actor> {
  return { name, admin: false, access: await rig.access.user(name) };
}

async function open(rig: Rig, options: Partial<ChangesOptions> = {}): Promise<ChangesFeed> {
  return rig.changes.open(await actor(rig, "u"), { since: "0", ...options });
}

async function batch(feed: ChangesFeed): Promise<AccessRow[]> {
  return (await feed.read(false)).rows.map((row) => JSON.parse(row) as AccessRow);
}

/** Everything until the feed has caught up. */
async function all(feed: ChangesFeed): Promise<AccessRow[]> {
  const rows: AccessRow[] = [];
  for (;;) {
    const { rows: more, caughtUp, done } = await feed.read(false);
    rows.push(...more.map((row) => JSON.parse(row) as AccessRow));
    if (caughtUp || done) return rows;
  }
}

/** An id that begins with `name` and lies in vbucket `vb`. */
function idIn(rig: Rig, vb: number, name: string): string {
  for (let i = 0; ; i++) if (vbucketOf(name + i, rig.vbuckets) === vb) return name + i;
}

const ids = (rows: readonly AccessRow[]) => rows.map(({ id }) => id).toSorted();

rigged("a grant wakes a waiting feed, which then has the channel's past", async (rig) => {
  await fill(rig, "a", 3, ["A"]);
  await rig.tick();
  const feed = await open(rig);
  expect(await all(feed)).toEqual([]);
  let rows: readonly string[] | undefined;
  const reading = feed.read(true).then((found) => {
    rows = found.rows;
  });
  await put(rig, "other", { channels: ["B"] });
  await rig.tick();
  await put(rig, "g", { access: [["u", ["A"]]] });
  await rig.tick();
  await until("the feed to wake", () => rows !== undefined);
  await reading;
  expect(rows).toHaveLength(3);
});

rigged(
  "who waits in the middle of an interval of which nothing more is wanted is woken",
  async (rig) => {
    await grant(rig, "user:u", ["A"]);
    const early = Array.from({ length: 5000 }, (_, i) => `d${i}`).filter(
      (id) => vbucketOf(id, rig.vbuckets) < 3,
    );
    const wanted = early.slice(0, 1000).map((_id) => ({ ...documentOf({ channels: ["A"] }), _id }));
    await rig.documents.bulk(ADMIN, wanted);
    const gone = idIn(rig, 3, "gone");
    const rev = await put(rig, gone, { channels: ["A"] });
    const deletion = documentOf({ channels: ["A"] }, { _rev: rev, _deleted: true });
    await rig.documents.put(ADMIN, gone, deletion);
    await rig.tick();
    const feed = await open(rig, { activeOnly: true });
    expect(await batch(feed)).toHaveLength(1000);
    const reading = feed.read(true);
    await put(rig, "more", { channels: ["A"] });
    await rig.tick();
    expect((await reading).rows).toHaveLength(1);
  },
);

rigged("a role's grant wakes the feeds of who has it", async (rig) => {
  await grant(rig, "user:u", [], ["r"]);
  await fill(rig, "a", 2, ["A"]);
  await rig.tick();
  const feed = await open(rig);
  expect(await all(feed)).toEqual([]);
  const reading = feed.read(true);
  await grant(rig, "role:r", ["A"]);
  await rig.tick();
  expect((await reading).rows).toHaveLength(2);
});

rigged("a revocation ends what a waiting feed is sent, from the tick on", async (rig) => {
  await grant(rig, "user:u", ["A"]);
  await fill(rig, "a", 2, ["A"]);
  await rig.tick();
  const feed = await open(rig);
  const told = await open(rig, { revocations: true });
  expect(await all(feed)).toHaveLength(2);
  expect(await all(told)).toHaveLength(2);
  const waiting = told.read(true);
  await grant(rig, "user:u", []);
  await rig.tick();
  const revoked = (await waiting).rows.map((row) => JSON.parse(row) as AccessRow);
  expect(ids(revoked)).toEqual(["a0", "a1"]);
  expect(revoked.every((row) => row.revoked && row.removed?.join() === "A")).toBe(true);
  await put(rig, "a0", { channels: ["A"] });
  await put(rig, "a1", { channels: [] });
  await rig.tick();
  expect(await all(feed)).toEqual([]);
  expect(await all(told)).toEqual([]);
});

rigged("what is still seen by another channel is not revoked", async (rig) => {
  await grant(rig, "user:u", ["A", "B"]);
  await put(rig, "ab", { channels: ["A", "B"] });
  await put(rig, "a", { channels: ["A"] });
  await rig.tick();
  const feed = await open(rig, { revocations: true });
  expect(await all(feed)).toHaveLength(2);
  await grant(rig, "user:u", ["B"]);
  await rig.tick();
  expect(ids(await all(feed))).toEqual(["a"]);
});

rigged(
  "what was revoked is told after compaction, too, and nothing that came later",
  async (rig) => {
    await grant(rig, "user:u", ["A"]);
    await fill(rig, "a", 5, ["A"]);
    await put(rig, "left", { channels: ["A"] });
    await rig.tick();
    const first = await open(rig, { revocations: true });
    expect(await all(first)).toHaveLength(6);
    const since = (await first.read(false)).lastSeq;
    first.close();
    for (let i = 0; i < 3; i++)
      for (let n = 0; n < 5; n++) await put(rig, `a${n}`, { channels: ["A"] });
    await rig.tick();
    await grant(rig, "user:u", []);
    await rig.tick();
    for (let n = 0; n < 5; n++) await put(rig, `a${n}`, { channels: ["A", "B"] });
    await put(rig, "left", { channels: ["B"] });
    await put(rig, "later", { channels: ["A"] });
    await put(rig, "later", { channels: ["A", "B"] });
    await rig.tick();
    await rig.compact();
    expect(rig.index.stats().compaction_dropped).toBeGreaterThan(15);
    const rows = await all(await open(rig, { revocations: true, since }));
    expect(ids(rows)).toEqual(["a0", "a1", "a2", "a3", "a4", "left"]);
    expect(rows.every((row) => row.revoked)).toBe(true);
  },
  { forgetful: true },
);

rigged("who loses `*` keeps what its channels have", async (rig) => {
  await grant(rig, "user:u", ["*"]);
  await put(rig, "a", { channels: ["A"] });
  await put(rig, "none", { channels: [] });
  await put(rig, "gone", { channels: ["A"] });
  await rig.documents.remove(ADMIN, "gone", await put(rig, "gone", { channels: ["A"] }));
  await rig.tick();
  const feed = await open(rig, { revocations: true });
  expect(ids(await all(feed))).toEqual(["a", "gone", "none"]);
  await grant(rig, "user:u", ["A"]);
  await rig.tick();
  const rows = await all(feed);
  expect(rows).toMatchObject([{ id: "none", revoked: true, removed: ["*"] }]);
  await grant(rig, "user:u", ["*"]);
  await rig.tick();
  expect(ids(await all(feed))).toEqual(["gone", "none"]);
});

rigged("a grant in the middle of a page comes after it, whole", async (rig) => {
  await grant(rig, "user:u", ["A"]);
  await fill(rig, "a", 10, ["A"]);
  await fill(rig, "b", 10, ["B"]);
  await rig.tick();
  const first = await (await open(rig, { limit: 4 })).read(false);
  expect(first.rows).toHaveLength(4);
  await grant(rig, "user:u", ["A", "B"]);
  await rig.tick();
  const seen = first.rows.map((row) => (JSON.parse(row) as Row).id);
  let since = first.lastSeq;
  for (let pages = 0; pages < 30; pages++) {
    const page = await (await open(rig, { limit: 3, since })).read(false);
    if (page.rows.length === 0) break;
    seen.push(...page.rows.map((row) => (JSON.parse(row) as Row).id));
    since = page.lastSeq;
  }
  expect(seen).toHaveLength(20);
  expect(new Set(seen).size).toBe(20);
});

rigged("a backfill is resumed at any of its rows, also by their own sequences", async (rig) => {
  await grant(rig, "user:u", ["A"]);
  await fill(rig, "a", 5, ["A"]);
  await fill(rig, "b", 250, ["B"]);
  await rig.tick();
  const feed = await open(rig);
  const before = await all(feed);
  await grant(rig, "user:u", ["A", "B"]);
  await rig.tick();
  const rows = await all(feed);
  expect(rows).toHaveLength(250);
  for (let at = 0; at < rows.length; at += 31) {
    const known = new Set(ids([...before, ...rows.slice(0, at + 1)]));
    const rest = await all(await open(rig, { since: rows[at]?.seq ?? "" }));
    for (const { id } of rest) known.add(id);
    expect(known.size).toBe(255);
  }
});

rigged(
  "a channel lost in the middle of an interval sends no more, and comes back whole",
  async (rig) => {
    await grant(rig, "user:u", ["A", "B"]);
    await fill(rig, "a", 2500, ["A"]);
    await put(rig, "b", { channels: ["B"] });
    await rig.tick();
    const feed = await open(rig);
    const first = await batch(feed);
    expect(first.length).toBeLessThan(2000);
    await grant(rig, "user:u", ["B"]);
    await rig.tick();
    const rest = await all(feed);
    const together = ids([...first, ...rest]).filter((id) => id.startsWith("a"));
    expect(together).toHaveLength(ids(first).filter((id) => id.startsWith("a")).length);
    expect(ids([...first, ...rest])).toContain("b");
    await grant(rig, "user:u", ["A", "B"]);
    await rig.tick();
    expect(ids(await all(feed)).filter((id) => id.startsWith("a"))).toHaveLength(2500);
  },
  { vbuckets: 8 },
);

/** A page of one row of who sees A and B, where `a` comes before `b`; the channel A is lost then. */
async function lostInAPage(rig: Rig, rest: readonly (readonly [vb: number, channel: string])[]) {
  await grant(rig, "user:u", ["A", "B"]);
  const names = [[0, "A"], ...rest] as const;
  const all = names.map(([vb, channel]) => idIn(rig, vb, channel));
  for (const [i, [, channel]] of names.entries()) {
    await put(rig, all[i] ?? "", { channels: [channel] });
  }
  await rig.tick();
  const page = await (await open(rig, { limit: 1 })).read(false);
  await grant(rig, "user:u", ["B"]);
  await rig.tick();
  return { all, page };
}

rigged("what a page was refused comes when the channel is back, to who went away", async (rig) => {
  const { all: names, page } = await lostInAPage(rig, [
    [1, "A"],
    [2, "B"],
  ]);
  const second = await (await open(rig, { since: page.lastSeq })).read(false);
  expect(second.rows.map((row) => (JSON.parse(row) as Row).id)).toEqual([names[2] ?? ""]);
  await grant(rig, "user:u", ["A", "B"]);
  await rig.tick();
  const rest = await all(await open(rig, { since: second.lastSeq }));
  expect(ids(rest)).toContain(names[1] ?? "");
});

rigged("it comes also to who goes on with that page when the channel is back", async (rig) => {
  const { all: names, page } = await lostInAPage(rig, [
    [1, "A"],
    [2, "B"],
    [3, "B"],
  ]);
  const second = await (await open(rig, { since: page.lastSeq, limit: 1 })).read(false);
  expect(second.rows.map((row) => (JSON.parse(row) as Row).id)).toEqual([names[2] ?? ""]);
  await grant(rig, "user:u", ["A", "B"]);
  await rig.tick();
  const rest = await all(await open(rig, { since: second.lastSeq }));
  expect(ids(rest)).toContain(names[1] ?? "");
  expect(ids(rest)).toContain(names[3] ?? "");
});

rigged("what left a channel while it was lost is told to who has it again", async (rig) => {
  await grant(rig, "user:u", ["A"]);
  await put(rig, "stays", { channels: ["A"] });
  await put(rig, "leaves", { channels: ["A"] });
  await rig.tick();
  const feed = await open(rig);
  expect(await all(feed)).toHaveLength(2);
  const since = (await feed.read(false)).lastSeq;
  feed.close();
  await grant(rig, "user:u", []);
  await rig.tick();
  const rev = await put(rig, "leaves", { channels: [] });
  await grant(rig, "user:u", ["A"]);
  await rig.tick();
  const rows = await all(await open(rig, { since }));
  expect(rows.find(({ id }) => id === "leaves")).toMatchObject({
    changes: [{ rev }],
    removed: ["A"],
  });
  expect(ids(rows)).toContain("stays");
});

rigged("documents that come along are read by who asks: none of what was lost", async (rig) => {
  await grant(rig, "user:u", ["A"]);
  const rev = await put(rig, "a", { channels: ["A"] });
  await rig.tick();
  const feed = await open(rig, { includeDocs: true, revocations: true });
  expect(await all(feed)).toMatchObject([{ id: "a", doc: { _rev: rev, channels: ["A"] } }]);
  await grant(rig, "user:u", []);
  await rig.tick();
  const [row] = await all(feed);
  expect(row).toMatchObject({ revoked: true, doc: { _id: "a", _rev: rev, _removed: true } });
  expect(row?.doc).not.toHaveProperty("channels");
});

rigged("leaves that a reader may not see are not named", async (rig) => {
  await grant(rig, "user:u", ["A"]);
  const rev = await put(rig, "x", { channels: ["A"] });
  const hidden = `1-${"0".repeat(32)}`;
  const body = documentOf({ channels: ["B"] }, { _rev: hidden });
  await rig.documents.put(ADMIN, "x", body, { newEdits: false });
  await rig.tick();
  const [row] = await all(await open(rig, { style: "all_docs" }));
  expect(row?.changes).toEqual([{ rev }]);
});

rigged("asking for a channel shows no more of it than is granted", async (rig) => {
  await grant(rig, "user:u", ["A"]);
  await fill(rig, "a", 1, ["A"]);
  await fill(rig, "b", 1, ["B"]);
  await rig.tick();
  expect(ids(await all(await open(rig, { channels: ["A", "B"] })))).toEqual(["a0"]);
  expect(await all(await open(rig, { channels: ["B"] }))).toEqual([]);
  expect(ids(await all(await open(rig, { channels: ["*"] })))).toEqual(["a0"]);
  expect(await all(await open(rig, { docIds: ["b0"] }))).toEqual([]);
  expect(ids(await all(await open(rig, { descending: true })))).toEqual(["a0"]);
});

rigged("what principals are granted is nobody's to read", async (rig) => {
  await grant(rig, "user:u", ["*"]);
  await put(rig, "d", { channels: ["A"], access: [["u", ["A"]]] });
  await rig.tick();
  const channels = [pseudoChannel("user:u")];
  expect(await all(await open(rig, { channels }))).toEqual([]);
  const admin = await rig.changes.open(ADMIN, { since: "0", channels });
  expect(await all(admin)).toEqual([]);
  expect(ids(await all(await open(rig)))).toEqual(["d"]);
});

rigged(
  "rows ahead of the stable clock obey access, and a grant counts with its tick",
  async (rig) => {
    await grant(rig, "user:u", ["A"]);
    await rig.tick();
    const feed = await open(rig, { eager: true });
    expect(await all(feed)).toEqual([]);
    await put(rig, "a", { channels: ["A"] });
    await put(rig, "b", { channels: ["B"] });
    expect(ids(await batch(feed))).toEqual(["a"]);
    await grant(rig, "user:u", ["B"]);
    await put(rig, "b2", { channels: ["B"] });
    expect(await batch(feed)).toEqual([]);
    await rig.tick();
    expect(ids(await all(feed))).toEqual(["b", "b2"]);
    await put(rig, "a2", { channels: ["A"] });
    await put(rig, "b3", { channels: ["B"] });
    expect(ids(await batch(feed))).toEqual(["b3"]);
  },
);

rigged("a row that waits ahead of the clock is not sent to who lost its channel", async (rig) => {
  await grant(rig, "user:u", ["A"]);
  await rig.tick();
  const feed = await open(rig, { eager: true });
  expect(await all(feed)).toEqual([]);
  const ofUser = vbucketOf("_sync:user:u", rig.vbuckets);
  const ids = ["a", "b", "c", "d", "e"].filter((id) => vbucketOf(id, rig.vbuckets) !== ofUser);
  await put(rig, ids[0] ?? "", { channels: ["A"] });
  await grant(rig, "user:u", []);
  await rig.tick([ofUser]);
  expect(await batch(feed)).toEqual([]);
  await rig.tick();
  expect(await all(feed)).toEqual([]);
});

const channelReads: string[] = [];
rigged(
  "a live feed of many channels reads those that changed, and only those",
  async (rig) => {
    const channels = Array.from({ length: 300 }, (_, i) => `c${i}`);
    await grant(rig, "user:u", channels);
    for (const channel of channels) await put(rig, channel, { channels: [channel] });
    await rig.tick();
    const feed = await open(rig);
    expect(await all(feed)).toHaveLength(300);
    channelReads.length = 0;
    await put(rig, "c7", { channels: ["c7"] });
    await rig.tick();
    await put(rig, "new", { channels: ["c8", "c9"] });
    await rig.tick();
    expect(ids(await all(feed))).toEqual(["c7", "new"]);
    expect(channelReads.toSorted()).toEqual(["c7", "c8", "c9"]);
    channelReads.length = 0;
    await grant(rig, "user:u", [...channels, "more"]);
    await put(rig, "c1", { channels: ["c1", "more"] });
    await rig.tick();
    expect(ids(await all(feed))).toEqual(["c1"]);
    expect(channelReads.toSorted()).toEqual(["c1", "more"]);
    channelReads.length = 0;
    await rig.tick(undefined, true);
    await put(rig, "c2", { channels: ["c2"] });
    await rig.tick(undefined, true);
    expect(ids(await all(feed))).toEqual(["c2"]);
    expect(channelReads.length).toBe(302);
  },
  {
    watchChanges: (index) => ({
      read(channel, from, to, start) {
        channelReads.push(channel);
        return index.read(channel, from, to, start);
      },
    }),
  },
);

rigged("an administrator reads everything, whatever is granted", async (rig) => {
  await fill(rig, "a", 3, ["A"]);
  await grant(rig, "user:u", ["A"]);
  await rig.tick();
  const feed = await rig.changes.open(ADMIN, { since: "0", revocations: true });
  expect(ADMIN.access).toBe(FULL_ACCESS);
  expect(await all(feed)).toHaveLength(3);
});
