// Bearer tokens over HTTP: the users that they are of, what their claims give and take, and that no
// secret of the settings is shown.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { SignJWT } from "jose";
import type { JsonObject } from "../../src/base/json.ts";
import { until } from "../harness/until.ts";
import { type Answer, type Fixture, request, startFixture } from "../server/fixture.ts";
import { inSeconds, type SigningKey, signingKey } from "./provider.ts";

setDefaultTimeout(30_000);

const ISS = "https://issuer.example";
const SECRET = Buffer.alloc(32, "k").toString("base64url");

let fixture: Fixture;
let key: SigningKey;
let admin: string;
let url: string;

const common = () => ({ issuer: ISS, keys: [key.publicJwk] });
const settings = () => ({
  tokens: [
    {
      ...{ name: "corp", audience: "notes", register: true, ...common() },
      ...{ channelsClaim: "channels", rolesClaim: "realm_access.roles" },
    },
    { name: "known", audience: "known", ...common() },
    { name: "free", audience: "free", register: true, ...common() },
    {
      name: "hmac",
      issuer: "hmac",
      audience: "notes",
      keys: [{ kty: "oct", kid: "h", k: SECRET }],
    },
  ],
});

beforeAll(async () => {
  fixture = await startFixture();
  key = await signingKey("k");
  admin = `${fixture.admin}/db`;
  url = `${fixture.public}/db`;
  expect((await request("PUT", admin, settings())).status).toBe(201);
  await request("PUT", `${admin}/_role/readers`, { admin_channels: ["of-readers"] });
  for (const channel of ["a", "b", "of-readers"]) {
    await request("PUT", `${admin}/in-${channel}`, { channels: [channel] });
  }
});
afterAll(async () => {
  expect(fixture?.complaints).toEqual([]);
  await fixture?.close();
});

function token(claims: JsonObject): Promise<string> {
  const whole = { iss: ISS, aud: "notes", iat: inSeconds(0), exp: inSeconds(300), ...claims };
  return new SignJWT(whole).setProtectedHeader({ alg: key.alg, kid: key.kid }).sign(key.privateKey);
}

const as = (bearer: string, path: string, method = "GET"): Promise<Answer> =>
  request(method, url + path, undefined, { authorization: `Bearer ${bearer}` });

async function seenBy(bearer: string): Promise<string[]> {
  const answer = await as(bearer, "/_session");
  expect([answer.status, answer.text]).toEqual([200, expect.any(String)]);
  return (answer.json as { userCtx: { channels: string[] } }).userCtx.channels;
}

const userOf = async (name: string) =>
  (await request("GET", `${admin}/_user/${encodeURIComponent(name)}`)).json as JsonObject;

