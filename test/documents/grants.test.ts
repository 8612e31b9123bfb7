// What documents grant: spans from version to version, the principals' own documents, and what a
// sync function requires of who saves.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Access, fixedAccess } from "../../src/access/types.ts";
import { describeMutation } from "../../src/documents/describe.ts";
import { type KeptGrant, nextGrants, principalGrantsOf } from "../../src/documents/grants.ts";
import { MAX_WITHDRAWN_GRANTS, WITHDRAWN_GRANTS_KEPT } from "../../src/documents/limits.ts";
import { EMPTY_SYNC_RESULT, type SyncResult } from "../../src/documents/sync-port.ts";
import { type Actor, ADMIN } from "../../src/documents/types.ts";
import { pseudoChannel } from "../../src/index/pseudo-channel.ts";
import type { PrincipalGrants } from "../../src/index/types.ts";
import { type Bench, codeOf, openBench } from "./harness.ts";

interface Step {
  readonly deleted: boolean;
  readonly gap: number;
  readonly access: readonly { principal: string; channels: string[] }[];
  readonly roles: readonly { user: string; roles: string[] }[];
}

const some = <T>(...values: T[]) => fc.uniqueArray(fc.constantFrom(...values), { maxLength: 3 });
const steps = fc.array(
  fc.record({
    deleted: fc.boolean(),
    gap: fc.integer({ min: 1, max: 4 }),
    access: fc.array(
      fc.record({
        principal: fc.constantFrom("ann", "ben", "role:r"),
        channels: some("a", "b", "*"),
      }),
      { maxLength: 3 },
    ),
    roles: fc.array(fc.record({ user: fc.constantFrom("ann", "ben"), roles: some("r", "s") }), {
      maxLength: 2,
    }),
  }),
  { minLength: 1, maxLength: 12 },
);

/** What a version grants, from scratch: `principal kind name`. */
function grantedBy({ deleted, access, roles }: Step): string[] {
  if (deleted) return [];
  const id = (name: string) => (name.startsWith("role:") ? name : `user:${name}`);
  const lines = [
    ...access.flatMap((g) => g.channels.map((channel) => `${id(g.principal)} channel ${channel}`)),
    ...roles.flatMap((g) => g.roles.map((role) => `user:${g.user} role ${role}`)),
  ];
  return [...new Set(lines)].sort();
}

/** What the spans say was granted at `seq`. */
function heldAt(entries: readonly PrincipalGrants[], seq: number): string[] {
  const held = entries.flatMap(({ principal, grants }) =>
    grants
      .filter(({ from, until }) => from <= seq && (until === 0 || seq < until))
      .map(({ kind, name }) => `${principal} ${kind} ${name}`),
  );
  return held.sort();
}

describe("spans", () => {
  test("of the newest version tell what was granted at every seq before", () => {
    fc.assert(
      fc.property(steps, (history) => {
        let grants: readonly KeptGrant[] = [];
        let seq = 0;
        const granted: string[][] = [[]];
        for (const step of history) {
          const before = seq === 0 ? undefined : { seq, grants };
          grants = nextGrants(before, step, () => 0).grants;
          const last = granted[seq]!;
          for (let i = 1; i < step.gap; i++) granted.push(last);
          seq += step.gap;
          granted.push(grantedBy(step));
        }
        const entries = principalGrantsOf(grants, seq);
        for (const [at, lines] of granted.entries()) expect(heldAt(entries, at)).toEqual(lines);
      }),
      { numRuns: 1000 },
    );
  });

  const wander = (count: number, stable: (seq: number) => number) => {
    let next: ReturnType<typeof nextGrants> = { grants: [], forgotten: false };
    for (let seq = 1; seq <= count; seq++) {
      const access = [{ principal: "ann", channels: [`room-${seq}`] }];
      const before = seq === 1 ? undefined : { seq: seq - 1, grants: next.grants };
      next = nextGrants(before, { access, roles: [], deleted: false }, () => stable(seq));
    }
    return next;
  };

  test("that ended are forgotten, oldest first, only when the stable clock has passed them", () => {
    const passed = wander(WITHDRAWN_GRANTS_KEPT + 20, (seq) => seq);
    expect(passed.forgotten).toBe(true);
    expect(passed.grants.length).toBe(WITHDRAWN_GRANTS_KEPT + 1);
    expect(passed.grants[0]!.name).toBe("room-20");
    const behind = wander(WITHDRAWN_GRANTS_KEPT + 20, () => 0);
    expect(behind.forgotten).toBe(false);
    expect(behind.grants.length).toBe(WITHDRAWN_GRANTS_KEPT + 20);
  });

  test("that nobody indexes stop the document before they are lost", () => {
    const withdraw = (count: number) => {
      const channels = Array.from({ length: count }, (_, i) => `c${i}`);
      const access = [{ principal: "ann", channels }];
      const { grants } = nextGrants(undefined, { access, roles: [], deleted: false }, () => 0);
      return nextGrants({ seq: 1, grants }, { access: [], roles: [], deleted: false }, () => 0);
    };
    expect(withdraw(MAX_WITHDRAWN_GRANTS).grants.length).toBe(MAX_WITHDRAWN_GRANTS);
    expect(() => withdraw(MAX_WITHDRAWN_GRANTS + 1)).toThrow("try again");
  });
});

