// Who may use which listener: guests, web pages, other names; and what monitors see.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(30_000);

let fixture: Fixture;

beforeAll(async () => {
  fixture = await startFixture({
    cors: { origins: ["https://app.example", "localhost"], maxAgeSeconds: 77 },
    demo: true,
  });
  await request("PUT", `${fixture.admin}/closed`, { guest: false });
});
afterAll(() => fixture?.close());

/** A request by hand: fetch does not let us choose Host. */
function raw(port: number, path: string, headers: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.on("data", (data) => {
      text += data;
    });
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET ${path} HTTP/1.1\r\nConnection: close\r\n${lines.join("")}\r\n`);
  });
}

describe("without a guest", () => {
  const open = ["/", "/_ping", "/_demo"];
  const shut = [
    "/_session",
    "/closed",
    "/closed/a",
    "/closed/_changes",
    "/missing",
    "/_x",
    "/a/b/c",
  ];

  for (const path of open) {
    test(`${path} is for everybody`, async () => {
      expect((await request("GET", fixture.public + path)).status).toBe(200);
    });
  }
  for (const path of shut) {
    for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
      test(`${method} ${path} is 401, whether or not there is such a thing`, async () => {
        const answer = await request(method, fixture.public + path);
        expect(answer.status).toBe(401);
        expect(answer.json).toMatchObject({ error: "unauthorized" });
        expect(answer.headers.get("www-authenticate")).toStartWith("Basic");
      });
    }
  }
});

describe("CORS on the public listener", () => {
  const ask = (origin: string, method = "GET", headers: Record<string, string> = {}) =>
    request(method, `${fixture.public}/_ping`, undefined, { origin, ...headers });

  test("lets pages of configured origins in, with credentials", async () => {
    for (const origin of ["https://app.example", "http://localhost:5173", "http://127.0.0.1"]) {
      const { headers } = await ask(origin);
      expect(headers.get("access-control-allow-origin")).toBe(origin);
      expect(headers.get("access-control-allow-credentials")).toBe("true");
      expect(headers.get("vary")).toBe("origin");
      expect(headers.get("access-control-expose-headers")).toContain("etag");
    }
  });

  test("says nothing to others", async () => {
    for (const origin of ["https://evil.example", "http://localhost.evil.example", "null"]) {
      const answer = await ask(origin);
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    }
  });

  test("answers a preflight", async () => {
    const asked = { "access-control-request-method": "PUT" };
    const good = await ask("https://app.example", "OPTIONS", asked);
    expect(good.status).toBe(204);
    expect(good.headers.get("access-control-allow-methods")).toContain("PUT");
    expect(good.headers.get("access-control-allow-headers")).toContain("content-type");
    expect(good.headers.get("access-control-max-age")).toBe("77");
    const bad = await ask("https://evil.example", "OPTIONS", asked);
    expect(bad.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("covers answers that are errors", async () => {
    const headers = { origin: "https://app.example" };
    const answer = await request("GET", `${fixture.public}/closed`, undefined, headers);
    expect(answer.status).toBe(401);
    expect(answer.headers.get("access-control-allow-origin")).toBe("https://app.example");
  });

  test("of all origins gives no credentials", async () => {
    const other = await startFixture({ cors: { origins: ["*"] } });
    const headers = { origin: "https://any.example" };
    const answer = await request("GET", `${other.public}/_ping`, undefined, headers);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    expect(answer.headers.get("access-control-allow-credentials")).toBeNull();
    await other.close();
  });

  test("keeps WebSockets of other pages out, which browsers open without asking", async () => {
    await request("PUT", `${fixture.admin}/open`, { guest: true });
    const handshake = {
      Host: "x",
      Upgrade: "websocket",
      Connection: "Upgrade",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    };
    const { port } = fixture.server.public;
    const path = "/open/_changes?feed=websocket";
    const evil = await raw(port, path, { ...handshake, Origin: "https://evil.example" });
    expect(evil).toStartWith("HTTP/1.1 403");
    await request("DELETE", `${fixture.admin}/open`);
  });
});

describe("the admin listener", () => {
  test("is not for web pages", async () => {
    for (const origin of ["https://app.example", "http://localhost:5173", "null"]) {
      const answer = await request("GET", `${fixture.admin}/_all_dbs`, undefined, { origin });
      expect(answer.status).toBe(403);
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    }
  });

  test("does not answer to a name that somebody made lead here", async () => {
    const { port } = fixture.server.admin;
    const evil = await raw(port, "/_all_dbs", { Host: `evil.example:${port}` });
    expect(evil).toStartWith("HTTP/1.1 403");
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, "localhost"]) {
      expect(await raw(port, "/_all_dbs", { Host: host })).toStartWith("HTTP/1.1 200");
    }
  });
});

test("settings are shown without their secrets", async () => {
  const couchbase = { username: "gateway", password: "hunter2" };
  const other = await startFixture({ couchbase });
  const { text, json } = await request("GET", `${other.admin}/_config`);
  expect(json).toMatchObject({ couchbase: { username: "gateway", password: "(secret)" } });
  expect(text).not.toContain("hunter2");
  await other.close();
});

describe("the demo's page", () => {
  test("may run its own script and nothing else", async () => {
    const { headers, text } = await request("GET", `${fixture.public}/_demo`);
    const policy = headers.get("content-security-policy") ?? "";
    const script = text.slice(text.indexOf("<script>") + 8, text.indexOf("</script>"));
    const hash = new Bun.CryptoHasher("sha256").update(script).digest("base64");
    expect(policy).toContain(`script-src 'sha256-${hash}'`);
    expect(policy).toContain("default-src 'none'");
    expect(text).not.toMatch(/(src|href)="http|@import|url\(/);
    // A slip of the pen in the script would not be seen by any other test.
    new Bun.Transpiler({ loader: "js" }).transformSync(script);
  });

  test("is there only when the demo is on", async () => {
    const other = await startFixture();
    expect((await request("GET", `${other.public}/_demo`)).status).toBe(401);
    expect((await request("GET", `${fixture.admin}/_demo`)).status).toBe(404);
    await other.close();
  });
});

describe("the metrics listener", () => {
  test("counts requests by route, and shows every database", async () => {
    await request("GET", `${fixture.admin}/closed/some-document`);
    const { text, headers } = await request("GET", `${fixture.metrics}/metrics`);
    expect(headers.get("content-type")).toStartWith("text/plain");
    expect(text).toMatch(
      /tidegate_http_requests_total\{route="\/:db\/:doc",method="GET",status="404"\} \d/,
    );
    expect(text).toMatch(/tidegate_http_request_seconds_bucket\{le="0.001",route="\/:db"/);
    expect(text).toMatch(/tidegate_open_feeds\{database="closed"\} 0/);
    expect(text).toMatch(/tidegate_stable_tick\{database="closed"\} \d+/);
    expect(text).toMatch(/\ntidegate_bucket_\w+\{database="closed"\} \d/);
    expect(text).toMatch(/\ntidegate_index_\w+\{database="closed"\} \d/);
    for (const line of text.trim().split(/\n+/)) {
      expect(line).toMatch(/^(# (HELP|TYPE) [a-z_]+ .+|[a-z_0-9]+(\{[^}]*\})? [-+.e\d]+)$/);
    }
    expect(text).toContain('tidegate_info{version="0.0.0"} 1');
    expect(text).not.toContain("some-document");
  });

  test("tells a monitor how things are, and nothing else", async () => {
    const health = await request("GET", `${fixture.metrics}/health`);
    expect(health.status).toBe(200);
    expect(health.json).toMatchObject({ status: "ok", databases: { closed: { problems: [] } } });
    for (const path of ["/", "/closed", "/closed/a"]) {
      expect((await request("GET", fixture.metrics + path)).status).toBeGreaterThanOrEqual(400);
    }
  });
});

test("nothing of all this was a defect", () => {
  expect(fixture.complaints).toEqual([]);
});
