// Logging in at an OpenID provider, end to end: our gateway, our test provider, and a browser between
// them; and what an attacker may try on the way there and back.

import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import type { JsonObject } from "../../src/base/json.ts";
import { type Fixture, request, startFixture } from "../server/fixture.ts";
import { Browser, locationOf, type Page } from "./browser.ts";
import { inSeconds, signingKey, TestProvider } from "./provider.ts";

setDefaultTimeout(30_000);

const COOKIE = "TidegateOidc";

let provider: TestProvider;
let fixture: Fixture;
let url: string;
let address = 0;

/** A browser at an address of its own: failed logins are limited by address. */
const browser = () => new Browser({ "x-forwarded-for": `10.0.${address >> 8}.${address++ & 255}` });

function settingsOf(name: string, more: JsonObject = {}): JsonObject {
  const given = {
    issuer: provider.issuer,
    clientId: provider.clientId,
    clientSecret: provider.clientSecret,
    redirectUri: `${fixture.public}/${name}/_oidc_callback`,
    register: true,
    channelsClaim: "channels",
    ...more,
  };
  return { oidc: { providers: { corp: given } } };
}

beforeAll(async () => {
  provider = await TestProvider.start();
  fixture = await startFixture({
    trustedProxies: ["127.0.0.1"],
    cors: { origins: ["https://app.example"] },
    logins: { failuresPerAddress: 6, failuresPerUser: 5 },
  });
  url = `${fixture.public}/db`;
  expect((await request("PUT", `${fixture.admin}/db`, settingsOf("db"))).status).toBe(201);
  await request("PUT", `${fixture.admin}/other`, settingsOf("other"));
  await request("PUT", `${fixture.admin}/plain`, {});
  await request("PUT", `${fixture.admin}/open`, { guest: true });
  await request("PUT", `${fixture.admin}/db/in-a`, { channels: ["a"] });
});
afterAll(async () => {
  await fixture?.close();
  await provider?.stop();
});
beforeEach(() => {
  provider.user = { sub: "ann", channels: ["a"] };
  provider.wrongClaims = {};
  provider.instead.clear();
});

/** From the gateway to the provider, and the address that the provider sends the browser back to. */
async function toProvider(at: Browser, base = url): Promise<string> {
  const sent = await at.open(`${base}/_oidc?provider=corp`);
  return locationOf(await at.open(locationOf(sent)));
}

async function logIn(at: Browser, base = url): Promise<Page> {
  return at.open(await toProvider(at, base));
}

function changed(address: string, parameters: Record<string, string | undefined>): string {
  const changing = new URL(address);
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined) changing.searchParams.delete(name);
    else changing.searchParams.set(name, value);
  }
  return changing.href;
}

