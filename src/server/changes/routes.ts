// The `_changes` route: reads the request, opens the feed, and hands it to its transport.

import { TidegateError } from "../../base/errors.ts";
import { feedGuardOf } from "../auth/feed-guard.ts";
import { requestObject } from "../body.ts";
import type { Call } from "../context.ts";
import { originAllowed } from "../cors.ts";
import { pieceStream } from "../piece-stream.ts";
import { fresh } from "./fresh.ts";
import type { OpenFeed } from "./open-feeds.ts";
import { bytesKept, type ChangesRequest, type Given, parseChanges } from "./options.ts";
import { steps } from "./pace.ts";
import { serveSocket } from "./socket.ts";
import { printers } from "./texts.ts";

/** GET: the options are in the query. */
export function getChanges(call: Call): Promise<Response> | Response {
  const query = queryOf(call);
  if (query.feed === "websocket") return socketAnswer(call, query);
  return answer(call, query);
}

/** POST: the options are in the body; those of the query hold where the body says nothing. */
export async function postChanges(call: Call): Promise<Response> {
  const body = await requestObject(call, {});
  const given = { ...queryOf(call), ...body };
  if (given.feed === "websocket") {
    throw new TidegateError("bad_request", "feed: websocket is asked for by GET");
  }
  return answer(call, given);
}

/** The query's parameters; an EventSource that reconnects says where it was by a header. */
function queryOf(call: Call): Given {
  const last = call.req.header("last-event-id") ?? call.req.query("last-event-id");
  return { ...call.req.query(), ...(last ? { since: last } : {}) };
}

async function answer(call: Call, given: Given): Promise<Response> {
  const { server, database, actor } = call.var;
  const { connection } = call.env;
  const request = parseChanges(given, database.settings.changes.mode === "eager");
  const place = server.feeds.take(connection.signal, feedGuardOf(call));
  try {
    place.keep(bytesKept(request));
    if (request.kind === "normal") await fresh(database, server.time, place.signal);
    const since = request.changes.since;
    const start = since === "now" ? database.changes.currentSequence() : since;
    const changes = { ...request.changes, since: start };
    const feed = await database.changes.open(actor, changes);
    if (request.kind !== "normal") connection.keepOpen();
    const ended = () => {
      feed.close();
      place.release();
    };
    return new Response(streamOf(call, request, { feed, start, place, ended }), {
      headers: headersOf(request),
    });
  } catch (error) {
    place.release();
    throw error;
  }
}

interface Opened {
  readonly feed: Parameters<typeof steps>[0];
  readonly start: string;
  readonly place: OpenFeed;
  ended(): void;
}

function streamOf(
  call: Call,
  request: ChangesRequest,
  { feed, start, place, ended }: Opened,
): ReadableStream<Uint8Array> {
  const { server } = call.var;
  const walk = steps(feed, request, server.time, place.signal);
  const print = printers[request.kind === "websocket" ? "normal" : request.kind];
  return pieceStream(print(walk, start), {
    gone: call.env.connection.signal,
    held: server.answers,
    abort: place.abort,
    ended,
    failed: (error) => server.log.error({ err: error }, "a changes feed failed"),
  });
}

function headersOf({ kind }: ChangesRequest): Record<string, string> {
  const isEvents = kind === "eventsource";
  return {
    "content-type": isEvents ? "text/event-stream" : "application/json",
    "cache-control": "no-cache, must-revalidate",
    // For proxies that would gather the rows.
    "x-accel-buffering": "no",
  };
}

function socketAnswer(call: Call, query: Given): Response {
  const { server, database, actor } = call.var;
  if (!originAllowed(call)) {
    throw new TidegateError("forbidden", "this page's origin may not use the gateway (cors)");
  }
  const upgraded = call.env.connection.upgrade((socket) =>
    serveSocket(socket, {
      engine: database.changes,
      actor,
      time: server.time,
      feeds: server.feeds,
      guard: feedGuardOf(call),
      query,
      eager: database.settings.changes.mode === "eager",
      failed: (error) => server.log.error({ err: error }, "a changes socket failed"),
    }),
  );
  if (upgraded) return upgraded;
  throw new TidegateError("bad_request", "feed=websocket: expected a WebSocket handshake");
}
