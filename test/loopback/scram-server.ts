// The server's half of SCRAM, for the loopback node: the client's proof is checked for real.

import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import type { ScramMechanism } from "../../src/bucket/couchbase/connection/scram.ts";

const HASHES = {
  "SCRAM-SHA512": { hash: "sha512", bytes: 64 },
  "SCRAM-SHA256": { hash: "sha256", bytes: 32 },
  "SCRAM-SHA1": { hash: "sha1", bytes: 20 },
} as const;

const ITERATIONS = 4096;

/** One login at the server. */
export class ScramServer {
  readonly #hash: string;
  readonly #bytes: number;
  readonly #password: string;
  readonly #username: string;
  #salt = randomBytes(16);
  #transcript = "";
  #nonce = "";

  constructor(mechanism: ScramMechanism, username: string, password: string) {
    this.#hash = HASHES[mechanism].hash;
    this.#bytes = HASHES[mechanism].bytes;
    this.#username = username;
    this.#password = password;
  }

  /** The challenge for the client's first message; undefined for another user. */
  challenge(first: string): string | undefined {
    const bare = first.slice("n,,".length);
    const [name, nonce] = bare.split(",");
    if (name !== `n=${this.#username.replaceAll("=", "=3D").replaceAll(",", "=2C")}`) return;
    this.#nonce = `${nonce!.slice(2)}${randomBytes(12).toString("base64")}`;
    const challenge = `r=${this.#nonce},s=${this.#salt.toString("base64")},i=${ITERATIONS}`;
    this.#transcript = `${bare},${challenge}`;
    return challenge;
  }

  /** The server's signature when the client's proof holds; undefined otherwise. */
  outcome(final: string): string | undefined {
    const at = final.lastIndexOf(",p=");
    const proof = Buffer.from(final.slice(at + 3), "base64");
    const message = `${this.#transcript},${final.slice(0, at)}`;
    const salted = pbkdf2Sync(this.#password, this.#salt, ITERATIONS, this.#bytes, this.#hash);
    const clientKey = this.#hmac(salted, "Client Key");
    const stored = createHash(this.#hash).update(clientKey).digest();
    const signature = this.#hmac(stored, message);
    const given = Buffer.from(proof.map((byte, i) => byte ^ signature[i]!));
    if (given.length !== clientKey.length || !timingSafeEqual(given, clientKey)) return;
    if (!final.startsWith(`c=biws,r=${this.#nonce}`)) return;
    return `v=${this.#hmac(this.#hmac(salted, "Server Key"), message).toString("base64")}`;
  }

  #hmac(key: Uint8Array, text: string): Buffer {
    return createHmac(this.#hash, key).update(text).digest();
  }
}
