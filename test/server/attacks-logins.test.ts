// Credentials made to harm, at every kind of route and on both listeners: forged, borrowed, fixed,
// doubled, or smuggled in by headers that other servers believe. None of them lets anybody in.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHmac } from "node:crypto";
import { exportSPKI, generateKeyPair, importJWK, SignJWT } from "jose";
import type { JsonObject } from "../../src/base/json.ts";
import { inSeconds, type SigningKey, signingKey } from "../access/provider.ts";
import { head, raw } from "./attacks-raw.ts";
import { type Answer, type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(60_000);

const ISS = "https://issuer.example";
const SECRET_WORDS = "only ann may read this";

let fixture: Fixture;
let url: string;
let key: SigningKey;
let evilServer: Bun.Server<undefined>;
let fetched = 0;

beforeAll(async () => {
  key = await signingKey("k");
  evilServer = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => {
      fetched++;
      return Response.json({ keys: [] });
    },
  });
  fixture = await startFixture({
    logins: { failuresPerAddress: 1_000_000, failuresPerUser: 1_000_000 },
    adminAuth: { users: { root: { token: "token-of-an-administrator" } } },
  });
  const { publicJwk } = key;
  const tokens = [{ name: "corp", issuer: ISS, audience: "notes", keys: [publicJwk] }];
  for (const name of ["db", "other"]) {
    const admin = `${fixture.admin}/${name}`;
    await request("PUT", admin, name === "db" ? { tokens } : {}, asRoot);
    const user = { password: `pw of ${name}`, admin_channels: ["ann"] };
    for (const one of ["ann", "corp_ann"])
      await request("PUT", `${admin}/_user/${one}`, user, asRoot);
    const attachment = { a: { content_type: "text/plain", data: btoa(SECRET_WORDS) } };
    const document = { channels: ["ann"], text: SECRET_WORDS, _attachments: attachment };
    await request("PUT", `${admin}/secret`, document, asRoot);
  }
  url = `${fixture.public}/db`;
});
afterAll(async () => {
  evilServer?.stop(true);
  expect(fixture?.complaints).toEqual([]);
  await fixture?.close();
});

const asRoot = { authorization: "Bearer token-of-an-administrator" };