describe("a bearer token", () => {
  test("makes its user, who sees what the claims give, by roles too", async () => {
    const claims = { sub: "ann", channels: ["a"], realm_access: { roles: ["readers", "no such"] } };
    const bearer = await token(claims);
    expect(await seenBy(bearer)).toEqual(["!", "a", "of-readers"]);
    expect((await as(bearer, "/in-a")).status).toBe(200);
    expect((await as(bearer, "/in-of-readers")).status).toBe(200);
    expect((await as(bearer, "/in-b")).status).toBe(403);
    expect(await userOf("corp_ann")).toMatchObject({
      ...{ name: "corp_ann", admin_channels: [], token_issuer: ISS },
      ...{ token_channels: ["a"], token_roles: ["readers"] },
    });
  });

  test("writes as its user", async () => {
    const bearer = await token({ sub: "ann", channels: ["a"] });
    const headers = { authorization: `Bearer ${bearer}` };
    const saved = await request("PUT", `${url}/mine`, { channels: ["a"] }, headers);
    expect(saved.status).toBe(201);
  });

  test("that is newer takes and gives; the one before brings nothing back", async () => {
    const one = (iat: number, channels: string[]) =>
      token({ sub: "bob", channels, iat: inSeconds(iat) });
    const first = await one(-20, ["a"]);
    const second = await one(-10, ["b"]);
    expect(await seenBy(first)).toEqual(["!", "a"]);
    expect(await seenBy(second)).toEqual(["!", "b"]);
    expect(await seenBy(first)).toEqual(["!", "b"]);
    expect(await seenBy(await one(0, []))).toEqual(["!"]);
    expect((await as(second, "/in-b")).status).toBe(403);
  });

  test("brings the past of what it gives to a feed that is open", async () => {
    const first = await token({ sub: "cat", channels: [], iat: inSeconds(-10) });
    const feed = await fetch(`${url}/_changes?feed=continuous&heartbeat=1000`, {
      headers: { authorization: `Bearer ${first}` },
    });
    const ids = new Set<string>();
    const reading = (async () => {
      for await (const part of feed.body!) {
        for (const [, id] of new TextDecoder().decode(part).matchAll(/"id":"([^"]*)"/g)) {
          ids.add(id ?? "");
        }
      }
    })();
    expect(await seenBy(await token({ sub: "cat", channels: ["b"] }))).toEqual(["!", "b"]);
    await until("the channel's past", () => ids.has("in-b"));
    await request("DELETE", `${admin}/_user/corp_cat/_session`);
    await reading;
  });

  test("keeps what administrators gave, and they keep what it gave", async () => {
    const bearer = await token({ sub: "dan", channels: ["a"] });
    await seenBy(bearer);
    await request("PUT", `${admin}/_user/corp_dan`, { admin_channels: ["b"] });
    expect(await seenBy(bearer)).toEqual(["!", "a", "b"]);
  });

  test("of many requests at once makes its user once", async () => {
    const bearer = await token({ sub: "eve", channels: ["a"] });
    const asked: Promise<Answer>[] = [];
    let first: Answer | undefined;
    // They go on coming while the user is written, and while what was written does not count yet.
    for (let wave = 0; !first && wave < 200; wave++) {
      const more = Array.from({ length: 5 }, () => as(bearer, "/in-a"));
      for (const one of more)
        one.then(
          (answer) => (first ??= answer),
          () => {},
        );
      asked.push(...more);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    expect(statuses).toEqual(statuses.map(() => 200));
    const stored = await fixture.gateway.database("db")?.principals.load("user:corp_eve");
    expect(stored?.rev).toMatch(/^1-/);
  });

  test("of a user that is not there is refused where its issuer makes none", async () => {
    const bearer = await token({ sub: "fay", aud: "known" });
    expect((await as(bearer, "/_session")).status).toBe(401);
    await request("PUT", `${admin}/_user/known_fay`, { admin_channels: ["b"] });
    expect(await seenBy(bearer)).toEqual(["!", "b"]);
  });

  test("of a disabled user is refused, and its feed ends", async () => {
    const bearer = await token({ sub: "gil", aud: "free" });
    const feed = await fetch(`${url}/_changes?feed=continuous&heartbeat=1000`, {
      headers: { authorization: `Bearer ${bearer}` },
    });
    await request("PUT", `${admin}/_user/free_gil`, { disabled: true });
    await feed.text();
    expect((await as(bearer, "/_session")).status).toBe(401);
  });

  test("ends its feed with its time", async () => {
    const bearer = await token({ sub: "hal", aud: "free", exp: inSeconds(-28) });
    const feed = await fetch(`${url}/_changes?feed=continuous&heartbeat=1000`, {
      headers: { authorization: `Bearer ${bearer}` },
    });
    expect(feed.status).toBe(200);
    await feed.text();
    expect((await as(bearer, "/_session")).status).toBe(401);
  });

  test("gives a session to who wants one", async () => {
    const bearer = await token({ sub: "ivy", aud: "free" });
    const answer = await as(bearer, "/_session", "POST");
    expect([answer.status, answer.json]).toEqual([
      200,
      expect.objectContaining({ name: "free_ivy" }),
    ]);
    const [cookie = ""] = (answer.headers.get("set-cookie") ?? "").split(";");
    const who = await request("GET", `${url}/_session`, undefined, { cookie });
    expect(who.json).toMatchObject({ userCtx: { name: "free_ivy" } });
  });
});

