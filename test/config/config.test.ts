// Settings: where they come from, which goes over which, and what is said when one is wrong.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "../../src/base/json.ts";
import { formatAddress, isLoopback, parseAddress } from "../../src/config/address.ts";
import { variables } from "../../src/config/environment.ts";
import { loadConfig, parseDatabaseSettings } from "../../src/config/load.ts";

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "tidegate-config-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(text: string, name = "settings.jsonc"): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

function load(commandLine: JsonObject = {}, environment = {}, path?: string) {
  return loadConfig({ commandLine, environment, file: path });
}

describe("settings", () => {
  test("have defaults for everything, all on this machine", () => {
    expect(load()).toEqual({
      data: "./tidegate-data",
      bucket: "embedded",
      couchbase: {
        collections: {
          documents: "_default._default",
          metadata: "_default.tidegate_metadata",
          index: "_default.tidegate_index",
        },
        durability: "majority",
        indexTraffic: "pipelined",
        feedBufferBytes: 10 * 1024 * 1024,
        rollbackMitigation: false,
        connectTimeoutMs: 5000,
        operationTimeoutMs: 10_000,
      },
      public: "127.0.0.1:4984",
      admin: "127.0.0.1:4985",
      metrics: "127.0.0.1:4986",
      demo: false,
      log: { redact: false, level: "info", format: "auto" },
      adminAuth: { users: {} },
      trustedProxies: [],
      logins: { failuresPerAddress: 60, failuresPerUser: 20 },
      cors: { origins: [], maxAgeSeconds: 600 },
      limits: {
        bodyBytes: 64 * 1024 * 1024,
        heldBodyBytes: 512 * 1024 * 1024,
        slowBodySeconds: 30,
        heldAnswerBytes: 512 * 1024 * 1024,
        openFeeds: 20_000,
      },
      databases: {},
    });
  });

  test("of the command line go over the environment, and those over the file", () => {
    const path = file(`{
      // a comment, and a comma too many
      "data": "from-file", "public": "127.0.0.1:1", "admin": "127.0.0.1:1",
      "log": { "level": "warn", "format": "json" },
    }`);
    const environment = { TIDEGATE_PUBLIC: "127.0.0.1:2", TIDEGATE_ADMIN: "127.0.0.1:2" };
    const config = load({ admin: "127.0.0.1:3", log: { level: "error" } }, environment, path);
    expect(config).toMatchObject({
      data: "from-file",
      public: "127.0.0.1:2",
      admin: "127.0.0.1:3",
      log: { level: "error", format: "json" },
    });
  });

  test("can all be given by the environment", () => {
    const config = load(
      {},
      {
        TIDEGATE_DATA: "/data",
        TIDEGATE_DEMO: "yes",
        TIDEGATE_LOG_LEVEL: "debug",
        TIDEGATE_CORS_ORIGINS: "https://a.example, http://localhost:3000",
        TIDEGATE_CORS_MAX_AGE_SECONDS: "5",
        TIDEGATE_LIMITS_BODY_BYTES: "4096",
        TIDEGATE_DATABASES: '{"notes":{"guest":true}}',
        OTHER: "ignored",
      },
    );
    expect(config).toMatchObject({
      data: "/data",
      demo: true,
      log: { level: "debug" },
      cors: { origins: ["https://a.example", "http://localhost:3000"], maxAgeSeconds: 5 },
      limits: { bodyBytes: 4096 },
      databases: { notes: { guest: true, index: { partitions: 16 } } },
    });
    expect(variables()).toContain("TIDEGATE_LIMITS_OPEN_FEEDS");
  });

  test("may hold a sync function in a file of its own, beside the settings", () => {
    writeFileSync(join(directory, "notes.js"), "function (doc) { channel('all'); }");
    const path = file('{"databases": {"notes": {"syncFunctionFile": "notes.js"}}}');
    expect(load({}, {}, path).databases.notes?.syncFunction).toContain("channel('all')");
    const both = file('{"databases": {"n": {"syncFunctionFile": "n.js", "syncFunction": "x"}}}');
    expect(() => load({}, {}, both)).toThrow("databases.n: give the sync function or its file");
    const gone = file('{"databases": {"n": {"syncFunctionFile": "gone.js"}}}');
    expect(() => load({}, {}, gone)).toThrow("databases.n.syncFunctionFile");
  });
});

