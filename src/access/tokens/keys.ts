// The keys of an issuer: which of them may verify a token. They stand in the settings, or come from
// the issuer's address and change there.

import { type CryptoKey, importJWK, type JWK } from "jose";
import type { JsonObject } from "../../base/json.ts";
import { algorithmsOf, isShared, type Jwk, jwkOf } from "../../config/token-keys.ts";
import { MAX_REMOTE_KEYS } from "./limits.ts";
import type { Refreshed } from "./refreshed.ts";

/** A key, and what it may be used for. */
export class VerificationKey {
  readonly kid: string | undefined;
  readonly #jwk: Jwk;
  readonly #algorithms: readonly string[];
  readonly #imported = new Map<string, Promise<CryptoKey | Uint8Array>>();

  constructor(jwk: Jwk, algorithms: readonly string[]) {
    this.kid = jwk.kid;
    this.#jwk = jwk;
    this.#algorithms = algorithms;
  }

  /** Whether it may verify a token that says so. A token without `kid` may be of any key. */
  fits(algorithm: string, kid: string | undefined): boolean {
    if (!this.#algorithms.includes(algorithm)) return false;
    return kid === undefined || this.kid === undefined || kid === this.kid;
  }

  /** The key for this algorithm alone. */
  import(algorithm: string): Promise<CryptoKey | Uint8Array> {
    const known = this.#imported.get(algorithm);
    if (known) return known;
    const { key_ops: _, ...jwk } = this.#jwk;
    const importing = importJWK(jwk as JWK, algorithm) as Promise<CryptoKey | Uint8Array>;
    this.#imported.set(algorithm, importing);
    return importing;
  }
}

/** Where the keys of an issuer come from. */
export interface KeySource {
  /** The keys that may verify such a token. Throws `unavailable` when they cannot be had. */
  find(algorithm: string, kid: string | undefined): Promise<readonly VerificationKey[]>;
  /**
   * Keys beside those that were tried in vain: the issuer may have new ones without saying so by a
   * new `kid`.
   */
  others(
    algorithm: string,
    kid: string | undefined,
    tried: readonly VerificationKey[],
  ): Promise<readonly VerificationKey[]>;
}

/**
 * Keys of the settings.
 *
 * @param algorithms the only ones taken; undefined: all that the keys are for
 */
export function fixedKeys(
  given: readonly (string | Jwk)[],
  algorithms: readonly string[] | undefined,
): KeySource {
  const keys = given.flatMap((one) => {
    const jwk = jwkOf(one);
    return "problem" in jwk ? [] : verificationKey(jwk as Jwk, algorithms);
  });
  return { find: async (algorithm, kid) => fitting(keys, algorithm, kid), others: async () => [] };
}

/** Keys of a JWK set that an issuer has at an address. A key that is not there is asked for. */
export function remoteKeys(source: Refreshed<readonly VerificationKey[]>): KeySource {
  return {
    async find(algorithm, kid) {
      const found = fitting(await source.get(), algorithm, kid);
      return found.length > 0 ? found : fitting(await source.again(), algorithm, kid);
    },
    async others(algorithm, kid, tried) {
      if (tried.some((key) => key.kid !== undefined && key.kid === kid)) return [];
      const found = fitting(await source.again(), algorithm, kid);
      return found.filter((key) => !tried.includes(key));
    },
  };
}

/**
 * The public keys of a JWK set from elsewhere; keys of other kinds are left out, and so are secrets,
 * which nobody should publish.
 */
export function keysOfSet(
  set: JsonObject,
  algorithms: readonly string[] | undefined,
): readonly VerificationKey[] {
  if (!Array.isArray(set.keys)) throw new Error("no JWK set: it has no keys");
  return set.keys.slice(0, MAX_REMOTE_KEYS).flatMap((one) => {
    if (typeof one !== "object" || one === null || Array.isArray(one)) return [];
    const { kty, kid, alg, use } = one;
    const isText = [kid, alg, use].every((text) => text === undefined || typeof text === "string");
    if (typeof kty !== "string" || kty === "oct" || !isText) return [];
    const jwk = jwkOf(one as Jwk);
    return "problem" in jwk ? [] : verificationKey(jwk as Jwk, algorithms);
  });
}

function verificationKey(
  jwk: Jwk,
  algorithms: readonly string[] | undefined,
): readonly VerificationKey[] {
  const allowed = algorithmsOf(jwk).filter((name) => algorithms?.includes(name) ?? true);
  // Belt and braces: a secret is for no algorithm of public keys, and the other way round.
  const sure = allowed.filter((name) => isShared(name) === (jwk.kty === "oct"));
  return sure.length > 0 ? [new VerificationKey(jwk, sure)] : [];
}

function fitting(
  keys: readonly VerificationKey[],
  algorithm: string,
  kid: string | undefined,
): readonly VerificationKey[] {
  return keys.filter((key) => key.fits(algorithm, kid));
}
