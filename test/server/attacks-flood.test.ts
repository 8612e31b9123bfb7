// Clients that are many, slow, silent or huge: they are refused or cut, memory stays bounded, and
// everybody else is served meanwhile. The gateway is a process of its own: its memory is measured.
// TIDEGATE_COMMAND runs another build, for example on Deno.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { startTarget, type Target } from "../harness/target.ts";
import { until } from "../harness/until.ts";
import { head, open, raw, received } from "./attacks-raw.ts";
import { request } from "./fixture.ts";

setDefaultTimeout(60_000);

const MB = 1_000_000;
const BODY_BYTES = 24 * MB;
const HELD_BYTES = 60 * MB;
/** An honest request takes some milliseconds; the machine may be loaded. */
const SERVED_MS = 5000;
/** Linux tells a process's memory; elsewhere only the answers are looked at. */
const canMeasure = process.platform === "linux";
/** Deno takes more for a connection, and closes one of its own accord only when all was sent. */
const onDeno = process.env.TIDEGATE_COMMAND?.includes("deno") === true;

let target: Target;
let db: string;
let isOver = false;

beforeAll(async () => {
  target = await startTarget("tidegate", {
    env: {
      TIDEGATE_LIMITS_BODY_BYTES: String(BODY_BYTES),
      TIDEGATE_LIMITS_HELD_BODY_BYTES: String(HELD_BYTES),
      TIDEGATE_LIMITS_SLOW_BODY_SECONDS: "3",
      TIDEGATE_LIMITS_HELD_ANSWER_BYTES: String(HELD_BYTES),
    },
  });
  db = await target.createDatabase("db");
});
afterAll(async () => {
  isOver = true;
  await target?.dispose();
});

