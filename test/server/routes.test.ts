// Every route of the document API, as a table: what is asked, and what a client sees.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type Answer, type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

let fixture: Fixture;
const revs: Record<string, string> = {};

beforeAll(async () => {
  fixture = await startFixture();
  await request("PUT", `${fixture.admin}/db`, { guest: true });
  await request("PUT", `${fixture.admin}/closed`, "");
  for (const id of ["a", "b", "c/d", "_design/app"]) {
    const url = `${fixture.public}/db/${id.startsWith("_") ? id : encodeURIComponent(id)}`;
    const answer = await request("PUT", url, { channels: ["one"], of: id });
    revs[id] = (answer.json as { rev: string }).rev;
  }
  const url = `${fixture.public}/db/b?rev=${revs.b}`;
  revs.b2 = ((await request("PUT", url, { of: "b", again: true })).json as { rev: string }).rev;
  await request("PUT", `${fixture.public}/db/_local/seen`, { n: 1 });
});
afterAll(() => fixture?.close());

/** What a row of the table expects: a status, and parts of the JSON body. */
type Row = readonly [
  method: string,
  path: string,
  body: object | string | undefined,
  status: number,
  json?: object | ((answer: Answer) => void),
  headers?: Record<string, string>,
];

function table(name: string, side: "public" | "admin", rows: readonly Row[]): void {
  describe(name, () => {
    for (const [method, path, body, status, json, headers] of rows) {
      const shown = body === undefined ? "" : ` ${JSON.stringify(body).slice(0, 60)}`;
      test(`${method} ${path}${shown} -> ${status}`, async () => {
        const filled = path.replace(/\{([^}]+)\}/g, (_, id) => revs[id] ?? "?");
        const answer = await request(method, fixture[side] + filled, body, headers);
        if (answer.status !== status) throw new Error(`${answer.status}: ${answer.text}`);
        if (status >= 400 && method !== "HEAD") {
          const error = JSON.parse(answer.text) as { error: string; reason: string };
          expect(Object.keys(error)).toEqual(["error", "reason"]);
          expect(error.reason.length).toBeGreaterThan(5);
        }
        if (typeof json === "function") json(answer);
        else if (json) expect(answer.json).toMatchObject(json);
      });
    }
  });
}

const badRequest = (reason: string) => ({
  error: "bad_request",
  reason: expect.stringContaining(reason),
});

table("the server", "public", [
  ["GET", "/", undefined, 200, { couchdb: "Welcome", version: "0.0.0" }],
  ["HEAD", "/", undefined, 200],
  ["GET", "/_ping", undefined, 200, { ok: true }],
  ["GET", "/_session", undefined, 200, { ok: true, userCtx: { name: null, roles: [] } }],
  ["POST", "/_ping", {}, 405, ({ headers }) => expect(headers.get("allow")).toBe("GET, HEAD")],
  ["GET", "/_all_dbs", undefined, 401, { error: "unauthorized" }],
  ["GET", "/nothing", undefined, 401],
  ["GET", "/closed", undefined, 401],
  ["PUT", "/new", "", 401],
]);

table("a database", "public", [
  ["GET", "/db", undefined, 200, { db_name: "db", doc_count: 4, instance_start_time: "0" }],
  ["GET", "/db/", undefined, 200, { db_name: "db" }],
  ["HEAD", "/db", undefined, 200],
  ["PUT", "/db", "", 405, ({ headers }) => expect(headers.get("allow")).toBe("GET, HEAD, POST")],
  ["GET", "/db/_session", undefined, 200, { userCtx: { name: null } }],
  ["POST", "/db/_ensure_full_commit", "", 201, { ok: true, instance_start_time: "0" }],
  ["GET", "/db/_config", undefined, 404],
  ["GET", "/db/_raw/a", undefined, 404],
  ["POST", "/db/_purge", {}, 404],
  ["GET", "/db/_nothing", undefined, 404],
]);

