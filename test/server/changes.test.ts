// `_changes` over every transport on real sockets: what is printed, when it ends, and that nothing is
// left open when a client goes, whatever it was doing.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { until } from "../harness/until.ts";
import { type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

interface Row {
  readonly seq: string;
  readonly id: string;
  readonly changes: { rev: string }[];
  readonly deleted?: boolean;
  readonly doc?: { _id: string };
}
interface Changes {
  readonly results: Row[];
  readonly last_seq: string;
}

let fixture: Fixture;
let db: string;

beforeAll(async () => {
  fixture = await startFixture({ limits: { openFeeds: 20 } });
  await request("PUT", `${fixture.admin}/db`, { guest: true });
  db = `${fixture.public}/db`;
  const docs = Array.from({ length: 1000 }, (_, at) => ({
    _id: `d${String(at).padStart(4, "0")}`,
    channels: [at % 2 === 0 ? "even" : "odd"],
    text: "x".repeat(1000),
  }));
  await request("POST", `${db}/_bulk_docs`, { docs });
  await until("the rows", async () => (await changes()).results.length === 1000);
});
afterAll(() => fixture?.close());

async function changes(query = "", method = "GET", body?: object): Promise<Changes> {
  const answer = await request(method, `${db}/_changes?${query}`, body);
  if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.text}`);
  return answer.json as Changes;
}

let made = 0;
/** Saves a new document; gives back its id. */
async function save(fields: object = {}): Promise<string> {
  const id = `new${made++}`;
  expect((await request("PUT", `${db}/${id}`, fields)).status).toBe(201);
  return id;
}

const openFeeds = () => fixture.gateway.database("db")?.changes.openFeeds ?? -1;
const nothingOpen = () => until("the feeds to be closed", () => openFeeds() === 0);

/** A streamed answer, read as it comes. */
class Stream {
  text = "";
  begun = false;
  ended = false;
  readonly #abort = new AbortController();

  constructor(query: string, headers: Record<string, string> = {}) {
    this.#read(query, headers).finally(() => {
      this.ended = true;
    });
  }

  async #read(query: string, headers: Record<string, string>): Promise<void> {
    const { signal } = this.#abort;
    try {
      const answer = await fetch(`${db}/_changes?${query}`, { signal, headers });
      this.begun = true;
      for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        this.text += chunk;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  has(part: string): Promise<unknown> {
    return until(
      () => `"${part}" in ${this.text.slice(-500)}`,
      () => this.text.includes(part),
    );
  }

  end(): Promise<unknown> {
    return until("the end of the answer", () => this.ended);
  }

  leave(): void {
    this.#abort.abort();
  }
}

describe("feed=normal", () => {
  test("pages by last_seq give everything once", async () => {
    const seen: string[] = [];
    let since = "0";
    for (;;) {
      const page = await changes(`since=${since}&limit=137`);
      seen.push(...page.results.map((row) => row.id));
      since = page.last_seq;
      if (page.results.length < 137) break;
    }
    expect(new Set(seen).size).toBe(1000);
    expect(seen.length).toBe(1000);
  });

  test("pages by the last row's seq miss nothing and come to an end", async () => {
    const seen = new Set<string>();
    let since = "0";
    for (let page = 0; page < 50; page++) {
      const { results } = await changes(`since=${since}&limit=137`);
      const last = results.at(-1);
      if (!last) break;
      for (const row of results) seen.add(row.id);
      since = last.seq;
    }
    expect(seen.size).toBe(1000);
    expect((await changes(`since=${since}`)).results).toEqual([]);
  });

  test("by channels, by documents, by POST, with documents, newest first", async () => {
    expect((await changes("filter=_channels&channels=even")).results.length).toBe(500);
    expect((await changes("filter=_channels&channels=even,odd")).results.length).toBe(1000);
    const ids = encodeURIComponent('["d0001","d0003","nothing"]');
    const byIds = await changes(`filter=_doc_ids&doc_ids=${ids}`);
    expect(byIds.results.map((row) => row.id).sort()).toEqual(["d0001", "d0003"]);
    const body = { doc_ids: ["d0005"], include_docs: true };
    const posted = await changes("filter=_doc_ids", "POST", body);
    expect(posted.results).toMatchObject([{ id: "d0005", doc: { _id: "d0005" } }]);
    const newest = await changes("descending=true&limit=1");
    expect(newest.results.length).toBe(1);
  });

  test("since=now has nothing, and a wrong since is refused in words", async () => {
    const now = await changes("since=now");
    expect(now.results).toEqual([]);
    expect((await changes(`since=${now.last_seq}`)).results).toEqual([]);
    const wrong = await request("GET", `${db}/_changes?since=no!`);
    expect(wrong.status).toBe(400);
    expect(wrong.json).toMatchObject({ error: "bad_request" });
  });
});

test("what was saved is in the changes that are asked for next", async () => {
  for (let round = 0; round < 20; round++) {
    const { last_seq } = await changes("since=now");
    const id = await save();
    const { results } = await changes(`since=${last_seq}`);
    expect(results.map((row) => row.id)).toEqual([id]);
  }
});

describe("feed=longpoll", () => {
  test("answers at once when there is something, otherwise with the next change", async () => {
    const there = await changes("feed=longpoll&limit=5");
    expect(there.results.length).toBe(5);
    const { last_seq } = await changes("since=now");
    const waiting = changes(`feed=longpoll&since=${last_seq}`);
    await until("the feed to be open", () => openFeeds() === 1);
    const id = await save();
    const { results } = await waiting;
    expect(results.map((row) => row.id)).toEqual([id]);
    await nothingOpen();
  });

  test("ends empty when its time is over", async () => {
    const { results, last_seq } = await changes("feed=longpoll&since=now&timeout=50");
    expect(results).toEqual([]);
    expect((await changes(`since=${last_seq}`)).results).toEqual([]);
  });

  test("sends newlines for heartbeats, which are JSON all the same", async () => {
    const stream = new Stream("feed=longpoll&since=now&heartbeat=50");
    await stream.has("[\n\n\n\n");
    const id = await save();
    await stream.end();
    expect((JSON.parse(stream.text) as Changes).results.map((row) => row.id)).toEqual([id]);
  });
});

describe("feed=continuous", () => {
  test("sends what there is, then what comes, a row a line, and last_seq at its end", async () => {
    const stream = new Stream("feed=continuous&timeout=400&filter=_channels&channels=live");
    await until("the feed to be open", () => openFeeds() === 1);
    const first = await save({ channels: ["live"] });
    await stream.has(first);
    await save({ channels: ["other"] });
    const second = await save({ channels: ["live"] });
    await stream.end();
    const lines = stream.text.trim().split("\n");
    const rows = lines.map((line) => JSON.parse(line) as Row & { last_seq?: string });
    expect(rows.map((row) => row.id)).toEqual([first, second, undefined as never]);
    expect(rows.at(-1)?.last_seq).toBeString();
    await nothingOpen();
  });

  test("ends after limit rows", async () => {
    const stream = new Stream("feed=continuous&limit=3&heartbeat=10000");
    await stream.end();
    expect(stream.text.trim().split("\n").length).toBe(4);
  });

  test("is closed at once when the client goes: while it waits, and while it sends", async () => {
    const waiting = new Stream("feed=continuous&since=now&heartbeat=60000");
    await until("the feed to be open", () => openFeeds() === 1);
    waiting.leave();
    await nothingOpen();
    const sending = await rawRequest("/db/_changes?feed=continuous&include_docs=true");
    sending.pause();
    await until("the feed to be open", () => openFeeds() === 1);
    sending.destroy();
    await nothingOpen();
  });
});

describe("feed=eventsource", () => {
  test("names each event by its sequence, and goes on from Last-Event-ID", async () => {
    const stream = new Stream("feed=eventsource&limit=3");
    await stream.end();
    const [comment, ...events] = stream.text.trim().split("\n\n");
    expect(comment).toStartWith(":");
    expect(events.length).toBe(3);
    const last = /^data: (.*)\nid: (.*)$/.exec(events[2] ?? "");
    expect((JSON.parse(last?.[1] ?? "") as Row).seq).toBe(last?.[2] ?? "");
    const seen = events.map(
      (event) => (JSON.parse(event.split("\n")[0]?.slice(6) ?? "") as Row).id,
    );
    const again = new Stream("feed=eventsource&limit=3", { "last-event-id": last?.[2] ?? "" });
    await again.end();
    for (const id of seen) expect(again.text).not.toContain(`"${id}"`);
  });

  test("lives by heartbeats", async () => {
    const stream = new Stream("feed=eventsource&since=now&heartbeat=50");
    await stream.has("event: heartbeat\ndata: \n\nevent: heartbeat");
    stream.leave();
    await nothingOpen();
  });
});

/** A WebSocket and what it was sent. */
class Feed {
  readonly messages: unknown[] = [];
  readonly closed: Promise<CloseEvent>;
  readonly #socket: WebSocket;

  constructor(options: object | string | undefined, query = "") {
    this.#socket = new WebSocket(`${db.replace("http", "ws")}/_changes?feed=websocket${query}`);
    this.#socket.onmessage = ({ data }) => this.messages.push(data === "" ? "" : JSON.parse(data));
    this.#socket.onopen = () => {
      if (options === undefined) return;
      this.#socket.send(typeof options === "string" ? options : JSON.stringify(options));
    };
    this.closed = new Promise((resolve) => {
      this.#socket.onclose = resolve;
    });
  }

  get ids(): string[] {
    return this.messages.flatMap((message) =>
      Array.isArray(message) ? message.map((row: Row) => row.id) : [],
    );
  }

  caughtUp(): Promise<unknown> {
    return until("the empty array", () => this.messages.some((m) => Array.isArray(m) && !m[0]));
  }

  close(): void {
    this.#socket.close();
  }
}

describe("feed=websocket", () => {
  test("sends arrays of rows, one empty array, and then what comes", async () => {
    const feed = new Feed({ filter: "_channels", channels: ["even"], heartbeat: 50 });
    await feed.caughtUp();
    expect(new Set(feed.ids).size).toBe(500);
    const id = await save({ channels: ["even"] });
    await until("the new row", () => feed.ids.includes(id));
    await until("heartbeats", () => feed.messages.filter((m) => m === "").length > 1);
    const empty = feed.messages.filter((m) => Array.isArray(m) && m.length === 0);
    expect(empty.length).toBe(1);
    feed.close();
    await nothingOpen();
  });

  test("takes its options from the query, and from an empty first message", async () => {
    const feed = new Feed("", "&limit=2");
    expect((await feed.closed).code).toBe(1000);
    expect(feed.ids.length).toBe(2);
  });

  test("refuses wrong options in words, with 1008", async () => {
    for (const [options, reason] of [
      ["{", "the first message must be the options"],
      ["[]", "the first message must be the options"],
      [{ limit: -1 }, "limit: expected a whole number"],
      [{ since: "no!" }, "no!"],
    ] as const) {
      const feed = new Feed(options);
      expect((await feed.closed).code).toBe(1008);
      expect(feed.messages).toEqual([
        { error: "bad_request", reason: expect.stringContaining(reason) },
      ]);
    }
    await nothingOpen();
  });

  test("is no plain request, and no POST", async () => {
    expect((await request("GET", `${db}/_changes?feed=websocket`)).status).toBe(400);
    expect((await request("POST", `${db}/_changes?feed=websocket`, {})).status).toBe(400);
  });

  test("gives its place back when the client goes before it said anything", async () => {
    const silent = new Feed(undefined);
    await until("the socket to be open", async () => (await placesTaken()) === 1);
    silent.close();
    await until("its place", async () => (await placesTaken()) === 0);
  });
});

async function placesTaken(): Promise<number> {
  return ((await request("GET", `${fixture.admin}/_status`)).json as { openFeeds: number })
    .openFeeds;
}

/** A GET by hand: one whose reading can be paused. */
function rawRequest(path: string): Promise<Socket> {
  const socket = connect(fixture.server.public.port, "127.0.0.1");
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.once("data", () => resolve(socket));
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  });
}

test("a feed that waits has answered: its head is there before its first row", async () => {
  for (const feed of ["continuous", "eventsource", "longpoll"]) {
    const stream = new Stream(`feed=${feed}&since=now&heartbeat=60000`);
    await until(`the head of ${feed}`, () => stream.begun, 2000);
    stream.leave();
  }
  await nothingOpen();
});

describe("many feeds", () => {
  test("beyond the limit are refused with 503, and let in when others went", async () => {
    const query = "feed=continuous&since=now&heartbeat=60000";
    const streams = Array.from({ length: 20 }, () => new Stream(query));
    await until("20 feeds", () => openFeeds() === 20);
    const refused = await request("GET", `${db}/_changes?${query}`);
    expect(refused.status).toBe(503);
    expect(refused.json).toMatchObject({ error: "unavailable" });
    const feed = new Feed({});
    expect((await feed.closed).code).toBe(1013);
    for (const stream of streams) stream.leave();
    await nothingOpen();
    expect((await changes("limit=1")).results.length).toBe(1);
  });

  test("that stop and start a hundred times leave nothing behind", async () => {
    for (let round = 0; round < 10; round++) {
      const streams = Array.from({ length: 10 }, (_, at) => {
        const kind = ["continuous", "longpoll", "eventsource"][at % 3];
        return new Stream(`feed=${kind}&since=now&heartbeat=60000`);
      });
      if (round % 2 === 0) await until("10 feeds", () => openFeeds() === 10);
      for (const stream of streams) stream.leave();
      await nothingOpen();
    }
    await until("every place", async () => (await placesTaken()) === 0);
  });
});

test("a client that does not read costs no memory to speak of", async () => {
  // 30 MB of rows wait for each of these, 540 MB altogether, and none of them reads.
  const CLIENTS = 18;
  const docs = Array.from({ length: 300 }, (_, at) => ({
    _id: `big${at}`,
    channels: ["big"],
    text: "y".repeat(100_000),
  }));
  for (let at = 0; at < docs.length; at += 50) {
    await request("POST", `${db}/_bulk_docs`, { docs: docs.slice(at, at + 50) });
  }
  const path = "/db/_changes?feed=continuous&include_docs=true&filter=_channels&channels=big";
  await until(
    "all rows",
    async () =>
      (await changes(path.split("?")[1]?.replace("feed=continuous", "") ?? "")).results.length ===
      300,
  );
  Bun.gc(true);
  const before = process.memoryUsage().rss;
  const sockets = await Promise.all(Array.from({ length: CLIENTS }, () => rawRequest(path)));
  for (const socket of sockets) socket.pause();
  await until("the feeds to be open", () => openFeeds() === CLIENTS);
  let last = 0;
  // Still when nothing was read from the index for a while.
  for (let same = 0; same < 10; ) {
    await Bun.sleep(50);
    const now = process.memoryUsage().rss;
    same = Math.abs(now - last) < 2_000_000 ? same + 1 : 0;
    last = now;
  }
  expect((last - before) / 1024 ** 2).toBeLessThan(250);
  for (const socket of sockets) socket.destroy();
  await nothingOpen();
});

test("stopping tells every feed, and refuses new ones", async () => {
  const other = await startFixture();
  await request("PUT", `${other.admin}/db`, { guest: true });
  const base = `${other.public}/db/_changes`;
  const longpoll = request("GET", `${base}?feed=longpoll&since=now&heartbeat=60000`);
  const continuous = request("GET", `${base}?feed=continuous&since=now&heartbeat=60000`);
  const socket = new WebSocket(`${base.replace("http", "ws")}?feed=websocket`);
  socket.onopen = () => socket.send("{}");
  const closed = new Promise<CloseEvent>((resolve) => {
    socket.onclose = resolve;
  });
  await until("the feeds", () => other.gateway.database("db")?.changes.openFeeds === 3);
  const begun = performance.now();
  await other.close();
  expect(performance.now() - begun).toBeLessThan(5000);
  expect((await longpoll).json).toMatchObject({ results: [], last_seq: expect.any(String) });
  expect((await continuous).text).toContain('{"last_seq":"');
  expect((await closed).code).toBe(1001);
});

test("nothing of all this was a defect", () => {
  expect(fixture.complaints).toEqual([]);
});
