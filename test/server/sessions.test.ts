// Sessions over HTTP: logging in and out, cookies, one-time sessions, those that administrators make;
// and how often a login may fail.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Answer, type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

const ORIGIN = "https://app.example";
let fixture: Fixture;
let admin: string;
let url: string;

beforeAll(async () => {
  fixture = await startFixture({
    cors: { origins: [ORIGIN] },
    trustedProxies: ["127.0.0.1"],
    logins: { failuresPerAddress: 8, failuresPerUser: 5 },
  });
  admin = `${fixture.admin}/db`;
  url = `${fixture.public}/db`;
  await request("PUT", admin, {});
  for (const name of ["ann", "ben", "cat", "dan"]) {
    await request("PUT", `${admin}/_user/${name}`, {
      password: `${name}-pw`,
      admin_channels: [name],
    });
    await request("PUT", `${admin}/of-${name}`, { channels: [name] });
  }
});
afterAll(() => fixture?.close());

/** What a client at `address` sends. */
const from = (address: string) => ({ "x-forwarded-for": address });

function login(name: string, password = `${name}-pw`, headers = {}): Promise<Answer> {
  return request("POST", `${url}/_session`, { name, password }, headers);
}

/** The `name=value` of the cookie that an answer sets. */
function cookieOf(answer: Answer): string {
  const [pair = ""] = (answer.headers.get("set-cookie") ?? "").split(";");
  return pair;
}

const withCookie = (cookie: string, method: string, path: string, more = {}) =>
  request(method, url + path, undefined, { cookie, ...more });

describe("a session", () => {
  test("is begun by name and password, and is a cookie that no script reads", async () => {
    const answer = await login("ann");
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({
      ok: true,
      name: "ann",
      userCtx: { name: "ann", channels: ["!", "ann"], roles: [] },
    });
    expect(answer.headers.get("cache-control")).toBe("no-store");
    const cookie = answer.headers.get("set-cookie") ?? "";
    expect(cookie).toMatch(/^TidegateSession=[\w-]{43}; /);
    for (const part of ["Path=/db", "HttpOnly", "SameSite=Lax", "Max-Age=86400"]) {
      expect(cookie).toContain(part);
    }
    expect(cookie).not.toContain("Secure");
    expect((await withCookie(cookieOf(answer), "GET", "/of-ann")).status).toBe(200);
    expect((await withCookie(cookieOf(answer), "GET", "/of-ben")).status).toBe(403);
    const who = await withCookie(cookieOf(answer), "GET", "/_session");
    expect(who.json).toMatchObject({ userCtx: { name: "ann" } });
  });

  test("behind TLS is for TLS only", async () => {
    const answer = await login("ann", undefined, { "x-forwarded-proto": "https" });
    expect(answer.headers.get("set-cookie")).toContain("; Secure");
  });

  test("is not what the client brought: no fixation", async () => {
    const brought = `TidegateSession=${"A".repeat(43)}`;
    const answer = await login("ann", undefined, { cookie: brought });
    expect(answer.status).toBe(200);
    expect(cookieOf(answer)).not.toBe(brought);
    expect((await withCookie(brought, "GET", "/of-ann")).status).toBe(401);
  });

  test("ends when its user logs out", async () => {
    const cookie = cookieOf(await login("ann"));
    const out = await withCookie(cookie, "DELETE", "/_session");
    expect(out.status).toBe(200);
    expect(out.headers.get("set-cookie")).toContain("Max-Age=0");
    expect((await withCookie(cookie, "GET", "/of-ann")).status).toBe(401);
  });

  test("ends with its user's other sessions when an administrator says so", async () => {
    const cookies = [cookieOf(await login("ben")), cookieOf(await login("ben"))];
    const other = cookieOf(await login("ann"));
    expect((await request("DELETE", `${admin}/_user/ben/_session`)).status).toBe(200);
    for (const cookie of cookies) {
      expect((await withCookie(cookie, "GET", "/of-ben")).status).toBe(401);
    }
    expect((await withCookie(other, "GET", "/of-ann")).status).toBe(200);
    expect((await login("ben")).status).toBe(200);
  });

  test("ends with a new password, and when the user is disabled", async () => {
    const before = cookieOf(await login("ben"));
    await request("PUT", `${admin}/_user/ben`, { password: "ben-pw", admin_channels: ["ben"] });
    expect((await withCookie(before, "GET", "/of-ben")).status).toBe(401);
    const cookie = cookieOf(await login("ben"));
    await request("PUT", `${admin}/_user/ben`, { disabled: true, admin_channels: ["ben"] });
    expect((await withCookie(cookie, "GET", "/of-ben")).status).toBe(401);
    await request("PUT", `${admin}/_user/ben`, { disabled: false, admin_channels: ["ben"] });
    expect((await withCookie(cookie, "GET", "/of-ben")).status).toBe(401);
  });

  test("lets pages of other origins read nothing and write nothing", async () => {
    const cookie = cookieOf(await login("ann"));
    const evil = { cookie, origin: "https://evil.example" };
    expect((await request("PUT", `${url}/csrf`, { a: 1 }, evil)).status).toBe(403);
    const read = await request("GET", `${url}/of-ann`, undefined, evil);
    expect(read.headers.get("access-control-allow-origin")).toBeNull();
    const cross = { cookie, "sec-fetch-site": "cross-site" };
    expect((await request("PUT", `${url}/csrf`, { a: 1 }, cross)).status).toBe(403);
    const own = { cookie, origin: ORIGIN };
    expect((await request("PUT", `${url}/no-csrf`, { a: 1 }, own)).status).toBe(201);
  });

  test("in two cookies is refused: one of them is somebody else's", async () => {
    const cookie = cookieOf(await login("ann"));
    const two = `${cookie}; TidegateSession=${"B".repeat(43)}`;
    expect((await withCookie(two, "GET", "/of-ann")).status).toBe(401);
  });

  test("of one time opens one request", async () => {
    const body = { name: "ann", password: "ann-pw", one_time: true };
    const answer = await request("POST", `${url}/_session`, body);
    expect(answer.headers.get("set-cookie")).toBeNull();
    const { one_time_session_id: id } = answer.json as { one_time_session_id: string };
    const path = `/of-ann?one_time_session=${id}`;
    expect((await request("GET", url + path)).status).toBe(200);
    expect((await request("GET", url + path)).status).toBe(401);
    // A lasting session is worth nothing in a URL.
    const [, lasting] = cookieOf(await login("ann")).split("=");
    expect((await request("GET", `${url}/of-ann?one_time_session=${lasting}`)).status).toBe(401);
  });

  test("is made, looked at and ended by administrators", async () => {
    const made = await request("POST", `${admin}/_session`, { name: "cat", ttl: 3600 });
    expect(made.status).toBe(200);
    const { session_id: id, cookie_name: name } = made.json as Record<string, string>;
    const cookie = `${name}=${id}`;
    expect((await withCookie(cookie, "GET", "/of-cat")).status).toBe(200);
    expect((await request("GET", `${admin}/_session/${id}`)).json).toMatchObject({
      userCtx: { name: "cat" },
      one_time: false,
    });
    expect((await request("DELETE", `${admin}/_session/${id}`)).status).toBe(200);
    expect((await request("GET", `${admin}/_session/${id}`)).status).toBe(404);
    expect((await withCookie(cookie, "GET", "/of-cat")).status).toBe(401);
    expect((await request("POST", `${admin}/_session`, { name: "nobody" })).status).toBe(404);
    expect((await request("POST", `${admin}/_session`, { name: "cat", ttl: -1 })).status).toBe(400);
  });

  test("is not begun with what is no login", async () => {
    for (const [body, status] of [
      [{ name: "ann", password: "wrong" }, 401],
      [{ name: "ann" }, 400],
      [{ name: 7, password: "x" }, 400],
      [{}, 401],
    ] as const) {
      const answer = await request("POST", `${url}/_session`, body, from("10.0.0.1"));
      expect([body, answer.status]).toEqual([body, status]);
      expect(answer.headers.get("set-cookie")).toBeNull();
    }
  });
});