table("_all_docs", "public", [
  ["GET", "/db/_all_docs", undefined, 200, { total_rows: 4, offset: 0 }],
  ["GET", '/db/_all_docs?key="a"', undefined, 200, { rows: [{ id: "a", key: "a" }] }],
  ["GET", '/db/_all_docs?startkey="b"&limit=1', undefined, 200, { rows: [{ id: "b" }] }],
  [
    "GET",
    "/db/_all_docs?keys=%5B%22a%22,%22x%22%5D",
    undefined,
    200,
    { rows: [{ id: "a" }, { key: "x", error: "not_found" }] },
  ],
  ["POST", "/db/_all_docs", { keys: ["c/d"] }, 200, { rows: [{ id: "c/d" }] }],
  [
    "POST",
    "/db/_all_docs?include_docs=true",
    { keys: ["a"] },
    200,
    { rows: [{ doc: { _id: "a", of: "a" } }] },
  ],
  ["GET", "/db/_all_docs?update_seq=true", undefined, 200, { update_seq: expect.any(String) }],
  ["GET", "/db/_all_docs?descending=true&limit=1", undefined, 200, { rows: [{ id: "c/d" }] }],
  ["GET", "/db/_all_docs?startkey=a", undefined, 400, badRequest("startkey: expected JSON")],
  ["GET", "/db/_all_docs?startkey=1", undefined, 400, badRequest("startkey: expected a JSON str")],
  ["GET", "/db/_all_docs?keys=1", undefined, 400, badRequest("keys: expected an array")],
  ["GET", "/db/_all_docs?limit=-1", undefined, 400, badRequest("limit: expected a whole")],
  ["GET", "/db/_all_docs?include_docs=1", undefined, 400, badRequest("include_docs: expected")],
  ["POST", "/db/_all_docs", { keys: "a" }, 400, badRequest("keys: expected an array")],
  ["DELETE", "/db/_all_docs", undefined, 405],
]);

table("a document", "public", [
  ["GET", "/db/a", undefined, 200, { _id: "a", _rev: expect.any(String), of: "a" }],
  ["GET", "/db/c%2Fd", undefined, 200, { _id: "c/d" }],
  ["GET", "/db/_design/app", undefined, 200, { _id: "_design/app" }],
  ["GET", "/db/_design%2Fapp", undefined, 200, { _id: "_design/app" }],
  ["GET", "/db/a%", undefined, 400, badRequest("%")],
  ["GET", "/db/a%ff", undefined, 400, badRequest("%")],
  ["GET", "/db/a?x=%zz", undefined, 400, badRequest("%")],
  ["GET", "/db/gone", undefined, 404, { error: "not_found" }],
  ["GET", "/db/b?rev={b}", undefined, 200, { _rev: expect.stringMatching(/^1-/) }],
  ["GET", "/db/b?rev=1-0", undefined, 404],
  ["GET", "/db/b?rev=what", undefined, 400],
  ["GET", "/db/b?revs=true", undefined, 200, { _revisions: { start: 2 } }],
  ["GET", "/db/b?revs=yes", undefined, 400, badRequest("revs: expected true or false")],
  ["GET", "/db/b?meta=true", undefined, 200, { _revs_info: [{}, {}] }],
  ["GET", "/db/b?open_revs=all", undefined, 200, [{ ok: { _id: "b" } }]],
  [
    "GET",
    '/db/b?open_revs=["{b2}","1-00000000000000000000000000000000"]',
    undefined,
    200,
    [{ ok: { again: true } }, { missing: "1-00000000000000000000000000000000" }],
  ],
  ["GET", "/db/b?open_revs=some", undefined, 400, badRequest("open_revs: expected JSON")],
  ["GET", "/db/b?atts_since=1", undefined, 400, badRequest("atts_since: expected")],
  ["PUT", "/db/a", { x: 1 }, 409, { error: "conflict" }],
  ["PUT", "/db/_nothing", {}, 404],
  ["PUT", "/db/x", "{", 400, { error: "bad_request" }],
  ["PUT", "/db/x", "[]", 400, { error: "bad_request" }],
  ["PUT", "/db/x", { _foo: 1 }, 400, { error: "doc_validation" }],
  ["PUT", "/db/a?rev=1-a", {}, 400, badRequest("rev: expected the same"), { "if-match": '"1-b"' }],
  ["DELETE", "/db/a", undefined, 409],
  ["DELETE", "/db/gone?rev=1-0", undefined, 404],
  ["PATCH", "/db/a", {}, 405],
  ["POST", "/db", { _id: "posted" }, 201, { ok: true, id: "posted" }],
  ["POST", "/db", {}, 201, { id: expect.stringMatching(/^[0-9a-f]{32}$/) }],
  ["POST", "/db", { _id: 7 }, 400, badRequest("_id: expected a string")],
]);

