// What a browser keeps for us between the way to a provider and the way back: sealed, so that nobody
// reads or changes it, and good for a short time. Layout, as base64url:
//
//   1  version, 1
//  12  nonce
//   n  AES-256-GCM of the JSON, bound to the version and to the database's name
//  16  tag

import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv } from "node:crypto";
import type { Json, JsonObject } from "../../../base/json.ts";
import type { Random } from "../../../runtime/random.ts";

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** The longest sealed text that is looked at. */
const MAX_SEALED_CHARACTERS = 4000;

/** Makes a key for {@link Seal}. */
export function newSealKey(random: Random): Uint8Array {
  return random.bytes(KEY_BYTES);
}

/** Whether `bytes` can be a key for {@link Seal}. */
export function isSealKey(bytes: Uint8Array): boolean {
  return bytes.length === KEY_BYTES;
}

/** Seals and opens with one key. */
export class Seal {
  readonly #key: Uint8Array;
  readonly #bound: Uint8Array;
  readonly #random: Random;

  /** @param purpose what is sealed for one purpose is not opened for another */
  constructor(key: Uint8Array, purpose: string, random: Random) {
    this.#key = key;
    this.#bound = Buffer.from(`${VERSION}\n${purpose}`);
    this.#random = random;
  }

  /** The sealed text of `value`. */
  close(value: JsonObject): string {
    const nonce = this.#random.bytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(this.#bound);
    const inside = [cipher.update(JSON.stringify(value), "utf8"), cipher.final()];
    const parts = [Uint8Array.of(VERSION), nonce, ...inside, cipher.getAuthTag()];
    return Buffer.concat(parts).toString("base64url");
  }

  /** What was sealed; undefined when this is nothing that was sealed with this key. */
  open(text: string): JsonObject | undefined {
    if (text.length > MAX_SEALED_CHARACTERS) return undefined;
    const bytes = Buffer.from(text, "base64url");
    const end = bytes.length - TAG_BYTES;
    if (bytes[0] !== VERSION || end < 1 + NONCE_BYTES) return undefined;
    const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
    const cipher = createDecipheriv("aes-256-gcm", this.#key, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(this.#bound);
    cipher.setAuthTag(bytes.subarray(end));
    try {
      const inside = [cipher.update(bytes.subarray(1 + NONCE_BYTES, end)), cipher.final()];
      return asObject(JSON.parse(Buffer.concat(inside).toString("utf8")) as Json);
    } catch {
      // Somebody changed it, or it is of another database: which is nobody's business.
      return undefined;
    }
  }
}

function asObject(value: Json): JsonObject | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
}