describe("a login at a provider", () => {
  test("sends the browser there with state, nonce and PKCE, and keeps them in a sealed cookie", async () => {
    const at = browser();
    const page = await at.open(`${url}/_oidc?provider=corp&redirect_uri=https://evil.example/`);
    expect(page.status).toBe(302);
    expect(page.headers.get("cache-control")).toBe("no-store");
    const location = new URL(locationOf(page));
    expect(location.origin + location.pathname).toBe(`${provider.issuer}/authorize`);
    const query = Object.fromEntries(location.searchParams);
    expect(query).toEqual({
      of: "tests",
      response_type: "code",
      client_id: provider.clientId,
      redirect_uri: `${url}/_oidc_callback`,
      scope: "openid",
      code_challenge_method: "S256",
      state: expect.stringMatching(/^[\w-]{43}$/),
      nonce: expect.stringMatching(/^[\w-]{43}$/),
      code_challenge: expect.stringMatching(/^[\w-]{43}$/),
    });
    const { value, attributes } = at.cookies.get(COOKIE) ?? { value: "", attributes: "" };
    expect(attributes).toBe("Path=/db; Max-Age=600; HttpOnly; SameSite=Lax");
    const inside = Buffer.from(value, "base64url").toString("latin1");
    for (const secret of [query.state, query.nonce, "corp", "verifier"]) {
      expect(value + inside).not.toContain(secret ?? "");
    }
  });

  test("makes the user, begins a session, and gives what the claims say", async () => {
    const at = browser();
    const page = await logIn(at);
    expect([page.status, page.text]).toEqual([200, expect.stringContaining('"ok":true')]);
    expect(page.headers.get("cache-control")).toBe("no-store");
    expect(page.headers.get("referrer-policy")).toBe("no-referrer");
    const body = JSON.parse(page.text);
    expect(body).toMatchObject({ name: "corp_ann", userCtx: { channels: ["!", "a"] } });
    expect([...at.cookies.keys()]).toEqual(["TidegateSession"]);
    expect(at.cookies.get("TidegateSession")?.attributes).toContain("HttpOnly");
    expect((await at.open(`${url}/in-a`)).status).toBe(200);
    // The id token is a bearer token, too.
    const headers = { authorization: `Bearer ${body.id_token}` };
    expect((await request("GET", `${url}/in-a`, undefined, headers)).status).toBe(200);
    const user = await request("GET", `${fixture.admin}/db/_user/corp_ann`);
    expect(user.json).toMatchObject({ token_issuer: provider.issuer, token_channels: ["a"] });
  });

  test("updates a user that is there", async () => {
    provider.user = { sub: "bea", channels: [], iat: inSeconds(-100) };
    expect((await logIn(browser())).status).toBe(200);
    provider.user = { sub: "bea", channels: ["a", "b"] };
    const body = JSON.parse((await logIn(browser())).text);
    expect(body.userCtx.channels).toEqual(["!", "a", "b"]);
  });

  test("needs no name of the only provider, and says which there are", async () => {
    expect((await browser().open(`${url}/_oidc`)).status).toBe(302);
    const wrong = await browser().open(`${url}/_oidc?provider=constructor`);
    expect([wrong.status, wrong.text]).toEqual([400, expect.stringContaining("one of corp")]);
  });

  test("of a client without a secret is proved by PKCE alone", async () => {
    provider.publicClients = true;
    const name = "public-client";
    const { oidc } = settingsOf(name) as { oidc: { providers: { corp: JsonObject } } };
    delete oidc.providers.corp.clientSecret;
    await request("PUT", `${fixture.admin}/${name}`, { oidc });
    expect((await logIn(browser(), `${fixture.public}/${name}`)).status).toBe(200);
    provider.publicClients = false;
  });

  test("of a user that the settings do not make is refused, and says so", async () => {
    const name = "no-register";
    await request("PUT", `${fixture.admin}/${name}`, settingsOf(name, { register: false }));
    const base = `${fixture.public}/${name}`;
    const page = await logIn(browser(), base);
    expect([page.status, page.text]).toEqual([401, expect.stringContaining("no such user")]);
    await request("PUT", `${fixture.admin}/${name}/_user/corp_ann`, { disabled: true });
    expect((await logIn(browser(), base)).text).toContain("its user is disabled");
    await request("PUT", `${fixture.admin}/${name}/_user/corp_ann`, {});
    expect((await logIn(browser(), base)).status).toBe(200);
  });
});