table("_local documents", "public", [
  ["GET", "/db/_local/seen", undefined, 200, { _id: "_local/seen", _rev: "0-1", n: 1 }],
  ["GET", "/db/_local/unseen", undefined, 404],
  ["PUT", "/db/_local/a%2Fb", { n: 2 }, 201, { id: "_local/a/b" }],
  ["GET", "/db/_local/a%2Fb", undefined, 200, { n: 2 }],
  ["PUT", "/db/_local/seen", { n: 2 }, 409],
  ["PUT", "/db/_local/seen", { n: 2 }, 201, { rev: "0-2" }, { "if-match": "0-1" }],
  ["DELETE", "/db/_local/seen?rev=0-2", undefined, 200, { ok: true }],
  ["GET", "/db/_local/seen", undefined, 404],
]);

const known = "1-00000000000000000000000000000001";

table("bulk calls", "public", [
  [
    "POST",
    "/db/_bulk_docs",
    { docs: [{ _id: "k1" }, { _id: "a", stale: true }, {}] },
    201,
    [{ ok: true, id: "k1" }, { id: "a", error: "conflict" }, { ok: true }],
  ],
  [
    "POST",
    "/db/_bulk_docs",
    { docs: [{ _id: "old", _rev: known }], new_edits: false },
    201,
    ({ json }) => expect(json).toEqual([]),
  ],
  ["GET", "/db/old", undefined, 200, { _rev: known }],
  ["POST", "/db/_bulk_docs", {}, 400, badRequest("docs: expected an array of documents")],
  ["POST", "/db/_bulk_docs", { docs: [1] }, 400, badRequest("docs: expected an array of docu")],
  ["POST", "/db/_bulk_docs", { docs: [], new_edits: 1 }, 400, badRequest("new_edits: expected")],
  ["POST", "/db/_bulk_docs", "no json", 400],
  ["GET", "/db/_bulk_docs", undefined, 405],
  [
    "POST",
    "/db/_bulk_get?revs=true",
    { docs: [{ id: "old" }, { id: "b", rev: "9-9" }, { id: "gone" }] },
    200,
    {
      results: [
        { id: "old", docs: [{ ok: { _id: "old", _revisions: { start: 1 } } }] },
        { id: "b", docs: [{ error: { id: "b", rev: "9-9" } }] },
        { id: "gone", docs: [{ error: { id: "gone", error: "not_found" } }] },
      ],
    },
  ],
  ["POST", "/db/_bulk_get", { docs: [{}] }, 400, badRequest("docs[0].id: expected a string")],
  ["POST", "/db/_bulk_get", { docs: [3] }, 400, badRequest("docs[0]: expected an object")],
  ["POST", "/db/_bulk_get", {}, 400, badRequest("docs: expected an array")],
  [
    "POST",
    "/db/_revs_diff",
    { old: [known, "2-b"], never: ["1-c"] },
    200,
    ({ json }) =>
      expect(json).toEqual({
        old: { missing: ["2-b"], possible_ancestors: [known] },
        never: { missing: ["1-c"] },
      }),
  ],
  ["POST", "/db/_revs_diff", { old: known }, 400, badRequest("old: expected an array of str")],
  ["POST", "/db/_missing_revs", { old: ["2-b"] }, 200, { missing_revs: { old: ["2-b"] } }],
]);

