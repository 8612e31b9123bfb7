// Multipart bodies: taken apart and put together; and documents that travel in them, both ways.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import {
  boundaryOf,
  MAX_HEADER_BYTES,
  type Part,
  parseHeader,
  parseMultipart,
} from "../../src/server/multipart/reader.ts";
import { disposition, multipartPieces } from "../../src/server/multipart/writer.ts";
import { type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

const bytes = (text: string) => new TextEncoder().encode(text);
const textOf = (data: Uint8Array) => new TextDecoder().decode(data);
const joined = (pieces: readonly (string | Uint8Array)[]) =>
  new Uint8Array(Buffer.concat(pieces.map((one) => (typeof one === "string" ? bytes(one) : one))));

describe("the reader", () => {
  test("gives the parts with headers and bodies, whatever is around them", () => {
    const body = bytes(
      "a preamble\r\n--b\r\nContent-Type: text/plain\r\nX-Long: one\r\n  two\r\n\r\nfirst\r\n" +
        "--b  \r\n\r\nsecond, no headers\r\n--b\r\nA: b\r\n\r\n\r\n--b--\r\nan epilogue --b\r\n",
    );
    const parts = parseMultipart(body, "b");
    expect(parts.map((part) => textOf(part.body))).toEqual(["first", "second, no headers", ""]);
    expect(parts[0]?.headers.get("content-type")).toBe("text/plain");
    expect(parts[0]?.headers.get("x-long")).toBe("one two");
  });

  test("takes no longer line for a boundary, and no boundary inside a line", () => {
    const inside = "--bb\r\nx--b\r\n--b-\r\nend";
    const parts = parseMultipart(bytes(`--b\r\n\r\n${inside}\r\n--b--`), "b");
    expect(parts.map((part) => textOf(part.body))).toEqual([inside]);
  });

  test("reads back whatever the writer writes", () => {
    const part = fc.record({
      name: fc.string({ minLength: 1, maxLength: 20 }),
      body: fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom("\r\n", "--", "\r\n--", "--bound", "\r\n\r\n", "-").map(bytes),
      ),
    });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), (parts) => {
        const written = multipartPieces(
          "boundary",
          parts.map(({ name, body }) => ({
            headers: { "Content-Disposition": disposition("attachment", name) },
            body: [body],
          })),
        );
        const read = parseMultipart(joined(written), "boundary");
        expect(read.map((one) => [...one.body])).toEqual(parts.map(({ body }) => [...body]));
        const names = read.map((one) => {
          const { parameters } = parseHeader(one.headers.get("content-disposition") ?? "");
          return parameters.get("filename*") ?? parameters.get("filename");
        });
        expect(names).toEqual(parts.map(({ name }) => name.toWellFormed()));
      }),
      { numRuns: 300 },
    );
  });

  const malformed: [name: string, body: string, message: string][] = [
    ["empty", "", "its boundary is not in it"],
    ["without its boundary", "--other\r\n\r\nx\r\n--other--", "its boundary is not in it"],
    ["cut after a part", "--b\r\n\r\nx", "before its last boundary"],
    ["cut in the last boundary", "--b\r\n\r\nx\r\n--b", "before its last boundary"],
    ["with headers that do not end", "--b\r\nA: b\r\n--b--", "no empty line"],
    ["with a header that is none", "--b\r\nnothing\r\n\r\nx\r\n--b--", "that is none"],
  ];
  for (const [name, body, message] of malformed) {
    test(`refuses a body ${name}`, () => {
      expect(() => parseMultipart(bytes(body), "b")).toThrow(message);
    });
  }

  test("refuses headers that are too long, and parts that are too many", () => {
    const long = `--b\r\nA: ${"x".repeat(MAX_HEADER_BYTES)}\r\n\r\n\r\n--b--`;
    expect(() => parseMultipart(bytes(long), "b")).toThrow("headers have at most");
    const many = `${"--b\r\n\r\n\r\n".repeat(10_001)}--b--`;
    expect(() => parseMultipart(bytes(many), "b")).toThrow("at most 10000 parts");
  });

  test("finds the boundary in the content type, quoted or not", () => {
    expect(boundaryOf("multipart/related; boundary=abc")).toBe("abc");
    expect(boundaryOf('Multipart/Related;type="x;y"; Boundary="a b\\"c"')).toBe('a b"c');
    for (const bad of [
      "multipart/related",
      "multipart/x; boundary=",
      `x; boundary=${"x".repeat(71)}`,
    ]) {
      expect(() => boundaryOf(bad)).toThrow("boundary");
    }
  });
});

let fixture: Fixture;
let db: string;

beforeAll(async () => {
  fixture = await startFixture({ limits: { bodyBytes: 300_000 } });
  await request("PUT", `${fixture.admin}/db`, { guest: true });
  db = `${fixture.public}/db`;
});
afterAll(() => fixture?.close());

const md5 = (data: Uint8Array) => `md5-${createHash("md5").update(data).digest("base64")}`;