describe("the way back is refused", () => {
  /** No session was begun. */
  async function refused(page: Page, at: Browser, reason: RegExp, status = 401): Promise<void> {
    expect([page.status, page.text]).toEqual([status, expect.stringMatching(reason)]);
    expect(at.cookies.has("TidegateSession")).toBe(false);
    expect((await at.open(`${url}/in-a`)).status).toBe(401);
  }

  test("with another state, or none", async () => {
    const at = browser();
    const back = await toProvider(at);
    for (const state of ["x".repeat(43), "", undefined]) {
      await refused(await at.open(changed(back, { state })), at, /begun in another browser/);
    }
    // The right one is good all the same: it was not used up.
    expect((await at.open(back)).status).toBe(200);
  });

  test("in another browser, and in one with somebody else's login: no login is pushed on it", async () => {
    const attacker = browser();
    const back = await toProvider(attacker);
    const victim = browser();
    await refused(await victim.open(back), victim, /begun in another browser/);
    await toProvider(victim);
    await refused(await victim.open(back), victim, /begun in another browser/);
  });

  test("a second time", async () => {
    const at = browser();
    const back = await toProvider(at);
    const copy = at.copy();
    expect((await at.open(back)).status).toBe(200);
    await refused(await copy.open(back), copy, /used already/);
    const another = browser();
    await refused(await another.open(back), another, /begun in another browser/);
  });

  test("a second time although the first failed, and when both come at once", async () => {
    const at = browser();
    const back = await toProvider(at);
    const copy = at.copy();
    await refused(await at.open(changed(back, { code: "wrong" })), at, /invalid_grant/);
    await refused(await copy.open(back), copy, /used already/);
    const next = browser();
    const address = await toProvider(next);
    const copies = Array.from({ length: 5 }, () => next.copy());
    const pages = await Promise.all(copies.map((one) => one.open(address)));
    expect(pages.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401, 401]);
  });

  test("with a cookie that was changed, is of another database, or is there twice", async () => {
    const at = browser();
    const back = await toProvider(at);
    const { value } = at.cookies.get(COOKIE)!;
    const elsewhere = browser();
    await toProvider(elsewhere, `${fixture.public}/other`);
    const other = elsewhere.cookies.get(COOKIE)!.value;
    const flipped = `${value.slice(0, 60)}${value[60] === "A" ? "B" : "A"}${value.slice(61)}`;
    const again = `${value}; ${COOKIE}=${other}`;
    const cookies = ["", "x", "A".repeat(5000), flipped, other, value.slice(0, -4), again];
    for (const cookie of cookies) {
      const one = browser();
      const page = await one.open(back, { headers: { cookie: `${COOKIE}=${cookie}` } });
      await refused(page, one, /begun in another browser/);
    }
  });

  test("with a code of another login: PKCE", async () => {
    const victim = browser();
    const stolen = new URL(await toProvider(victim)).searchParams.get("code") ?? "";
    const attacker = browser();
    const back = await toProvider(attacker);
    await refused(await attacker.open(changed(back, { code: stolen })), attacker, /invalid_grant/);
  });

  test("with an id token that is not of this login", async () => {
    const wrong: [JsonObject, RegExp][] = [
      [{ nonce: "another" }, /nonce is of another login/],
      [{ nonce: "" }, /nonce/],
      [{ aud: "another" }, /aud is somebody else/],
      [{ iss: "https://evil.example" }, /iss is not known/],
      [{ azp: "another" }, /azp is somebody else/],
      [{ exp: inSeconds(-60) }, /exp/],
      [{ sub: "" }, /names no user/],
    ];
    for (const [claims, reason] of wrong) {
      const at = browser();
      const back = await toProvider(at);
      provider.wrongClaims = claims;
      await refused(await at.open(back), at, reason);
    }
  });

  test("with an id token that somebody else signed, or that is none", async () => {
    const at = browser();
    const back = await toProvider(at);
    const thief = await signingKey(provider.keys[0]!.kid);
    const forged = await provider.sign({ aud: provider.clientId, sub: "ann" }, thief);
    provider.instead.set("/token", () => Response.json({ id_token: forged }));
    await refused(await at.open(back), at, /signature is wrong/);
    for (const answer of [{}, { id_token: 7 }, { id_token: "x" }]) {
      const one = browser();
      const address = await toProvider(one);
      provider.instead.set("/token", () => Response.json(answer));
      await refused(await one.open(address), one, /no id token|no JSON Web Token/);
    }
  });

  test("when another provider sends it, or nobody says who", async () => {
    for (const iss of ["https://evil.example", undefined]) {
      const at = browser();
      const back = await toProvider(at);
      await refused(await at.open(changed(back, { iss })), at, /another provider sent it/);
    }
  });

  test("when the provider says no: its word, and nothing else of what came", async () => {
    const at = browser();
    const back = changed(await toProvider(at), { code: undefined, error: "access_denied" });
    await refused(await at.open(back), at, /the provider says access_denied/);
    const other = browser();
    const strange = changed(await toProvider(other), { error: "<script>alert(1)</script>" });
    const page = await other.open(strange);
    await refused(page, other, /the provider says an error/);
    expect(page.text).not.toContain("script");
  });

  test("without a code", async () => {
    const at = browser();
    const back = changed(await toProvider(at), { code: undefined });
    await refused(await at.open(back), at, /code: expected a code/, 400);
  });

  test("when the provider is ill: 503, and the login can be begun again", async () => {
    const at = browser();
    const back = await toProvider(at);
    provider.instead.set("/token", () => Response.json({}, { status: 500 }));
    await refused(await at.open(back), at, /answered with 500/, 503);
    provider.instead.clear();
    expect((await logIn(at)).status).toBe(200);
  });

  test("too often from one address: 429, and others go on", async () => {
    const at = browser();
    const statuses: number[] = [];
    for (let i = 0; i < 6; i++) {
      statuses.push((await at.open(`${url}/_oidc_callback?state=x&code=y`)).status);
    }
    expect(statuses).toEqual([401, 401, 401, 401, 401, 429]);
    expect((await logIn(browser())).status).toBe(200);
  });
});