/** Megabytes of memory that the gateway has now. */
function memory(): number {
  if (!canMeasure || isOver) return 0;
  const status = readFileSync(`/proc/${target.pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1000;
}

/** Watches the memory; gives a function that ends this and gives the most that there was. */
function peakOfMemory(): () => number {
  let highest = 0;
  const timer = setInterval(() => {
    highest = Math.max(highest, memory());
  }, 20);
  return () => {
    clearInterval(timer);
    return highest;
  };
}

/** Bytes of bodies, or of answers, that the gateway holds. */
async function held(what: "request_body" | "answer" = "request_body"): Promise<number> {
  const { text } = await request("GET", `${target.metricsUrl}/metrics`);
  return Number(new RegExp(`^tidegate_${what}_bytes (\\d+)$`, "m").exec(text)?.[1]);
}

/** The slowest of some saves and reads by an honest client, in milliseconds. */
async function slowestOfOthers(): Promise<number> {
  let slowest = 0;
  for (let i = 0; i < 30; i++) {
    const begun = performance.now();
    const id = crypto.randomUUID();
    expect((await request("PUT", `${db}/${id}`, { n: i })).status).toBe(201);
    expect((await request("GET", `${db}/${id}`)).json).toMatchObject({ n: i });
    slowest = Math.max(slowest, performance.now() - begun);
  }
  return slowest;
}

/** `count` connections that have sent `bytes` and then say nothing. */
async function silent(count: number, bytes: string): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let at = 0; at < count; at += 100) {
    const some = await Promise.all(Array.from({ length: 100 }, () => open(target.port)));
    for (const socket of some) socket.write(bytes, "latin1");
    sockets.push(...some);
  }
  return sockets;
}

describe("thousands of requests that stay half", () => {
  const half = "PUT /db/half HTTP/1.1\r\nHost: x\r\n";
  const socket = [
    ...["GET /db/_changes?feed=websocket HTTP/1.1", "Host: x", "Connection: Upgrade"],
    ...["Upgrade: websocket", "Sec-WebSocket-Version: 13"],
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
  ];
  const kinds: [name: string, bytes: string][] = [
    ["of their head", `${half}X-A: `],
    ["of a body of a known length", `${half}Content-Length: 20000000\r\n\r\n{`],
    ["of a small body", `${half}Content-Length: 20\r\n\r\n{`],
    ["of a body in chunks", `${half}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`],
    ["of nothing at all", ""],
    ["of a socket that never says what it wants", `${socket.join("\r\n")}\r\n\r\n`],
  ];
  for (const [name, bytes] of kinds) {
    test(`${name} disturb nobody`, async () => {
      const before = memory();
      const sockets = await silent(2000, bytes);
      expect(await slowestOfOthers()).toBeLessThan(SERVED_MS);
      expect(memory() - before).toBeLessThan(onDeno ? 600 : 150);
      for (const socket of sockets) socket.destroy();
      expect((await request("GET", `${db}/half`)).status).toBe(404);
    });
  }
});

describe("logins that are wrong, by the hundred", () => {
  test("let others be served, and wait for a place only up to a limit", async () => {
    const before = memory();
    const peak = peakOfMemory();
    const tries = Array.from({ length: 600 }, async (_, i) => {
      const body = { name: `nobody-${i}`, password: "x".repeat(1000) };
      return (await request("POST", `${db}/_session`, body)).status;
    });
    const slowest = await slowestOfOthers();
    const statuses = new Set(await Promise.all(tries));
    expect(slowest).toBeLessThan(SERVED_MS);
    for (const status of statuses) expect([401, 429, 503]).toContain(status);
    expect(statuses.has(429)).toBe(true);
    expect(peak() - before).toBeLessThan(300);
  });
});

describe("a body that costs more than its bytes", () => {
  test("in memory: millions of empty objects are refused", async () => {
    const before = memory();
    for (const one of ["[],", "{},", "[[],{}],"]) {
      const docs = one.repeat(Math.floor((BODY_BYTES - 1000) / one.length)).slice(0, -1);
      const answer = await request("POST", `${db}/_bulk_docs`, `{"docs":[${docs}]}`);
      expect([one, answer.status]).toEqual([one, 413]);
      expect(answer.json).toMatchObject({ reason: expect.stringContaining("objects and arrays") });
    }
    expect(memory() - before).toBeLessThan(300);
  });

  test("in depth: brackets in the query and in a WebSocket's first message", async () => {
    const deep = "[".repeat(5000);
    const whole = deep + "]".repeat(5000);
    for (const text of [deep, whole]) {
      for (const path of [
        `_all_docs?keys=${text}`,
        `_all_docs?key=${text}`,
        `x?open_revs=${text}`,
      ]) {
        const { status, body } = await raw(target.port, head(`GET /db/${path}`));
        expect([path.slice(0, 15), status]).toEqual([path.slice(0, 15), 400]);
        expect(body).toContain("500 deep");
      }
      const many = text.replaceAll("[", "[".repeat(50)).replaceAll("]", "]".repeat(50));
      const inText = JSON.stringify({ filter: "_doc_ids", doc_ids: many });
      const posted = await request("POST", `${db}/_changes`, inText);
      expect([posted.status, posted.text.includes("500 deep")]).toEqual([400, true]);
      for (const message of [`{"since":${many}}`, `{"doc_ids":${many}}`, inText]) {
        const socket = new WebSocket(`${db.replace("http", "ws")}/_changes?feed=websocket`);
        socket.onopen = () => socket.send(message);
        const said = await new Promise<string>((resolve) => {
          socket.onmessage = ({ data }) => resolve(String(data));
          socket.onclose = ({ code }) => resolve(String(code));
        });
        expect(said).toContain("500 deep");
        socket.close();
      }
    }
  });
});

describe("a body that comes slowly", () => {
  /** Sends a body of `total` bytes in pieces of `size` every 50 ms. */
  async function trickle(headers: string, total: number, size: number) {
    const socket = await open(target.port);
    socket.write(`PUT /db/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n\r\n`);
    const isChunked = headers.startsWith("Transfer");
    let sent = 0;
    const timer = setInterval(() => {
      const length = Math.min(size, total - sent);
      if (length === 0) return clearInterval(timer);
      let piece = " ".repeat(length);
      if (sent === 0) piece = `{${piece.slice(1)}`;
      if (sent + length === total) piece = `${piece.slice(0, -1)}}`;
      sent += length;
      socket.write(isChunked ? `${length.toString(16)}\r\n${piece}\r\n` : piece);
      if (isChunked && sent === total) socket.write("0\r\n\r\n");
    }, 50);
    const answer = await received(socket, 8000);
    clearInterval(timer);
    return answer;
  }

  test("is given up, however its end was announced, and the connection closed", async () => {
    const forms = ["Content-Length: 1000", "Content-Length: 1000000", "Transfer-Encoding: chunked"];
    const answers = await Promise.all(forms.map((form) => trickle(form, 1_000_000, 1)));
    for (const { status, body, closed } of answers) {
      expect([status, closed]).toEqual([408, !onDeno]);
      expect(body).toContain('"error":"request_timeout"');
      expect(body).toContain("too slowly");
    }
  });

  test("is taken when it moves, although it takes longer", async () => {
    const forms = ["Content-Length: 100000", "Transfer-Encoding: chunked"];
    const begun = performance.now();
    const [one, two] = await Promise.all([
      trickle(forms[0] as string, 100_000, 1200),
      // The second of the two conflicts with the first, which says that it was read whole.
      trickle(forms[1] as string, 100_000, 1150),
    ]);
    expect(performance.now() - begun).toBeGreaterThan(3500);
    expect([one?.status, two?.status].sort()).toEqual([201, 409]);
  });
});

describe("bodies that are large", () => {
  const announce = (length: number) =>
    `PUT /db/large HTTP/1.1\r\nHost: x\r\n${
      length > 0 ? `Content-Length: ${length}` : "Transfer-Encoding: chunked"
    }\r\n\r\n`;

  /** Sends all but the end of a body of 20 MB. Gives the answer, if there is one in time. */
  async function nearly(isChunked: boolean, limitMs: number) {
    const socket = await open(target.port);
    socket.write(announce(isChunked ? -1 : 20 * MB + 1));
    const piece = " ".repeat(MB);
    for (let i = 0; i < 20 && !socket.destroyed; i++) {
      const text = isChunked ? `${MB.toString(16)}\r\n${piece}\r\n` : piece;
      if (socket.write(text)) continue;
      await until("the socket to take more", () => socket.destroyed || !socket.writableNeedDrain);
    }
    return received(socket, limitMs);
  }

  for (const isChunked of [false, true]) {
    test(`${isChunked ? "in chunks " : ""}find room only up to the limit of all`, async () => {
      const before = memory();
      const peak = peakOfMemory();
      const attack = Promise.all(Array.from({ length: 40 }, () => nearly(isChunked, 1500)));
      const slowest = await slowestOfOthers();
      const answers = await attack;
      const highest = peak();
      expect(slowest).toBeLessThan(SERVED_MS);
      const refused = answers.filter(({ status }) => status === 503);
      expect(refused.length).toBeGreaterThan(20);
      expect(refused[0]?.body).toContain("limits.heldBodyBytes");
      // 800 MB were sent.
      expect(highest - before).toBeLessThan(400);
      await until("an honest large save", async () => {
        const text = "x".repeat(15 * MB);
        return (await request("PUT", `${db}/${crypto.randomUUID()}`, { text })).status === 201;
      });
    });
  }

  test("that do not move make room for one that does", async () => {
    const text = "x".repeat(15 * MB);
    const save = async () => {
      return (await request("PUT", `${db}/${crypto.randomUUID()}`, { text })).status;
    };
    const stalled = await silent(100, announce(20 * MB));
    for (const socket of stalled.slice(0, 5)) socket.write(" ".repeat(11 * MB));
    await until("them to be held", async () => (await held()) === 55 * MB);
    // For a moment they count as moving.
    await until("room", async () => (await save()) === 201, 10_000, 50);
    expect([11 * MB, 22 * MB, 33 * MB, 44 * MB]).toContain(await held());
    for (const socket of stalled) socket.destroy();
  });

  test("of a login, which anybody may send, are refused", async () => {
    const body = JSON.stringify({ name: "x", password: "x".repeat(100_000) });
    const { status } = await request("POST", `${target.url}/nowhere/_session`, body);
    expect(status).toBe(413);
  });
});

describe("answers that are large and not taken", () => {
  const text = "ä".repeat(5 * MB);
  const data = Buffer.alloc(12 * MB, "data").toString("base64");

  beforeAll(async () => {
    expect((await request("PUT", `${db}/long`, { text })).status).toBe(201);
    const document = { _attachments: { a: { data, content_type: "text/plain" } } };
    expect((await request("PUT", `${db}/heavy`, document)).status).toBe(201);
  });

  test("are whole for who takes them", async () => {
    expect((await request("GET", `${db}/long`)).json).toMatchObject({ text });
    const whole = await request("GET", `${db}/heavy?attachments=true`);
    expect(whole.text).toContain(data);
    const answer = await fetch(`${db}/heavy/a`);
    expect(Buffer.from(await answer.arrayBuffer()).toString("base64") === data).toBe(true);
    const bulk = await request("POST", `${db}/_bulk_get?attachments=true`, {
      docs: [{ id: "long" }, { id: "heavy" }, { id: "long" }],
    });
    expect(bulk.text.length).toBeGreaterThan(26 * MB);
    expect(bulk.json).toMatchObject({ results: [{ id: "long" }, { id: "heavy" }, { id: "long" }] });
    await until("all of them to be given back", async () => (await held("answer")) === 0);
  });

  const ask = (path: string) => `GET /db/${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
  const body = JSON.stringify({ docs: Array(50).fill({ id: "heavy" }) });
  const bulk = `POST /db/_bulk_get?attachments=true HTTP/1.1\r\nHost: x\r\n`;
  const kinds: [name: string, bytes: string][] = [
    ["documents with attachments", ask("heavy?attachments=true")],
    ["attachments", ask("heavy/a")],
    ["lists", ask("_all_docs?include_docs=true&attachments=true&startkey=%22heavy%22")],
    ["bulk reads", `${bulk}Content-Length: ${body.length}\r\n\r\n${body}`],
    ["changes", ask("_changes?include_docs=true&attachments=true")],
  ];
  for (const [name, bytes] of kinds) {
    test(`find room only up to the limit of all: ${name}`, async () => {
      const before = memory();
      const peak = peakOfMemory();
      const sockets = await Promise.all(Array.from({ length: 100 }, () => open(target.port)));
      for (const socket of sockets) {
        socket.pause();
        socket.write(bytes);
      }
      await until("the room to be taken", async () => (await held("answer")) > HELD_BYTES / 2);
      expect(await slowestOfOthers()).toBeLessThan(SERVED_MS);
      expect(await held("answer")).toBeLessThanOrEqual(HELD_BYTES);
      // Who takes what it asks for gets it, at the latest when the others count as slow.
      await until(
        "an honest large read",
        async () => {
          const answer = await request("GET", `${db}/heavy?attachments=true`);
          return answer.status === 200 && answer.text.includes(data);
        },
        20_000,
        100,
      );
      // 100 answers of 12 to 16 MB, each of them twice in memory while it is made.
      expect(peak() - before).toBeLessThan(onDeno ? 2500 : 1500);
      for (const socket of sockets) socket.destroy();
      await until("all of them to be given back", async () => (await held("answer")) === 0);
    });
  }
});

describe("attachments that are packed", () => {
  test("are unpacked a few at a time, and held up to the limit of all", async () => {
    // 250 MB in 250 KB.
    const bomb = gzipSync(new Uint8Array(250 * MB)).toString("base64");
    const packed = { data: bomb, encoding: "gzip", content_type: "text/plain" };
    const asked = await request("PUT", `${db}/bomb`, { _attachments: { a: packed } });
    expect(asked.status).toBe(201);
    const before = memory();
    const peak = peakOfMemory();
    const head_ = "GET /db/bomb/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const sockets = await Promise.all(Array.from({ length: 60 }, () => open(target.port)));
    for (const socket of sockets) {
      socket.pause();
      socket.write(head_);
    }
    // One is larger than the limit, and so held alone.
    await until("one to be held", async () => (await held("answer")) === 250 * MB);
    expect(await slowestOfOthers()).toBeLessThan(SERVED_MS);
    expect(await held("answer")).toBe(250 * MB);
    for (const socket of sockets) socket.destroy();
    await until("all of them to be given back", async () => (await held("answer")) === 0);
    expect(peak() - before).toBeLessThan(2000);
  });
});

describe("feeds", () => {
  const ids = Array.from({ length: 10_000 }, (_, i) => `document-${i}-${"x".repeat(200)}`);
  const many = { feed: "longpoll", filter: "_doc_ids", heartbeat: 10_000, since: "now" };

  test("of very many documents find room only up to a limit of all", async () => {
    const before = memory();
    const peak = peakOfMemory();
    const over = new AbortController();
    const asked = { ...many, doc_ids: ids };
    const refused: number[] = [];
    // Kept: an answer that is collected as garbage closes its feed.
    const kept: Response[] = [];
    const body = JSON.stringify(asked);
    for (let i = 0; i < 60; i++) {
      const answer = await fetch(`${db}/_changes`, { method: "POST", body, signal: over.signal });
      if (answer.status === 200) kept.push(answer);
      else refused.push(answer.status);
    }
    expect(kept.length).toBeGreaterThan(30);
    expect(refused.length).toBeGreaterThan(3);
    expect(new Set(refused)).toEqual(new Set([503]));
    expect(await slowestOfOthers()).toBeLessThan(SERVED_MS);
    expect(peak() - before).toBeLessThan(1000);
    over.abort();
    await until("room", async () => {
      const none = { ...asked, feed: "normal" };
      return (await request("POST", `${db}/_changes`, none)).status === 200;
    });
  });

  test("over sockets that say too much, or what is none, are closed", async () => {
    const send = async (...messages: (string | Uint8Array<ArrayBuffer>)[]): Promise<number> => {
      const socket = new WebSocket(`${db.replace("http", "ws")}/_changes?feed=websocket`);
      socket.onopen = () => {
        for (const message of messages) socket.send(message);
      };
      return new Promise((resolve) => {
        socket.onclose = ({ code }) => resolve(code);
      });
    };
    expect(await send("x".repeat(3 * MB))).toBeGreaterThan(1000);
    const flood = Array<string>(100).fill('{"heartbeat":60000}');
    expect([1006, 1008]).toContain(await send(...flood));
    expect(await send("no json")).toBe(1008);
    expect(await send(new Uint8Array(1000))).toBe(1008);
    expect(await send('{"since":"x!"}')).toBe(1008);
  });
});

test("nothing of all this was a defect", () => {
  expect(target.log()).not.toContain('"level":"error"');
  expect(target.log()).not.toContain('"level":"warn"');
});
