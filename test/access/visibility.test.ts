// Who sees what at which clock: how it follows the ticks, what it reads for that, what it keeps in
// memory, and what it does when the index fails or was rolled back. Random histories: model.test.ts.

import { expect } from "bun:test";
import type { Access } from "../../src/access/types.ts";
import { TidegateError } from "../../src/base/errors.ts";
import type { Rollback } from "../../src/clock/branches.ts";
import { zeroClock } from "../../src/clock/clock.ts";
import type { Tick } from "../../src/clock/tick.ts";
import { ADMIN } from "../../src/documents/types.ts";
import type { Index } from "../../src/index/open.ts";
import { isPseudoChannel } from "../../src/index/pseudo-channel.ts";
import { grant, put, rigged } from "./cases.ts";
import { documentOf, type RigOptions } from "./rig.ts";

const now = (access: Access) => [...access.now()].sort();

rigged(
  "a user sees what documents, administrators and roles grant, from the tick on",
  async (rig) => {
    await put(rig, "d", {
      access: [
        ["u", ["A"]],
        ["role:r", ["R"]],
      ],
    });
    await grant(rig, "user:u", ["B"]);
    expect(now(await rig.access.user("u"))).toEqual(["!"]);
    await rig.tick();
    const access = await rig.access.user("u");
    expect(now(access)).toEqual(["!", "A", "B"]);
    expect(access.hasRole("r")).toBe(false);
    await put(rig, "e", { roles: [["u", ["r"]]] });
    await rig.tick();
    await access.refresh();
    expect(now(access)).toEqual(["!", "A", "B", "R"]);
    expect(access.hasRole("r")).toBe(true);
    expect(access.seesAny(["R", "X"])).toBe(true);
    expect(access.seesAny(["X"])).toBe(false);
    expect(access.seesAny(["!"])).toBe(true);
    expect(access.seesAny([])).toBe(false);
  },
);

rigged("what is withdrawn is not seen any more, and the past is remembered", async (rig) => {
  await put(rig, "d", { access: [["u", ["A"]]] });
  const first = await rig.tick();
  await put(rig, "d", { access: [["u", ["B"]]] });
  const second = await rig.tick();
  const access = await rig.access.user("u");
  expect([...access.at(first.clock)].sort()).toEqual(["!", "A"]);
  expect([...access.at(second.clock)].sort()).toEqual(["!", "B"]);
  expect([...access.at(zeroClock(4))]).toEqual(["!"]);
});

rigged("a channel lost and granted again was not held through", async (rig) => {
  await put(rig, "d", { access: [["u", ["A", "B"]]] });
  const first = await rig.tick();
  await put(rig, "d", { access: [["u", ["B"]]] });
  await rig.tick();
  await put(rig, "d", { access: [["u", ["A", "B"]]] });
  const third = await rig.tick();
  const access = await rig.access.user("u");
  expect([...access.at(third.clock)].sort()).toEqual(["!", "A", "B"]);
  expect([...access.heldThrough(first.clock, third.clock)].sort()).toEqual(["!", "B"]);
});

rigged("`*` is everything, also what is in no channel", async (rig) => {
  await grant(rig, "user:u", ["*"]);
  await rig.tick();
  const access = await rig.access.user("u");
  expect(access.seesAny([])).toBe(true);
  expect(access.everything).toBe(false);
});

/** Counts the reads of pseudo-channels. */
function counting(reads: string[]): RigOptions["watchIndex"] & {} {
  return (index: Index) => ({
    read(channel, from, to, start) {
      if (isPseudoChannel(channel)) reads.push(channel.slice(1));
      return index.read(channel, from, to, start);
    },
  });
}

const reads: string[] = [];
rigged(
  "a tick makes only those be read again whom it names, and a role once for all who have it",
  async (rig) => {
    reads.length = 0;
    for (const name of ["a", "b", "c"]) await grant(rig, `user:${name}`, [name], ["r"]);
    await grant(rig, "role:r", ["R"]);
    await rig.tick();
    const users = await Promise.all(["a", "b", "c"].map((name) => rig.access.user(name)));
    expect(reads.toSorted()).toEqual(["role:r", "user:a", "user:b", "user:c"]);
    reads.length = 0;
    await put(rig, "d", { channels: ["X"] });
    await rig.tick();
    for (const user of users) await user.refresh();
    expect(reads).toEqual([]);
    await put(rig, "d", { access: [["b", ["X"]]] });
    await rig.tick();
    for (const user of users) await user.refresh();
    expect(reads).toEqual(["user:b"]);
    expect(users[1]?.seesAny(["X"])).toBe(true);
    reads.length = 0;
    await rig.tick(undefined, true);
    for (const user of users) await user.refresh();
    expect(reads.toSorted()).toEqual(["role:r", "user:a", "user:b", "user:c"]);
  },
  { watchIndex: counting(reads) },
);