type Headers_ = Record<string, string>;
const basic = (name: string, password: string): Headers_ => ({
  authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`,
});
const bearer = (token: string): Headers_ => ({ authorization: `Bearer ${token}` });

/** A route of each kind; all of them give something of the secret document to ann. */
const ROUTES: [method: string, path: string, body?: JsonObject][] = [
  ["GET", "/secret"],
  ["HEAD", "/secret"],
  ["GET", "/secret?open_revs=all"],
  ["GET", "/secret/a"],
  ["GET", "/_all_docs?include_docs=true"],
  ["POST", "/_all_docs", { keys: ["secret"] }],
  ["POST", "/_bulk_get", { docs: [{ id: "secret" }] }],
  ["POST", "/_revs_diff", { secret: ["9-a"] }],
  ["GET", "/_changes?include_docs=true"],
  ["POST", "/_changes?feed=longpoll", { since: "0", include_docs: true }],
  ["GET", "/_session"],
  ["PUT", "/written", { channels: ["ann"] }],
  ["POST", "/_bulk_docs", { docs: [{ _id: "written" }] }],
  ["PUT", "/_local/checkpoint", { n: 1 }],
];

/** Every route with `headers`; each must be 401 in the same words, with nothing of the document. */
async function refusedEverywhere(name: string, headers: Headers_): Promise<void> {
  for (const [method, path, body] of ROUTES) {
    const answer = await request(method, url + path, body, headers);
    expect([name, method, path, answer.status]).toEqual([name, method, path, 401]);
    expect(answer.text).not.toContain(SECRET_WORDS);
    if (method !== "HEAD") expect(answer.json).toMatchObject({ error: "unauthorized" });
  }
  expect([name, (await socketWith(headers)).includes("secret")]).toEqual([name, false]);
  const admin = await request("GET", `${fixture.admin}/db/secret`, undefined, headers);
  expect([name, admin.status]).toEqual([name, 401]);
}

/** What a WebSocket that is opened with `headers` says first, or how it was refused. */
function socketWith(headers: Headers_, path = "/_changes?feed=websocket"): Promise<string> {
  return new Promise((resolve) => {
    // Bun takes headers here, which the types of browsers do not know.
    const options = { headers } as unknown as string[];
    const socket = new WebSocket(url.replace("http", "ws") + path, options);
    socket.onopen = () => socket.send("{}");
    socket.onmessage = ({ data }) => {
      resolve(String(data));
      socket.close();
    };
    socket.onclose = ({ code }) => resolve(String(code));
    socket.onerror = () => resolve("refused");
  });
}

const claims = (more: JsonObject = {}) => ({
  ...{ iss: ISS, aud: "notes", sub: "ann", iat: inSeconds(0), exp: inSeconds(300) },
  ...more,
});
const base64 = (value: object | string) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const signed = (more: JsonObject = {}, header: JsonObject = {}, by = key) =>
  new SignJWT(claims(more) as JsonObject)
    .setProtectedHeader({ alg: by.alg, kid: by.kid, ...header })
    .sign(by.privateKey);

test("the right credentials open every route, or the rest would show nothing", async () => {
  const session = await request("POST", `${url}/_session`, { name: "ann", password: "pw of db" });
  const [cookie = ""] = (session.headers.get("set-cookie") ?? "").split(";");
  for (const headers of [basic("ann", "pw of db"), bearer(await signed()), { cookie }]) {
    for (const [method, path, body] of ROUTES) {
      if (path === "/written" || path.startsWith("/_local")) continue;
      const { status } = await request(method, url + path, body, headers);
      expect([method, path, status < 300]).toEqual([method, path, true]);
    }
    expect(await socketWith(headers)).toContain("secret");
  }
});

describe("a token", () => {
  /** `header.claims` signed as an HMAC with `secret`. */
  const hmac = (alg: string, secret: string, kid = "k"): string => {
    const text = `${base64({ alg, kid, typ: "JWT" })}.${base64(claims())}`;
    const hash = alg.replace("HS", "sha");
    return `${text}.${createHmac(hash, secret).update(text).digest("base64url")}`;
  };

  test("without a signature is refused, however `none` is written", async () => {
    for (const alg of ["none", "None", "NONE", "nOnE", "", "HS0", "null"]) {
      for (const signature of ["", "x", base64("none")]) {
        const token = `${base64({ alg, kid: "k" })}.${base64(claims())}.${signature}`;
        const answer = await request("GET", `${url}/secret`, undefined, bearer(token));
        expect([alg, signature, answer.status]).toEqual([alg, signature, 401]);
      }
    }
    await refusedEverywhere("none", bearer(`${base64({ alg: "none" })}.${base64(claims())}.`));
  });

  test("signed with what everybody knows of the key is refused: confusion", async () => {
    const imported = await importJWK(key.publicJwk, key.alg, { extractable: true });
    const pem = await exportSPKI(imported as CryptoKey);
    const known = [
      ...[pem, pem.trim(), pem.replace(/-----.*-----|\n/g, ""), String(key.publicJwk.n)],
      ...[
        JSON.stringify(key.publicJwk),
        Buffer.from(key.publicJwk.n ?? "", "base64url").toString("latin1"),
        "",
        "k",
      ],
    ];
    for (const secret of known) {
      for (const alg of ["HS256", "HS384", "HS512"]) {
        const answer = await request("GET", `${url}/secret`, undefined, bearer(hmac(alg, secret)));
        expect([alg, secret.slice(0, 20), answer.status]).toEqual([alg, secret.slice(0, 20), 401]);
      }
    }
    await refusedEverywhere("confusion", bearer(hmac("HS256", pem)));
  });

  test("that brings its key, or says where there is one, is refused, and nothing is fetched", async () => {
    const evil = await signingKey("k");
    const there = `http://127.0.0.1:${evilServer.port}/keys`;
    const headers: JsonObject[] = [
      { jwk: evil.publicJwk as JsonObject },
      { jku: there },
      { x5u: there },
      { x5c: [base64("certificate")] },
      { kid: there },
      ...["../../../../dev/null", "k' OR '1'='1", "k\0", "__proto__", ""].map((kid) => ({ kid })),
      { crit: ["b64"], b64: false },
    ];
    for (const header of headers) {
      const text = `${base64({ alg: "RS256", kid: "k", ...header })}.${base64(claims())}`;
      const signature = await crypto.subtle.sign(
        "RSASSA-PKCS1-v1_5",
        evil.privateKey as CryptoKey,
        Buffer.from(text),
      );
      const token = `${text}.${Buffer.from(signature).toString("base64url")}`;
      const answer = await request("GET", `${url}/secret`, undefined, bearer(token));
      expect([header, answer.status]).toEqual([header, 401]);
    }
    await refusedEverywhere("its own key", bearer(await signed({}, {}, evil)));
    expect(fetched).toBe(0);
  });

  test("of another time, issuer, audience, database or kind is refused", async () => {
    const wrong: JsonObject[] = [
      { exp: inSeconds(-60) },
      { exp: "never" },
      { exp: -1 },
      { nbf: inSeconds(600) },
      { iss: "https://issuer.example.evil" },
      { aud: "other" },
      { aud: { notes: true } as JsonObject },
      { sub: "" },
      { sub: ["ann"] },
    ];
    for (const one of wrong) {
      const answer = await request("GET", `${url}/secret`, undefined, bearer(await signed(one)));
      expect([one, answer.status]).toEqual([one, 401]);
    }
    await refusedEverywhere("expired", bearer(await signed({ exp: inSeconds(-60) })));
    const elsewhere = `${fixture.public}/other/secret`;
    expect((await request("GET", elsewhere, undefined, bearer(await signed()))).status).toBe(401);
  });

  test("that was changed, cut, doubled or made huge is refused", async () => {
    const good = await signed();
    const [first = "", second = "", third = ""] = good.split(".");
    const other = base64(claims({ sub: "other" }));
    const { publicKey } = await generateKeyPair("ES256", { extractable: true });
    const broken = [
      `${first}.${other}.${third}`,
      `${base64({ alg: "RS384", kid: "k" })}.${second}.${third}`,
      ...[`${first}.${second}.`, `${first}.${second}`, `.${second}.${third}`, `${good}.x.y`],
      ...[
        `${good}=`,
        `${good.slice(0, -4)}`,
        `${first}..${third}`,
        good.repeat(2),
        "....",
        "a.b.c",
      ],
      `${base64("x".repeat(9000))}.${second}.${third}`,
      `${base64("[".repeat(3000))}.${second}.${third}`,
      `${base64('{"alg":"RS256","alg":"none","kid":"k"}')}.${second}.`,
      `${first}.${base64(`${"[".repeat(4000)}`)}.${third}`,
      Buffer.from(publicKey.type).toString("base64"),
    ];
    for (const token of broken) {
      const { status, text } = await request("GET", `${url}/secret`, undefined, bearer(token));
      expect([token.slice(0, 60), status]).toEqual([token.slice(0, 60), 401]);
      expect(text).not.toContain(SECRET_WORDS);
    }
  });
});