table("the admin listener", "admin", [
  ["GET", "/", undefined, 200, { ADMIN: true }],
  ["GET", "/_all_dbs", undefined, 200, ["closed", "db"]],
  ["GET", "/_session", undefined, 200, { userCtx: { roles: ["_admin"] } }],
  ["GET", "/_config", undefined, 200, { cors: { origins: [] }, databases: { db: {} } }],
  ["GET", "/_status", undefined, 200, { databases: { db: { state: "online" } } }],
  ["GET", "/closed", undefined, 200, { db_name: "closed" }],
  ["GET", "/nothing", undefined, 404, { reason: "there is no database nothing" }],
  ["GET", "/_nothing", undefined, 404],
  ["PUT", "/db", "", 412, { error: "file_exists" }],
  ["PUT", "/Bad", "", 400, { error: "illegal_database_name" }],
  [
    "PUT",
    "/other",
    { gest: true },
    400,
    { error: "bad_config", reason: expect.stringContaining("guest?") },
  ],
  ["PUT", "/other", { index: { partitions: 4 } }, 201, { ok: true }],
  ["GET", "/other/_config", undefined, 200, { guest: false, index: { partitions: 4 } }],
  ["PUT", "/other/_config", { index: { partitions: 4 }, guest: true }, 201],
  ["GET", "/other/_config", undefined, 200, { guest: true }],
  ["PUT", "/other/_config", "", 400],
  ["PUT", "/other/_config", { syncFunction: "function (" }, 400],
  ["DELETE", "/other", undefined, 200, { ok: true }],
  ["GET", "/other", undefined, 404],
  ["DELETE", "/other", undefined, 404],
  ["GET", "/db/_clock", undefined, 200, { behind: 0, from: { tick: expect.any(Number) } }],
  ["GET", "/db/_clock?since=0", undefined, 200, { means: "nothing", from: { tick: 0 } }],
  ["GET", "/db/_clock?since=x!", undefined, 400],
  ["POST", "/db/_compact", "", 202, { ok: true }],
  ["GET", "/db/_raw/a", undefined, 200, { of: "a" }],
  ["GET", "/db/_raw/c%2Fd", undefined, 200, { of: "c/d" }],
  ["GET", "/db/_raw/gone", undefined, 404],
  ["GET", "/db/_revtree/b", undefined, 200],
  ["GET", "/db/_dumpchannel/one", undefined, 200, { channel: "one" }],
  ["POST", "/db/_resync", "", 200, { ok: true, checked: expect.any(Number) }],
  ["POST", "/db/_purge", { old: ["*"] }, 200, { purged: { old: [known] } }],
  ["GET", "/db/old", undefined, 404],
]);

test("a sync function that is put by _config runs for the next save", async () => {
  const url = `${fixture.admin}/db/_config`;
  const settings = (await request("GET", url)).json as object;
  const refuse = 'function (doc) { if (doc.bad) throw({forbidden: "bad"}); channel("one"); }';
  await request("PUT", url, { ...settings, syncFunction: refuse });
  const refused = await request("PUT", `${fixture.public}/db/bad`, { bad: true });
  expect(refused.json).toEqual({ error: "forbidden", reason: "bad" });
  expect(refused.status).toBe(403);
  await request("PUT", url, settings);
  expect((await request("PUT", `${fixture.public}/db/bad`, { bad: true })).status).toBe(201);
});

test("a document's answers carry its revision as a tag, and 304 when the client has it", async () => {
  const url = `${fixture.public}/db/tagged`;
  const saved = await request("PUT", url, { n: 1 });
  const { rev } = saved.json as { rev: string };
  expect(saved.headers.get("etag")).toBe(`"${rev}"`);
  expect(saved.headers.get("location")).toBe("/db/tagged");
  const head = await request("HEAD", url);
  const read = await request("GET", url);
  expect(head.headers.get("etag")).toBe(`"${rev}"`);
  expect(head.headers.get("content-length")).toBe(String(Buffer.byteLength(read.text)));
  expect(head.text).toBe("");
  const again = await request("GET", url, undefined, { "if-none-match": `"x", W/"${rev}"` });
  expect([again.status, again.text]).toEqual([304, ""]);
  const other = await request("GET", url, undefined, { "if-none-match": '"1-0"' });
  expect(other.status).toBe(200);
  const changed = await request("PUT", url, { n: 2 }, { "if-match": `"${rev}"` });
  expect(changed.status).toBe(201);
});

test("nothing of all this was a defect", () => {
  expect(fixture.complaints).toEqual([]);
});
