// Attachments over HTTP: bytes, ranges, tags, digests, and headers that keep them harmless.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

let fixture: Fixture;
let db: string;

beforeAll(async () => {
  fixture = await startFixture();
  await request("PUT", `${fixture.admin}/db`, {
    guest: true,
    limits: { attachmentBytes: 100_000 },
  });
  db = `${fixture.public}/db`;
});
afterAll(() => fixture?.close());

const bytes = (text: string) => new TextEncoder().encode(text);
const md5 = (data: Uint8Array) => createHash("md5").update(data).digest("base64");

/** Stores `data` as the only attachment of a new document; gives back the revision. */
async function store(id: string, name: string, data: Uint8Array<ArrayBuffer>, type: string) {
  const answer = await request("PUT", `${db}/${id}/${name}`, data, { "content-type": type });
  expect(answer.status).toBe(201);
  return (answer.json as { rev: string }).rev;
}

describe("an attachment", () => {
  test("comes back with type, length, digest and tag; HEAD says the same without it", async () => {
    const data = bytes("hello, attachment");
    await store("one", "a.txt", data, "text/plain; charset=utf-8");
    const found = await request("GET", `${db}/one/a.txt`);
    expect(found.text).toBe("hello, attachment");
    const expected = {
      "content-type": "text/plain; charset=utf-8",
      "content-length": "17",
      "content-md5": md5(data),
      etag: `"md5-${md5(data)}"`,
      "accept-ranges": "bytes",
    };
    for (const answer of [found, await request("HEAD", `${db}/one/a.txt`)]) {
      expect(answer.status).toBe(200);
      for (const [name, value] of Object.entries(expected)) {
        expect(answer.headers.get(name)).toBe(value);
      }
    }
    expect((await request("HEAD", `${db}/one/a.txt`)).text).toBe("");
  });

  test("is known to a client that has its tag", async () => {
    const tag = (await request("HEAD", `${db}/one/a.txt`)).headers.get("etag") ?? "";
    const again = await request("GET", `${db}/one/a.txt`, undefined, { "if-none-match": tag });
    expect([again.status, again.text]).toEqual([304, ""]);
  });

  const ranges: [header: Record<string, string>, status: number, text: string, range?: string][] = [
    [{ range: "bytes=0-4" }, 206, "hello", "bytes 0-4/17"],
    [{ range: "bytes=7-" }, 206, "attachment", "bytes 7-16/17"],
    [{ range: "bytes=-4" }, 206, "ment", "bytes 13-16/17"],
    [{ range: "bytes=0-1,3-4" }, 200, "hello, attachment"],
    [{ range: "lines=1-2" }, 200, "hello, attachment"],
    [{ range: "bytes=0-4", "if-range": '"other"' }, 200, "hello, attachment"],
  ];
  for (const [headers, status, text, range] of ranges) {
    test(`by ${JSON.stringify(headers)}`, async () => {
      const found = await request("GET", `${db}/one/a.txt`, undefined, headers);
      expect([found.status, found.text]).toEqual([status, text]);
      expect(found.headers.get("content-range")).toBe(range ?? null);
    });
  }

  test("by a range beyond its end is 416 with its length", async () => {
    const found = await request("GET", `${db}/one/a.txt`, undefined, { range: "bytes=17-" });
    expect(found.status).toBe(416);
    expect(found.headers.get("content-range")).toBe("bytes */17");
    expect(found.json).toMatchObject({ error: "requested_range_not_satisfiable" });
  });

  test("may have a name with slashes, in either spelling, and one that is no header", async () => {
    await store("names", "dir/deep/a.txt", bytes("deep"), "text/plain");
    expect((await request("GET", `${db}/names/dir/deep/a.txt`)).text).toBe("deep");
    expect((await request("GET", `${db}/names/dir%2Fdeep%2Fa.txt`)).text).toBe("deep");
    const odd = 'gr"ü\u2028ße\r\n.txt';
    const { _rev } = (await request("GET", `${db}/names`)).json as { _rev: string };
    const url = `${db}/names/${encodeURIComponent(odd)}?rev=${_rev}`;
    expect((await request("PUT", url, bytes("odd"))).status).toBe(201);
    const found = await request("GET", url.replace(/\?.*/, ""));
    expect(found.text).toBe("odd");
    expect(found.headers.get("content-disposition")).toMatch(
      /^attachment; filename="gr____e__\.txt"; filename\*=UTF-8''gr%22%C3%BC%E2%80%A8%C3%9Fe%0D/,
    );
  });

  test("does not act as a page of the gateway", async () => {
    const types: [type: string, disposition: string][] = [
      ["text/html", "attachment"],
      ["image/svg+xml", "attachment"],
      ["application/xhtml+xml", "attachment"],
      ["text/javascript", "attachment"],
      ["image/png", "inline"],
      ["video/mp4", "inline"],
      ["text/plain", "inline"],
    ];
    for (const [at, [type, disposition]] of types.entries()) {
      await store(`active${at}`, "a", bytes("<script>alert(1)</script>"), type);
      const { headers } = await request("GET", `${db}/active${at}/a`);
      expect(headers.get("content-disposition")).toStartWith(disposition);
      expect(headers.get("content-security-policy")).toBe("sandbox; default-src 'none'");
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  test("is checked against the digest that the client gives", async () => {
    const data = bytes("digested");
    const good = await request("PUT", `${db}/digest/a`, data, { "content-md5": md5(data) });
    expect(good.status).toBe(201);
    const bad = await request("PUT", `${db}/digest2/a`, data, { "content-md5": md5(bytes("x")) });
    expect(bad.status).toBe(400);
    expect((await request("GET", `${db}/digest2`)).status).toBe(404);
  });

  test("over the limit is refused, and says the limit", async () => {
    const url = `${db}/large/a`;
    const large = await request("PUT", url, new Uint8Array(100_001));
    expect(large.status).toBe(413);
    expect(large.json).toMatchObject({
      error: "too_large",
      reason: expect.stringContaining("100000"),
    });
    expect((await request("PUT", url, new Uint8Array(100_000))).status).toBe(201);
  });

  test("of an old revision, a missing one, a stale parent", async () => {
    const first = await store("story", "a", bytes("first"), "text/plain");
    const url = `${db}/story/a`;
    const second = await request("PUT", `${url}?rev=${first}`, bytes("second"));
    expect(second.status).toBe(201);
    expect((await request("GET", url)).text).toBe("second");
    expect((await request("GET", `${url}?rev=${first}`)).text).toBe("first");
    expect((await request("PUT", `${url}?rev=${first}`, bytes("stale"))).status).toBe(409);
    expect((await request("GET", `${db}/story/b`)).status).toBe(404);
    expect((await request("GET", `${db}/nobody/a`)).status).toBe(404);
    const { rev } = second.json as { rev: string };
    const removed = await request("DELETE", url, undefined, { "if-match": rev });
    expect(removed.status).toBe(200);
    expect((await request("GET", url)).status).toBe(404);
    expect((await request("GET", `${db}/story`)).status).toBe(200);
  });
});
