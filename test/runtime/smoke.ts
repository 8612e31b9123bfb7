// The same end-to-end checks against a gateway that was started in whichever way: Bun on the source,
// Deno on the source, or the executable. What only these can show: that SQLite, QuickJS, the native
// client, streams, sockets and signals work there.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync } from "node:fs";
import { Browser, locationOf } from "../access/browser.ts";
import { signingKey, TestProvider } from "../access/provider.ts";
import { Clients, contentsOf } from "../harness/clients.ts";
import { startTarget, type Target } from "../harness/target.ts";
import { until } from "../harness/until.ts";

setDefaultTimeout(60_000);

const SYNC_FUNCTION = `function (doc, oldDoc) {
  if (doc.loop) for (;;) {}
  if (doc.secret) throw({ forbidden: "no secrets" });
  channel(doc.kind || "plain", "all");
}`;

interface Row {
  readonly seq: string;
  readonly id: string;
}

/** Starts a gateway by `command` and checks everything. */
export function smoke(name: string, command: readonly string[]): void {
  describe(`a gateway on ${name}`, () => {
    let target: Target;
    let db: string;

    beforeAll(async () => {
      process.env.TIDEGATE_COMMAND = command.join(" ");
      target = await startTarget("tidegate", { database: "smoke" });
      db = await target.createDatabase("smoke", { syncFunction: SYNC_FUNCTION });
    });
    afterAll(async () => {
      delete process.env.TIDEGATE_COMMAND;
      await target?.dispose();
    });

    const call = async (path: string, init?: RequestInit) => {
      const answer = await fetch(`${db}${path}`, init);
      return { status: answer.status, body: JSON.parse((await answer.text()) || "null") };
    };
    const put = (id: string, document: object) =>
      call(`/${encodeURIComponent(id)}`, { method: "PUT", body: JSON.stringify(document) });

    test("runs in a directory that had nothing in it", () => {
      expect(readdirSync(target.directory)).toEqual(["data"]);
    });

    test("tells its version, and loads Couchbase's native client for it", async () => {
      const child = Bun.spawn([...command, "version"], { cwd: target.directory, stdout: "pipe" });
      const text = await new Response(child.stdout).text();
      expect(await child.exited).toBe(0);
      expect(text).toMatch(/^tidegate \d+\.\d+\.\d+/);
      expect(text).toMatch(/couchbase \d+\.\d+\.\d+ \(native client \d+\.\d+\.\d+/);
    });

    test("saves, reads, and refuses by the sync function", async () => {
      const saved = await put("a/b ü", { kind: "note", text: "grüße" });
      expect(saved).toMatchObject({ status: 201, body: { ok: true, id: "a/b ü" } });
      const read = await call(`/${encodeURIComponent("a/b ü")}`);
      expect(read.body).toMatchObject({ _rev: saved.body.rev, text: "grüße" });
      expect(await put("a/b ü", {})).toMatchObject({ status: 409, body: { error: "conflict" } });
      const refused = await put("s", { secret: true });
      expect(refused).toEqual({
        status: 403,
        body: { error: "forbidden", reason: "no secrets" },
      });
      const looped = await put("l", { loop: true });
      expect(looped.status).toBe(500);
      expect(looped.body.error).toBe("sync_function_failed");
    });

    test("logs users in, by password and by session, and shows them their channels alone", async () => {
      const admin = `${target.adminUrl}/smoke`;
      const user = { password: "ann-secret", admin_channels: ["note"] };
      const made = await fetch(`${admin}/_user/ann`, { method: "PUT", body: JSON.stringify(user) });
      expect(made.status).toBe(201);
      await put("n", { kind: "note" });
      await put("p", { kind: "private" });
      const statuses = async (headers: Record<string, string>) => {
        const answers = ["n", "p"].map((id) => fetch(`${db}/${id}`, { headers }));
        return (await Promise.all(answers)).map(({ status }) => status);
      };
      const basic = Buffer.from("ann:ann-secret").toString("base64");
      // Everything is in the channel `all` too, which ann does not see.
      expect(await statuses({ authorization: `Basic ${basic}` })).toEqual([200, 403]);
      const login = await fetch(`${db}/_session`, {
        method: "POST",
        body: JSON.stringify({ name: "ann", password: "ann-secret" }),
      });
      const cookie = login.headers.get("set-cookie")?.split(";")[0] ?? "";
      expect(await statuses({ cookie })).toEqual([200, 403]);
      expect(await statuses({ cookie: `${cookie}x` })).toEqual([401, 401]);
    });

    test("logs users in by signed tokens of every kind, and at an OpenID provider", async () => {
      const provider = await TestProvider.start();
      try {
        const algorithms = ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"];
        const keys = await Promise.all(algorithms.map((alg) => signingKey(alg, alg)));
        const { issuer, clientId, clientSecret } = provider;
        const common = { register: true, channelsClaim: "channels" };
        const corp = { issuer, clientId, clientSecret, ...common };
        const redirectUri = `${target.url}/tokens/_oidc_callback`;
        const publicKeys = keys.map(({ publicJwk }) => publicJwk);
        const settings = {
          tokens: [{ name: "t", issuer, audience: "smoke", keys: publicKeys, ...common }],
          oidc: { providers: { corp: { ...corp, redirectUri } } },
        };
        const admin = `${target.adminUrl}/tokens`;
        const made = await fetch(admin, { method: "PUT", body: JSON.stringify(settings) });
        expect([made.status, await made.text()]).toEqual([201, expect.any(String)]);
        await fetch(`${admin}/a`, { method: "PUT", body: JSON.stringify({ channels: ["a"] }) });
        const read = async (bearer: string) => {
          const headers = { authorization: `Bearer ${bearer}` };
          return (await fetch(`${target.url}/tokens/a`, { headers })).status;
        };
        for (const key of keys) {
          const claims = { aud: "smoke", sub: key.alg };
          const seeing = await provider.sign({ ...claims, channels: ["a"] }, key);
          expect([key.alg, await read(seeing)]).toEqual([key.alg, 200]);
          expect(await read(`${seeing.slice(0, -8)}AAAAAAAA`)).toBe(401);
        }
        const browser = new Browser();
        provider.user = { sub: "ann", channels: ["a"] };
        const sent = await browser.open(`${target.url}/tokens/_oidc`);
        const back = await browser.open(locationOf(sent));
        const page = await browser.open(locationOf(back));
        expect([page.status, page.text]).toEqual([200, expect.stringContaining("corp_ann")]);
        expect([...browser.cookies.keys()]).toEqual(["TidegateSession"]);
        expect((await browser.open(`${target.url}/tokens/a`)).status).toBe(200);
        expect(await read(JSON.parse(page.text).id_token)).toBe(200);
      } finally {
        await provider.stop();
      }
    });

    test("runs a slow sync function in a thread: others are answered meanwhile", async () => {
      let ended = false;
      const looped = put("slow", { loop: true }).finally(() => {
        ended = true;
      });
      for (let asked = 0; asked < 5; asked++) {
        expect((await fetch(`${target.url}/_ping`)).status).toBe(200);
        expect(ended).toBe(false);
      }
      expect((await looped).body.error).toBe("sync_function_failed");
    });

    test("keeps attachments, and sends ranges of them", async () => {
      const data = new Uint8Array(300_000).map((_, at) => at % 251);
      const saved = await fetch(`${db}/with/data.bin`, {
        method: "PUT",
        body: data,
        headers: { "content-type": "application/octet-stream" },
      });
      expect(saved.status).toBe(201);
      const whole = await fetch(`${db}/with/data.bin`);
      expect(new Uint8Array(await whole.arrayBuffer())).toEqual(data);
      const part = await fetch(`${db}/with/data.bin`, { headers: { range: "bytes=1000-1999" } });
      expect(part.status).toBe(206);
      expect(new Uint8Array(await part.arrayBuffer())).toEqual(data.subarray(1000, 2000));
    });

    test("takes gzip", async () => {
      const body = Bun.gzipSync(JSON.stringify({ docs: [{ _id: "zipped", kind: "zip" }] }));
      const headers = { "content-encoding": "gzip", "content-type": "application/json" };
      const answer = await call("/_bulk_docs", { method: "POST", body, headers });
      expect(answer).toMatchObject({ status: 201, body: [{ ok: true, id: "zipped" }] });
    });

    test("feeds by every transport carry the rows of a channel, old and new", async () => {
      await put("f1", { kind: "feed" });
      const query = "filter=_channels&channels=feed";
      // A row is there at the next tick, a moment after the save is answered.
      const rows = await until("the first row", async () => {
        const found = await rowsOf(db, query);
        return found.results.length > 0 && found;
      });
      expect(rows.results.map((row) => row.id)).toEqual(["f1"]);
      const since = `${query}&since=${rows.last_seq}`;
      const longpoll = call(`/_changes?feed=longpoll&${since}&heartbeat=200`);
      const lines = linesOf(`${db}/_changes?feed=continuous&${since}&heartbeat=200`);
      const events = linesOf(`${db}/_changes?feed=eventsource&${since}`);
      const socket = socketRows(`${db.replace("http", "ws")}/_changes?feed=websocket`, {
        filter: "_channels",
        channels: ["feed"],
        since: rows.last_seq,
      });
      await socket.caughtUp;
      await put("f2", { kind: "feed" });
      await put("elsewhere", { kind: "other" });
      expect((await longpoll).body.results).toMatchObject([{ id: "f2" }]);
      expect(JSON.parse((await lines.line(/"f2"/)) ?? "")).toMatchObject({ id: "f2" });
      expect(await events.line(/^data: .*"f2"/)).toContain('"id":"f2"');
      await until("the socket's row", () => socket.rows.some((row) => row.id === "f2"));
      expect(socket.rows.map((row) => row.id)).toEqual(["f2"]);
      for (const feed of [lines, events, socket]) feed.close();
      await until("the feeds to be closed", async () => (await openFeeds(target)) === 0);
    });

    test("syncs with PouchDB, both ways", async () => {
      const clients = new Clients();
      try {
        const local = clients.open("local");
        const documents = Array.from({ length: 300 }, (_, at) => ({
          _id: `p${String(at).padStart(4, "0")}`,
          text: "x".repeat(at),
        }));
        await local.bulkDocs(documents);
        await local.replicate.to(db);
        const other = clients.open("other");
        await other.replicate.from(db);
        expect(await contentsOf(other)).toEqual(await contentsOf(clients.remote(db)));
        expect((await other.get("p0299")).text).toHaveLength(299);
      } finally {
        await clients.dispose();
      }
    });

    test("stops in order while feeds are open, and has everything when it is back", async () => {
      const before = await rowsOf(db, "");
      const feed = linesOf(`${db}/_changes?feed=continuous&since=now&heartbeat=1000`);
      await until("the feed to be open", async () => (await openFeeds(target)) === 1);
      const begun = performance.now();
      expect(await target.stop()).toBe(0);
      expect(performance.now() - begun).toBeLessThan(8000);
      expect(await feed.line(/last_seq/)).toContain("last_seq");
      await target.start();
      const after = await rowsOf(db, "");
      const revs = ({ results }: { results: Row[] }) =>
        results.map((row) => JSON.stringify({ ...row, seq: "" })).sort();
      expect(revs(after)).toEqual(revs(before));
      const since = await rowsOf(db, `since=${before.last_seq}`);
      expect(since.results).toEqual([]);
    });

    test("says in words why it cannot start", async () => {
      const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      const address = `127.0.0.1:${listener.port}`;
      for (const [args, words] of [
        [["--public", address], `${address} is in use`],
        [["--admin", "0.0.0.0:0"], "the admin listener asks for no credentials"],
        [["--data", "/dev/null/x"], "the data directory"],
        [["--config", "/nowhere.jsonc"], "cannot read the settings file /nowhere.jsonc"],
      ] as const) {
        const child = Bun.spawn([...command, "serve", "--data", "./other", ...args], {
          cwd: target.directory,
          stdout: "ignore",
          stderr: "pipe",
          env: { ...process.env, TIDEGATE_ADMIN: "127.0.0.1:0", TIDEGATE_METRICS: "127.0.0.1:0" },
        });
        const said = await new Response(child.stderr).text();
        expect(said).toContain(words);
        expect(await child.exited).toBe(1);
      }
      listener.stop();
    });
  });
}

async function rowsOf(db: string, query: string): Promise<{ results: Row[]; last_seq: string }> {
  return (await fetch(`${db}/_changes?${query}`)).json() as Promise<{
    results: Row[];
    last_seq: string;
  }>;
}

async function openFeeds(target: Target): Promise<number> {
  const status = (await (await fetch(`${target.adminUrl}/_status`)).json()) as {
    openFeeds: number;
  };
  return status.openFeeds;
}

/** Reads a streamed answer line by line. */
function linesOf(url: string): { line(pattern: RegExp): Promise<string>; close(): void } {
  const abort = new AbortController();
  const seen: string[] = [];
  let ended = false;
  const read = async () => {
    const answer = await fetch(url, { signal: abort.signal });
    let rest = "";
    for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      const parts = (rest + chunk).split("\n");
      rest = parts.pop() ?? "";
      seen.push(...parts);
    }
  };
  read().then(
    () => {
      ended = true;
    },
    () => {
      ended = true;
    },
  );
  return {
    async line(pattern) {
      const find = () => seen.find((line) => pattern.test(line));
      await until(
        () => `a line like ${pattern} in ${seen.join("|")}`,
        () => find() !== undefined || ended,
      );
      return find() ?? "";
    },
    close: () => abort.abort(),
  };
}

/** Reads a WebSocket's rows. */
function socketRows(url: string, options: object) {
  const socket = new WebSocket(url);
  const rows: Row[] = [];
  const { promise: caughtUp, resolve } = Promise.withResolvers<void>();
  socket.onopen = () => socket.send(JSON.stringify(options));
  socket.onmessage = ({ data }) => {
    if (data === "") return;
    const batch = JSON.parse(data) as Row[];
    if (batch.length === 0) resolve();
    rows.push(...batch);
  };
  return { rows, caughtUp, close: () => socket.close() };
}
