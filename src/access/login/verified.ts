// Passwords that were found right a moment ago, so that basic auth on every request costs no scrypt.
// Kept as a keyed hash of name and password; the key is this process's and nowhere else.

import { createHmac } from "node:crypto";
import type { Random } from "../../runtime/random.ts";
import { BoundedMap } from "../bounded-map.ts";
import type { UserRecord } from "../principals/records.ts";

/** Pairs of name and password that are remembered. */
export const MAX_VERIFIED = 20_000;

/** Remembers which passwords were right, of one database. */
export class VerifiedPasswords {
  readonly #key: Uint8Array;
  /** keyed hash of name and password -> the password hash that it was checked against. */
  readonly #verified = new BoundedMap<string, string>(MAX_VERIFIED);

  constructor(random: Random) {
    this.#key = random.bytes(32);
  }

  /** Remembers that `password` is the right one of `user`. */
  add(user: UserRecord, password: string): void {
    if (user.passwordHash === undefined) return;
    this.#verified.set(this.#digest(user.name, password), user.passwordHash);
  }

  /** Whether it is remembered, and the user's password was not changed since. */
  has(user: UserRecord, password: string): boolean {
    if (user.passwordHash === undefined) return false;
    return this.#verified.get(this.#digest(user.name, password)) === user.passwordHash;
  }

  #digest(name: string, password: string): string {
    // A name has no NUL, so no other pair gives the same text.
    const text = `${name}\0${password.normalize("NFC")}`;
    return createHmac("sha256", this.#key).update(text).digest("base64");
  }
}