describe("a user's name", () => {
  const names: [string, string][] = [
    ["auth0|7", "free_auth0%7C7"],
    ["auth0%7C7", "free_auth0%257C7"],
    ["a b/c:d", "free_a%20b%2Fc%3Ad"],
    ["Zoë@example.org", "free_Zoë@example.org"],
    ["../_admin", "free_..%2F_admin"],
    ["__proto__", "free___proto__"],
    ["😀", "free_%F0%9F%98%80"],
    ["\u0000", "free_%00"],
  ];
  for (const [sub, name] of names) {
    test(`of ${JSON.stringify(sub)} is ${name}`, async () => {
      const answer = await as(await token({ sub, aud: "free" }), "/_session");
      expect(answer.json).toMatchObject({ userCtx: { name } });
    });
  }

  test("that is none makes a token that is refused", async () => {
    const subs: JsonObject[string][] = [
      "",
      7,
      null,
      ["ann"],
      { a: 1 },
      "x".repeat(201),
      "|".repeat(99),
    ];
    for (const sub of [...subs, "\ud800"]) {
      const answer = await as(await token({ sub, aud: "free" }), "/_session");
      expect([sub, answer.status]).toEqual([sub, 401]);
    }
  });
});

describe("what is wrong with a token", () => {
  test("is told to nobody: one answer, also where there is no such database", async () => {
    const good = await token({ sub: "ann" });
    const forged = `${good.slice(0, -6)}AAAAAA`;
    const wrong = [
      ...["x", "a.b.c", forged, await token({ sub: "nobody", aud: "known" })],
      ...[await token({ exp: inSeconds(-60) }), await token({ aud: "else" }), await token({})],
      ...[await token({ iss: "else" }), await token({ sub: "ann", iat: 7, nbf: inSeconds(99) })],
    ];
    const answers = await Promise.all(wrong.map((one) => as(one, "/in-a")));
    const elsewhere = { authorization: `Bearer ${good}` };
    answers.push(await request("GET", `${fixture.public}/none/in-a`, undefined, elsewhere));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 401));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(answers[0]?.text).toContain("the token is not good for this database");
  });

  test("may be that it gives too much, or does not say when it was issued", async () => {
    const many = Array.from({ length: 1001 }, (_, at) => `${at}`);
    expect((await as(await token({ sub: "ann", channels: many }), "/in-a")).status).toBe(401);
    const { iat: _, ...claims } = {
      sub: "ann",
      iss: ISS,
      aud: "notes",
      exp: inSeconds(300),
      iat: 0,
    };
    const undated = await new SignJWT(claims)
      .setProtectedHeader({ alg: key.alg, kid: key.kid })
      .sign(key.privateKey);
    expect((await as(undated, "/in-a")).status).toBe(401);
  });

  test("makes no administrator: the admin listener knows no tokens of users", async () => {
    const guarded = await startFixture({ adminAuth: { users: { ci: { token: "t".repeat(20) } } } });
    const headers = { authorization: `Bearer ${await token({ sub: "ann" })}` };
    expect((await request("GET", `${guarded.admin}/_all_dbs`, undefined, headers)).status).toBe(
      401,
    );
    await guarded.close();
  });
});

describe("claims", () => {
  test("that list nonsense give what is right of it, and never another's pseudo-channel", async () => {
    const channels = ["a", "", 7, null, "\u0001user:corp_ann", "x".repeat(251), "\ud800", "a"];
    const roles = ["readers", "role:x", "a b", 7];
    const bearer = await token({ sub: "jo", channels, realm_access: { roles } });
    expect(await seenBy(bearer)).toEqual(["!", "a", "of-readers"]);
  });

  test("may be a text with blanks, and are nothing when they are something else", async () => {
    expect(await seenBy(await token({ sub: "kim", channels: "a b" }))).toEqual(["!", "a", "b"]);
    for (const strange of [7, { a: 1 }, null, true]) {
      const bearer = await token({ sub: "lea", channels: strange, realm_access: strange });
      expect(await seenBy(bearer)).toEqual(["!"]);
    }
  });
});

