// Work for nothing: a token that is refused before its signature could be looked at takes as long as
// one whose signature is wrong.

import { Buffer } from "node:buffer";
import { type CryptoKey, compactVerify, importJWK } from "jose";

/** A key that belongs to nobody: its private half was thrown away. */
const NOBODY = {
  kty: "EC",
  crv: "P-256",
  x: "Gnp-A2mqSgl1kX0BGZcGMCNCRW_PwFhRiiE9fKIcQF4",
  y: "sftVQ4RHVcn_DXnBBwYJS9pU_MNoDSPp2PuHx0vQJiw",
} as const;

const HEADER = Buffer.from('{"alg":"ES256"}').toString("base64url");

/** A signature that is well-formed and wrong. */
const SIGNATURE = Buffer.alloc(64, 1).toString("base64url");

let imported: Promise<CryptoKey> | undefined;

/** Verifies something of a token's length in vain. */
export async function verifyInVain(token: string): Promise<void> {
  const payload = token.replace(/[^\w-]/g, "").slice(0, 8192);
  imported ??= importJWK(NOBODY, "ES256");
  const key = await imported;
  // It cannot be right: there is nothing to tell.
  await compactVerify(`${HEADER}.${payload}.${SIGNATURE}`, key).catch(() => {});
}
