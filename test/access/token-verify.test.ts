// Tokens by themselves: what is taken, and everything that is refused, whatever else is right with it.

import { beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { createHmac, createPublicKey } from "node:crypto";
import { base64url, exportSPKI, importJWK, SignJWT } from "jose";
import { bearerIssuer } from "../../src/access/tokens/issuers.ts";
import { verifyToken } from "../../src/access/tokens/verify.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { silentLog } from "../../src/base/log.ts";
import { ALGORITHMS } from "../../src/config/token-keys.ts";
import { tokensSchema } from "../../src/config/token-schema.ts";
import { systemTime, type Time } from "../../src/runtime/time.ts";
import { inSeconds, type SigningKey, signingKey } from "./provider.ts";
import { AUD, good, ISS, OCT, refusal, SECRET, type Settings } from "./token-support.ts";

setDefaultTimeout(30_000);

let rsa: SigningKey;
let another: SigningKey;
beforeAll(async () => {
  rsa = await signingKey("rsa");
  another = await signingKey("rsa");
});

function issuersOf(...given: Settings[]) {
  const whole = given.map((one, at) => ({ name: `i${at}`, issuer: ISS, audience: AUD, ...one }));
  const parts = { time: systemTime(), log: silentLog };
  return tokensSchema.parse(whole).map((one) => bearerIssuer(one, parts));
}

function verify(token: string, settings: Settings, time: Time = systemTime()) {
  return verifyToken(token, issuersOf(settings), time);
}

function sign(claims: JsonObject, key = rsa, header: object = {}): Promise<string> {
  const { alg, kid, privateKey } = key;
  return new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);
}

/** A token put together by hand, as an attacker does. */
function handmade(header: object, claims: JsonObject, signature: string | Uint8Array): string {
  const parts = [header, claims].map((part) => base64url.encode(JSON.stringify(part)));
  return `${parts.join(".")}.${base64url.encode(signature)}`;
}

const trusting = () => ({ keys: [rsa.publicJwk] });

describe("a token is taken", () => {
  for (const alg of ALGORITHMS.filter((name) => !name.startsWith("HS"))) {
    test(`that is signed with ${alg}, by a JWK`, async () => {
      const key = await signingKey("k", alg);
      const verified = await verify(await sign(good(), key), { keys: [key.publicJwk] });
      expect(verified.claims.sub).toBe("ann");
      expect(verified.expiresMs / 1000 - inSeconds(0)).toBeWithin(320, 332);
    });
  }

  test("by a PEM key, and by a set of keys", async () => {
    const pem = await exportSPKI((await importJWK(rsa.publicJwk, "RS256")) as never);
    const token = await sign(good());
    expect((await verify(token, { keys: [pem] })).claims.sub).toBe("ann");
    expect((await verify(token, { keys: { keys: [rsa.publicJwk] } })).claims.sub).toBe("ann");
  });

  test("without kid, by whichever of the keys it is of", async () => {
    const keys = [another, rsa].map(({ publicJwk: { kid: _, ...jwk } }) => jwk);
    const token = await sign(good(), rsa, { kid: undefined });
    expect((await verify(token, { keys })).claims.sub).toBe("ann");
  });

  test("by a secret, when the settings have one", async () => {
    const token = await new SignJWT(good()).setProtectedHeader({ alg: "HS256" }).sign(SECRET);
    expect((await verify(token, { keys: [OCT] })).claims.sub).toBe("ann");
  });

  test("for one of several audiences, and of the issuer that has that audience", async () => {
    const issuers = issuersOf(
      { name: "a", audience: ["x"], ...trusting() },
      { name: "b", audience: ["y", AUD], ...trusting() },
    );
    const token = await sign(good({ aud: ["z", AUD] }));
    expect((await verifyToken(token, issuers, systemTime())).issuer.name).toBe("b");
  });

  test("a little after its end and before its beginning: clocks differ", async () => {
    const late = good({ exp: inSeconds(-20) });
    expect(await refusal(verify(await sign(late), trusting()))).toBeUndefined();
    const early = good({ nbf: inSeconds(20), iat: inSeconds(20) });
    expect(await refusal(verify(await sign(early), trusting()))).toBeUndefined();
  });
});