describe("a refresh token", () => {
  async function refreshToken(): Promise<string> {
    return JSON.parse((await logIn(browser())).text).refresh_token;
  }

  test("gives a new id token and a session, with the claims of now", async () => {
    const token = await refreshToken();
    for (const open of [
      (at: Browser) => at.open(`${url}/_oidc_refresh?provider=corp&refresh_token=${token}`),
      (at: Browser) =>
        at.open(`${url}/_oidc_refresh`, {
          method: "POST",
          body: JSON.stringify({ refresh_token: token }),
        }),
    ]) {
      const at = browser();
      const page = await open(at);
      expect([page.status, page.text]).toEqual([200, expect.stringContaining("corp_ann")]);
      expect(JSON.parse(page.text)).toMatchObject({ id_token: expect.any(String) });
      expect((await at.open(`${url}/in-a`)).status).toBe(200);
    }
  });

  test("that is wrong, or none, is refused and not repeated", async () => {
    const at = browser();
    const wrong = await at.open(`${url}/_oidc_refresh?refresh_token=wrong-one`);
    expect([wrong.status, wrong.text]).toEqual([401, expect.stringContaining("invalid_grant")]);
    expect(wrong.text).not.toContain("wrong-one");
    expect((await at.open(`${url}/_oidc_refresh`)).status).toBe(400);
    const long = await at.open(`${url}/_oidc_refresh?refresh_token=${"x".repeat(8193)}`);
    expect(long.status).toBe(400);
  });

  test("is not taken from a page of another site, which would log a browser in as somebody else", async () => {
    const path = `${url}/_oidc_refresh?refresh_token=${await refreshToken()}`;
    for (const headers of [
      { "sec-fetch-site": "cross-site" },
      { origin: "https://evil.example" },
    ]) {
      const at = browser();
      expect((await at.open(path, { headers })).status).toBe(403);
      expect(at.cookies.size).toBe(0);
    }
    const own = { origin: "https://app.example" };
    expect((await browser().open(path, { headers: own })).status).toBe(200);
  });
});

describe("providers", () => {
  test("of a database that has none, or that is not there, are the same to strangers", async () => {
    const pages: Page[] = [];
    for (const name of ["plain", "none"]) {
      for (const path of ["_oidc", "_oidc_callback", "_oidc_refresh"]) {
        pages.push(await browser().open(`${fixture.public}/${name}/${path}`));
      }
    }
    expect(pages.map(({ status }) => status)).toEqual(Array(6).fill(401));
    expect(new Set(pages.map(({ text }) => text)).size).toBe(1);
    expect((await browser().open(`${fixture.public}/open/_oidc`)).status).toBe(404);
  });

  test("that cannot be reached make a 503, and are asked again a little later", async () => {
    const name = "unreachable";
    const issuer = "http://127.0.0.1:9";
    await request("PUT", `${fixture.admin}/${name}`, settingsOf(name, { issuer }));
    const page = await browser().open(`${fixture.public}/${name}/_oidc`);
    expect([page.status, page.text]).toEqual([503, expect.stringContaining("addresses of corp")]);
  });

  test("show their secret to nobody, and keep it when it comes back as it is shown", async () => {
    const shown = await request("GET", `${fixture.admin}/db/_config`);
    const all = await request("GET", `${fixture.admin}/_config`);
    for (const { text } of [shown, all]) {
      expect(text).not.toContain(JSON.stringify(provider.clientSecret));
      expect(text).toContain('"clientSecret":"(secret)"');
    }
    const kept = await request("PUT", `${fixture.admin}/db/_config`, shown.json as object);
    expect(kept.status).toBe(201);
    expect((await logIn(browser())).status).toBe(200);
    const mask = settingsOf("x", { clientSecret: "(secret)" });
    const refused = await request("PUT", `${fixture.admin}/masked`, mask);
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining("secret itself")]);
    expect(fixture.complaints.join("\n")).not.toContain(provider.clientSecret);
  });

  const wrong: [string, JsonObject, RegExp][] = [
    ["an address without TLS", { issuer: "http://login.example" }, /issuer: expected a URL/],
    ["a way back without TLS", { redirectUri: "http://x.example/" }, /redirectUri: expected a URL/],
    ["no openid", { scopes: ["email"] }, /scopes with openid among them/],
    ["HS256", { algorithms: ["HS256"] }, /HS256 takes a secret/],
    ["a slip of the pen", { clientID: "x" }, /did you mean oidc\.providers\.corp\.clientId/],
  ];
  for (const [what, more, message] of wrong) {
    test(`with ${what} are refused, and say why`, async () => {
      const answer = await request("PUT", `${fixture.admin}/wrong`, settingsOf("wrong", more));
      expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(message)]);
    });
  }
});
