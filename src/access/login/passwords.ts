// Passwords: hashed with scrypt off the main thread, a bounded number at a time. The hash says how it
// was made. Who may try how often is `login-limits.ts`.
//
//   scrypt$N$r$p$SALT$HASH      N, r, p decimal; salt and hash base64url without padding

import { Buffer } from "node:buffer";
import { scrypt, timingSafeEqual } from "node:crypto";
import { assert } from "../../base/assert.ts";
import { TidegateError } from "../../base/errors.ts";
import type { Random } from "../../runtime/random.ts";

/** The longest password, in UTF-8 bytes. */
export const MAX_PASSWORD_BYTES = 1024;

/** Hashes made at the same moment: each has a thread of the runtime's pool and 32 MiB. */
export const HASHES_AT_ONCE = 2;

/** Hashes that wait for their turn; beyond, a login is refused with 503. */
export const MAX_WAITING_HASHES = 128;

/** What a hash of today costs: 128·N·r bytes of memory (32 MiB) and about a tenth of a second. */
const COST = { N: 2 ** 15, r: 8, p: 1 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** Parameters of stored hashes that are accepted: no stored text makes us take gigabytes. */
const MAX_N = 2 ** 20;
const MAX_R = 32;
const MAX_P = 16;

interface Parameters {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

interface ParsedHash extends Parameters {
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** Hashes and checks passwords. One for a process. */
export class Passwords {
  readonly #random: Random;
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  /** What the passwords of users are compared with that do not exist. */
  readonly #nobody: ParsedHash;

  constructor(random: Random) {
    this.#random = random;
    const bytes = (length: number) => random.bytes(length);
    this.#nobody = { ...COST, salt: bytes(SALT_BYTES), hash: bytes(HASH_BYTES) };
  }

  /** Hashes that run or wait, for metrics. */
  get underWay(): number {
    return this.#running + this.#waiting.length;
  }

  /** The text to store. Throws `unavailable` when too many hashes wait. */
  async hash(password: string): Promise<string> {
    const salt = this.#random.bytes(SALT_BYTES);
    const hash = await this.#derive(password, salt, HASH_BYTES, COST);
    const { N, r, p } = COST;
    return ["scrypt", N, r, p, text(salt), text(hash)].join("$");
  }

  /**
   * Whether `password` is the one that `stored` was made of. Takes the same time when there is no
   * such user, or a user without a password: `stored` is undefined then.
   *
   * @throws TidegateError `unavailable` when too many hashes wait
   */
  async matches(password: string, stored: string | undefined): Promise<boolean> {
    const parsed = stored === undefined ? undefined : parseHash(stored);
    const { salt, hash, ...cost } = parsed ?? this.#nobody;
    const made = await this.#derive(password, salt, hash.length, cost);
    const equal = timingSafeEqual(made, hash);
    // Zero bytes at its end make no difference to scrypt.
    return equal && parsed !== undefined && !password.includes("\0");
  }

  async #derive(
    password: string,
    salt: Uint8Array,
    length: number,
    { N, r, p }: Parameters,
  ): Promise<Uint8Array> {
    await this.#turn();
    try {
      const maxmem = 128 * N * r + 128 * r * p + 1024 * 1024;
      return await new Promise<Uint8Array>((resolve, reject) => {
        scrypt(password.normalize("NFC"), salt, length, { N, r, p, maxmem }, (error, key) =>
          error ? reject(error) : resolve(key),
        );
      });
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }

  #turn(): Promise<void> {
    if (this.#running < HASHES_AT_ONCE) {
      this.#running++;
      return Promise.resolve();
    }
    if (this.#waiting.length >= MAX_WAITING_HASHES) {
      const reason = "too many logins at this moment; try again in a few seconds";
      return Promise.reject(new TidegateError("unavailable", reason, { retryAfterSeconds: 5 }));
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }
}

/** Whether `stored` is a hash that {@link Passwords.matches} takes. */
export function isPasswordHash(stored: string): boolean {
  return parseHash(stored) !== undefined;
}

/** Whether a hash was made with other parameters than those of today: to be made anew at a login. */
export function isOutdated(stored: string): boolean {
  const parsed = parseHash(stored);
  return parsed?.N !== COST.N || parsed.r !== COST.r || parsed.p !== COST.p;
}

function parseHash(stored: string): ParsedHash | undefined {
  const found = /^scrypt\$(\d{1,8})\$(\d{1,3})\$(\d{1,3})\$([\w-]{8,100})\$([\w-]{22,100})$/.exec(
    stored,
  );
  if (!found) return undefined;
  const [N, r, p] = [Number(found[1]), Number(found[2]), Number(found[3])];
  const powerOfTwo = N > 1 && (N & (N - 1)) === 0;
  if (!powerOfTwo || N > MAX_N || r < 1 || r > MAX_R || p < 1 || p > MAX_P) return undefined;
  const [salt, hash] = [bytesOf(found[4]), bytesOf(found[5])];
  return { N, r, p, salt, hash };
}

function bytesOf(base64url: string | undefined): Uint8Array {
  assert(base64url !== undefined, "the expression has this group");
  return Buffer.from(base64url, "base64url");
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}
