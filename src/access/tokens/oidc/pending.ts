// Logins that are under way at a provider: what the browser keeps of them, and which have come back.
// Any node takes up what another began: the key and what was used are in the bucket's metadata.
//
// Key "_sync:oidc": the key of the seal, 32 bytes. Key "o:" + SHA-256 of a state, base64url: it was
// used; the value says nothing.

import { createHash, timingSafeEqual } from "node:crypto";
import { TidegateError } from "../../../base/errors.ts";
import type { JsonObject } from "../../../base/json.ts";
import type { Bucket } from "../../../bucket/bucket.ts";
import type { Random } from "../../../runtime/random.ts";
import type { Time } from "../../../runtime/time.ts";
import { LOGIN_LIMIT_SECONDS } from "../limits.ts";
import { isSealKey, newSealKey, Seal } from "./seal.ts";

const KEY = "_sync:oidc";
const SECRET_BYTES = 32;

/** A login that is under way. All but the provider's name is random, and known to one browser. */
export interface PendingLogin {
  readonly provider: string;
  /** Goes to the provider and comes back: the way back is of the same login. */
  readonly state: string;
  /** Goes into the id token: it was issued for this login. */
  readonly nonce: string;
  /** PKCE: who redeems the code is who asked for it. */
  readonly verifier: string;
}

/** What {@link PendingLogins} needs. */
export interface PendingLoginsOptions {
  readonly database: string;
  readonly metadata: Bucket["metadata"];
  readonly time: Time;
  readonly random: Random;
}

/** The logins under way of one database. */
export class PendingLogins {
  readonly #options: PendingLoginsOptions;
  #seal: Promise<Seal> | undefined;

  constructor(options: PendingLoginsOptions) {
    this.#options = options;
  }

  /** Begins a login. `kept` is for the browser to keep, for {@link LOGIN_LIMIT_SECONDS}. */
  async begin(provider: string): Promise<{ pending: PendingLogin; kept: string }> {
    const { random, time } = this.#options;
    const secret = () => Buffer.from(random.bytes(SECRET_BYTES)).toString("base64url");
    const pending = { provider, state: secret(), nonce: secret(), verifier: secret() };
    const untilMs = time.nowMs() + LOGIN_LIMIT_SECONDS * 1000;
    const seal = await this.#sealed();
    return { pending, kept: seal.close({ ...pending, untilMs }) };
  }

  /**
   * The login that comes back, which can be asked for once.
   *
   * @param kept what the browser kept; undefined: nothing
   * @param state what came with the way back
   * @throws TidegateError `unauthorized` when they do not belong together, or it was used, or its
   *   time is over
   */
  async takeUp(kept: string | undefined, state: string): Promise<PendingLogin> {
    const opened = kept === undefined ? undefined : (await this.#sealed()).open(kept);
    const pending = opened && pendingOf(opened);
    if (!pending || !isEqual(pending.state, state)) {
      throw wrong("it was begun in another browser, or not at all");
    }
    if (pending.untilMs <= this.#options.time.nowMs()) throw wrong("it took too long");
    if (!(await this.#use(pending))) throw wrong("it was used already");
    return pending;
  }

  async #use({ state, untilMs }: { state: string; untilMs: number }): Promise<boolean> {
    const key = `o:${createHash("sha256").update(state).digest("base64url")}`;
    // A little longer than it could be used: clocks of nodes differ.
    const expiry = Math.ceil(untilMs / 1000) + LOGIN_LIMIT_SECONDS;
    const value = Uint8Array.of(1);
    const [written] = await this.#options.metadata.batch([{ op: "insert", key, value, expiry }]);
    if (written?.ok) return true;
    if (written?.refusal === "exists") return false;
    throw new TidegateError("unavailable", "the login could not be noted; begin again");
  }

  #sealed(): Promise<Seal> {
    if (this.#seal) return this.#seal;
    const opening = this.#openSeal();
    this.#seal = opening;
    opening.catch(() => {
      this.#seal = undefined;
    });
    return opening;
  }

  /** Of nodes that make a key at the same moment the first one's counts. */
  async #openSeal(): Promise<Seal> {
    const { metadata, random, database } = this.#options;
    if ((await metadata.get(KEY)) === undefined) {
      await metadata.batch([{ op: "insert", key: KEY, value: newSealKey(random) }]);
    }
    const found = await metadata.get(KEY);
    if (!found || !isSealKey(found.value)) {
      throw new TidegateError("corrupt", `${KEY} in the metadata of ${database} is no key`);
    }
    return new Seal(found.value, `login at ${database}`, random);
  }
}

function pendingOf(opened: JsonObject): (PendingLogin & { untilMs: number }) | undefined {
  const { provider, state, nonce, verifier, untilMs } = opened;
  const texts = [provider, state, nonce, verifier];
  if (!texts.every((text) => typeof text === "string") || typeof untilMs !== "number") {
    return undefined;
  }
  return { ...(opened as unknown as PendingLogin), untilMs };
}

function isEqual(one: string, other: string): boolean {
  const digests = [one, other].map((text) => createHash("sha256").update(text).digest());
  return timingSafeEqual(digests[0] as Uint8Array, digests[1] as Uint8Array);
}

function wrong(why: string): TidegateError {
  return new TidegateError("unauthorized", `this login cannot be finished: ${why}; begin again`);
}
