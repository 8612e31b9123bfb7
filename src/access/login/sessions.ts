// Sessions of one database, in its bucket's metadata: under the hash of their id, so that who reads
// the bucket cannot take one over. A session is good for one epoch of its user.
//
// Key "s:" + SHA-256 of the id, base64url. Value: JSON, see Session.

import { createHash } from "node:crypto";
import { TidegateError } from "../../base/errors.ts";
import type { Bucket } from "../../bucket/bucket.ts";
import type { Random } from "../../runtime/random.ts";
import type { Time } from "../../runtime/time.ts";
import { BoundedMap } from "../bounded-map.ts";
import type { UserRecord } from "../principals/records.ts";

/** A session that was ended on another node is known here this much later, at most. */
export const SESSION_CACHE_MS = 5000;

/** Sessions that are kept in memory. */
export const MAX_CACHED_SESSIONS = 20_000;

/** The longest life of a session: a year. */
export const MAX_TTL_SECONDS = 366 * 86_400;

/** A session slides when this part of its life has passed. */
const SLIDE_AFTER = 0.1;

const ID_BYTES = 32;
const ID = /^[A-Za-z0-9_-]{43}$/;

/** A session as stored. */
export interface Session {
  readonly v: 1;
  readonly name: string;
  /** The user's epoch when it was made: with another one it is over. */
  readonly epoch: string;
  readonly ttlMs: number;
  readonly expiresMs: number;
  /** Good for one request, or one WebSocket. */
  readonly oneTime: boolean;
}

/** A session with the key that it is stored under. */
export interface FoundSession extends Session {
  readonly key: string;
}

/** Makes, finds and ends sessions. */
export class Sessions {
  readonly #metadata: Bucket["metadata"];
  readonly #time: Time;
  readonly #random: Random;
  readonly #ended: (session: FoundSession) => void;
  readonly #cache = new BoundedMap<string, { session: FoundSession; atMs: number }>(
    MAX_CACHED_SESSIONS,
  );

  /** @param ended hears of each session that was ended on this node */
  constructor(
    metadata: Bucket["metadata"],
    time: Time,
    random: Random,
    ended: (session: FoundSession) => void,
  ) {
    this.#metadata = metadata;
    this.#time = time;
    this.#random = random;
    this.#ended = ended;
  }

  /** Makes a session for a user; its id is told once, here. */
  async create(
    user: UserRecord,
    { ttlSeconds, oneTime = false }: { ttlSeconds: number; oneTime?: boolean },
  ): Promise<{ id: string; session: FoundSession }> {
    const id = Buffer.from(this.#random.bytes(ID_BYTES)).toString("base64url");
    const ttlMs = ttlSeconds * 1000;
    const expiresMs = this.#time.nowMs() + ttlMs;
    const { name, epoch } = user;
    const session: FoundSession = {
      ...{ v: 1, name, epoch, ttlMs, expiresMs, oneTime },
      key: keyOf(id),
    };
    const [written] = await this.#metadata.batch([operationOf("insert", session)]);
    if (!written?.ok) throw new TidegateError("unavailable", "the session could not be stored");
    return { id, session };
  }

  /** The session, when it is there and its time is not over. The user is not looked at. */
  async find(id: string): Promise<FoundSession | undefined> {
    return ID.test(id) ? this.findByKey(keyOf(id)) : undefined;
  }

  /** As {@link find}, of one that was found before. */
  async findByKey(key: string): Promise<FoundSession | undefined> {
    const cached = this.#cache.get(key);
    const isFresh = cached && this.#time.monotonicMs() - cached.atMs < SESSION_CACHE_MS;
    const session = isFresh ? cached.session : await this.#read(key);
    return session && session.expiresMs > this.#time.nowMs() ? session : undefined;
  }

  async #read(key: string): Promise<FoundSession | undefined> {
    this.#cache.delete(key);
    const atMs = this.#time.monotonicMs();
    const found = await this.#metadata.get(key);
    if (found === undefined) return undefined;
    const session = { ...parseSession(found.value), key };
    if (!session.oneTime) this.#cache.set(key, { session, atMs });
    return session;
  }

  /**
   * Gives a session its whole time again when enough of it has passed; otherwise gives it back as it
   * is. Undefined when it was ended meanwhile.
   */
  async slide(session: FoundSession): Promise<FoundSession | undefined> {
    const left = session.expiresMs - this.#time.nowMs();
    if (session.oneTime || left > session.ttlMs * (1 - SLIDE_AFTER)) return session;
    const slid = { ...session, expiresMs: this.#time.nowMs() + session.ttlMs };
    const [written] = await this.#metadata.batch([operationOf("replace", slid)]);
    this.#cache.delete(session.key);
    return written?.ok ? slid : undefined;
  }

  /** Ends a session. Gives whether it was there: of two that end it one hears that it was. */
  async remove(session: FoundSession): Promise<boolean> {
    this.#cache.delete(session.key);
    const [removed] = await this.#metadata.batch([{ op: "remove", key: session.key }]);
    // A read that was under way may have put it back.
    this.#cache.delete(session.key);
    this.#ended(session);
    return removed?.ok === true;
  }
}

function keyOf(id: string): string {
  return `s:${createHash("sha256").update(id).digest("base64url")}`;
}

function operationOf(op: "insert" | "replace", { key, ...session }: FoundSession) {
  const value = new TextEncoder().encode(JSON.stringify(session));
  return { op, key, value, expiry: Math.ceil(session.expiresMs / 1000) } as const;
}

function parseSession(value: Uint8Array): Session {
  const session = JSON.parse(new TextDecoder().decode(value)) as Session;
  if (session.v === 1) return session;
  throw new TidegateError("newer_version", `a session is stored in version ${session.v}`);
}
