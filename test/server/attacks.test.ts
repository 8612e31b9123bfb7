// Requests and documents made to harm: each is refused clearly or taken for what it says, nothing
// leaks, nothing else is changed, and it is never a defect. Floods are in attacks-flood.test.ts.
// TIDEGATE_COMMAND runs another build, for example on Deno.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startTarget, type Target } from "../harness/target.ts";
import { head, raw } from "./attacks-raw.ts";
import { request } from "./fixture.ts";

setDefaultTimeout(30_000);

let target: Target;
let db: string;
let admin: string;

beforeAll(async () => {
  target = await startTarget("tidegate");
  db = await target.createDatabase("db");
  await target.createDatabase("other");
  admin = `${target.adminUrl}/db`;
  await request("PUT", `${admin}/_user/ann`, { password: "pw", admin_channels: ["ann"] });
  await request("PUT", `${db}/plain`, { channels: ["a"] });
});
afterAll(() => target?.dispose());

const withBody = (body: string, ...headers: string[]) =>
  head("PUT /db/smuggled", ...headers) + body;

describe("a request that two servers could read differently", () => {
  const length = "Content-Length: 2";
  const chunked = "Transfer-Encoding: chunked";
  const rows: [name: string, bytes: string][] = [
    ["two lengths", withBody("{} ", length, "Content-Length: 3")],
    ["a list of lengths", withBody("{}", "Content-Length: 2, 2")],
    ["a length and chunks", withBody("2\r\n{}\r\n0\r\n\r\n", length, chunked)],
    ["chunks and a length", withBody("2\r\n{}\r\n0\r\n\r\n", chunked, length)],
    ["a length with a sign", withBody("{}", "Content-Length: +2")],
    ["a length below zero", withBody("{}", "Content-Length: -2")],
    ["a length in another base", withBody("{}", "Content-Length: 0x2")],
    ["a length beyond all", withBody("{}", "Content-Length: 99999999999999999999")],
    ["an encoding that is nearly chunked", withBody("2\r\n{}\r\n0\r\n\r\n", `${chunked}x`)],
    ["a chunk of no length", withBody("zz\r\n{}\r\n0\r\n\r\n", chunked)],
    ["a chunk that is too long to count", withBody("ffffffffffffffff2\r\n{}\r\n", chunked)],
    ["a header folded over two lines", withBody("{}", length, "X-A: 1\r\n 2")],
    ["a space before the colon", withBody("{}", "Content-Length : 2")],
    ["a NUL in a header", withBody("{}", length, "X-A: a\0b")],
    ["a bare CR in a header", withBody("{}", length, "X-A: a\rb")],
    ["a space in the path", head("PUT /db/smug gled", length)],
    ["another version", "PUT /db/smuggled HTTP/9.9\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"],
    ["no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["headers without end", head("PUT /db/smuggled", `X-A: ${"a".repeat(1_000_000)}`)],
    [
      "thousands of headers",
      head("GET /db", ...Array.from({ length: 20_000 }, (_, i) => `X-${i}: 1`)),
    ],
    ["a path without end", head(`GET /db/${"a".repeat(1_000_000)}`)],
  ];
  for (const [name, bytes] of rows) {
    test(`is refused: ${name}`, async () => {
      const { status } = await raw(target.port, bytes);
      expect([0, 400, 413, 414, 431, 501, 505]).toContain(status);
      expect((await request("GET", `${db}/smuggled`)).status).toBe(404);
      expect((await request("GET", `${db}/smug%20gled`)).status).toBe(404);
    });
  }

  test("is answered as two when it is two", async () => {
    const first = "GET /db HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    const { statuses } = await raw(target.port, first + head("GET /_ping"));
    expect(statuses).toEqual([200, 200]);
  });

  test("is refused when its method is a word that JavaScript knows, or unknown", async () => {
    const words = ["constructor", "toString", "__proto__", "hasOwnProperty", "get", "BREW"];
    for (const word of words) {
      const { status } = await raw(target.port, head(`${word} /db`));
      expect([word, [0, 400, 405].includes(status)]).toEqual([word, true]);
    }
    // Each method that there is would be a series of its own for ever.
    for (let i = 0; i < 50; i++) await raw(target.port, head(`WORD${i} /db`));
    const { text } = await request("GET", `${target.metricsUrl}/metrics`);
    expect(text).toContain('method="GET"');
    expect(text).not.toContain("WORD");
  });

  test("is refused when its host is none", async () => {
    const hosts = ["x/_all_docs", "x?", "x#", "x y", "a@b", "\\", "../..", "a,b", "[::1", ""];
    for (const host of hosts) {
      const bytes = `GET /db HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
      const { status } = await raw(target.port, bytes);
      expect([host, status]).toEqual([host, 400]);
    }
    for (const host of ["x", "a.example:80", "[::1]:4984", "1.2.3.4"]) {
      const bytes = `GET /db HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
      expect((await raw(target.port, bytes)).status).toBe(200);
    }
    // The oldest clients send none; the path is the path all the same.
    const old = await raw(target.port, "GET /db/plain HTTP/1.0\r\n\r\n");
    expect(old.body).toContain('"_id":"plain"');
  });
});

describe("a path", () => {
  const private_ = ["_all_dbs", "_config", "db/_config", "db/_raw/plain", "db/_user/ann"];
  const ways = [
    "/db/../",
    "/db/%2e%2e/",
    "/db/.%2E/",
    "/db/..%2f",
    "/./",
    "//",
    "/%2f",
    "/db/..\\",
    "/db%2f..%2f",
    "/db/plain/../../",
    "http://localhost/",
    "/%5f/../",
  ];
  test("does not lead to what the public listener has not", async () => {
    for (const name of private_) {
      for (const way of ways) {
        for (const method of ["GET", "PUT", "DELETE"]) {
          const { status, body } = await raw(target.port, head(`${method} ${way}${name}`));
          const refused = [400, 401, 404, 405, 409].includes(status);
          expect([method, way + name, status, refused]).toEqual([method, way + name, status, true]);
          expect(body).not.toContain("syncFunction");
          expect(body).not.toContain("admin_channels");
        }
      }
    }
  });

  test("with dots is nobody's document: neither runtime takes it for one", async () => {
    for (const dots of [
      "/db/.",
      "/db/..",
      "/db/%2e",
      "/db/%2E%2e",
      "/db/_design/..",
      "/db/../db",
    ]) {
      const read = await raw(target.port, head(`GET ${dots}`));
      expect(read.body).not.toContain('"_id"');
    }
  });

  test("to a file, a principal or a prototype leads nowhere", async () => {
    const paths = [
      ..."_sync:user:ann _sync%3Auser%3Aann %5fsync:user:ann _sync:user:ann/a.txt".split(" "),
      ..."_local%2f..%2f_sync:user:ann __proto__ constructor/x _design/__proto__".split(" "),
      ..."..%2f..%2fetc%2fpasswd _user/ann _user%2fann _role".split(" "),
    ];
    for (const path of paths) {
      for (const method of ["GET", "DELETE"]) {
        const { status, body } = await raw(target.port, head(`${method} /db/${path}`));
        expect([path, [404, 409].includes(status)]).toEqual([path, true]);
        expect(body).not.toContain("scrypt");
      }
    }
    for (const name of ["__proto__", "constructor", "toString", "..%2fdb", "db%00", "DB"]) {
      const answer = await raw(target.port, head(`GET /${name}`));
      expect([name, [401, 404].includes(answer.status)]).toEqual([name, true]);
    }
    for (const name of ["..%2f..%2fhere", "__proto__", "db%2fx", "a%00b", "."]) {
      const made = await raw(Number(new URL(admin).port), head(`PUT /${name}`));
      expect([name, [400, 404, 405].includes(made.status)]).toEqual([name, true]);
    }
  });
});

describe("a name", () => {
  const save = async (id: string): Promise<(number | string)[]> => {
    const bulk = await request("POST", `${db}/_bulk_docs`, { docs: [{ _id: id }] });
    const [row] = bulk.json as { error?: string }[];
    const replicated = { docs: [{ _id: id, _rev: "1-a" }], new_edits: false };
    const [other] = (await request("POST", `${db}/_bulk_docs`, replicated)).json as (typeof row)[];
    const post = await request("POST", db, { _id: id });
    return [row?.error ?? "saved", other?.error ?? "saved", post.status];
  };

  test("that URLs resolve away is no document's: a client would remove the database", async () => {
    for (const id of [".", "..", "_design/.", "_design/.."]) {
      expect([id, await save(id)]).toEqual([id, ["illegal_docid", "illegal_docid", 400]]);
    }
    for (const name of [".", "..", "a/../../../other", "../x", "x/.", "./"]) {
      const _attachments = { [name]: { data: "aGk=", content_type: "text/plain" } };
      const { status, json } = await request("POST", db, { _attachments });
      expect([name, status]).toEqual([name, 400]);
      expect(json).toMatchObject({ error: "doc_validation" });
    }
    for (const name of ["..x", "x..", ".hidden", "a/.b/c.d"]) {
      const _attachments = { [name]: { data: "aGk=", content_type: "text/plain" } };
      expect((await request("POST", db, { _attachments })).status).toBe(201);
    }
  });

  test("of what is ours inside is no document's, in no way to write, read or ask", async () => {
    const ids = ["_sync:user:ann", "_sync:role:r", "_sync:", "_user/ann", "_local/../x", "_x", ""];
    for (const id of ids) {
      expect([id, await save(id)]).toEqual([id, ["illegal_docid", "illegal_docid", 400]]);
    }
    const id = "_sync:user:ann";
    const got = await request("POST", `${db}/_bulk_get`, { docs: [{ id }] });
    expect(got.text).not.toContain("admin");
    const all = await request("POST", `${db}/_all_docs?include_docs=true`, { keys: [id] });
    expect(all.json).toMatchObject({ rows: [{ key: id, error: "not_found" }] });
    const list = await request("GET", `${db}/_all_docs?startkey="_"&endkey="_\ufff0"`);
    expect(list.text).not.toContain("_sync");
    const changes = await request("POST", `${db}/_changes?filter=_doc_ids`, { doc_ids: [id] });
    expect(changes.json).toMatchObject({ results: [] });
    const diff = await request("POST", `${db}/_revs_diff`, { [id]: ["1-a"] });
    expect(diff.text).not.toContain("possible_ancestors");
    expect((await request("GET", `${admin}/_user/ann`)).json).toMatchObject({
      admin_channels: ["ann"],
    });
  });
});

describe("a document", () => {
  const words = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "then"];

  test("with keys that mean something to JavaScript changes nothing but itself", async () => {
    for (const word of words) {
      const evil = `{"a":{"${word}":{"admin":true}},"channels":["a"],"${word.replace("__", "")}":1}`;
      const saved = await request("PUT", `${db}/key-${word}`, evil);
      expect([word, saved.status]).toEqual([word, 201]);
      const read = await request("GET", `${db}/key-${word}`);
      expect(read.text).toContain(evil.slice(1, -1));
      for (const [path, body] of [
        ["_bulk_docs", `{"docs":[{"_id":"bulk-${word}",${evil.slice(1)}],"${word}":{"docs":[]}}`],
        ["_changes", `{"${word}":{"feed":"continuous","limit":0}}`],
        ["_all_docs", `{"${word}":{"keys":["x"]},"limit":1}`],
        ["_bulk_get", `{"docs":[{"id":"plain","${word}":{"rev":"9-a"}}]}`],
        ["_revs_diff", `{"${word}":["1-a"],"plain":["1-a"]}`],
        ["_missing_revs", `{"${word}":["1-a"]}`],
      ] as const) {
        const { status, text } = await request(
          "POST",
          `${db}/${path}?${word}=1&x[${word}]=2`,
          body,
        );
        expect([path, word, status]).toEqual([path, word, path === "_bulk_docs" ? 201 : 200]);
        if (path.includes("revs")) expect(text).toContain(`"${word}":`);
      }
    }
    // Everybody else's objects are as they were.
    const plain = await request("GET", `${db}/plain?revs=true&conflicts=true`);
    expect(Object.keys(plain.json as object).sort()).toEqual([
      ..."_id _rev _revisions channels".split(" "),
    ]);
  });

  test("with attachments, users or settings of such names is taken or refused, no more", async () => {
    for (const word of words) {
      const text = `{"_attachments":{"${word}":{"data":"aGk=","content_type":"text/plain"}}}`;
      const saved = await request("PUT", `${db}/att-${word}`, text);
      const isFit = !word.startsWith("_");
      expect([word, saved.status]).toEqual([word, isFit ? 201 : 400]);
      if (isFit) expect((await request("GET", `${db}/att-${word}/${word}`)).text).toBe("hi");
      const stub = `{"_attachments":{"${word}":{"stub":true}}}`;
      expect([400, 412]).toContain((await request("PUT", `${db}/stub-${word}`, stub)).status);
      const user = { password: "pw", admin_channels: [word], admin_roles: [word] };
      expect((await request("PUT", `${admin}/_user/${word}`, user)).status).toBe(201);
      const read = (await request("GET", `${admin}/_user/${word}`)).json;
      expect(read).toMatchObject({ name: word, all_channels: ["!", word].sort(), roles: [word] });
      const other = `{"name":"x","${word}":{"admin_channels":["*"]}}`;
      expect((await request("PUT", `${admin}/_user/x`, other)).status).toBe(400);
      const settings = `{"guest":true,"${word}":{"guest":true}}`;
      expect((await request("PUT", `${admin}/_config`, settings)).status).toBe(400);
      const login = `{"name":"${word}","password":"no","${word}":{"one_time":true}}`;
      expect((await request("POST", `${db}/_session`, login)).status).toBe(401);
    }
  });

  test("can't put lines into headers, multipart bodies or feeds", async () => {
    const evil = "text/plain\r\nX-Evil: 1\r\n\r\n<script>";
    const attachment = (content_type: string, name = "a") => ({
      _attachments: { [name]: { data: "aGk=", content_type } },
    });
    expect((await request("POST", db, attachment(evil))).status).toBe(400);
    expect((await request("POST", db, attachment("text/plain\u0000"))).status).toBe(400);
    const put = await raw(
      target.port,
      `${head("PUT /db/type/a", "Content-Length: 2", "Content-Type: text/\xff")}hi`,
    );
    expect(put.status).toBe(400);
    const names = ['a\r\nX-Evil: 1\r\n\r\n"', 'q"; filename="/etc/passwd', "\u2028\u202e\t\u0001"];
    for (const [at, name] of names.entries()) {
      const id = `lines-${at}\r\nX-Evil: 1\ndata: x\nid: 7\n\n`;
      const document = { _id: id, text: id, ...attachment("text/plain", name) };
      expect((await request("POST", db, document)).status).toBe(201);
      const url = `${db}/${encodeURIComponent(id)}`;
      const read = await request("GET", `${url}/${encodeURIComponent(name)}`);
      expect([name, read.text]).toEqual([name, "hi"]);
      expect(read.headers.get("x-evil")).toBeNull();
      expect(read.headers.get("content-disposition")).not.toContain("passwd;");
      const multipart = { accept: "multipart/related" };
      const whole = await request("GET", `${url}?attachments=true`, undefined, multipart);
      expect(whole.text).not.toContain("\nX-Evil");
      const accept = { accept: "multipart/mixed" };
      const bulk = await request(
        "POST",
        `${db}/_bulk_get?attachments=true`,
        { docs: [{ id }] },
        accept,
      );
      expect(bulk.text).toContain("X-Doc-Id: lines-");
      expect(bulk.text).not.toContain("\nX-Evil");
      for (const feed of ["eventsource", "continuous"]) {
        const query = `feed=${feed}&timeout=100&include_docs=true&filter=_doc_ids`;
        const ids = encodeURIComponent(JSON.stringify([id]));
        const text = await firstOf(`${db}/_changes?${query}&doc_ids=${ids}`, "lines-");
        expect(text).not.toMatch(/^(X-Evil|data: x|id: 7)/m);
      }
    }
  });

  test("with a history that is none is refused in words", async () => {
    const histories: unknown[] = [
      ...[1e15, 1e300, -1, 0, 1.5, "1", null].map((start) => ({ start, ids: ["a"] })),
      ...[[], ["a\r\nb"], ["a".repeat(65)], [1], ["é"], "a", Array(5001).fill("a")].map((ids) => ({
        start: 6000,
        ids,
      })),
      ...["x", 7, [], true],
    ];
    for (const _revisions of histories) {
      const document = { _id: "history", _rev: "1-a", _revisions };
      const body = { docs: [document], new_edits: false };
      const { status, json } = await request("POST", `${db}/_bulk_docs`, body);
      expect([_revisions, status, (json as unknown[]).length]).toEqual([_revisions, 201, 1]);
    }
    expect((await request("GET", `${db}/history`)).status).toBe(404);
    for (const rev of ["1-a%0d%0ab", "1e3-a", "-1-a", "1-", "99999999999-a", "1-a\u00e9", "x"]) {
      for (const method of ["GET", "PUT", "DELETE"]) {
        const body = method === "PUT" ? {} : undefined;
        const { status } = await request(method, `${db}/plain?rev=${rev}`, body);
        expect([method, rev, [400, 404, 409].includes(status)]).toEqual([method, rev, true]);
      }
    }
  });

  test("in more channels than there may be, or of names that are none, is refused", async () => {
    const many = Array.from({ length: 300_000 }, (_, i) => `channel-${i}`);
    const refused = await request("PUT", `${db}/many`, { channels: many });
    expect([400, 403, 413, 500]).toContain(refused.status);
    for (const channel of ["a\u0000b", "\ud800", "x".repeat(251), "\u0001user:ann"]) {
      const { status } = await request("PUT", `${db}/names`, { channels: [channel] });
      expect([channel, [400, 403, 500].includes(status)]).toEqual([channel, true]);
    }
    expect((await request("GET", `${db}/names`)).status).toBe(404);
    expect((await request("GET", `${db}/many`)).status).toBe(404);
  });
});

/** What a feed sends, up to the first piece that has `word`. */
async function firstOf(url: string, word: string): Promise<string> {
  const over = new AbortController();
  const answer = await fetch(url, { signal: over.signal });
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of answer.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (text.includes(word)) break;
  }
  over.abort();
  return text;
}

test("nothing of all this was a defect", () => {
  const complaints = target.log().match(/^.*"level":"(warn|error)".*$/gm) ?? [];
  // Channels that the sync function made up are its writer's business, and so told.
  expect(complaints.filter((line) => !/A channel name is|into \d+ channels/.test(line))).toEqual(
    [],
  );
});
