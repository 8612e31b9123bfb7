// What the tests of tokens share: claims that are good, and why a token was refused.

import { TokenRejected } from "../../src/access/tokens/claims.ts";
import type { VerifiedToken } from "../../src/access/tokens/verify.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { inSeconds } from "./provider.ts";

export const ISS = "https://issuer.example";
export const AUD = "notes";
export const SECRET = Buffer.alloc(32, "s");
export const OCT = { kty: "oct", k: SECRET.toString("base64url") };

/** Claims of a token that is good. */
export const good = (more: JsonObject = {}): JsonObject => ({
  iss: ISS,
  aud: AUD,
  sub: "ann",
  iat: inSeconds(0),
  exp: inSeconds(300),
  ...more,
});

export type Settings = Record<string, unknown>;

/** Why a token is refused; undefined when it is taken. */
export async function refusal(verifying: Promise<VerifiedToken>): Promise<string | undefined> {
  try {
    await verifying;
    return undefined;
  } catch (error) {
    if (error instanceof TokenRejected) return error.message;
    throw error;
  }
}