describe("a session", () => {
  const login = (headers: Headers_ = {}, query = ""): Promise<Answer> =>
    request("POST", `${url}/_session${query}`, { name: "ann", password: "pw of db" }, headers);
  const cookieOf = (answer: Answer) => (answer.headers.get("set-cookie") ?? "").split(";")[0] ?? "";

  test("is never one that somebody else knew before: no fixation, by no way in", async () => {
    const fixed = "F".repeat(43);
    const others = await request("POST", `${url}/_session`, {
      ...{ name: "corp_ann", password: "pw of db" },
    });
    const known = cookieOf(others).split("=")[1] ?? "";
    for (const id of [fixed, known]) {
      const ways: [Headers_, string][] = [
        [{ cookie: `TidegateSession=${id}` }, ""],
        [{ cookie: `TidegateSession=${id}; TidegateSession=${id}` }, ""],
        [{}, `?one_time_session=${id}`],
        [{}, `?TidegateSession=${id}&session_id=${id}`],
        [{ "x-session": id, "set-cookie": `TidegateSession=${id}` }, ""],
      ];
      for (const [headers, query] of ways) {
        const made = await login(headers, query);
        expect(made.status).toBe(200);
        expect(cookieOf(made)).not.toContain(id);
        const who = await request("GET", `${url}/_session`, undefined, { cookie: cookieOf(made) });
        expect(who.json).toMatchObject({ userCtx: { name: "ann" } });
      }
      // What was known beforehand has not become ann's.
      const cookie = `TidegateSession=${id}`;
      const who = await request("GET", `${url}/_session`, undefined, { cookie });
      expect(who.text).not.toContain('"name":"ann"');
    }
    const body = { name: "ann", password: "pw of db", session_id: fixed, id: fixed };
    expect((await request("POST", `${url}/_session`, body)).text).not.toContain(fixed);
    await refusedEverywhere("a fixed session", { cookie: `TidegateSession=${fixed}` });
  });

  test("that is guessed, cut, of another database, or over is refused", async () => {
    const good = cookieOf(await login()).split("=")[1] ?? "";
    const there = await request("POST", `${fixture.public}/other/_session`, {
      ...{ name: "ann", password: "pw of other" },
    });
    const flipped = (good[0] === "A" ? "B" : "A") + good.slice(1);
    const ids = [
      flipped,
      good.slice(0, -1),
      `${good}A`,
      good.toLowerCase(),
      `${good}%00`,
      `../${good}`,
    ];
    for (const id of [...ids, "*", "null", "__proto__", "x".repeat(5000)]) {
      const { status } = await request("GET", `${url}/secret`, undefined, {
        cookie: `TidegateSession=${id}`,
      });
      expect([id.slice(0, 50), status]).toEqual([id.slice(0, 50), 401]);
    }
    expect(there.status).toBe(200);
    await refusedEverywhere("another database's", { cookie: cookieOf(there) });
    const cookie = `TidegateSession=${good}`;
    expect((await request("DELETE", `${url}/_session`, undefined, { cookie })).status).toBe(200);
    await refusedEverywhere("over", { cookie });
  });

  test("is not its user's any more when the user was removed and made again", async () => {
    const user = { password: "pw", admin_channels: ["ann"] };
    const admin = `${fixture.admin}/db/_user/again`;
    await request("PUT", admin, user, asRoot);
    const made = await request("POST", `${url}/_session`, { name: "again", password: "pw" });
    await request("DELETE", admin, undefined, asRoot);
    await refusedEverywhere("removed", { cookie: cookieOf(made) });
    await request("PUT", admin, user, asRoot);
    await refusedEverywhere("made again", { cookie: cookieOf(made) });
    expect((await request("GET", `${url}/secret`, undefined, basic("again", "pw"))).status).toBe(
      200,
    );
  });

  test("of one time is of one time also for a hundred at the same moment", async () => {
    const body = { name: "ann", password: "pw of db", one_time: true };
    const { one_time_session_id: id } = (await request("POST", `${url}/_session`, body)).json as {
      one_time_session_id: string;
    };
    const path = `${url}/secret?one_time_session=${id}`;
    const answers = await Promise.all(Array.from({ length: 100 }, () => request("GET", path)));
    expect(answers.filter(({ status }) => status === 200).length).toBe(1);
    expect(answers.filter(({ status }) => status === 401).length).toBe(99);
  });
});

