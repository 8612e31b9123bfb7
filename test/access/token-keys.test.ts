// Keys that an issuer publishes: fetched, kept, fetched again; and answers that are none.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { SignJWT } from "jose";
import { subjectOf } from "../../src/access/tokens/claims.ts";
import { bearerIssuer } from "../../src/access/tokens/issuers.ts";
import { KnownTokens } from "../../src/access/tokens/known-tokens.ts";
import { verifyToken } from "../../src/access/tokens/verify.ts";
import { silentLog } from "../../src/base/log.ts";
import { tokensSchema } from "../../src/config/token-schema.ts";
import { systemTime, type Time } from "../../src/runtime/time.ts";
import { type SigningKey, signingKey, TestProvider } from "./provider.ts";
import { AUD, good, OCT, refusal, SECRET, type Settings } from "./token-support.ts";

setDefaultTimeout(30_000);

describe("keys at an issuer's address", () => {
  let provider: TestProvider;
  let rsa: SigningKey;
  let another: SigningKey;
  const shifted = { ms: 0 };
  const real = systemTime();
  const time: Time = {
    ...real,
    monotonicMs: () => performance.now() + shifted.ms,
    after: (ms, run) => real.after(ms / 50, run),
  };
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_: object, message: string) => void warnings.push(message) };

  beforeAll(async () => {
    provider = await TestProvider.start();
    rsa = await signingKey("rsa");
    another = await signingKey("rsa");
  });
  afterAll(() => provider?.stop());

  function issuers(more: Settings) {
    const one = { name: "p", issuer: provider.issuer, audience: AUD, ...more };
    return tokensSchema.parse([one]).map((given) => bearerIssuer(given, { time, log }));
  }
  const byUri = () => issuers({ jwksUri: `${provider.issuer}/keys` });
  const token = (key?: SigningKey) => provider.sign({ aud: AUD, sub: "ann" }, key);

  test("are fetched once for many tokens, by discovery or by their address", async () => {
    for (const trusted of [byUri(), issuers({ discovery: true })]) {
      const before = provider.count("/keys");
      const one = await token();
      const all = Array.from({ length: 50 }, () => verifyToken(one, trusted, time));
      expect((await Promise.all(all)).length).toBe(50);
      await verifyToken(await token(), trusted, time);
      expect(provider.count("/keys") - before).toBe(1);
    }
  });

  test("are fetched again when a token names one that is new, and old ones end", async () => {
    const trusted = byUri();
    const old = await token();
    await verifyToken(old, trusted, time);
    await provider.rotate("second", "ES256");
    shifted.ms += 31_000;
    expect((await verifyToken(await token(), trusted, time)).claims.sub).toBe("ann");
    expect(await refusal(verifyToken(old, trusted, time))).toMatch(/no key/);
  });

  test("are fetched again when they are old, though every token is of a known key", async () => {
    const trusted = byUri();
    const held = await token();
    await verifyToken(held, trusted, time);
    await provider.rotate("third");
    expect(await refusal(verifyToken(held, trusted, time))).toBeUndefined();
    shifted.ms += 601_000;
    expect(await refusal(verifyToken(held, trusted, time))).toMatch(/no key/);
  });

  test("are fetched again when they have no names, and a token is of none of them", async () => {
    const trusted = byUri();
    const nameless = async (key: SigningKey) => {
      const { kid: _, ...jwk } = key.publicJwk;
      provider.instead.set("/keys", () => Response.json({ keys: [jwk] }));
      return new SignJWT(good({ iss: provider.issuer }))
        .setProtectedHeader({ alg: key.alg })
        .sign(key.privateKey);
    };
    const before = provider.count("/keys");
    await verifyToken(await nameless(rsa), trusted, time);
    const next = await nameless(another);
    expect(await refusal(verifyToken(next, trusted, time))).toMatch(/signature/);
    shifted.ms += 31_000;
    expect(await refusal(verifyToken(next, trusted, time))).toBeUndefined();
    expect(provider.count("/keys") - before).toBe(2);
    provider.instead.clear();
  });

  test("are asked after for tokens that are known to be good, too", async () => {
    const trusted = byUri();
    const now = { ms: Date.now() };
    const known = new KnownTokens({ ...time, nowMs: () => now.ms });
    const held = await token();
    const verified = await verifyToken(held, trusted, time);
    known.add(held, verified, subjectOf(verified));
    expect(await known.find(held)).toMatchObject({ name: "p_ann", register: false });
    expect(await known.find(`${held}x`)).toBeUndefined();
    // The key is the same, but it is not known that it is: it is verified again.
    shifted.ms += 601_000;
    expect(await known.find(held)).toBeUndefined();
    const again = await verifyToken(held, trusted, time);
    known.add(held, again, subjectOf(again));
    expect(await known.find(held)).toBeDefined();
    await provider.rotate("fourth");
    shifted.ms += 601_000;
    expect(await known.find(held)).toBeUndefined();
    expect(await refusal(verifyToken(held, trusted, time))).toMatch(/no key/);
  });

  test("do not keep a token that is known to be good beyond its time", async () => {
    const trusted = byUri();
    const now = { ms: Date.now() };
    const known = new KnownTokens({ ...time, nowMs: () => now.ms });
    const held = await token();
    const verified = await verifyToken(held, trusted, time);
    known.add(held, verified, subjectOf(verified));
    now.ms = verified.expiresMs - 1;
    expect(await known.find(held)).toBeDefined();
    now.ms = verified.expiresMs;
    expect(await known.find(held)).toBeUndefined();
    const long = await provider.sign({ aud: AUD, sub: "ann", more: "x".repeat(5000) });
    const large = await verifyToken(long, trusted, time);
    known.add(long, large, subjectOf(large));
    now.ms = Date.now();
    expect(await known.find(long)).toBeUndefined();
  });

  test("are not asked for by a storm of tokens with unknown keys", async () => {
    const trusted = byUri();
    await verifyToken(await token(), trusted, time);
    const before = provider.count("/keys");
    const storm = async () => {
      for (let i = 0; i < 20; i++) {
        const fakes = Array.from({ length: 10 }, (_, at) => signedAs(`fake-${i}-${at}`));
        for (const fake of await Promise.all(fakes)) {
          expect(await refusal(verifyToken(fake, trusted, time))).toMatch(/no key/);
        }
      }
    };
    await storm();
    expect(provider.count("/keys") - before).toBe(0);
    shifted.ms += 31_000;
    await storm();
    expect(provider.count("/keys") - before).toBe(1);
  });

  const signedAs = (kid: string) => token({ ...provider.keys[0]!, kid });

  test("that cannot be had make a 503, not a 401; those that are known go on for a while", async () => {
    const trusted = byUri();
    const fresh = byUri();
    const good = await token();
    await verifyToken(good, trusted, time);
    shifted.ms += 601_000;
    for (const [what, answer] of broken()) {
      shifted.ms += 6000;
      warnings.length = 0;
      provider.instead.set("/keys", answer);
      provider.instead.set("/moved", () => Response.json({ keys: [provider.keys[0]?.publicJwk] }));
      const error = await verifyToken(good, fresh, time).catch((thrown: unknown) => thrown);
      expect([what, error]).toEqual([what, expect.objectContaining({ code: "unavailable" })]);
      expect([what, await refusal(verifyToken(good, trusted, time))]).toEqual([what, undefined]);
      expect(warnings).toEqual(Array(2).fill("the keys of p could not be had"));
      // A moment later nobody is asked.
      const before = provider.count("/keys");
      await verifyToken(good, fresh, time).catch(() => {});
      expect(provider.count("/keys")).toBe(before);
    }
    shifted.ms += 3_600_000;
    const late = await verifyToken(good, trusted, time).catch((thrown: unknown) => thrown);
    expect(late).toMatchObject({ code: "unavailable" });
    provider.instead.clear();
    shifted.ms += 6000;
    expect(await refusal(verifyToken(good, trusted, time))).toBeUndefined();
  });

  const broken = (): [string, () => Response | Promise<Response>][] => [
    ["silence", () => new Promise<Response>(() => {})],
    ["an error", () => new Response("{}", { status: 500 })],
    ["no JSON", () => new Response("<html>")],
    ["no set", () => Response.json({})],
    ["a redirect", () => Response.redirect(`${provider.issuer}/moved`)],
    ["too much", () => Response.json({ keys: [], more: "x".repeat(300_000) })],
  ];

  test("that are secrets, or for something else, are no keys", async () => {
    const key = await signingKey("enc");
    const jwks = [
      { ...OCT, kid: "oct", alg: "HS256" },
      { ...key.publicJwk, use: "enc" },
      { ...key.publicJwk, kty: "oct" },
      null,
      "text",
    ];
    provider.instead.set("/keys", () => Response.json({ keys: jwks }));
    const trusted = byUri();
    const hmac = await new SignJWT(good({ iss: provider.issuer }))
      .setProtectedHeader({ alg: "HS256", kid: "oct" })
      .sign(SECRET);
    expect(await refusal(verifyToken(hmac, trusted, time))).toMatch(/no key/);
    expect(await refusal(verifyToken(await token(key), trusted, time))).toMatch(/no key/);
    provider.instead.clear();
  });

  test("of a discovery that is another issuer's are not taken", async () => {
    const path = "/.well-known/openid-configuration";
    const said = await (await fetch(`${provider.issuer}${path}`)).json();
    for (const wrong of [
      { issuer: "https://evil.example" },
      // It is this machine, but it does not look so.
      { jwks_uri: `${provider.issuer.replace("127.0.0.1", "0.0.0.0")}/keys` },
      { jwks_uri: undefined },
    ]) {
      provider.instead.set(path, () => Response.json({ ...said, ...wrong }));
      const trusted = issuers({ discovery: true });
      const error = await verifyToken(await token(), trusted, time).catch((e: unknown) => e);
      expect([wrong, error]).toEqual([wrong, expect.objectContaining({ code: "unavailable" })]);
    }
    provider.instead.clear();
  });
});
