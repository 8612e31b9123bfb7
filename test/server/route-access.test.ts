// Every route of both listeners, asked by everybody: who gets which status. A route that is not in
// the table fails the test, so that none is added without a thought of who may use it.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { routeGroups } from "../../src/server/app.ts";
import { type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

const TOKEN = "0123456789abcdefghij-token";
const CHANNEL = "c";

/** Who asks. `without`, `with`: users, the second of whom sees the document's channel. */
type Who = "anonymous" | "without" | "with" | "admin";
const EVERYBODY: readonly Who[] = ["anonymous", "without", "with", "admin"];

/** Statuses for anonymous, a user without access, a user with access, an administrator. */
type Statuses = readonly [number, number, number, number];

interface Row {
  readonly method: string;
  readonly pattern: string;
  /** The path asked for. {doc}, {rev}, {new}, {session}, {user}: made anew for each request. */
  readonly path: string;
  readonly statuses: Statuses;
  readonly body?: object | string;
}

const row = (
  method: string,
  pattern: string,
  path: string,
  statuses: Statuses,
  body?: object | string,
): Row => ({ method, pattern, path, statuses, ...(body !== undefined && { body }) });

/** The public listener's users are no administrators, and administrators are none of its users. */
const PUBLIC: readonly Row[] = [
  row("GET", "/", "/", [200, 200, 200, 200]),
  row("GET", "/_ping", "/_ping", [200, 200, 200, 200]),
  row("GET", "/_demo", "/_demo", [200, 200, 200, 200]),
  row("GET", "/_session", "/_session", [401, 401, 401, 401]),
  row("GET", "/:db/_session", "/db/_session", [401, 200, 200, 401]),
  row("POST", "/:db/_session", "/db/_session", [401, 200, 200, 401], {}),
  row("DELETE", "/:db/_session", "/db/_session", [401, 200, 200, 401]),
  // A database without providers says no more than one that is not there: test/access/oidc.test.ts.
  row("GET", "/:db/_oidc", "/db/_oidc", [401, 401, 401, 401]),
  row("GET", "/:db/_oidc_callback", "/db/_oidc_callback", [401, 401, 401, 401]),
  row("GET", "/:db/_oidc_refresh", "/db/_oidc_refresh", [401, 401, 401, 401]),
  row("POST", "/:db/_oidc_refresh", "/db/_oidc_refresh", [401, 401, 401, 401], {}),
  row("GET", "/:db", "/db", [401, 200, 200, 401]),
  row("POST", "/:db", "/db", [401, 201, 201, 401], {}),
  row("GET", "/:db/_all_docs", "/db/_all_docs", [401, 200, 200, 401]),
  row("POST", "/:db/_all_docs", "/db/_all_docs", [401, 200, 200, 401], { keys: ["{doc}"] }),
  row("POST", "/:db/_bulk_docs", "/db/_bulk_docs", [401, 201, 201, 401], { docs: [{}] }),
  row("POST", "/:db/_bulk_get", "/db/_bulk_get", [401, 200, 200, 401], { docs: [] }),
  row("GET", "/:db/_changes", "/db/_changes?limit=1", [401, 200, 200, 401]),
  row("POST", "/:db/_changes", "/db/_changes?limit=1", [401, 200, 200, 401], {}),
  row("POST", "/:db/_ensure_full_commit", "/db/_ensure_full_commit", [401, 201, 201, 401], {}),
  row("POST", "/:db/_missing_revs", "/db/_missing_revs", [401, 200, 200, 401], { a: ["1-a"] }),
  row("POST", "/:db/_revs_diff", "/db/_revs_diff", [401, 200, 200, 401], { a: ["1-a"] }),
  row("PUT", "/:db/_local/:local", "/db/_local/{new}", [401, 201, 201, 401], {}),
  row("GET", "/:db/_local/:local", "/db/_local/none", [401, 404, 404, 401]),
  row("DELETE", "/:db/_local/:local", "/db/_local/none?rev=0-1", [401, 404, 404, 401]),
  row("PUT", "/:db/_design/:design", "/db/_design/{new}", [401, 201, 201, 401], {}),
  row("GET", "/:db/_design/:design", "/db/_design/design", [401, 403, 200, 401]),
  row("DELETE", "/:db/_design/:design", "/db/_design/design?rev=1-x", [401, 409, 409, 401]),
  row("GET", "/:db/:doc", "/db/{doc}", [401, 403, 200, 401]),
  row("PUT", "/:db/:doc", "/db/{new}", [401, 201, 201, 401], {}),
  row("DELETE", "/:db/:doc", "/db/{doc}?rev={rev}", [401, 200, 200, 401]),
  row("GET", "/:db/:doc/:attachment", "/db/{doc}/a.txt", [401, 403, 200, 401]),
  row("PUT", "/:db/:doc/:attachment", "/db/{new}/b.txt", [401, 201, 201, 401], "text"),
  row("DELETE", "/:db/:doc/:attachment", "/db/{doc}/a.txt?rev={rev}", [401, 403, 200, 401]),
  row("GET", "/:db/_design/:design/:attachment", "/db/_design/design/a.txt", [401, 403, 200, 401]),
  row(
    "PUT",
    "/:db/_design/:design/:attachment",
    "/db/_design/{new}/b.txt",
    [401, 201, 201, 401],
    "text",
  ),
  row(
    "DELETE",
    "/:db/_design/:design/:attachment",
    "/db/_design/design/none?rev=1-x",
    [401, 409, 409, 401],
  ),
];

/** What an administrator gets; everybody else gets 401 on every route of the admin listener. */
const ADMIN: readonly (readonly [
  method: string,
  pattern: string,
  path: string,
  status: number,
  body?: object | string,
])[] = [
  ["GET", "/", "/", 200],
  ["GET", "/_ping", "/_ping", 200],
  ["GET", "/_session", "/_session", 200],
  ["GET", "/_all_dbs", "/_all_dbs", 200],
  ["GET", "/_config", "/_config", 200],
  ["GET", "/_status", "/_status", 200],
  ["GET", "/:db", "/db", 200],
  ["POST", "/:db", "/db", 201, {}],
  ["PUT", "/:db", "/{new}", 201, {}],
  ["DELETE", "/:db", "/{database}", 200],
  ["GET", "/:db/_clock", "/db/_clock", 200],
  ["POST", "/:db/_compact", "/db/_compact", 202, {}],
  ["GET", "/:db/_config", "/db/_config", 200],
  ["PUT", "/:db/_config", "/db/_config", 201, {}],
  ["GET", "/:db/_dumpchannel/:channel", "/db/_dumpchannel/c", 200],
  ["POST", "/:db/_purge", "/db/_purge", 200, { none: ["*"] }],
  ["GET", "/:db/_raw/:doc", "/db/_raw/{doc}", 200],
  ["POST", "/:db/_resync", "/db/_resync", 200, {}],
  ["GET", "/:db/_revtree/:doc", "/db/_revtree/{doc}", 200],
  ["GET", "/:db/_role", "/db/_role", 200],
  ["POST", "/:db/_role", "/db/_role", 201, { name: "{new}" }],
  ["PUT", "/:db/_role/:name", "/db/_role/{new}", 201, {}],
  ["GET", "/:db/_role/:name", "/db/_role/role", 200],
  ["DELETE", "/:db/_role/:name", "/db/_role/none", 404],
  ["GET", "/:db/_user", "/db/_user", 200],
  ["POST", "/:db/_user", "/db/_user", 201, { name: "{new}" }],
  ["PUT", "/:db/_user/:name", "/db/_user/{new}", 201, {}],
  ["GET", "/:db/_user/:name", "/db/_user/with", 200],
  ["DELETE", "/:db/_user/:name", "/db/_user/none", 404],
  ["DELETE", "/:db/_user/:name/_session", "/db/_user/none/_session", 404],
  ["GET", "/:db/_session", "/db/_session", 200],
  ["POST", "/:db/_session", "/db/_session", 200, { name: "with" }],
  ["GET", "/:db/_session/:session", "/db/_session/none", 404],
  ["DELETE", "/:db/_session/:session", "/db/_session/none", 404],
  ["GET", "/:db/_all_docs", "/db/_all_docs", 200],
  ["POST", "/:db/_all_docs", "/db/_all_docs", 200, { keys: ["{doc}"] }],
  ["POST", "/:db/_bulk_docs", "/db/_bulk_docs", 201, { docs: [{}] }],
  ["POST", "/:db/_bulk_get", "/db/_bulk_get", 200, { docs: [] }],
  ["GET", "/:db/_changes", "/db/_changes?limit=1", 200],
  ["POST", "/:db/_changes", "/db/_changes?limit=1", 200, {}],
  ["POST", "/:db/_ensure_full_commit", "/db/_ensure_full_commit", 201, {}],
  ["POST", "/:db/_missing_revs", "/db/_missing_revs", 200, { a: ["1-a"] }],
  ["POST", "/:db/_revs_diff", "/db/_revs_diff", 200, { a: ["1-a"] }],
  ["PUT", "/:db/_local/:local", "/db/_local/{new}", 201, {}],
  ["GET", "/:db/_local/:local", "/db/_local/none", 404],
  ["DELETE", "/:db/_local/:local", "/db/_local/none?rev=0-1", 404],
  ["PUT", "/:db/_design/:design", "/db/_design/{new}", 201, {}],
  ["GET", "/:db/_design/:design", "/db/_design/design", 200],
  ["DELETE", "/:db/_design/:design", "/db/_design/design?rev=1-x", 409],
  ["GET", "/:db/:doc", "/db/{doc}", 200],
  ["PUT", "/:db/:doc", "/db/{new}", 201, {}],
  ["DELETE", "/:db/:doc", "/db/{doc}?rev={rev}", 200],
  ["GET", "/:db/:doc/:attachment", "/db/{doc}/a.txt", 200],
  ["PUT", "/:db/:doc/:attachment", "/db/{new}/b.txt", 201, "text"],
  ["DELETE", "/:db/:doc/:attachment", "/db/{doc}/a.txt?rev={rev}", 200],
  ["GET", "/:db/_design/:design/:attachment", "/db/_design/design/a.txt", 200],
  ["PUT", "/:db/_design/:design/:attachment", "/db/_design/{new}/b.txt", 201, "text"],
  ["DELETE", "/:db/_design/:design/:attachment", "/db/_design/design/none?rev=1-x", 409],
];

let fixture: Fixture;
let made = 0;
const asAdmin = { authorization: `Bearer ${TOKEN}` };
const attachment = { "a.txt": { content_type: "text/plain", data: "aGk=" } };

beforeAll(async () => {
  fixture = await startFixture({
    demo: true,
    adminAuth: { users: { ci: { token: TOKEN } } },
    logins: { failuresPerAddress: 1_000_000, failuresPerUser: 1_000_000 },
  });
  const { admin } = fixture;
  await request("PUT", `${admin}/db`, {}, asAdmin);
  for (const [name, channels] of [
    ["without", []],
    ["with", [CHANNEL]],
  ] as const) {
    const user = { password: "pw", admin_channels: channels };
    await request("PUT", `${admin}/db/_user/${name}`, user, asAdmin);
  }
  await request("PUT", `${admin}/db/_role/role`, {}, asAdmin);
  const design = { channels: [CHANNEL], _attachments: attachment };
  await request("PUT", `${admin}/db/_design/design`, design, asAdmin);
});
afterAll(() => fixture?.close());

function credentials(who: Who): Record<string, string> {
  if (who === "anonymous") return {};
  if (who === "admin") return asAdmin;
  return { authorization: `Basic ${Buffer.from(`${who}:pw`).toString("base64")}` };
}

/** Puts what is made anew into the places of a text. */
async function filled(text: string): Promise<string> {
  const name = `made-${++made}`;
  let out = text.replaceAll("{new}", name);
  if (out.includes("{doc}")) {
    const doc = { channels: [CHANNEL], _attachments: attachment };
    const { json } = await request("PUT", `${fixture.admin}/db/${name}`, doc, asAdmin);
    const { rev } = json as { rev: string };
    out = out.replaceAll("{doc}", name).replaceAll("{rev}", rev);
  }
  if (out.includes("{database}")) {
    await request("PUT", `${fixture.admin}/${name}`, {}, asAdmin);
    out = out.replaceAll("{database}", name);
  }
  return out;
}

async function statusFor(base: string, who: Who, { method, path, body }: Row): Promise<number> {
  const isText = typeof body === "string";
  const parts = JSON.stringify([path, body ?? null]);
  const [where, what] = JSON.parse(await filled(parts)) as [string, object | string | null];
  const type = isText ? { "content-type": "text/plain" } : {};
  const headers = { ...credentials(who), ...type };
  return (await request(method, base + where, what ?? undefined, headers)).status;
}

/** `METHOD pattern` of every route of a listener. */
function routesOf(side: "public" | "admin"): string[] {
  const names = routeGroups(side, true).flatMap(({ table }) =>
    [...table].flatMap(([pattern, methods]) =>
      Object.keys(methods).map((method) => `${method} ${pattern.replace(/\{[^}]*\}/g, "")}`),
    ),
  );
  return [...new Set(names)].sort();
}

describe("the public listener", () => {
  test("has no route that is not in the table", () => {
    expect(PUBLIC.map(({ method, pattern }) => `${method} ${pattern}`).sort()).toEqual(
      routesOf("public"),
    );
  });

  for (const line of PUBLIC) {
    test(`${line.method} ${line.pattern}`, async () => {
      const statuses: number[] = [];
      for (const who of EVERYBODY) statuses.push(await statusFor(fixture.public, who, line));
      expect(statuses).toEqual([...line.statuses]);
    });
  }
});

describe("the admin listener", () => {
  test("has no route that is not in the table", () => {
    expect(ADMIN.map(([method, pattern]) => `${method} ${pattern}`).sort()).toEqual(
      routesOf("admin"),
    );
  });

  for (const [method, pattern, path, status, body] of ADMIN) {
    test(`${method} ${pattern}`, async () => {
      const line = row(method, pattern, path, [401, 401, 401, status], body);
      const statuses: number[] = [];
      for (const who of EVERYBODY) statuses.push(await statusFor(fixture.admin, who, line));
      expect(statuses).toEqual([...line.statuses]);
    });
  }
});
