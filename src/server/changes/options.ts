// What a client asks of `_changes`: the same names in the query, in a POST body, and in the first
// message of a WebSocket. Later sources win.

import { TidegateError } from "../../base/errors.ts";
import type { Json, JsonObject } from "../../base/json.ts";
import type { ChangesOptions } from "../../replication/types.ts";
import { checkStructure } from "../body.ts";
import { badParameter, flagOf, integerOf, strings } from "../parameters.ts";

/** How the rows travel. */
export type FeedKind = "normal" | "longpoll" | "continuous" | "eventsource" | "websocket";

const KINDS: readonly string[] = ["normal", "longpoll", "continuous", "eventsource", "websocket"];

/** A longpoll or continuous feed without changes ends after this long, as CouchDB's does. */
export const DEFAULT_TIMEOUT_MS = 60_000;

/** How often a silent feed says that it lives, when the client did not say. */
export const DEFAULT_HEARTBEAT_MS = 60_000;

/** The shortest heartbeat; what is less is raised to it. */
const LEAST_HEARTBEAT_MS = 50;

/** The longest wait that a client may ask for: a day. What is more is lowered to it. */
const LONGEST_WAIT_MS = 86_400_000;

/** The most channels or document ids of one request. */
const MAX_NAMES = 100_000;

/** A request for changes, checked. */
export interface ChangesRequest {
  readonly kind: FeedKind;
  readonly changes: ChangesOptions;
  /** How often a silent feed says that it lives; undefined: not at all. */
  readonly heartbeatMs: number | undefined;
  /** How long a feed may be silent before it ends; undefined: for ever. */
  readonly timeoutMs: number | undefined;
}

/** What a name takes in memory beyond its characters, more or less. */
const NAME_BYTES = 100;

/** Bytes of document ids and channels that a feed of this request keeps in memory. */
export function bytesKept({ changes }: ChangesRequest): number {
  let bytes = 0;
  for (const names of [changes.docIds, changes.channels]) {
    for (const name of names ?? []) bytes += name.length + NAME_BYTES;
  }
  return bytes;
}

/** Names and values as they came, last source last. */
export type Given = Readonly<Record<string, Json | undefined>>;

/**
 * Reads a request. Throws `bad_request` naming the wrong parameter and what it takes.
 *
 * @param eager whether rows beyond the stable clock are wanted when the client does not say
 */
export function parseChanges(given: Given, eager: boolean): ChangesRequest {
  const kind = oneOf("feed", given.feed ?? "normal", KINDS) as FeedKind;
  const options: JsonObject = { since: sinceOf(given), ...filterOf(given) };
  const flags = {
    include_docs: "includeDocs",
    conflicts: "conflicts",
    attachments: "attachments",
    active_only: "activeOnly",
    descending: "descending",
    revocations: "revocations",
  } as const;
  for (const [name, option] of Object.entries(flags)) {
    const value = given[name];
    if (value !== undefined) options[option] = flagOf(name, value);
  }
  if (given.limit !== undefined) options.limit = integerOf("limit", given.limit);
  if (given.style !== undefined) {
    options.style = oneOf("style", given.style, ["main_only", "all_docs"]);
  }
  if (given.eager === undefined ? eager : flagOf("eager", given.eager)) options.eager = true;
  const changes = options as unknown as ChangesOptions;
  if (changes.descending && kind !== "normal") {
    throw badParameter("descending", "feed=normal, when it is true", kind);
  }
  return { kind, changes, ...waits(given, kind) };
}

function oneOf(name: string, value: Json, choices: readonly string[]): string {
  if (typeof value === "string" && choices.includes(value)) return value;
  throw badParameter(name, `one of ${choices.join(", ")}`, value);
}

/** `since` as a text; a number is taken too, as old clients send `0`. */
function sinceOf(given: Given): string {
  const since = given.since ?? "0";
  if (typeof since === "string" && since !== "") return since;
  if (typeof since === "number" && Number.isSafeInteger(since) && since >= 0) return String(since);
  throw badParameter("since", "a sequence that a gateway sent, 0, or now", since);
}

/** `filter` with what belongs to it. Filter functions of design documents do not exist here. */
function filterOf(given: Given): { channels?: string[]; docIds?: string[] } {
  const { filter } = given;
  if (filter === undefined || filter === "") {
    return given.channels === undefined ? {} : { channels: channelsOf(given) };
  }
  if (filter === "_doc_ids") return { docIds: namesOf("doc_ids", given.doc_ids) };
  if (filter === "_channels" || filter === "sync_gateway/bychannel") {
    return { channels: channelsOf(given) };
  }
  throw badParameter("filter", "_doc_ids or _channels (filter functions do not exist)", filter);
}

function channelsOf(given: Given): string[] {
  const { channels } = given;
  if (typeof channels !== "string") return namesOf("channels", channels);
  return bounded(
    "channels",
    channels.split(",").filter((name) => name !== ""),
  );
}

/** A list of names: JSON, or a query's text that holds JSON. */
function namesOf(name: string, value: Json | undefined): string[] {
  if (value === undefined) throw badParameter(name, "a list beside the filter", "nothing");
  if (typeof value !== "string") return bounded(name, strings(name, value));
  checkStructure(Buffer.from(value));
  let parsed: Json;
  try {
    parsed = JSON.parse(value) as Json;
  } catch {
    throw badParameter(name, "an array of strings as JSON", value);
  }
  return bounded(name, strings(name, parsed));
}

function bounded(name: string, names: string[]): string[] {
  if (names.length <= MAX_NAMES) return names;
  throw new TidegateError("too_large", `${name}: at most ${MAX_NAMES} (came: ${names.length})`);
}

/** CouchDB's rule: who asks for heartbeats has no time-out. */
function waits(given: Given, kind: FeedKind): Pick<ChangesRequest, "heartbeatMs" | "timeoutMs"> {
  const heartbeatMs = heartbeatOf(given.heartbeat);
  const timeout = given.timeout;
  const asked = timeout === undefined ? undefined : integerOf("timeout", timeout, 0);
  const timeoutMs = asked === undefined ? undefined : Math.min(asked, LONGEST_WAIT_MS);
  if (kind === "websocket" || kind === "eventsource") {
    return { heartbeatMs: heartbeatMs ?? DEFAULT_HEARTBEAT_MS, timeoutMs };
  }
  if (heartbeatMs !== undefined) return { heartbeatMs, timeoutMs: undefined };
  return { heartbeatMs, timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS };
}

function heartbeatOf(value: Json | undefined): number | undefined {
  if (value === undefined || value === false || value === "false") return undefined;
  if (value === true || value === "true") return DEFAULT_HEARTBEAT_MS;
  const isNumber = typeof value === "number" || /^\d{1,16}$/.test(String(value));
  if (!isNumber || Number(value) < 1) {
    throw badParameter("heartbeat", "true, or milliseconds of at least 1", value);
  }
  return Math.min(Math.max(integerOf("heartbeat", value, 1), LEAST_HEARTBEAT_MS), LONGEST_WAIT_MS);
}
