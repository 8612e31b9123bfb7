// Whether a token is good: its signature by a key of its issuer, its time, and whom it is for. What it
// says of its user is `claims.ts`; what becomes of the user is `token-logins.ts`.

import { type CryptoKey, decodeJwt, decodeProtectedHeader, errors, jwtVerify } from "jose";
import type { JsonObject } from "../../base/json.ts";
import { ALGORITHMS } from "../../config/token-keys.ts";
import type { Time } from "../../runtime/time.ts";
import { TokenRejected } from "./claims.ts";
import { verifyInVain } from "./decoy.ts";
import type { TokenIssuer } from "./issuers.ts";
import type { VerificationKey } from "./keys.ts";
import { CLOCK_TOLERANCE_SECONDS, MAX_KEYS_TRIED, MAX_TOKEN_CHARACTERS } from "./limits.ts";

/** A token that is good. */
export interface VerifiedToken {
  readonly issuer: TokenIssuer;
  /** By which key: when the issuer has it no more, the token is good no more. */
  readonly signedBy: SignedBy;
  readonly claims: JsonObject;
  /** When its time is over. */
  readonly expiresMs: number;
}

/** How a token was signed. */
export interface SignedBy {
  readonly algorithm: string;
  readonly kid: string | undefined;
  readonly key: VerificationKey;
}

/** A JOSE algorithm that is known here; never `none`. */
type Algorithm = (typeof ALGORITHMS)[number];

/** What tokens for logging in call themselves; others of the same issuer are for something else. */
const TYPES: readonly (string | undefined)[] = [undefined, "jwt", "at+jwt"];

/** What an unverified token says of itself. */
interface Said {
  readonly algorithm: Algorithm;
  readonly kid: string | undefined;
  readonly issuer: TokenIssuer;
}

/**
 * Verifies a token. One that is refused costs one look at a signature, whatever is wrong with it.
 *
 * @param issuers who may have issued it: the first whose `iss` and `aud` it has
 * @throws TokenRejected when anything is wrong with it
 * @throws TidegateError `unavailable` when the keys cannot be had
 */
export async function verifyToken(
  token: string,
  issuers: readonly TokenIssuer[],
  time: Time,
): Promise<VerifiedToken> {
  const looked = { at: false };
  try {
    const said = whatItSays(token, issuers);
    const { algorithm, kid } = said;
    const { keys } = said.issuer;
    const found = await keys.find(algorithm, kid);
    if (found.length === 0) throw new TokenRejected("no key of its issuer fits it");
    const tryAll = async (some: typeof found) => {
      for (const key of some.slice(0, MAX_KEYS_TRIED)) {
        const imported = await usable(key, algorithm);
        if (imported === undefined) continue;
        looked.at = true;
        const verified = await tryKey(token, imported, said, time);
        if (verified) return { ...verified, signedBy: { algorithm, kid, key } };
      }
    };
    const verified =
      (await tryAll(found)) ?? (await tryAll(await keys.others(algorithm, kid, found)));
    if (verified) return verified;
    throw new TokenRejected("its signature is wrong, or its key cannot be used");
  } catch (error) {
    if (!looked.at) await verifyInVain(token);
    throw error;
  }
}

/** Undefined: this runtime cannot use the key, though it looks right. */
async function usable(key: VerificationKey, algorithm: Algorithm) {
  try {
    return await key.import(algorithm);
  } catch {
    // The issuer's fault: its tokens are refused as those of a key that is not there.
    return undefined;
  }
}

/** Reads what is not verified yet: only to choose the key. */
function whatItSays(token: string, issuers: readonly TokenIssuer[]): Said {
  if (token.length > MAX_TOKEN_CHARACTERS) throw new TokenRejected("it is too long");
  const { header, claims } = decoded(token);
  const algorithm = ALGORITHMS.find((name) => name === header.alg);
  if (algorithm === undefined) throw new TokenRejected("its algorithm is not taken");
  const type = header.typ?.toLowerCase().replace(/^application\//, "");
  if (!TYPES.includes(type)) throw new TokenRejected("its typ is not one of a login");
  const { iss, aud } = claims;
  const meant = Array.isArray(aud) ? aud : [aud];
  const ofIssuer = issuers.filter(({ issuer }) => issuer === iss);
  if (ofIssuer.length === 0) throw new TokenRejected("its iss is not known");
  const issuer = ofIssuer.find(({ audience }) => meant.some((one) => audience.includes(one ?? "")));
  if (issuer === undefined) throw new TokenRejected("its aud is somebody else");
  const kid = typeof header.kid === "string" ? header.kid : undefined;
  return { algorithm, kid, issuer };
}

function decoded(token: string) {
  try {
    return { header: decodeProtectedHeader(token), claims: decodeJwt(token) };
  } catch (error) {
    throw new TokenRejected("it is no JSON Web Token", { cause: error });
  }
}

/** Undefined: the signature is not of this key. */
async function tryKey(
  token: string,
  key: CryptoKey | Uint8Array,
  { algorithm, issuer }: Said,
  time: Time,
): Promise<Omit<VerifiedToken, "signedBy"> | undefined> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [algorithm],
      issuer: issuer.issuer,
      audience: [...issuer.audience],
      requiredClaims: ["exp"],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      currentDate: new Date(time.nowMs()),
    });
    const { exp = 0, iat } = payload;
    const nowSeconds = time.nowMs() / 1000;
    if (iat !== undefined && !(iat <= nowSeconds + CLOCK_TOLERANCE_SECONDS)) {
      throw new TokenRejected("it was issued in the future");
    }
    const expiresMs = (exp + CLOCK_TOLERANCE_SECONDS) * 1000;
    return { issuer, claims: payload as JsonObject, expiresMs };
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return undefined;
    if (error instanceof TokenRejected) throw error;
    if (error instanceof errors.JOSEError) throw new TokenRejected(error.message, { cause: error });
    throw error;
  }
}
