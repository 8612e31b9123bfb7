// Lists by access: `_all_docs`, `_revs_diff`, the leaves for feeds, and local documents.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FULL_ACCESS, fixedAccess } from "../../src/access/types.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { Bucket } from "../../src/bucket/bucket.ts";
import { type Actor, ADMIN, type AllDocsOptions } from "../../src/documents/types.ts";
import { type Bench, codeOf, GUEST, openBench, parsed } from "./harness.ts";

function user(name: string, ...channels: string[]): Actor {
  return { name, admin: false, access: fixedAccess(channels) };
}

const alice = user("alice", "A");
const bob = user("bob", "B");
const nobody = user("nobody");

/** What was read with bodies, by key. */
let bodies: string[] = [];

let bench: Bench;
beforeEach(async () => {
  bodies = [];
  bench = await openBench({}, watchingBodies);
});
afterEach(() => bench.close());

function watchingBodies(bucket: Bucket): Bucket {
  const { documents } = bucket;
  const getMany: typeof documents.getMany = (keys, options) => {
    if (options?.withBody) bodies.push(...keys);
    return documents.getMany(keys, options);
  };
  const scan: typeof documents.scan = (range, options) => {
    if (options?.withBody) bodies.push("everything");
    return documents.scan(range, options);
  };
  const watched = {
    get: documents.get.bind(documents),
    write: documents.write.bind(documents),
    purge: documents.purge.bind(documents),
    count: documents.count.bind(documents),
    getMany,
    scan,
  };
  return new Proxy(bucket, {
    get(target, name) {
      if (name === "documents") return watched;
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

async function put(id: string, document: JsonObject): Promise<string> {
  return (await bench.store.put(ADMIN, id, document)).rev;
}

interface Row {
  readonly key: string;
  readonly error?: string;
  readonly value?: { rev: string; deleted?: boolean };
  readonly doc?: JsonObject | null;
}

async function rows(actor: Actor, options: AllDocsOptions): Promise<Row[]> {
  const all: Row[] = [];
  for await (const page of bench.store.allDocs(actor, options)) {
    all.push(...page.map((row) => JSON.parse(row) as Row));
  }
  return all;
}

async function ids(actor: Actor, options: AllDocsOptions = {}): Promise<string[]> {
  return (await rows(actor, options)).map((row) => row.key);
}

describe("_all_docs", () => {
  beforeEach(async () => {
    for (let n = 0; n < 30; n++) {
      const channels = [n % 3 === 0 ? "A" : "B", ...(n === 29 ? ["!"] : [])];
      await put(`d${String(n).padStart(2, "0")}`, { n, channels });
    }
  });

  test("of a range has the documents that may be read, by skip and limit of those", async () => {
    const mine = ["d00", "d03", "d06", "d09", "d12", "d15", "d18", "d21", "d24", "d27", "d29"];
    expect(await ids(alice)).toEqual(mine);
    expect(await ids(alice, { skip: 2, limit: 3 })).toEqual(["d06", "d09", "d12"]);
    expect(await ids(alice, { startKey: "d10", endKey: "d20" })).toEqual(["d12", "d15", "d18"]);
    expect(await ids(alice, { descending: true, limit: 2 })).toEqual(["d29", "d27"]);
    expect(await ids(nobody)).toEqual(["d29"]);
    expect(await ids(ADMIN)).toHaveLength(30);
    expect(await ids(GUEST)).toHaveLength(30);
  });

  test("reads the bodies of what is shown alone", async () => {
    const shown = await rows(alice, { includeDocs: true, limit: 2 });
    expect(shown.map((row) => row.doc)).toMatchObject([{ n: 0 }, { n: 3 }]);
    expect(bodies).toEqual(["d00", "d03"]);
  });

  test("gives a page for each page that it looks through, also when there is nothing to show", async () => {
    const pages: string[][] = [];
    for await (const page of bench.store.allDocs(user("x", "X"), { endKey: "d28" })) {
      pages.push(page);
    }
    expect(pages.length).toBeGreaterThan(0);
    expect(pages.flat()).toEqual([]);
  });

  test("by keys finds what may be read; the rest is as if it were not there", async () => {
    const { value } = (await rows(ADMIN, { keys: ["d03"] }))[0] as Row;
    await bench.store.remove(ADMIN, "d03", value?.rev);
    const keys = ["d00", "d01", "d03", "gone", "d00"];
    const missing = (key: string) => ({ key, error: "not_found" });
    expect(await rows(alice, { keys })).toMatchObject([
      { key: "d00", value: {} },
      missing("d01"),
      { key: "d03", value: { deleted: true }, doc: null },
      missing("gone"),
      { key: "d00" },
    ]);
    expect(await rows(nobody, { keys })).toEqual(keys.map(missing));
    expect(await rows(nobody, { keys, includeDocs: true })).toEqual(keys.map(missing));
    expect(await rows(alice, { keys: ["d01", "d00"], includeDocs: true })).toMatchObject([
      missing("d01"),
      { doc: { n: 0 } },
    ]);
  });

  test("goes by the winner, and names no conflict that is hidden", async () => {
    await bench.store.put(
      ADMIN,
      "d01",
      { channels: ["A"], _rev: "1-00000000000000000000000000000000" },
      { newEdits: false },
    );
    expect(await ids(alice, { endKey: "d02" })).toEqual(["d00"]);
    const [row] = await rows(bob, {
      startKey: "d01",
      limit: 1,
      includeDocs: true,
      conflicts: true,
    });
    expect(row?.doc).toMatchObject({ n: 1 });
    expect(row?.doc?._conflicts).toBeUndefined();
    const [all] = await rows(ADMIN, { keys: ["d01"], includeDocs: true, conflicts: true });
    expect(all?.doc?._conflicts).toHaveLength(1);
  });
});

describe("_revs_diff", () => {
  const guess = "3-00000000000000000000000000000000";

  async function diff(actor: Actor, id: string, revs: string[]) {
    return (await bench.store.revsDiff(actor, new Map([[id, revs]]))).get(id);
  }

  test("tells strangers of no revision: all of them are missing", async () => {
    const first = await put("d", { channels: ["A"] });
    const second = await put("d", { _rev: first, channels: ["A"] });
    const asked = [first, second, guess];
    const known = { missing: [guess], possibleAncestors: [second] };
    expect(await diff(alice, "d", asked)).toEqual(known);
    expect(await diff(ADMIN, "d", asked)).toEqual(known);
    expect(await diff(bob, "d", asked)).toEqual({ missing: asked, possibleAncestors: [] });
    expect(await diff(bob, "gone", asked)).toEqual({ missing: asked, possibleAncestors: [] });
  });

  test("knows what a client of the channel has: up to where the document left", async () => {
    const first = await put("d", { channels: ["A"] });
    const second = await put("d", { _rev: first, channels: ["B"] });
    const third = await put("d", { _rev: second, channels: ["B"] });
    const asked = [first, second, third, guess];
    expect(await diff(alice, "d", asked)).toEqual({
      missing: [third, guess],
      possibleAncestors: [],
    });
    expect(await diff(bob, "d", asked)).toEqual({ missing: [guess], possibleAncestors: [] });
  });

  test("of a branch that is hidden says nothing, also when another is read", async () => {
    const winner = await put("d", { channels: ["A"] });
    const other = "1-00000000000000000000000000000000";
    const document = { channels: ["B"], _rev: other };
    await bench.store.put(ADMIN, "d", document, { newEdits: false });
    const here = (await diff(alice, "d", [winner, other, guess])) as object;
    expect(here).toEqual({ missing: [other, guess], possibleAncestors: [winner] });
  });

  test("lets a client push what is here already, which changes nothing", async () => {
    const first = await put("d", { channels: ["A"] });
    const mutations = bench.saved.length;
    const again = { channels: ["A"], _rev: first };
    const outcome = await bench.store.put(bob, "d", again, { newEdits: false });
    expect(outcome.rev).toBe(first);
    expect(bench.saved.length).toBe(mutations);
  });

  test("takes a hundred thousand revisions of one document", async () => {
    const first = await put("d", { channels: ["A"] });
    const revs = Array.from({ length: 99_999 }, (_, n) => `7-${n.toString(16).padStart(32, "0")}`);
    const answer = await diff(alice, "d", [first, ...revs]);
    expect(answer?.missing).toHaveLength(99_999);
    expect(answer?.possibleAncestors).toEqual([first]);
  });
});

test("leaves for a feed are those that its reader may read", async () => {
  const winner = await put("d", { channels: ["A"] });
  const other = "1-00000000000000000000000000000000";
  await bench.store.put(ADMIN, "d", { channels: ["B"], _rev: other }, { newEdits: false });
  const leaves = async (...access: [Actor["access"]?]) =>
    (await bench.store.leaves(["d", "gone"], ...access)).map((revs) => revs?.map(({ rev }) => rev));
  expect(await leaves(alice.access)).toEqual([[winner], undefined]);
  expect(await leaves(bob.access)).toEqual([[other], undefined]);
  expect(await leaves(nobody.access)).toEqual([[], undefined]);
  expect(await leaves(FULL_ACCESS)).toEqual([[winner, other], undefined]);
  expect(await leaves()).toEqual([[winner, other], undefined]);
});

describe("local documents", () => {
  test("are each user's own, under the same id", async () => {
    const { store } = bench;
    const id = "_local/checkpoint";
    await store.putLocal(alice, id, { last_seq: "alice's" });
    expect(await codeOf(store.getLocal(bob, id))).toBe("not_found");
    expect(await codeOf(store.getLocal(GUEST, id))).toBe("not_found");
    expect(await codeOf(store.removeLocal(bob, id, "0-1"))).toBe("not_found");
    await store.putLocal(bob, id, { last_seq: "bob's" });
    await store.putLocal(GUEST, id, { last_seq: "the guest's" });
    const seen = async (actor: Actor) => parsed(await store.getLocal(actor, id));
    expect(await seen(alice)).toEqual({ _id: id, _rev: "0-1", last_seq: "alice's" });
    expect(await seen(bob)).toEqual({ _id: id, _rev: "0-1", last_seq: "bob's" });
    expect(await seen(ADMIN)).toEqual({ _id: id, _rev: "0-1", last_seq: "the guest's" });
    await store.removeLocal(bob, id, "0-1");
    expect(await seen(alice)).toMatchObject({ last_seq: "alice's" });
  });

  test("of a user can't be reached by a name that a guest makes up", async () => {
    const { store } = bench;
    await store.putLocal(alice, "checkpoint", { secret: true });
    for (const id of ["alice\0checkpoint", "u:alice\0checkpoint", "lu:checkpoint", "alice"]) {
      expect(await codeOf(store.getLocal(GUEST, id))).toBe("not_found");
      expect(await codeOf(store.getLocal(user("al", "A"), `ice\0${id}`))).toBe("not_found");
    }
  });
});