describe("a token is refused", () => {
  const wrongClaims: [string, () => JsonObject, RegExp][] = [
    ["that is expired", () => ({ exp: inSeconds(-40) }), /exp/],
    ["without an end", () => ({ exp: null }), /exp/],
    ["whose end is a text", () => ({ exp: "2099" }), /exp/],
    ["that is not good yet", () => ({ nbf: inSeconds(40) }), /nbf/],
    ["that was issued in the future", () => ({ iat: inSeconds(60) }), /issued in the future/],
    ["of another issuer", () => ({ iss: "https://evil.example" }), /iss is not known/],
    ["of an issuer with a slash more", () => ({ iss: `${ISS}/` }), /iss is not known/],
    ["without issuer", () => ({ iss: null }), /iss is not known/],
    ["for another audience", () => ({ aud: "other" }), /aud is somebody else/],
    ["for no audience", () => ({ aud: null }), /aud is somebody else/],
    ["for an empty list of audiences", () => ({ aud: [] }), /aud is somebody else/],
  ];
  for (const [what, claims, reason] of wrongClaims) {
    test(what, async () => {
      const all = Object.entries(good(claims())).filter(([, value]) => value !== null);
      const token = await sign(Object.fromEntries(all));
      expect(await refusal(verify(token, trusting()))).toMatch(reason);
    });
  }

  test("whose signature is of another key with the same kid", async () => {
    expect(await refusal(verify(await sign(good(), another), trusting()))).toMatch(/signature/);
  });

  test("that was changed after it was signed", async () => {
    const [header, , signature] = (await sign(good())).split(".");
    const forged = [header, base64url.encode(JSON.stringify(good({ sub: "bob" }))), signature];
    expect(await refusal(verify(forged.join("."), trusting()))).toMatch(/signature/);
  });

  test("that differs from one that is good in any letter of what is signed", async () => {
    const token = await sign(good());
    const issuers = issuersOf(trusting());
    for (let at = 0; at < token.lastIndexOf("."); at++) {
      const letter = token[at] === "A" ? "B" : "A";
      const changed = token.slice(0, at) + letter + token.slice(at + 1);
      const refused = await refusal(verifyToken(changed, issuers, systemTime()));
      expect([at, refused]).toEqual([at, expect.any(String)]);
    }
  });

  test("without a signature, however alg=none is written", async () => {
    for (const alg of ["none", "None", "NONE", "nOnE", "", undefined]) {
      for (const signature of ["", "x"]) {
        const token = handmade({ alg, kid: "rsa" }, good(), signature);
        expect(await refusal(verify(token, trusting()))).toMatch(/algorithm/);
      }
    }
    const empty = handmade({ alg: "RS256", kid: "rsa" }, good(), "");
    expect(await refusal(verify(empty, trusting()))).toMatch(/signature|Signature/);
  });

  test("that is signed with the public key as if it were a secret", async () => {
    const pem = await exportSPKI((await importJWK(rsa.publicJwk, "RS256")) as never);
    const der = createPublicKey(pem).export({ type: "spki", format: "der" });
    const secrets = [pem, pem.trim(), der, JSON.stringify(rsa.publicJwk), String(rsa.publicJwk.n)];
    for (const settings of [trusting(), { keys: [pem] }, { keys: [rsa.publicJwk, OCT] }]) {
      for (const secret of secrets) {
        for (const kid of ["rsa", undefined]) {
          const bare = handmade({ alg: "HS256", kid }, good(), "").slice(0, -1);
          const mac = createHmac("sha256", secret).update(bare).digest();
          const token = handmade({ alg: "HS256", kid }, good(), mac);
          expect(await refusal(verify(token, settings))).toMatch(/no key|signature/);
        }
      }
    }
  });

  test("that brings its own key, or says where to fetch one", async () => {
    for (const header of [
      { jwk: another.publicJwk },
      { jku: "https://evil.example/keys", kid: "evil" },
      { x5u: "https://evil.example/cert", kid: "evil" },
    ]) {
      const token = await sign(good(), another, header);
      expect(await refusal(verify(token, trusting()))).toMatch(/signature|no key/);
    }
  });

  test("with an algorithm that the settings do not name, or a key is not for", async () => {
    const key = await signingKey("rsa", "RS512");
    const token = await sign(good(), key);
    const { alg: _, ...jwk } = key.publicJwk;
    expect(await refusal(verify(token, { keys: [jwk] }))).toBeUndefined();
    const others = [{ keys: [jwk], algorithms: ["RS256"] }, { keys: [{ ...jwk, alg: "RS256" }] }];
    for (const settings of [
      ...others,
      { keys: [{ ...jwk, alg: "RS512" }, OCT], algorithms: ["HS256"] },
    ]) {
      expect(await refusal(verify(token, settings))).toMatch(/no key/);
    }
  });

  test("with a header that must be understood and is not", async () => {
    const token = handmade({ alg: "RS256", kid: "rsa", crit: ["x"], x: 1 }, good(), "xx");
    expect(await refusal(verify(token, trusting()))).toMatch(/"x"|crit/);
  });

  test("that is for something else than logging in", async () => {
    for (const typ of ["logout+jwt", "dpop+jwt", "application/secevent+jwt"]) {
      expect(await refusal(verify(await sign(good(), rsa, { typ }), trusting()))).toMatch(/typ/);
    }
    for (const typ of ["JWT", "at+jwt", "application/at+jwt"]) {
      const token = await sign(good(), rsa, { typ });
      expect(await refusal(verify(token, trusting()))).toBeUndefined();
    }
  });

  test("at the cost of one signature, whatever is wrong with it", async () => {
    const wrong = [
      "no token",
      handmade({ alg: "none" }, good(), ""),
      await sign(good({ iss: "https://evil.example" })),
      await sign(good({ aud: "other" })),
      await sign(good(), { ...rsa, kid: "unknown" }),
      await sign(good(), another),
      await sign(good({ exp: inSeconds(-40) })),
    ];
    for (const token of wrong) {
      const looks = spyOn(crypto.subtle, "verify");
      expect(await refusal(verify(token, trusting()))).toBeString();
      expect([token, looks.mock.calls.length]).toEqual([token, 1]);
      looks.mockRestore();
    }
  });

  test("that is no token", async () => {
    const token = await sign(good());
    const [header, claims, signature] = token.split(".") as [string, string, string];
    const notTokens = [
      ...[
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        token.slice(1),
        `${token}.x`,
        `${header}.${claims}`,
      ],
      ...[`${header}.${base64url.encode("[1]")}.${signature}`, `${header}..${signature}`],
      ...[`${base64url.encode("null")}.${claims}.${signature}`, `${token.slice(0, -4)}AAAA`],
      `${header}.${"A".repeat(20_000)}.${signature}`,
    ];
    for (const text of notTokens) {
      expect([text, await refusal(verify(text, trusting()))]).toEqual([text, expect.any(String)]);
    }
  });
});
