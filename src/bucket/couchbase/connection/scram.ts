// The client's half of SCRAM (RFC 5802, RFC 7677) as Couchbase's key-value engine speaks it.
// A core without input or output: two messages go out, two come in.

import { createHash, createHmac, pbkdf2, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { TidegateError } from "../../../base/errors.ts";
import type { Random } from "../../../runtime/random.ts";

/** The mechanisms spoken, the strongest first. */
export const SCRAM_MECHANISMS = ["SCRAM-SHA512", "SCRAM-SHA256", "SCRAM-SHA1"] as const;
export type ScramMechanism = (typeof SCRAM_MECHANISMS)[number];

/** More rounds than this from a server are refused: they would stop this process for too long. */
export const MAX_SCRAM_ITERATIONS = 1_000_000;

const digests: Record<ScramMechanism, { hash: string; bytes: number }> = {
  "SCRAM-SHA512": { hash: "sha512", bytes: 64 },
  "SCRAM-SHA256": { hash: "sha256", bytes: 32 },
  "SCRAM-SHA1": { hash: "sha1", bytes: 20 },
};

const deriveKey = promisify(pbkdf2);

/**
 * One login. Call `first`, then `final` with the server's challenge, then `verify` with its last
 * word: a server that does not know the password's verifier is refused too.
 */
export class ScramClient {
  readonly #digest: { hash: string; bytes: number };
  readonly #password: string;
  readonly #nonce: string;
  readonly #firstBare: string;
  #serverSignature: Buffer | undefined;

  constructor(mechanism: ScramMechanism, username: string, password: string, random: Random) {
    this.#digest = digests[mechanism];
    this.#password = password;
    this.#nonce = Buffer.from(random.bytes(24)).toString("base64");
    this.#firstBare = `n=${escapeName(username)},r=${this.#nonce}`;
  }

  /** The client's first message. */
  first(): string {
    return `n,,${this.#firstBare}`;
  }

  /** The client's final message. Throws `unauthorized` for a challenge that is not one. */
  async final(challenge: string): Promise<string> {
    const fields = parseFields(challenge);
    const nonce = fields.get("r") ?? "";
    const salt = Buffer.from(fields.get("s") ?? "", "base64");
    const iterations = Number(fields.get("i"));
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) {
      throw refused("the nonce is not built on ours");
    }
    if (salt.length === 0) throw refused("there is no salt");
    if (!Number.isInteger(iterations) || iterations < 1 || iterations > MAX_SCRAM_ITERATIONS) {
      throw refused(`the iteration count is "${fields.get("i")}"`);
    }
    const { hash, bytes } = this.#digest;
    const salted = await deriveKey(this.#password, salt, iterations, bytes, hash);
    const clientKey = hmac(hash, salted, "Client Key");
    const storedKey = createHash(hash).update(clientKey).digest();
    const withoutProof = `c=biws,r=${nonce}`;
    const message = `${this.#firstBare},${challenge},${withoutProof}`;
    const signature = hmac(hash, storedKey, message);
    this.#serverSignature = hmac(hash, hmac(hash, salted, "Server Key"), message);
    const proof = clientKey.map((byte, at) => byte ^ (signature[at] as number));
    return `${withoutProof},p=${Buffer.from(proof).toString("base64")}`;
  }

  /** Checks the server's last word. Throws `unauthorized` when it does not know the password. */
  verify(outcome: string): void {
    const given = Buffer.from(parseFields(outcome).get("v") ?? "", "base64");
    const expected = this.#serverSignature;
    if (expected === undefined || given.length !== expected.length) throw refused("no signature");
    if (!timingSafeEqual(given, expected)) throw refused("the server's signature is wrong");
  }
}

function hmac(hash: string, key: Uint8Array, text: string): Buffer {
  return createHmac(hash, key).update(text).digest();
}

function escapeName(name: string): string {
  return name.replaceAll("=", "=3D").replaceAll(",", "=2C");
}

function parseFields(message: string): Map<string, string> {
  return new Map(
    message.split(",").map((field) => [field.slice(0, 1), field.slice(2)] as [string, string]),
  );
}

function refused(why: string): TidegateError {
  return new TidegateError(
    "unauthorized",
    `The Couchbase server's login answer is no good: ${why}.`,
  );
}
