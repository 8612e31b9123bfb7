// What `_changes` takes: defaults, and every way to get a parameter wrong.

import { describe, expect, test } from "bun:test";
import { type Given, parseChanges } from "../../src/server/changes/options.ts";

const parse = (given: Given, eager = false) => parseChanges(given, eager);

describe("a request for changes", () => {
  test("asks for everything from the beginning when it says nothing", () => {
    expect(parse({})).toEqual({
      kind: "normal",
      changes: { since: "0" },
      heartbeatMs: undefined,
      timeoutMs: 60_000,
    });
  });

  test("takes texts of a query and JSON of a body alike", () => {
    const changes = {
      since: "k3x",
      limit: 5,
      includeDocs: true,
      activeOnly: false,
      style: "all_docs",
      docIds: ["a", "b"],
    } as const;
    const common = { since: "k3x", style: "all_docs", filter: "_doc_ids" };
    const body = { ...common, limit: 5, include_docs: true, active_only: false };
    const query = { ...common, limit: "5", include_docs: "true", active_only: "false" };
    expect(parse({ ...body, doc_ids: ["a", "b"] }).changes).toEqual(changes);
    expect(parse({ ...query, doc_ids: '["a","b"]' }).changes).toEqual(changes);
  });

  test("names channels with either filter, or with none", () => {
    for (const filter of ["_channels", "sync_gateway/bychannel", undefined]) {
      expect(parse({ filter, channels: "a,b" }).changes.channels).toEqual(["a", "b"]);
      expect(parse({ filter, channels: ["a,b"] }).changes.channels).toEqual(["a,b"]);
    }
  });

  test("with heartbeats has no time-out, without them it has one", () => {
    const kind = { feed: "longpoll" };
    expect(parse({ ...kind, heartbeat: "true" })).toMatchObject({
      heartbeatMs: 60_000,
      timeoutMs: undefined,
    });
    expect(parse({ ...kind, heartbeat: "10000", timeout: "5" }).timeoutMs).toBeUndefined();
    expect(parse({ ...kind, heartbeat: 1 }).heartbeatMs).toBe(50);
    expect(parse({ ...kind, heartbeat: false, timeout: 5 }).timeoutMs).toBe(5);
    expect(parse({ feed: "websocket" })).toMatchObject({
      heartbeatMs: 60_000,
      timeoutMs: undefined,
    });
  });

  test("sees rows beyond the stable clock when the database or the client says so", () => {
    expect(parse({}).changes.eager).toBeUndefined();
    expect(parse({}, true).changes.eager).toBe(true);
    expect(parse({ eager: "false" }, true).changes.eager).toBeUndefined();
    expect(parse({ eager: "true" }).changes.eager).toBe(true);
  });
});

describe("a wrong parameter is named with what it takes", () => {
  const wrong: [given: Given, message: string][] = [
    [{ feed: "stream" }, "feed: expected one of normal, longpoll"],
    [{ since: "" }, "since: expected a sequence"],
    [{ since: -1 }, "since: expected a sequence"],
    [{ since: { a: 1 } }, "since: expected a sequence"],
    [{ limit: "-1" }, "limit: expected a whole number of at least 0 (came: -1)"],
    [{ limit: "1e3" }, "limit: expected"],
    [{ limit: 1.5 }, "limit: expected"],
    [{ limit: "99999999999999999999" }, "limit: expected"],
    [{ include_docs: "yes" }, "include_docs: expected true or false (came: yes)"],
    [{ style: "leaf" }, "style: expected one of main_only, all_docs"],
    [{ filter: "app/mine" }, "filter: expected _doc_ids or _channels"],
    [{ filter: "_doc_ids" }, "doc_ids: expected a list beside the filter"],
    [{ filter: "_doc_ids", doc_ids: "a" }, "doc_ids: expected an array of strings as JSON"],
    [{ filter: "_doc_ids", doc_ids: [1] }, "doc_ids: expected an array of strings"],
    [{ filter: "_channels" }, "channels: expected a list beside the filter"],
    [{ heartbeat: "0" }, "heartbeat: expected true, or milliseconds"],
    [{ heartbeat: "soon" }, "heartbeat: expected"],
    [{ heartbeat: {} }, "heartbeat: expected"],
    [{ timeout: "-5" }, "timeout: expected a whole number"],
    [{ descending: "true", feed: "continuous" }, "descending: expected feed=normal"],
  ];
  for (const [given, message] of wrong) {
    test(JSON.stringify(given), () => expect(() => parse(given)).toThrow(message));
  }
});