const entriesRead = { count: 0 };
rigged(
  "a principal of very many grants is not read again and again while they come",
  async (rig) => {
    const grants = async (from: number, count: number) => {
      const documents = Array.from({ length: count }, (_, i) => ({
        ...documentOf({ access: [["role:all", [`c${from + i}`]]] }),
        _id: `d${from + i}`,
      }));
      await rig.documents.bulk(ADMIN, documents);
      await rig.tick();
    };
    await grant(rig, "user:u", [], ["all"]);
    await grants(0, 1000);
    const access = await rig.access.user("u");
    expect(access.now().size).toBe(1001);
    entriesRead.count = 0;
    for (let i = 0; i < 5; i++) {
      await grants(1000 + 300 * i, 300);
      await access.refresh();
    }
    expect(access.now().size).toBe(2501);
    expect(entriesRead.count).toBe(1500);
  },
  {
    watchIndex: (index) => ({
      async *read(channel, from, to, start) {
        for await (const batch of index.read(channel, from, to, start)) {
          entriesRead.count += batch.length;
          yield batch;
        }
      },
    }),
  },
);

rigged(
  "tables that do not fit into memory are read again, and nobody sees by an old one",
  async (rig) => {
    const names = Array.from({ length: 20 }, (_, i) => `u${i}`);
    await grant(rig, "role:r", ["R"]);
    for (const name of names) await grant(rig, `user:${name}`, [name], ["r"]);
    await rig.tick();
    const users = await Promise.all(names.map((name) => rig.access.user(name)));
    expect(rig.access.stats().tables).toBeLessThan(10);
    expect(users.map(now)).toEqual(names.map((name) => ["!", "R", name].sort()));
    await grant(rig, "role:r", ["S"]);
    for (const name of names) await grant(rig, `user:${name}`, [`${name}-new`], ["r"]);
    await rig.tick();
    for (const [i, user] of users.entries()) {
      await user.refresh();
      expect(now(user)).toEqual(["!", "S", `${names[i]}-new`].sort());
    }
  },
  { maxWeight: 60 },
);

rigged(
  "a change of one user reaches it although its table was dropped from memory before",
  async (rig) => {
    await grant(rig, "user:first", ["A"]);
    for (let i = 0; i < 20; i++) await grant(rig, `user:u${i}`, ["B"]);
    await rig.tick();
    const first = await rig.access.user("first");
    for (let i = 0; i < 20; i++) await rig.access.user(`u${i}`);
    await grant(rig, "user:first", []);
    await rig.tick();
    await first.refresh();
    expect(now(first)).toEqual(["!"]);
  },
  { maxWeight: 60 },
);

const failing = { channel: "" };
rigged(
  "who can't be read is refused, not served by what was known before",
  async (rig) => {
    await grant(rig, "user:u", ["A"]);
    await rig.tick();
    const access = await rig.access.user("u");
    await grant(rig, "user:u", []);
    await rig.tick();
    failing.channel = "user:u";
    expect(await access.refresh().catch((error) => error.code)).toBe("unavailable");
    expect(await rig.access.user("u").catch((error) => error.code)).toBe("unavailable");
    failing.channel = "";
    await access.refresh();
    expect(now(access)).toEqual(["!"]);
  },
  {
    watchIndex: (index) => ({
      read(channel, from, to, start) {
        if (channel.slice(1) === failing.channel) throw new TidegateError("unavailable", "busy");
        return index.read(channel, from, to, start);
      },
    }),
  },
);

const rolledBack = { version: 0, points: [] as Rollback[] };
rigged(
  "after a rollback everything is read anew, and no further than the branch point",
  async (rig) => {
    await put(rig, "d", { access: [["u", ["A"]]] });
    await rig.tick();
    const access = await rig.access.user("u");
    const { vb, seq } = rig.newest.get("d") ?? { vb: -1, seq: 0 };
    await put(rig, "d", { access: [["u", ["A", "B"]]] });
    const { tick } = await rig.tick();
    await access.refresh();
    expect(now(access)).toEqual(["!", "A", "B"]);
    rolledBack.points.push({ vb, seq, tick: tick as Tick });
    rolledBack.version++;
    await access.refresh();
    expect(now(access)).toEqual(["!", "A"]);
  },
  {
    branches: {
      get version() {
        return rolledBack.version;
      },
      rollbacks: () => rolledBack.points,
    },
  },
);

const gate: { open?: Promise<void>; entered?: () => void } = {};
rigged(
  "a grant that comes while a table is being read is in it afterwards",
  async (rig) => {
    await grant(rig, "user:u", ["A"]);
    await rig.tick();
    const entered = new Promise<void>((resolve) => {
      gate.entered = resolve;
    });
    let open = () => {};
    gate.open = new Promise<void>((resolve) => {
      open = resolve;
    });
    const reading = rig.access.user("u");
    await entered;
    await grant(rig, "user:u", ["B"]);
    await rig.tick();
    open();
    expect(now(await reading)).toEqual(["!", "B"]);
  },
  {
    watchIndex: (index) => ({
      async *read(channel, from, to, start) {
        yield* index.read(channel, from, to, start);
        gate.entered?.();
        await gate.open;
      },
    }),
  },
);

rigged("access is asked of many at once for the price of one", async (rig) => {
  await grant(rig, "user:u", ["A"]);
  await rig.tick();
  const all = await Promise.all(Array.from({ length: 100 }, () => rig.access.user("u")));
  expect(new Set(all).size).toBe(1);
});