/** Sends a document with the parts behind it. */
function putRelated(id: string, document: object, parts: readonly string[], query = "") {
  const body = [
    `--XYZ\r\nContent-Type: application/json\r\n\r\n${JSON.stringify(document)}`,
    ...parts,
  ];
  const headers = { "content-type": 'multipart/related; boundary="XYZ"' };
  const text = `${body.join("\r\n--XYZ\r\n")}\r\n--XYZ--`;
  return request("PUT", `${db}/${id}${query}`, text, headers);
}

async function getMultipart(url: string, accept: string) {
  const answer = await fetch(url, { headers: { accept } });
  const type = answer.headers.get("content-type") ?? "";
  const body = new Uint8Array(await answer.arrayBuffer());
  return { answer, type, body, parts: parseMultipart(body, boundaryOf(type)) };
}

const isJson = (part: Part) =>
  parseHeader(part.headers.get("content-type") ?? "").value === "application/json";
const jsonOf = (part: Part | undefined) => JSON.parse(textOf(part?.body ?? new Uint8Array()));
const followsAt = (type: string, length: number) => ({ follows: true, content_type: type, length });

describe("a document as multipart/related", () => {
  test("is saved with the attachments behind it, by their names", async () => {
    const saved = await putRelated(
      "named",
      { n: 1, _attachments: { "a.txt": followsAt("text/plain", 3), b: followsAt("x/y", 2) } },
      [
        'Content-Disposition: attachment; filename="b"\r\n\r\nBB',
        'Content-Disposition: attachment; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nAAA',
      ],
    );
    expect(saved.status).toBe(201);
    expect((await request("GET", `${db}/named/a.txt`)).text).toBe("AAA");
    expect((await request("GET", `${db}/named/b`)).text).toBe("BB");
  });

  test("is saved with the attachments in the document's order when they have no names", async () => {
    const attachments = { second: followsAt("x/y", 1), first: followsAt("x/y", 2) };
    const saved = await putRelated("ordered", { _attachments: attachments }, ["\r\n1", "\r\n22"]);
    expect(saved.status).toBe(201);
    expect((await request("GET", `${db}/ordered/second`)).text).toBe("1");
    expect((await request("GET", `${db}/ordered/first`)).text).toBe("22");
  });

  test("is saved with its history, as replicators send it", async () => {
    const rev = "3-0000000000000000000000000000000c";
    const ids = ["c", "b", "a"].map((one) => one.padStart(32, "0"));
    const document = {
      _id: "old",
      _rev: rev,
      _revisions: { start: 3, ids },
      _attachments: { a: { ...followsAt("x/y", 4), revpos: 2, digest: md5(bytes("data")) } },
    };
    const saved = await putRelated("old", document, ["\r\ndata"], "?new_edits=false");
    expect(saved.json).toMatchObject({ ok: true, rev });
    const read = await request("GET", `${db}/old?revs=true`);
    expect(read.json).toMatchObject({
      _revisions: { start: 3, ids },
      _attachments: { a: { stub: true, revpos: 2, length: 4 } },
    });
  });

  const wrong: [name: string, attachments: object, parts: string[], status: number][] = [
    ["one that follows is missing", { a: followsAt("x/y", 1) }, [], 400],
    ["more follow than it says", { a: followsAt("x/y", 1) }, ["\r\n1", "\r\n2"], 400],
    ["the length is another", { a: followsAt("x/y", 5) }, ["\r\n1"], 400],
    [
      "the digest is another",
      { a: { ...followsAt("x/y", 1), digest: md5(bytes("2")) } },
      ["\r\n1"],
      400,
    ],
  ];
  for (const [name, _attachments, parts, status] of wrong) {
    test(`is refused when ${name}`, async () => {
      const refused = await putRelated("wrong", { _attachments }, parts);
      expect(refused.status).toBe(status);
      expect((await request("GET", `${db}/wrong`)).status).toBe(404);
    });
  }

  test("is refused when its body is broken, or too large", async () => {
    const headers = { "content-type": "multipart/related; boundary=q" };
    expect((await request("PUT", `${db}/x`, "nothing", headers)).status).toBe(400);
    expect((await request("PUT", `${db}/x`, "--q\r\n\r\n{\r\n--q--", headers)).status).toBe(400);
    const none = { "content-type": "multipart/related" };
    expect((await request("PUT", `${db}/x`, "--q\r\n\r\n{}\r\n--q--", none)).status).toBe(400);
    expect((await putRelated("x", { x: "x".repeat(300_000) }, [])).status).toBe(413);
  });

  test("is read with its attachments behind it, and can be saved again as it came", async () => {
    const url = `${db}/named?attachments=true&revs=true`;
    const { answer, type, body, parts } = await getMultipart(url, "multipart/related");
    expect(type).toStartWith("multipart/related; boundary=");
    expect(answer.headers.get("content-length")).toBe(String(body.length));
    expect(answer.headers.get("etag")).toMatch(/^"1-/);
    const document = jsonOf(parts[0]);
    expect(document._attachments["a.txt"]).toMatchObject({ follows: true, length: 3 });
    expect(document._attachments["a.txt"].data).toBeUndefined();
    expect(parts.slice(1).map((part) => textOf(part.body))).toEqual(["AAA", "BB"]);
    expect(parts[1]?.headers.get("content-disposition")).toBe('attachment; filename="a.txt"');
    expect(parts[1]?.headers.get("content-type")).toBe("text/plain");
    await request("PUT", `${fixture.admin}/copy`, { guest: true });
    const copied = await request("PUT", `${fixture.public}/copy/named?new_edits=false`, body, {
      "content-type": type,
    });
    expect(copied.status).toBe(201);
    const both = await Promise.all(
      [db, `${fixture.public}/copy`].map((one) => request("GET", `${one}/named?attachments=true`)),
    );
    expect(both[1]?.json).toEqual(both[0]?.json);
  });

  test("leaves out attachments that the client has", async () => {
    const before = (await request("GET", `${db}/named`)).json as { _rev: string };
    await request("PUT", `${db}/named/new?rev=${before._rev}`, bytes("NEW"));
    const since = encodeURIComponent(JSON.stringify([before._rev]));
    const url = `${db}/named?attachments=true&atts_since=${since}`;
    const { parts } = await getMultipart(url, "multipart/related");
    expect(parts.slice(1).map((part) => textOf(part.body))).toEqual(["NEW"]);
    expect(jsonOf(parts[0])._attachments["a.txt"]).toMatchObject({ stub: true });
  });

  test("without attachments is plain JSON, even then", async () => {
    await request("PUT", `${db}/bare`, { n: 1 });
    const answer = await fetch(`${db}/bare?attachments=true`, {
      headers: { accept: "multipart/related" },
    });
    expect(answer.headers.get("content-type")).toBe("application/json");
    expect(await answer.json()).toMatchObject({ _id: "bare", n: 1 });
  });
});

describe("multipart/mixed", () => {
  test("carries open revisions, each a part, with attachments inside", async () => {
    const url = `${db}/old?open_revs=["3-0000000000000000000000000000000c","9-00000000000000000000000000000009"]`;
    const { type, parts } = await getMultipart(url, "multipart/mixed");
    expect(type).toStartWith("multipart/mixed; boundary=");
    expect(parts.length).toBe(2);
    const inner = parts[0]?.headers.get("content-type") ?? "";
    const [document, attachment] = parseMultipart(
      parts[0]?.body ?? new Uint8Array(),
      boundaryOf(inner),
    );
    expect(jsonOf(document)).toMatchObject({ _id: "old", _attachments: { a: { follows: true } } });
    expect(textOf(attachment?.body ?? new Uint8Array())).toBe("data");
    expect(parts[1]?.headers.get("content-type")).toBe('application/json; error="true"');
    expect(jsonOf(parts[1])).toEqual({ missing: "9-00000000000000000000000000000009" });
    const json = await request("GET", url, undefined, { accept: "*/*" });
    expect(json.json).toBeArray();
  });

  test("carries the answer of _bulk_get", async () => {
    const answer = await fetch(`${db}/_bulk_get?attachments=true`, {
      method: "POST",
      headers: { accept: "multipart/mixed" },
      body: JSON.stringify({ docs: [{ id: "bare" }, { id: "old" }, { id: "nobody" }] }),
    });
    const type = answer.headers.get("content-type") ?? "";
    const parts = parseMultipart(new Uint8Array(await answer.arrayBuffer()), boundaryOf(type));
    expect(parts.map(isJson)).toEqual([true, false, true]);
    expect(parts[0]?.headers.get("x-doc-id")).toBe("bare");
    expect(jsonOf(parts[0])).toMatchObject({ _id: "bare" });
    expect(jsonOf(parts[2])).toMatchObject({ id: "nobody", error: "not_found" });
  });
});

test("an attachment stored as gzip goes as it is to who takes gzip, and undone to others", async () => {
  const plain = bytes("compress me ".repeat(100));
  const zipped = new Uint8Array(gzipSync(plain));
  const entry = { encoding: "gzip", encoded_length: zipped.length };
  const attachment = { ...entry, data: Buffer.from(zipped).toString("base64") };
  const document = {
    _attachments: { a: { ...attachment, content_type: "text/plain", length: plain.length } },
  };
  expect((await request("PUT", `${db}/zipped`, document)).status).toBe(201);
  const undone = await fetch(`${db}/zipped/a`, { headers: { "accept-encoding": "identity" } });
  expect(undone.headers.get("content-encoding")).toBeNull();
  expect(new Uint8Array(await undone.arrayBuffer())).toEqual(plain);
  const range = { "accept-encoding": "identity", range: "bytes=0-7" };
  expect((await request("GET", `${db}/zipped/a`, undefined, range)).text).toBe("compress");
  const asIs = await fetch(`${db}/zipped/a`, {
    headers: { "accept-encoding": "gzip" },
    decompress: false,
  } as RequestInit);
  expect(asIs.headers.get("content-encoding")).toBe("gzip");
  expect(new Uint8Array(await asIs.arrayBuffer())).toEqual(zipped);
});

test("nothing of all this was a defect", () => {
  expect(fixture.complaints).toEqual([]);
});