describe("in a store", () => {
  let bench: Bench;
  let result: SyncResult;
  beforeAll(async () => {
    bench = await openBench({ syncFunction: { run: () => result } });
  });
  afterAll(() => bench.close());

  const ann = (access: Partial<Access> = {}): Actor => ({
    name: "ann",
    admin: false,
    access: { ...fixedAccess(["news"]), name: "ann", ...access },
  });

  test("the index hears of each principal, and the deletion withdraws", async () => {
    result = { ...EMPTY_SYNC_RESULT, access: [{ principal: "ann", channels: ["a"] }] };
    const { rev } = await bench.store.put(ADMIN, "grant", {});
    const granted = bench.saved.at(-1)!;
    expect(granted.grants).toEqual([
      {
        principal: "user:ann",
        grants: [{ kind: "channel", name: "a", from: granted.seq, until: 0 }],
      },
    ]);
    await bench.store.remove(ADMIN, "grant", rev);
    const withdrawn = bench.saved.at(-1)!;
    expect(withdrawn.grants).toEqual([
      {
        principal: "user:ann",
        grants: [{ kind: "channel", name: "a", from: granted.seq, until: withdrawn.seq }],
      },
    ]);
  });

  test("only the winner grants", async () => {
    const { store } = bench;
    const save = (rev: string, channel: string) => {
      result = { ...EMPTY_SYNC_RESULT, access: [{ principal: "ann", channels: [channel] }] };
      return store.put(ADMIN, "fork", { _rev: rev }, { newEdits: false });
    };
    await save("1-b", "winner");
    await save("1-a", "loser");
    const held = bench.saved.at(-1)!.grants!.flatMap(({ grants }) => grants);
    expect(held.filter(({ until }) => until === 0).map(({ name }) => name)).toEqual(["winner"]);
  });

  test("names that nobody can have are refused", async () => {
    for (const access of [
      [{ principal: "a:b", channels: ["x"] }],
      [{ principal: "role:", channels: ["x"] }],
      [{ principal: "ann", channels: ["a\u0001"] }],
    ]) {
      result = { ...EMPTY_SYNC_RESULT, access };
      expect(await codeOf(bench.store.put(ADMIN, "bad", {}))).toBe("sync_function_failed");
    }
    result = { ...EMPTY_SYNC_RESULT, roles: [{ user: "ann", roles: ["role:x"] }] };
    expect(await codeOf(bench.store.put(ADMIN, "bad", {}))).toBe("sync_function_failed");
  });

  test("what the sync function requires is enforced, for administrators never", async () => {
    const table: [SyncResult["requires"][number], Partial<Access>, boolean][] = [
      [{ kind: "admin" }, {}, false],
      [{ kind: "user", names: ["ben", "ann"] }, {}, true],
      [{ kind: "user", names: ["ben"] }, {}, false],
      [{ kind: "user", names: [] }, {}, false],
      [{ kind: "role", names: ["staff"] }, { hasRole: (role) => role === "staff" }, true],
      [{ kind: "role", names: ["staff"] }, {}, false],
      [{ kind: "access", names: ["sports", "news"] }, {}, true],
      [{ kind: "access", names: ["sports"] }, {}, false],
      [{ kind: "access", names: [] }, { seesAny: () => true }, false],
    ];
    for (const [i, [requirement, access, passes]] of table.entries()) {
      result = { ...EMPTY_SYNC_RESULT, requires: [requirement] };
      const saved = codeOf(bench.store.put(ann(access), `required-${i}`, {}));
      expect([i, await saved]).toEqual([i, passes ? "none" : "forbidden"]);
      expect(await codeOf(bench.store.put(ADMIN, `admin-${i}`, {}))).toBe("none");
    }
  });

  test("a principal is written, changed by its revision, listed and deleted", async () => {
    const { principals } = bench.store;
    const grants = { channels: ["a"], roles: ["staff"] };
    expect(await principals.load("user:zoe")).toBeUndefined();
    const first = await principals.save("user:zoe", undefined, { v: 1 }, grants);
    expect(await principals.load("user:zoe")).toEqual({ rev: first.rev, body: { v: 1 } });
    expect(await codeOf(principals.save("user:zoe", undefined, { v: 2 }, grants))).toBe("conflict");
    const told = bench.saved.at(-1)!;
    expect([told.docId, told.revId, told.channels]).toEqual(["_sync:user:zoe", "", []]);
    expect(told.grants).toEqual([
      {
        principal: "user:zoe",
        grants: [
          { kind: "channel", name: "a", from: first.seq, until: 0 },
          { kind: "role", name: "staff", from: first.seq, until: 0 },
        ],
      },
    ]);
    const nothing = { channels: [], roles: [] };
    const second = await principals.save("user:zoe", first.rev, { v: 3 }, nothing);
    expect(bench.saved.at(-1)!.grants![0]!.grants.map(({ until }) => until)).toEqual([
      second.seq,
      second.seq,
    ]);
    await principals.save("role:staff", undefined, {}, { channels: ["r"], roles: ["ignored"] });
    expect(bench.saved.at(-1)!.grants).toEqual([
      {
        principal: "role:staff",
        grants: [{ kind: "channel", name: "r", from: bench.saved.at(-1)!.seq, until: 0 }],
      },
    ]);
    await principals.save("user:zed", undefined, {}, nothing);
    expect(bench.saved.at(-1)!.grants).toEqual([{ principal: "user:zed", grants: [] }]);
    expect(await principals.list("user", "", 10)).toEqual(["zed", "zoe"]);
    expect(await principals.list("user", "zed", 10)).toEqual(["zoe"]);
    expect(await principals.list("user", "", 1)).toEqual(["zed"]);
    expect(await principals.list("role", "", 10)).toEqual(["staff"]);
    await principals.save("user:zoe", second.rev, null, nothing);
    expect(await principals.load("user:zoe")).toBeUndefined();
    expect(await principals.list("user", "", 10)).toEqual(["zed"]);
    await principals.save("user:zoe", undefined, { again: true }, nothing);
    expect((await principals.load("user:zoe"))?.body).toEqual({ again: true });
  });

  test("no client sees a principal's document, and healing says what saving said", async () => {
    const { store, bucket } = bench;
    const { principals } = store;
    await principals.save("user:hid", undefined, { s: 1 }, { channels: ["x"], roles: [] });
    const told = bench.saved.at(-1)!;
    const key = "_sync:user:hid";
    expect(await codeOf(store.get(ADMIN, key))).toBe("bad_document_id");
    expect(await codeOf(store.put(ADMIN, key, {}))).toBe("bad_document_id");
    const rows: string[] = [];
    for await (const page of store.allDocs(ADMIN, { includeDocs: true })) rows.push(...page);
    expect(rows.join()).not.toContain("_sync:user");
    const item = (await bucket.documents.get(key))!;
    const mutation = { kind: "mutation" as const, ...item, vb: told.vb, seq: told.seq, key };
    expect(describeMutation(mutation as never, told.vbuuid)?.mutation).toEqual(told);
    expect(pseudoChannel("user:hid")).toStartWith("\u0001");
  });
});