describe("logins that fail", () => {
  test("sound and cost the same, whoever there is and whatever database", async () => {
    const wrong = async (base: string, name: string, address: string) => {
      const begun = performance.now();
      const body = { name, password: "wrong" };
      const answer = await request("POST", `${base}/_session`, body, from(address));
      return { answer, took: performance.now() - begun };
    };
    const times: Record<string, number[]> = { there: [], not: [], nowhere: [] };
    const texts = new Set<string>();
    for (let i = 0; i < 4; i++) {
      for (const [what, base, name] of [
        ["there", url, "cat"],
        ["not", url, "nobody"],
        ["nowhere", `${fixture.public}/no-database`, "cat"],
      ] as const) {
        const { answer, took } = await wrong(base, name, `10.1.0.${i}`);
        expect(answer.status).toBe(401);
        texts.add(answer.text);
        times[what]!.push(took);
      }
    }
    expect(texts.size).toBe(1);
    const least = Object.values(times).map((all) => Math.min(...all));
    expect(Math.max(...least) / Math.min(...least)).toBeLessThan(3);
  });

  test("too often are 429 for that user, from everywhere, until some time has gone", async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 7; i++) {
      statuses.push((await login("dan", "wrong", from(`10.2.0.${i}`))).status);
    }
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429]);
    const limited = await login("dan", "dan-pw", from("10.2.1.1"));
    expect(limited.status).toBe(429);
    expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await login("cat", undefined, from("10.2.1.1"))).status).toBe(200);
  });

  test("too often are 429 for that address, whomever it tries", async () => {
    const statuses: number[] = [];
    for (let i = 0; i < 10; i++) {
      statuses.push((await login(`someone-${i}`, "wrong", from("10.3.0.1"))).status);
    }
    expect(statuses).toEqual([...Array(8).fill(401), 429, 429]);
    expect((await login("cat", undefined, from("10.3.0.2"))).status).toBe(200);
  });

  test("are counted by the address that a trusted proxy names, not by what clients write", async () => {
    const lies = (i: number) => from(`1.2.3.${i}, 10.4.0.1`);
    const statuses: number[] = [];
    for (let i = 0; i < 10; i++) statuses.push((await login(`x-${i}`, "wrong", lies(i))).status);
    expect(statuses.slice(8)).toEqual([429, 429]);
  });
});
