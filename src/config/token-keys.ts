// Keys that tokens are verified with, as the settings give them: JWKs and PEM texts, and which
// algorithms each is for. What verifies with them is src/access/tokens/.

import { Buffer } from "node:buffer";
import { createPublicKey } from "node:crypto";

/** The signature algorithms that are known, by JOSE's names. */
export const ALGORITHMS = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
  ...["HS256", "HS384", "HS512"],
] as const;

/** A JSON Web Key: a public key, or a shared secret (`oct`). */
export interface Jwk {
  readonly kty: string;
  readonly kid?: string | undefined;
  readonly alg?: string | undefined;
  readonly use?: string | undefined;
  readonly [member: string]: unknown;
}

/** Bits of an RSA modulus, at least (RFC 7518). */
const MIN_RSA_BITS = 2048;

/** Algorithms by key type, and by curve where there is one. Never one algorithm for two types. */
const BY_TYPE: ReadonlyMap<string, readonly string[]> = new Map([
  ["RSA", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]],
  ["EC P-256", ["ES256"]],
  ["EC P-384", ["ES384"]],
  ["EC P-521", ["ES512"]],
  ["OKP Ed25519", ["EdDSA", "Ed25519"]],
  ["oct", ["HS256", "HS384", "HS512"]],
]);

/** Bytes of a shared secret, at least: those of the hash (RFC 7518). */
const SECRET_BYTES: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };

/** Whether the algorithm works with a shared secret. */
export function isShared(algorithm: string): boolean {
  return algorithm.startsWith("HS");
}

/**
 * The algorithms that a key may be used for: those of its type, of them the one that it names, none
 * when it is for something else than signatures, or too weak.
 */
export function algorithmsOf(jwk: Jwk): readonly string[] {
  const { kty, alg, use, key_ops: operations, crv } = jwk;
  if (use !== undefined && use !== "sig") return [];
  if (Array.isArray(operations) && !operations.includes("verify")) return [];
  const type = kty === "RSA" || kty === "oct" ? kty : `${kty} ${String(crv)}`;
  const fitting = (BY_TYPE.get(type) ?? []).filter((name) => alg === undefined || alg === name);
  if (kty === "RSA") return bytesIn(jwk.n) * 8 >= MIN_RSA_BITS ? fitting : [];
  if (kty !== "oct") return fitting;
  const secret = bytesIn(jwk.k);
  return fitting.filter((name) => secret >= (SECRET_BYTES[name] ?? Infinity));
}

function bytesIn(base64url: unknown): number {
  return typeof base64url === "string" ? Buffer.from(base64url, "base64url").length : 0;
}

/**
 * A key of the settings as a JWK.
 *
 * @param key a JWK, or the PEM text of a public key or a certificate
 * @returns `problem`: what is wrong with it, without what it says
 */
export function jwkOf(key: string | Jwk): Jwk | { readonly problem: string } {
  const jwk = typeof key === "string" ? fromPem(key) : key;
  if (jwk === undefined) return { problem: "a PEM public key or certificate, or a JWK" };
  if ("d" in jwk || "p" in jwk || "priv" in jwk) return { problem: "a public key, not a private" };
  if (algorithmsOf(jwk).length > 0 && isReadable(jwk)) return jwk;
  return {
    problem:
      `an RSA key of ${MIN_RSA_BITS} bits or more, an EC key (P-256, P-384, P-521), an Ed25519 key, ` +
      "or an oct key of 32 bytes or more; for signatures",
  };
}

function fromPem(pem: string): Jwk | undefined {
  if (!/-----BEGIN (PUBLIC KEY|RSA PUBLIC KEY|CERTIFICATE)-----/.test(pem)) return undefined;
  try {
    return createPublicKey(pem).export({ format: "jwk" }) as Jwk;
  } catch {
    // The problem is said in words by who asks; what came may be anything.
    return undefined;
  }
}

function isReadable(jwk: Jwk): boolean {
  if (jwk.kty === "oct") return true;
  try {
    createPublicKey({ key: jwk as JsonWebKey, format: "jwk" });
    return true;
  } catch {
    // As above.
    return false;
  }
}