describe("settings of tokens", () => {
  test("show no secret, and keep it when they come back as they are shown", async () => {
    for (const path of [`${admin}/_config`, `${fixture.admin}/_config`]) {
      const { text } = await request("GET", path);
      expect(text).not.toContain(SECRET);
      expect(text).toContain('"k":"(secret)"');
      expect(text).toContain(String(key.publicJwk.n));
    }
    const { json } = await request("GET", `${admin}/_config`);
    expect((await request("PUT", `${admin}/_config`, json as object)).status).toBe(201);
    const bearer = await new SignJWT({ iss: "hmac", aud: "notes", sub: "x", exp: inSeconds(60) })
      .setProtectedHeader({ alg: "HS256", kid: "h" })
      .sign(Buffer.from(SECRET, "base64url"));
    await request("PUT", `${admin}/_user/hmac_x`, {});
    expect((await as(bearer, "/_session")).status).toBe(200);
    // Where nothing was, a mask is no secret.
    expect((await request("PUT", `${fixture.admin}/other`, json as object)).status).toBe(400);
  });

  const one = () => ({ name: "x", issuer: "i", audience: "a" });
  const wrong: [string, () => object, RegExp][] = [
    ["no key", () => ({ tokens: [one()] }), /tokens\.0: expected one of keys, jwksUri, discovery/],
    [
      "keys twice",
      () => ({ tokens: [{ ...one(), keys: [key.publicJwk], jwksUri: "https://x.example" }] }),
      /one of keys, jwksUri, discovery/,
    ],
    [
      "an address without TLS",
      () => ({ tokens: [{ ...one(), jwksUri: "http://x.example/keys" }] }),
      /tokens\.0\.jwksUri: expected a URL that starts with https/,
    ],
    [
      "discovery of no address",
      () => ({ tokens: [{ ...one(), discovery: true }] }),
      /with discovery an issuer that is an https:/,
    ],
    [
      "a private key",
      () => ({ tokens: [{ ...one(), keys: [{ ...key.publicJwk, d: "x" }] }] }),
      /a public key, not a private/,
    ],
    [
      "a short secret",
      () => ({ tokens: [{ ...one(), keys: [{ kty: "oct", k: "c2hvcnQ" }] }] }),
      /oct key of 32 bytes or more/,
    ],
    [
      "HS256 with public keys",
      () => ({ tokens: [{ ...one(), keys: [key.publicJwk], algorithms: ["HS256"] }] }),
      /none is for HS256/,
    ],
    [
      "HS256 with keys from elsewhere",
      () => ({ tokens: [{ ...one(), jwksUri: "https://x.example", algorithms: ["HS256"] }] }),
      /HS256 takes a secret/,
    ],
    [
      "alg none",
      () => ({ tokens: [{ ...one(), keys: [key.publicJwk], algorithms: ["none"] }] }),
      /algorithms\.0: expected one of RS256/,
    ],
    [
      "a name twice",
      () => ({ tokens: [one(), one()].map((it) => ({ ...it, keys: [key.publicJwk] })) }),
      /each name once/,
    ],
    [
      "one prefix for two issuers",
      () => ({
        tokens: ["a", "b"].map((name) => ({
          ...{ name, issuer: name, audience: "a", keys: [key.publicJwk], usernamePrefix: "" },
        })),
      }),
      /a usernamePrefix for each issuer: a and b/,
    ],
    [
      "a slip of the pen",
      () => ({ tokens: [{ ...one(), keyz: [] }] }),
      /did you mean tokens\.0\.keys/,
    ],
  ];
  for (const [what, given, message] of wrong) {
    test(`with ${what} are refused, and say why`, async () => {
      const answer = await request("PUT", `${fixture.admin}/wrong`, given());
      expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(message)]);
    });
  }
});
