// The parts that logins are made of, each by itself: password hashes, limits, caches, cookies.

import { describe, expect, test } from "bun:test";
import { BoundedMap } from "../../src/access/bounded-map.ts";
import { FailedLogins } from "../../src/access/login/login-limits.ts";
import {
  HASHES_AT_ONCE,
  isOutdated,
  isPasswordHash,
  MAX_WAITING_HASHES,
  Passwords,
} from "../../src/access/login/passwords.ts";
import { VerifiedPasswords } from "../../src/access/login/verified.ts";
import type { UserRecord } from "../../src/access/principals/records.ts";
import { parseUserRequest } from "../../src/access/principals/requests.ts";
import { isTidegateError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime, type Time } from "../../src/runtime/time.ts";
import { cookieValues } from "../../src/server/auth/cookies.ts";

const user = (passwordHash?: string): UserRecord => ({
  name: "ann",
  email: undefined,
  disabled: false,
  passwordHash,
  epoch: "e",
  adminChannels: [],
  adminRoles: [],
  tokenGrants: undefined,
});

describe("a password", () => {
  const passwords = new Passwords(systemRandom);

  test("is found right, and any other wrong; the hash says how it was made", async () => {
    const hash = await passwords.hash("correct horse");
    expect(hash).toMatch(/^scrypt\$32768\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
    expect(await passwords.matches("correct horse", hash)).toBe(true);
    for (const wrong of ["correct hors", "Correct horse", "", "correct horse\0", hash]) {
      expect(await passwords.matches(wrong, hash)).toBe(false);
    }
    expect(isOutdated(hash)).toBe(false);
  });

  test("has another hash each time", async () => {
    expect(await passwords.hash("same")).not.toBe(await passwords.hash("same"));
  });

  test("is the same however its letters are composed", async () => {
    const hash = await passwords.hash("caf\u00e9");
    expect(await passwords.matches("cafe\u0301", hash)).toBe(true);
  });

  test("of nobody, or in a hash that is none, is wrong", async () => {
    const strange = [undefined, "", "plain", "scrypt$3$8$1$aaaaaaaa$aaaaaaaaaaaaaaaaaaaaaa"];
    const greedy = `scrypt$${2 ** 26}$8$1$aaaaaaaaaaaa$${"a".repeat(43)}`;
    for (const stored of [...strange, greedy]) {
      expect(stored === undefined ? false : isPasswordHash(stored)).toBe(false);
      expect(await passwords.matches("", stored)).toBe(false);
    }
  });

  test("of a hash with other parameters is right, and to be hashed anew", async () => {
    const { scryptSync } = await import("node:crypto");
    const salt = Buffer.alloc(16, 7);
    const made = scryptSync("old", salt, 32, { N: 1024, r: 8, p: 2 });
    const hash = ["scrypt", 1024, 8, 2, salt.toString("base64url"), made.toString("base64url")];
    expect(await passwords.matches("old", hash.join("$"))).toBe(true);
    expect(isOutdated(hash.join("$"))).toBe(true);
  });

  test("is hashed off the main thread, a few at a time, and too many are refused", async () => {
    const busy = new Passwords(systemRandom);
    let turns = 0;
    const turning = setInterval(() => turns++, 1);
    const first = Array.from({ length: HASHES_AT_ONCE }, () => busy.hash("a"));
    // Nobody waits for these: they are refused when their turn would be too far away.
    const waiting = Array.from({ length: MAX_WAITING_HASHES }, () => busy.matches("a", undefined));
    const refused = busy.matches("a", undefined);
    expect(busy.underWay).toBe(HASHES_AT_ONCE + MAX_WAITING_HASHES);
    const error = await refused.catch((thrown: unknown) => thrown);
    expect(isTidegateError(error, "unavailable")).toBe(true);
    await Promise.all(first);
    clearInterval(turning);
    expect(turns).toBeGreaterThan(5);
    await Promise.all(waiting);
    expect(busy.underWay).toBe(0);
  }, 60_000);
});

describe("a remembered password", () => {
  test("is that of its user and hash alone", () => {
    const verified = new VerifiedPasswords(systemRandom);
    verified.add(user("scrypt$1"), "right");
    expect(verified.has(user("scrypt$1"), "right")).toBe(true);
    expect(verified.has(user("scrypt$1"), "wrong")).toBe(false);
    expect(verified.has(user("scrypt$2"), "right")).toBe(false);
    expect(verified.has({ ...user("scrypt$1"), name: "bob" }, "right")).toBe(false);
    expect(verified.has(user(undefined), "right")).toBe(false);
  });
});

describe("failed logins", () => {
  const at = (ms: { now: number }): Time => ({ ...systemTime(), monotonicMs: () => ms.now });
  const limits = { failuresPerAddress: 4, failuresPerUser: 2 };
  const fails = (run: () => unknown): number | undefined => {
    try {
      run();
      return undefined;
    } catch (error) {
      expect(isTidegateError(error, "too_many_requests")).toBe(true);
      return isTidegateError(error) ? error.retryAfterSeconds : undefined;
    }
  };

  test("are limited for each user, with the seconds to wait", () => {
    const clock = { now: 0 };
    const failed = new FailedLogins(at(clock), limits);
    failed.begin("a", "db/ann");
    failed.begin("b", "db/ann");
    expect(fails(() => failed.begin("c", "db/ann"))).toBe(30);
    expect(fails(() => failed.begin("c", "db/bob"))).toBeUndefined();
    clock.now = 30_000;
    expect(fails(() => failed.begin("c", "db/ann"))).toBeUndefined();
    expect(fails(() => failed.begin("c", "db/ann"))).toBe(30);
  });

  test("are limited for each address, whichever users are tried", () => {
    const failed = new FailedLogins(at({ now: 0 }), limits);
    for (const name of ["a", "b", "c", "d"]) failed.begin("x", `db/${name}`);
    expect(fails(() => failed.begin("x", "db/e"))).toBe(15);
    expect(fails(() => failed.begin("y", "db/e"))).toBeUndefined();
  });

  test("that succeed cost nothing, however many", () => {
    const failed = new FailedLogins(at({ now: 0 }), limits);
    for (let i = 0; i < 100; i++) failed.begin("x", "db/ann").succeeded();
    expect(fails(() => failed.begin("x", "db/ann"))).toBeUndefined();
  });
});

test("a bounded map drops what was used longest ago", () => {
  const dropped: string[] = [];
  const map = new BoundedMap<string, number>(2, (key) => dropped.push(key));
  map.set("a", 1);
  map.set("b", 2);
  map.get("a");
  map.set("c", 3);
  expect(dropped).toEqual(["b"]);
  expect([map.get("a"), map.get("b"), map.get("c"), map.size]).toEqual([1, undefined, 3, 2]);
});

test("cookies are read by their whole name, and two that differ are both seen", () => {
  const header = 'a=1; XTidegateSession=x; TidegateSession="one"; TidegateSession = two; b';
  expect(cookieValues(header, "TidegateSession")).toEqual(["one", "two"]);
  expect(cookieValues("TidegateSession=a; TidegateSession=a", "TidegateSession")).toEqual(["a"]);
});

describe("a user's request", () => {
  const wrong: [string, JsonObject, RegExp][] = [
    ["no name", {}, /^name: expected a string \(came: nothing\)/],
    ["a colon in the name", { name: "a:b" }, /^name: expected 1 to 200 bytes/],
    ["a control character", { name: "a\u0000" }, /^name: expected/],
    ["a slash", { name: "../x" }, /^name: expected/],
    ["a long name", { name: "a".repeat(201) }, /^name: expected/],
    ["an empty password", { name: "a", password: "" }, /^password: expected a text of 1/],
    ["a number as password", { name: "a", password: 12345678 }, /^password: expected/],
    ["a wrong email", { name: "a", email: "x" }, /^email: expected an address/],
    ["disabled as text", { name: "a", disabled: "yes" }, /^disabled: expected true or false/],
    ["one channel", { name: "a", admin_channels: "x" }, /^admin_channels: expected an array/],
    ["an empty channel", { name: "a", admin_channels: [""] }, /^admin_channels: expected channel/],
    ["a pseudo-channel", { name: "a", admin_channels: ["\u0001user:b"] }, /^admin_channels/],
    ["half a character", { name: "a", admin_channels: ["\ud800"] }, /^admin_channels/],
    ["role: in a role", { name: "a", admin_roles: ["role:x"] }, /^admin_roles: expected names/],
    ["another member", { name: "a", admin_chanels: [] }, /^admin_chanels: no such member/],
    ["too many channels", { name: "a", admin_channels: Array(20_001).fill("x") }, /at most 20000/],
  ];
  for (const [what, body, message] of wrong) {
    test(`with ${what} is refused, and says why`, () => {
      expect(() => parseUserRequest(body, undefined)).toThrow(message);
    });
  }

  test("does not repeat a password that is refused", () => {
    const secret = "s".repeat(2000);
    expect(() => parseUserRequest({ name: "a", password: secret }, undefined)).toThrow(
      /^(?!.*sss)/,
    );
  });

  test("takes what an answer had, and drops repeats", () => {
    const body = { name: "ann", all_channels: ["!"], roles: [], admin_channels: ["a", "a"] };
    expect(parseUserRequest(body, "ann")).toMatchObject({ name: "ann", adminChannels: ["a"] });
    expect(() => parseUserRequest(body, "bob")).toThrow("name: expected the name in the path, bob");
  });
});