describe("a wrong setting", () => {
  const cases: [name: string, settings: JsonObject, message: string][] = [
    ["an unknown key", { publik: "x" }, "publik: there is no such setting; did you mean public?"],
    [
      "an unknown key deep inside",
      { databases: { demo: { limits: { documentByte: 1 } } } },
      "did you mean databases.demo.limits.documentBytes?",
    ],
    ["nothing near", { zzzzzzzzzz: 1 }, "zzzzzzzzzz: there is no such setting"],
    ["the wrong type", { demo: 3 }, "demo: expected boolean"],
    [
      "no choice",
      { log: { level: "loud" } },
      "log.level: expected one of debug, info, warn, error",
    ],
    ["too small", { limits: { bodyBytes: 1 } }, "limits.bodyBytes: expected at least 1024"],
    ["no address", { public: "4984" }, "public: expected HOST:PORT, such as 127.0.0.1:4984"],
    ["a bad name", { databases: { Demo: {} } }, "databases.Demo: expected a name"],
    ["not a power of two", { databases: { d: { index: { partitions: 3 } } } }, "a power of two"],
    ["an origin with a path", { cors: { origins: ["http://a/b"] } }, "cors.origins.0: expected"],
    ["all origins and one", { cors: { origins: ["*", "http://a"] } }, "cors.origins: expected *"],
    ["admin for all", { admin: "0.0.0.0:4985" }, "admin: without adminAuth.users the admin l"],
    ["admin by a name", { admin: "gateway.example:4985" }, "not on gateway.example"],
  ];
  for (const [name, settings, message] of cases) {
    test(`is named with its path: ${name}`, () => {
      expect(() => load(settings)).toThrow(message);
    });
  }

  test("in the environment is named by its variable", () => {
    expect(() => load({}, { TIDEGATE_PUBLCI: "x" })).toThrow("did you mean TIDEGATE_PUBLIC?");
    expect(() => load({}, { TIDEGATE_DEMO: "perhaps" })).toThrow("TIDEGATE_DEMO: expected true");
    expect(() => load({}, { TIDEGATE_LIMITS_OPEN_FEEDS: "many" })).toThrow("a whole number");
    expect(() => load({}, { TIDEGATE_DATABASES: "{" })).toThrow("a JSON object");
  });

  test("does not hide the others", () => {
    const say = () => load({ demo: 3, data: "" }, { TIDEGATE_NOPE: "1" });
    for (const part of ["demo:", "data:", "TIDEGATE_NOPE:"]) expect(say).toThrow(part);
  });

  test("in the file's JSON is named by line and column", () => {
    expect(() => load({}, {}, file('{\n  "data": "x"\n  "demo": true\n}'))).toThrow(":3:3:");
    expect(() => load({}, {}, file("[]"))).toThrow("expected an object");
    expect(() => load({}, {}, join(directory, "gone.jsonc"))).toThrow("ENOENT");
  });
});

test("a database's settings are checked, and filled with defaults", () => {
  expect(parseDatabaseSettings({ guest: true })).toMatchObject({
    guest: true,
    changes: { mode: "stable" },
    index: { writer: "frontend", partitions: 16, shape: "computed" },
  });
  expect(() => parseDatabaseSettings({ gest: true })).toThrow("did you mean guest?");
  expect(() => parseDatabaseSettings([])).toThrow("settings: expected object");
});

describe("addresses", () => {
  test("are a host and a port", () => {
    expect(parseAddress("127.0.0.1:80")).toEqual({ host: "127.0.0.1", port: 80 });
    expect(parseAddress("[::1]:0")).toEqual({ host: "::1", port: 0 });
    expect(formatAddress({ host: "::1", port: 5 })).toBe("[::1]:5");
    for (const bad of ["", "a", "a:", ":1", "a:65536", "::1:80", "[a]:1", "a b:1", "http://a:1"]) {
      expect(parseAddress(bad)).toHaveProperty("problem");
    }
  });

  test("of this machine alone are told from others", () => {
    for (const host of ["127.0.0.1", "127.9.9.9", "localhost", "::1"]) {
      expect(isLoopback(host)).toBe(true);
    }
    for (const host of ["0.0.0.0", "::", "192.168.0.1", "127.0.0.1.example", "localhost.example"]) {
      expect(isLoopback(host)).toBe(false);
    }
  });
});