describe("headers", () => {
  test("that other servers believe say nothing here", async () => {
    const believed: Headers_[] = [
      { "x-auth-couchdb-username": "ann", "x-auth-couchdb-roles": "_admin" },
      { "remote-user": "ann", "x-remote-user": "ann", "x-forwarded-user": "ann" },
      { "x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", forwarded: "for=127.0.0.1" },
      { "x-original-url": "/_ping", "x-rewrite-url": "/_ping", "x-forwarded-path": "/_ping" },
      { "x-http-method-override": "GET", "x-method-override": "OPTIONS" },
      { "x-couch-full-commit": "true", "x-admin": "true", "x-tidegate-admin": "true" },
    ];
    for (const headers of believed) await refusedEverywhere(Object.keys(headers)[0] ?? "", headers);
  });

  test("of credentials that are broken, doubled or of another scheme are refused", async () => {
    const good = basic("ann", "pw of db").authorization ?? "";
    const evil = basic("nobody", "x").authorization ?? "";
    const { port } = fixture.server.public;
    for (const lines of [
      [`Authorization: ${good}`, `Authorization: ${evil}`],
      [`Authorization: ${evil}`, `Authorization: ${good}`],
      [`Authorization: ${good}, ${evil}`],
      [`Authorization: ${good} x`],
      [`Authorization: ${good.replace("Basic ", "Basic")}`],
      [`Authorization: ${good.replace("Basic", "Digest")}`],
      [`Authorization: Bearer`],
      [`Authorization: Basic ${Buffer.from("ann").toString("base64")}`],
      [`Authorization: Basic ${Buffer.from("ann:pw of db\0").toString("base64")}`],
      [`Authorization: Basic ${Buffer.from("ann\0:pw of db").toString("base64")}`],
      [`Authorization: Basic ${Buffer.from("Ann:pw of db").toString("base64")}`],
      [`Authorization: Basic ${Buffer.from("role:ann:pw of db").toString("base64")}`],
      [`Authorization: Basic ${Buffer.from(`ann:${"x".repeat(5000)}`).toString("base64")}`],
      [`Authorization: Basic ${Buffer.from([0x61, 0xff, 0x3a, 0x62]).toString("base64")}`],
    ]) {
      const { status, body } = await raw(port, head("GET /db/secret", ...lines));
      expect([lines[0]?.slice(0, 60), [400, 401].includes(status)]).toEqual([
        lines[0]?.slice(0, 60),
        true,
      ]);
      expect(body).not.toContain(SECRET_WORDS);
    }
    // The scheme's case and blanks around are everybody's own affair.
    const odd = `Authorization:   ${good.replace("Basic", "bAsIc")}  `;
    expect((await raw(port, head("GET /db/secret", odd))).status).toBe(200);
  });

  test("of a user let nobody in as administrator", async () => {
    for (const headers of [
      basic("ann", "pw of db"),
      basic("root", ""),
      basic("", "token-of-an-administrator"),
      bearer(await signed()),
      bearer(await signed({ sub: "root" })),
      bearer("the"),
    ]) {
      for (const [method, path] of [
        ["GET", "/_config"],
        ["PUT", "/db/_user/ann"],
        ["DELETE", "/db"],
        ["GET", "/db/secret"],
        ["POST", "/db/_session"],
      ] as const) {
        const answer = await request(method, fixture.admin + path, undefined, headers);
        expect([headers, method, path, answer.status]).toEqual([headers, method, path, 401]);
      }
    }
  });
});
