// Users and roles on the admin listener, and what a login is good for on the public one.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../harness/until.ts";
import { type Answer, type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

let fixture: Fixture;
let admin: string;
let url: string;

const SYNC = `function (doc) {
  if (doc.needs) requireUser(doc.needs);
  if (doc.needsRole) requireRole(doc.needsRole);
  if (doc.needsAccess) requireAccess(doc.needsAccess);
  if (doc.needsAdmin) requireAdmin();
  if (doc.grant) access(doc.grant.to, doc.grant.channels);
  if (doc.role) role(doc.role.to, doc.role.roles);
  channel(doc.channels);
}`;

beforeAll(async () => {
  fixture = await startFixture({ logins: { failuresPerAddress: 1000, failuresPerUser: 1000 } });
  admin = `${fixture.admin}/db`;
  url = `${fixture.public}/db`;
  await request("PUT", admin, { syncFunction: SYNC });
});
afterAll(() => fixture?.close());

function basic(name: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}` };
}

/** A request of `name`, whose password is its name and "-pw". */
function as(name: string, method: string, path: string, body?: object): Promise<Answer> {
  return request(method, url + path, body, basic(name, `${name}-pw`));
}

async function makeUser(name: string, more: object = {}): Promise<void> {
  const made = await request("PUT", `${admin}/_user/${name}`, { password: `${name}-pw`, ...more });
  expect([name, made.status]).toEqual([name, 201]);
}

describe("users", () => {
  test("are made, read, listed, changed and removed", async () => {
    const wanted = {
      name: "una",
      password: "una-pw",
      admin_channels: ["b", "a"],
      email: "u@x.org",
    };
    expect((await request("POST", `${admin}/_user`, wanted)).status).toBe(201);
    expect((await request("POST", `${admin}/_user`, wanted)).status).toBe(409);
    const read = await request("GET", `${admin}/_user/una`);
    expect(read.json).toEqual({
      name: "una",
      email: "u@x.org",
      disabled: false,
      admin_channels: ["b", "a"],
      admin_roles: [],
      all_channels: ["!", "a", "b"],
      roles: [],
    });
    expect(read.text).not.toContain("scrypt");
    const changed = { admin_roles: ["r"], disabled: false };
    expect((await request("PUT", `${admin}/_user/una`, changed)).status).toBe(200);
    expect((await request("GET", `${admin}/_user/una`)).json).toMatchObject({
      admin_channels: [],
      all_channels: ["!"],
      roles: ["r"],
    });
    // The password stayed.
    expect((await as("una", "GET", "")).status).toBe(200);
    expect((await request("GET", `${admin}/_user`)).json).toContain("una");
    expect((await request("DELETE", `${admin}/_user/una`)).status).toBe(200);
    expect((await request("DELETE", `${admin}/_user/una`)).status).toBe(404);
    expect((await request("GET", `${admin}/_user/una`)).status).toBe(404);
    expect((await as("una", "GET", "")).status).toBe(401);
  });

  test("are listed in pages", async () => {
    for (const name of ["page1", "page2", "page3"]) await makeUser(name);
    const first = await request("GET", `${admin}/_user?limit=2&after=page`);
    expect(first.json).toEqual(["page1", "page2"]);
    expect((await request("GET", `${admin}/_user?limit=1&after=page2`)).json).toEqual(["page3"]);
  });

  for (const [what, body] of Object.entries({
    "a member that does not exist": { admin_chanels: ["a"] },
    "a channel that there can't be": { admin_channels: ["a\u0001"] },
    "channels that are no list": { admin_channels: "a" },
    "an empty password": { password: "" },
    "a password that is too long": { password: "x".repeat(1025) },
    "another name than in the path": { name: "other" },
    "a role with its prefix": { admin_roles: ["role:x"] },
    "disabled that is no boolean": { disabled: "yes" },
  })) {
    test(`are refused with ${what}`, async () => {
      const answer = await request("PUT", `${admin}/_user/wrong`, body);
      expect(answer.status).toBe(400);
      expect((await request("GET", `${admin}/_user/wrong`)).status).toBe(404);
    });
  }

  test("have names of letters, digits and a few signs", async () => {
    for (const name of ["ünal", "a.b-c_d@example.org", "名前"]) {
      const path = `${admin}/_user/${encodeURIComponent(name)}`;
      expect((await request("PUT", path, { password: "x" })).status).toBe(201);
      expect((await request("GET", path)).json).toMatchObject({ name });
      const answer = await request("GET", url, undefined, basic(name, "x"));
      expect(answer.status).toBe(200);
    }
    for (const name of ["a:b", "a/b", "a b", "", "a\u0000", "_".repeat(201)]) {
      const path = `${admin}/_user/${encodeURIComponent(name)}`;
      const status = (await request("PUT", path, { password: "x" })).status;
      expect([name, status]).not.toEqual([name, 201]);
    }
  });

  test("are no documents", async () => {
    await makeUser("hidden", { admin_channels: ["*"] });
    for (const path of ["/_sync:user:hidden", "/_sync%3Auser%3Ahidden"]) {
      expect((await request("GET", admin + path)).status).toBeGreaterThanOrEqual(400);
      expect((await request("PUT", admin + path, {})).status).toBeGreaterThanOrEqual(400);
    }
    for (const path of ["/_all_docs?include_docs=true", "/_changes?include_docs=true"]) {
      expect((await request("GET", admin + path)).text).not.toContain("_sync:");
      expect((await as("hidden", "GET", path)).text).not.toContain("_sync:");
    }
    const bulk = await request("POST", `${admin}/_bulk_get`, {
      docs: [{ id: "_sync:user:hidden" }],
    });
    expect(bulk.text).not.toContain("scrypt");
  });
});

describe("a user", () => {
  beforeAll(async () => {
    await makeUser("ann", { admin_channels: ["news"] });
    await makeUser("ben");
    await request("PUT", `${admin}/n1`, { channels: ["news"], text: "one" });
    await request("PUT", `${admin}/s1`, { channels: ["secret"], text: "two" });
    await request("PUT", `${admin}/p1`, { channels: ["!"], text: "three" });
  });

  test("reads what is in its channels, and nothing else", async () => {
    expect((await as("ann", "GET", "/n1")).json).toMatchObject({ text: "one" });
    expect((await as("ann", "GET", "/s1")).status).toBe(403);
    expect((await as("ben", "GET", "/n1")).status).toBe(403);
    expect((await as("ben", "GET", "/p1")).status).toBe(200);
    const rows = (await as("ann", "GET", "/_all_docs")).json as { rows: { id: string }[] };
    expect(rows.rows.map(({ id }) => id)).toEqual(["n1", "p1"]);
    const changes = (await as("ann", "GET", "/_changes")).json as { results: { id: string }[] };
    expect(changes.results.map(({ id }) => id).sort()).toEqual(["n1", "p1"]);
    const none = (await as("ben", "GET", "/_changes")).json as { results: { id: string }[] };
    expect(none.results.map(({ id }) => id)).toEqual(["p1"]);
  });

  test("is told from others by its credentials alone", async () => {
    const wrong = [
      basic("ann", "ann-pW"),
      basic("ann", ""),
      basic("nobody", "ann-pw"),
      basic("ann", "ann-pw\0"),
      { authorization: "Basic !!!" },
      { authorization: "Bearer abc" },
      { authorization: "Digest x" },
      { cookie: "TidegateSession=abc" },
    ];
    const answers = new Set<string>();
    for (const headers of wrong) {
      const answer = await request("GET", `${url}/n1`, undefined, headers);
      expect(answer.status).toBe(401);
      const isToken = headers.authorization?.startsWith("Bearer") ?? false;
      const challenge = answer.headers.get("www-authenticate");
      expect(challenge).toStartWith(isToken ? "Bearer" : "Basic");
      answers.add((answer.json as { error: string }).error);
    }
    expect([...answers]).toEqual(["unauthorized"]);
  });

  test("gets what a document grants it, and loses it with the document", async () => {
    expect((await as("ben", "GET", "/s1")).status).toBe(403);
    const grant = { grant: { to: "ben", channels: ["secret"] }, channels: [] };
    const { rev } = (await request("PUT", `${admin}/grant`, grant)).json as { rev: string };
    await until("ben reads it", async () => (await as("ben", "GET", "/s1")).status === 200);
    await request("DELETE", `${admin}/grant?rev=${rev}`);
    await until("ben does not", async () => (await as("ben", "GET", "/s1")).status === 403);
  });

  test("loses what a document granted it when that is purged, and hears that others left", async () => {
    await makeUser("pur");
    const grant = { grant: { to: "pur", channels: ["secret"] }, channels: ["secret"] };
    await request("PUT", `${admin}/purged`, grant);
    await until("pur reads it", async () => (await as("pur", "GET", "/purged")).status === 200);
    const { last_seq } = (await as("pur", "GET", "/_changes")).json as { last_seq: string };
    expect((await request("POST", `${admin}/_purge`, { purged: ["*"] })).status).toBe(200);
    await until("pur does not", async () => (await as("pur", "GET", "/s1")).status === 403);
    expect((await as("pur", "GET", "/purged")).status).toBe(404);
    const changes = await as("pur", "GET", `/_changes?since=${last_seq}&include_docs=true`);
    expect(changes.text).not.toContain("grant");
    const dump = await request("GET", `${admin}/_dumpchannel/secret`);
    expect(dump.text).toContain("removed");
  });

  test("gets what its roles see", async () => {
    expect(
      (await request("PUT", `${admin}/_role/crew`, { admin_channels: ["secret"] })).status,
    ).toBe(201);
    const role = { role: { to: "ben", roles: ["role:crew"] } };
    const { rev } = (await request("PUT", `${admin}/role`, role)).json as { rev: string };
    await until("ben reads it", async () => (await as("ben", "GET", "/s1")).status === 200);
    await request("PUT", `${admin}/_role/crew`, { admin_channels: [] });
    expect((await as("ben", "GET", "/s1")).status).toBe(403);
    const grant = { grant: { to: "role:crew", channels: ["secret"] } };
    await request("PUT", `${admin}/roleGrant`, grant);
    await until("ben reads it again", async () => (await as("ben", "GET", "/s1")).status === 200);
    await request("PUT", `${admin}/role?rev=${rev}`, {});
    await until("ben does not", async () => (await as("ben", "GET", "/s1")).status === 403);
  });

  test("writes what the sync function lets it", async () => {
    await makeUser("cat", { admin_roles: ["cats"], admin_channels: ["c"] });
    const table: [object, number][] = [
      [{ needs: "cat" }, 201],
      [{ needs: "dog" }, 403],
      [{ needsRole: "cats" }, 201],
      [{ needsRole: "dogs" }, 403],
      [{ needsAccess: "c" }, 201],
      [{ needsAccess: "d" }, 403],
      [{ needsAdmin: true }, 403],
    ];
    for (const [i, [doc, status]] of table.entries()) {
      const answer = await as("cat", "PUT", `/write-${i}`, doc);
      expect([i, answer.status]).toEqual([i, status]);
      const byAdmin = await request("PUT", `${admin}/write-admin-${i}`, doc);
      expect([i, byAdmin.status]).toEqual([i, 201]);
    }
  });

  test("that is disabled, or has another password, is out", async () => {
    await makeUser("dan");
    expect((await as("dan", "GET", "")).status).toBe(200);
    await request("PUT", `${admin}/_user/dan`, { disabled: true });
    expect((await as("dan", "GET", "")).status).toBe(401);
    await request("PUT", `${admin}/_user/dan`, { disabled: false });
    expect((await as("dan", "GET", "")).status).toBe(200);
    await request("PUT", `${admin}/_user/dan`, { password: "another" });
    expect((await as("dan", "GET", "")).status).toBe(401);
    expect((await request("GET", url, undefined, basic("dan", "another"))).status).toBe(200);
  });

  test("whose feed is open is sent away when it is disabled", async () => {
    await makeUser("eve");
    const feed = fetch(`${url}/_changes?feed=continuous&heartbeat=60000`, {
      headers: basic("eve", "eve-pw"),
    });
    const reader = (await feed).body!.getReader();
    await request("PUT", `${admin}/_user/eve`, { disabled: true });
    for (;;) {
      const { done } = await reader.read();
      if (done) break;
    }
    expect((await as("eve", "GET", "/_changes")).status).toBe(401);
  });
});

describe("the guest", () => {
  test("sees the channels that it is given, with `!`", async () => {
    const own = `${fixture.admin}/guests`;
    await request("PUT", own, { guest: { channels: ["open"] } });
    await request("PUT", `${own}/o`, { channels: ["open"] });
    await request("PUT", `${own}/c`, { channels: ["closed"] });
    await request("PUT", `${own}/e`, { channels: ["!"] });
    const guest = `${fixture.public}/guests`;
    await until("the rows are there", async () => {
      const { results } = (await request("GET", `${guest}/_changes`)).json as {
        results: { id: string }[];
      };
      return (
        results
          .map(({ id }) => id)
          .sort()
          .join() === "e,o"
      );
    });
    expect((await request("GET", `${guest}/o`)).status).toBe(200);
    expect((await request("GET", `${guest}/c`)).status).toBe(403);
    const info = (await request("GET", guest)).json as Record<string, unknown>;
    expect(info.doc_count).toBeUndefined();
  });
});
