// `_changes` over a WebSocket: the client's first message is its options; then arrays of rows, `[]`
// once when everything was sent, and an empty message when nothing came for a while.

import { isTidegateError, TidegateError } from "../../base/errors.ts";
import type { Json } from "../../base/json.ts";
import type { Actor } from "../../documents/types.ts";
import type { ChangesEngine } from "../../replication/types.ts";
import type { ServerSocket } from "../../runtime/http.ts";
import { sleep, type Time } from "../../runtime/time.ts";
import type { FeedGuard } from "../auth/feed-guard.ts";
import { checkStructure } from "../body.ts";
import type { OpenFeed, OpenFeeds } from "./open-feeds.ts";
import { bytesKept, type ChangesRequest, type Given, parseChanges } from "./options.ts";
import { steps } from "./pace.ts";

/** A client has this long to send its options. */
const OPTIONS_LIMIT_MS = 30_000;

/** The most characters of rows in one message; a row that is longer goes alone. */
const MESSAGE_CHARACTERS = 64 * 1024;

/** Codes of RFC 6455 that we close with. */
const NORMAL = 1000;
const GOING_AWAY = 1001;
const REFUSED = 1008;
const BROKEN = 1011;
const TRY_LATER = 1013;

/** What a socket's feed needs. */
export interface SocketFeed {
  readonly engine: ChangesEngine;
  readonly actor: Actor;
  readonly time: Time;
  readonly feeds: OpenFeeds;
  /** Ends the feed when its login is over. */
  readonly guard: FeedGuard | undefined;
  /** What the handshake's query said; the first message goes over it. */
  readonly query: Given;
  readonly eager: boolean;
  /** Hears of what went wrong by our fault. */
  failed(error: unknown): void;
}

/** Serves one socket from its first message to its close. Never throws. */
export async function serveSocket(socket: ServerSocket, feed: SocketFeed): Promise<void> {
  let place: OpenFeed | undefined;
  try {
    place = feed.feeds.take(socket.closed, feed.guard);
    const request = await firstMessage(socket, feed, place.signal);
    if (request) place.keep(bytesKept(request));
    if (request) await send(socket, feed, request, place.signal);
    if (place.refused) socket.close(REFUSED, "unauthorized");
    else if (place.stopping) socket.close(GOING_AWAY, "the gateway is stopping");
    else socket.close(NORMAL, "the feed is over");
  } catch (error) {
    await refuse(socket, feed, error);
  } finally {
    place?.release();
  }
}

/** Says what is wrong as an error object, and closes. */
async function refuse(socket: ServerSocket, feed: SocketFeed, error: unknown): Promise<void> {
  const busy = isTidegateError(error, "unavailable");
  const ours = !busy && (!isTidegateError(error) || error.status >= 500);
  if (ours) feed.failed(error);
  const words = isTidegateError(error)
    ? error
    : new TidegateError("internal", "a defect in Tidegate; its log has the details");
  await socket.send(JSON.stringify(words));
  socket.close(busy ? TRY_LATER : ours ? BROKEN : REFUSED, words.toJSON().error);
}

/** The options; undefined when the client went without sending any. */
async function firstMessage(
  socket: ServerSocket,
  feed: SocketFeed,
  signal: AbortSignal,
): Promise<ChangesRequest | undefined> {
  const late = sleep(feed.time, OPTIONS_LIMIT_MS, signal).then(() => "late" as const);
  const message = await Promise.race([socket.receive(), late]);
  if (message === undefined || signal.aborted) return undefined;
  if (message === "late") {
    const reason = `the options, a JSON object, must come within ${OPTIONS_LIMIT_MS} ms`;
    throw new TidegateError("bad_request", reason);
  }
  const given = { ...feed.query, ...optionsOf(message), feed: "websocket" };
  return parseChanges(given, feed.eager);
}

function optionsOf(message: string | Uint8Array): Given {
  checkStructure(typeof message === "string" ? Buffer.from(message) : message);
  const text = typeof message === "string" ? message : new TextDecoder().decode(message);
  if (text === "") return {};
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    throw new TidegateError("bad_json", "the first message must be the options as a JSON object");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new TidegateError("bad_json", "the first message must be the options as a JSON object");
}

/** Sends batches at the pace at which the client takes them. */
async function send(
  socket: ServerSocket,
  { engine, actor, time }: SocketFeed,
  request: ChangesRequest,
  signal: AbortSignal,
): Promise<void> {
  const feed = await engine.open(actor, request.changes);
  try {
    let wasCaughtUp = false;
    for await (const step of steps(feed, request, time, signal)) {
      if (step.kind === "over") return;
      if (step.kind === "heartbeat") {
        await socket.send("");
        continue;
      }
      const { rows, caughtUp } = step.batch;
      for (const message of messages(rows)) if (!(await socket.send(message))) return;
      if (caughtUp && !wasCaughtUp) {
        wasCaughtUp = true;
        if (!(await socket.send("[]"))) return;
      }
    }
  } finally {
    feed.close();
  }
}

/** JSON arrays of rows, each of bounded size. */
function* messages(rows: readonly string[]): Generator<string> {
  let text = "";
  for (const row of rows) {
    if (text !== "" && text.length + row.length > MESSAGE_CHARACTERS) {
      yield `[${text}]`;
      text = "";
    }
    text += text === "" ? row : `,${row}`;
  }
  if (text !== "") yield `[${text}]`;
}
