// Request bodies: what is too large, too deep, wrongly encoded or broken off is refused in words.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { MAX_JSON_DEPTH, structureOf } from "../../src/server/body.ts";
import { until } from "../harness/until.ts";
import { type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

let fixture: Fixture;
let db: string;

beforeAll(async () => {
  fixture = await startFixture({ limits: { bodyBytes: 100_000 } });
  await request("PUT", `${fixture.admin}/db`, { guest: true });
  db = `${fixture.public}/db`;
});
afterAll(() => fixture?.close());

const gzip = (text: string | Uint8Array) => new Uint8Array(gzipSync(text));
const asGzip = { "content-encoding": "gzip" };

describe("a body", () => {
  test("may be gzip", async () => {
    const saved = await request("PUT", `${db}/zipped`, gzip('{"n":1}'), asGzip);
    expect(saved.status).toBe(201);
    expect((await request("GET", `${db}/zipped`)).json).toMatchObject({ n: 1 });
    const attachment = await request("PUT", `${db}/att/a`, gzip("plain"), asGzip);
    expect(attachment.status).toBe(201);
    expect((await request("GET", `${db}/att/a`)).text).toBe("plain");
  });

  test("that says gzip and is none, or has another encoding, is refused", async () => {
    const none = await request("PUT", `${db}/x`, "{}", asGzip);
    expect([none.status, (none.json as { error: string }).error]).toEqual([400, "bad_request"]);
    const cut = await request("PUT", `${db}/x`, gzip('{"n":1}').slice(0, -6), asGzip);
    expect(cut.status).toBe(400);
    const br = await request("PUT", `${db}/x`, "{}", { "content-encoding": "br" });
    expect(br.status).toBe(415);
    expect(br.json).toMatchObject({ error: "bad_content_type" });
  });

  test("is refused above the limit: said, sent without saying, and unpacked", async () => {
    const large = JSON.stringify({ x: "x".repeat(100_000) });
    expect((await request("PUT", `${db}/x`, large)).status).toBe(413);
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0; at < 20; at++) controller.enqueue(new Uint8Array(10_000).fill(32));
        controller.close();
      },
    });
    const chunked = await fetch(`${db}/x`, { method: "PUT", body: stream });
    expect(chunked.status).toBe(413);
    expect(await chunked.json()).toMatchObject({ error: "too_large" });
    // 50 MB of zeros in 50 KB.
    const bomb = gzip(new Uint8Array(50_000_000));
    expect(bomb.length).toBeLessThan(100_000);
    const begun = performance.now();
    expect((await request("PUT", `${db}/x`, bomb, asGzip)).status).toBe(413);
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  const broken: [name: string, body: string | Uint8Array<ArrayBuffer>, words: string][] = [
    ["empty", "", "not JSON"],
    ["cut", '{"a":', "not JSON"],
    ["with something behind it", "{} x", "not JSON"],
    ["an array", "[]", "must be a JSON object"],
    ["null", "null", "must be a JSON object"],
    ["not UTF-8", new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), "not UTF-8"],
    ["too deep", `{"a":${"[".repeat(600)}${"]".repeat(600)}}`, "500 deep"],
    ["too deep and cut", `{"a":${"[".repeat(50_000)}`, "500 deep"],
  ];
  for (const [name, body, words] of broken) {
    test(`that is ${name} is no document`, async () => {
      const refused = await request("PUT", `${db}/x`, body);
      expect(refused.status).toBe(400);
      expect(refused.json).toMatchObject({
        error: "bad_request",
        reason: expect.stringContaining(words),
      });
    });
  }

  test("as deep as it may be is saved and comes back", async () => {
    const depth = MAX_JSON_DEPTH - 1;
    const body = `{"a":${"[".repeat(depth)}${"]".repeat(depth)}}`;
    expect((await request("PUT", `${db}/deep`, body)).status).toBe(201);
    expect((await request("GET", `${db}/deep`)).text).toContain("[".repeat(depth));
  });

  test("keeps keys that mean something to JavaScript", async () => {
    const body = '{"a":{"__proto__":{"admin":true}},"constructor":1,"toString":"x"}';
    expect((await request("PUT", `${db}/keys`, body)).status).toBe(201);
    expect((await request("GET", `${db}/keys`)).text).toContain('"__proto__":{"admin":true}');
    expect(({} as { admin?: boolean }).admin).toBeUndefined();
  });

  test("that breaks off saves nothing, and is nobody's defect", async () => {
    for (const headers of ["Content-Length: 50", "Transfer-Encoding: chunked"]) {
      const socket = connect(fixture.server.public.port, "127.0.0.1");
      await new Promise((resolve) => socket.once("connect", resolve));
      const head = `PUT /db/broken HTTP/1.1\r\nHost: x\r\n${headers}\r\n\r\n`;
      socket.write(headers.startsWith("C") ? `${head}{"half":` : `${head}8\r\n{"half":\r\n`);
      await new Promise((resolve) => setTimeout(resolve, 30));
      socket.destroy();
    }
    await until("an answer after it", async () => (await request("GET", `${db}`)).status === 200);
    expect((await request("GET", `${db}/broken`)).status).toBe(404);
  });
});

describe("depth", () => {
  const deep = (text: string, limit: number) =>
    structureOf(new TextEncoder().encode(text), limit, 100).depth > limit;

  test("counts brackets outside of strings only", () => {
    expect(deep("[[[]]]", 2)).toBe(true);
    expect(deep("[[[]]]", 3)).toBe(false);
    expect(deep('{"a":[{"b":[]}]}', 3)).toBe(true);
    expect(deep('{"a":[{"b":[]}]}', 4)).toBe(false);
    expect(deep('["[[[[[","\\"[[[[","\\\\"]', 1)).toBe(false);
    expect(deep('["\\\\",[[[]]]]', 3)).toBe(true);
    expect(deep("[][][][][][][][]", 1)).toBe(false);
  });

  test("comes with the number of brackets, counted up to a limit", () => {
    const count = (text: string) => structureOf(new TextEncoder().encode(text), 10, 3).count;
    expect([count("[]"), count('[{},"[[",[]]'), count("[[],[],[],[],[]]")]).toEqual([1, 3, 4]);
  });
});

test("nothing of all this was a defect", () => {
  expect(fixture.complaints).toEqual([]);
});
