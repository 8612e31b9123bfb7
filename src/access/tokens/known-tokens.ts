// Tokens that were found good a moment ago: a client sends the same one with every request, and a
// signature costs ten times as much as a hash. Kept under their hash, never as they are.

import { createHash } from "node:crypto";
import type { Time } from "../../runtime/time.ts";
import { BoundedMap } from "../bounded-map.ts";
import type { TokenSubject } from "./claims.ts";
import type { TokenIssuer } from "./issuers.ts";
import { MAX_KNOWN_CHARACTERS, MAX_KNOWN_TOKENS } from "./limits.ts";
import type { SignedBy, VerifiedToken } from "./verify.ts";

interface Known {
  readonly issuer: TokenIssuer;
  readonly signedBy: SignedBy;
  readonly subject: TokenSubject;
}

/** Remembers tokens, of one database and its settings. */
export class KnownTokens {
  readonly #time: Time;
  readonly #known = new BoundedMap<string, Known>(MAX_KNOWN_TOKENS);

  constructor(time: Time) {
    this.#time = time;
  }

  /** Remembers a token that was verified. */
  add(token: string, { issuer, signedBy }: VerifiedToken, subject: TokenSubject): void {
    if (token.length > MAX_KNOWN_CHARACTERS) return;
    this.#known.set(digestOf(token), { issuer, signedBy, subject });
  }

  /**
   * Whom the token speaks of; undefined when it is to be verified: it is not known, its time is over,
   * or its issuer has its key no more. Throws `unavailable` as keys do.
   */
  async find(token: string): Promise<TokenSubject | undefined> {
    if (token.length > MAX_KNOWN_CHARACTERS) return undefined;
    const digest = digestOf(token);
    const known = this.#known.get(digest);
    if (!known) return undefined;
    const { issuer, signedBy, subject } = known;
    const { algorithm, kid, key } = signedBy;
    if (subject.expiresMs > this.#time.nowMs()) {
      const keys = await issuer.keys.find(algorithm, kid);
      if (keys.includes(key)) return subject;
    }
    this.#known.delete(digest);
    return undefined;
  }
}

function digestOf(token: string): string {
  return createHash("sha256").update(token).digest("base64");
}
