// The admin listener with administrators: nobody else gets in, whatever the route.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Passwords } from "../../src/access/login/passwords.ts";
import { loadConfig } from "../../src/config/load.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

const TOKEN = "0123456789abcdefghij-token";
let fixture: Fixture;

beforeAll(async () => {
  const passwordHash = await new Passwords(systemRandom).hash("root-pw");
  fixture = await startFixture({
    adminAuth: { users: { root: { passwordHash }, ci: { token: TOKEN } } },
    logins: { failuresPerAddress: 6, failuresPerUser: 1000 },
  });
});
afterAll(() => fixture?.close());

const basic = (name: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`,
});

test("administrators get in by password and by token", async () => {
  const { admin } = fixture;
  expect((await request("PUT", `${admin}/db`, {}, basic("root", "root-pw"))).status).toBe(201);
  const byToken = { authorization: `Bearer ${TOKEN}` };
  expect((await request("GET", `${admin}/db`, undefined, byToken)).status).toBe(200);
  expect((await request("GET", `${admin}/db`, undefined, basic("ci", TOKEN))).status).toBe(200);
});

test("nobody gets in without, on any route, whether or not there is such a thing", async () => {
  const { admin } = fixture;
  for (const path of ["/", "/_config", "/db", "/missing", "/db/_user", "/db/_raw/x", "/db/doc"]) {
    for (const method of ["GET", "PUT", "POST", "DELETE"]) {
      const answer = await request(method, admin + path, method === "GET" ? undefined : {});
      expect([method, path, answer.status]).toEqual([method, path, 401]);
    }
  }
});

test("a user of a database is no administrator", async () => {
  const { admin } = fixture;
  const root = basic("root", "root-pw");
  await request("PUT", `${admin}/db/_user/ann`, { password: "ann-pw" }, root);
  expect((await request("GET", `${admin}/db`, undefined, basic("ann", "ann-pw"))).status).toBe(401);
  const body = { name: "ann", password: "ann-pw" };
  const { headers } = await request("POST", `${fixture.public}/db/_session`, body);
  const cookie = headers.get("set-cookie")?.split(";")[0] ?? "";
  expect((await request("GET", `${admin}/db`, undefined, { cookie })).status).toBe(401);
  expect((await request("GET", `${fixture.public}/db`, undefined, root)).status).toBe(401);
});

test("wrong passwords are limited, right tokens never", async () => {
  const statuses: number[] = [];
  for (let i = 0; i < 8; i++) {
    const answer = await request(
      "GET",
      `${fixture.admin}/`,
      undefined,
      basic("root", `wrong-${i}`),
    );
    statuses.push(answer.status);
  }
  expect(statuses[0]).toBe(401);
  expect(statuses.at(-1)).toBe(429);
  const byToken = { authorization: `Bearer ${TOKEN}` };
  expect((await request("GET", `${fixture.admin}/`, undefined, byToken)).status).toBe(200);
});

test("the secrets are in no answer", async () => {
  const headers = { authorization: `Bearer ${TOKEN}` };
  const { status, text } = await request("GET", `${fixture.admin}/_config`, undefined, headers);
  expect(status).toBe(200);
  expect(text).not.toContain(TOKEN);
  expect(text).not.toContain("scrypt$");
});

test("without administrators the listener is on loopback, or is refused", () => {
  const load = (commandLine: object) =>
    loadConfig({ environment: {}, commandLine: commandLine as never });
  expect(() => load({ admin: "0.0.0.0:4985" })).toThrow("adminAuth.users");
  const adminAuth = { users: { ci: { token: TOKEN } } };
  expect(load({ admin: "0.0.0.0:4985", adminAuth }).admin).toBe("0.0.0.0:4985");
  expect(() => load({ adminAuth: { users: { ci: {} } } })).toThrow("adminAuth.users.ci");
  expect(() => load({ adminAuth: { users: { ci: { token: "short" } } } })).toThrow("token");
});

test("a hash that is none stops the start, and is not repeated", async () => {
  const adminAuth = { users: { root: { passwordHash: "scrypt$32768$8$1$broken" } } };
  const started = startFixture({ adminAuth });
  expect(started).rejects.toThrow("adminAuth.users.root.passwordHash: expected what");
  expect(started).rejects.not.toThrow("broken");
});
