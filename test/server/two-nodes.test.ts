// Two gateways on one bucket: what is changed about users on one counts on the other a tick later.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { until } from "../harness/until.ts";
import { type Fixture, request, startFixture } from "./fixture.ts";

setDefaultTimeout(60_000);

let one: Fixture;
let two: Fixture;

beforeAll(async () => {
  one = await startFixture();
  await request("PUT", `${one.admin}/db`, {});
  await request("PUT", `${one.admin}/db/doc`, { channels: ["c"] });
  two = await startFixture({ data: one.directory });
});
afterAll(async () => {
  await two?.close();
  await one?.close();
});

const basic = (password: string) => ({
  authorization: `Basic ${Buffer.from(`ann:${password}`).toString("base64")}`,
});
const statusAt = async (node: Fixture, password: string) =>
  (await request("GET", `${node.public}/db/doc`, undefined, basic(password))).status;
const change = (node: Fixture, user: object) => request("PUT", `${node.admin}/db/_user/ann`, user);

test("users, grants, passwords and feeds are the same on both", async () => {
  expect((await change(one, { password: "first", admin_channels: ["c"] })).status).toBe(201);
  expect(await statusAt(one, "first")).toBe(200);
  await until("the other node lets ann in", async () => (await statusAt(two, "first")) === 200);

  const feed = await fetch(`${two.public}/db/_changes?feed=continuous&heartbeat=60000&since=now`, {
    headers: basic("first"),
  });
  const reader = feed.body!.getReader();

  await change(one, { admin_channels: [] });
  expect(await statusAt(one, "first")).toBe(403);
  await until("ann has lost it there", async () => (await statusAt(two, "first")) === 403);
  await request("PUT", `${two.admin}/db/grant`, {});
  await change(two, { admin_channels: ["c"] });
  await until("ann has it here", async () => (await statusAt(one, "first")) === 200);
  let text = "";
  while (!text.includes('"doc"')) text += new TextDecoder().decode((await reader.read()).value);

  await change(one, { password: "second", admin_channels: ["c"] });
  await until("the old password is over", async () => (await statusAt(two, "first")) === 401);
  expect(await statusAt(two, "second")).toBe(200);
  for (;;) if ((await reader.read()).done) break;
});

test("a session made on one is good on the other, and ends there with its user", async () => {
  const body = { name: "ann", password: "second" };
  const { headers } = await request("POST", `${one.public}/db/_session`, body);
  const cookie = headers.get("set-cookie")?.split(";")[0] ?? "";
  const status = async () =>
    (await request("GET", `${two.public}/db/doc`, undefined, { cookie })).status;
  expect(await status()).toBe(200);
  await request("DELETE", `${one.admin}/db/_user/ann/_session`);
  await until("the session is over", async () => (await status()) === 401);
});
