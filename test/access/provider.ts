// An OpenID provider of our own, over real HTTP: discovery, keys that rotate, an authorization endpoint
// whose user says yes at once, and a token endpoint that checks codes, PKCE and who asks. What it
// does wrong is set by the test.

import { createHash, randomBytes } from "node:crypto";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import type { JsonObject } from "../../src/base/json.ts";

/** A key that the provider signs with. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

/** Makes a key. */
export async function signingKey(kid: string, alg = "RS256"): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  return { kid, alg, privateKey, publicJwk: { ...jwk, kid, alg, use: "sig" } };
}

/** Seconds since the epoch, `offset` from now. */
export const inSeconds = (offset: number) => Math.floor(Date.now() / 1000) + offset;

interface Grant {
  readonly redirectUri: string;
  readonly challenge: string;
  readonly nonce: string | undefined;
  readonly claims: JsonObject;
}

/** A provider that runs. */
export class TestProvider {
  readonly clientId = "tidegate-tests";
  readonly clientSecret = "a secret with : and ü";
  /** Who is logged in at the provider: the claims of the next id tokens. */
  user: JsonObject = { sub: "ann" };
  /** Claims that go over those that the next id tokens should have. */
  wrongClaims: JsonObject = {};
  /** Answers in place of the right ones, by path. */
  readonly instead = new Map<string, () => Response | Promise<Response>>();
  /** Whether its clients have no secret, and PKCE alone says who they are. */
  publicClients = false;
  /** Requests by path. */
  readonly requests: string[] = [];
  keys: SigningKey[] = [];
  readonly #codes = new Map<string, Grant>();
  readonly #refresh = new Map<string, JsonObject>();
  readonly #server: Bun.Server<undefined>;

  constructor() {
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request) => this.#answer(request),
    });
  }

  /** Starts one with a key. */
  static async start(): Promise<TestProvider> {
    const provider = new TestProvider();
    await provider.rotate("first");
    return provider;
  }

  get issuer(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  /** Takes a new key, and forgets the ones before. */
  async rotate(kid: string, alg = "RS256"): Promise<SigningKey> {
    const key = await signingKey(kid, alg);
    this.keys = [key];
    return key;
  }

  count(path: string): number {
    return this.requests.filter((one) => one === path).length;
  }

  /** A token with the provider's newest key. */
  sign(claims: JsonObject, key = this.keys[0]!): Promise<string> {
    const { alg, kid, privateKey } = key;
    const whole = { iss: this.issuer, iat: inSeconds(0), exp: inSeconds(300), ...claims };
    return new SignJWT(whole).setProtectedHeader({ alg, kid, typ: "JWT" }).sign(privateKey);
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    this.requests.push(url.pathname);
    const instead = this.instead.get(url.pathname);
    if (instead) return instead();
    if (url.pathname === "/.well-known/openid-configuration")
      return Response.json(this.#described());
    if (url.pathname === "/keys") {
      return Response.json({ keys: this.keys.map(({ publicJwk }) => publicJwk) });
    }
    if (url.pathname === "/authorize") return this.#authorize(url.searchParams);
    if (url.pathname === "/token" && request.method === "POST") return this.#token(request);
    return new Response("not found", { status: 404 });
  }

  #described(): object {
    return {
      issuer: this.issuer,
      jwks_uri: `${this.issuer}/keys`,
      authorization_endpoint: `${this.issuer}/authorize?of=tests`,
      token_endpoint: `${this.issuer}/token`,
      authorization_response_iss_parameter_supported: true,
    };
  }

  #authorize(query: URLSearchParams): Response {
    const challenge = query.get("code_challenge") ?? "";
    const redirectUri = query.get("redirect_uri") ?? "";
    const isRight =
      query.get("response_type") === "code" &&
      query.get("client_id") === this.clientId &&
      query.get("code_challenge_method") === "S256" &&
      query.get("of") === "tests" &&
      (query.get("scope") ?? "").split(" ").includes("openid") &&
      challenge.length === 43;
    if (!isRight) return new Response("a wrong authorization request", { status: 400 });
    const code = randomBytes(16).toString("hex");
    const nonce = query.get("nonce") ?? undefined;
    this.#codes.set(code, { redirectUri, challenge, nonce, claims: { ...this.user } });
    const back = new URL(redirectUri);
    back.searchParams.set("code", code);
    back.searchParams.set("state", query.get("state") ?? "");
    back.searchParams.set("iss", this.issuer);
    return new Response(null, { status: 302, headers: { location: back.href } });
  }

  async #token(request: Request): Promise<Response> {
    const form = new URLSearchParams(await request.text());
    const refuse = (error: string, status = 400) => Response.json({ error }, { status });
    if (!this.#isClient(request, form)) return refuse("invalid_client", 401);
    if (form.get("grant_type") === "refresh_token") {
      const claims = this.#refresh.get(form.get("refresh_token") ?? "");
      return claims ? this.#tokens(claims, undefined) : refuse("invalid_grant");
    }
    const code = form.get("code") ?? "";
    const grant = this.#codes.get(code);
    this.#codes.delete(code);
    const verifier = form.get("code_verifier") ?? "";
    const challenge = createHash("sha256").update(verifier).digest("base64url");
    const isRight =
      form.get("grant_type") === "authorization_code" &&
      grant?.challenge === challenge &&
      grant.redirectUri === form.get("redirect_uri");
    return isRight ? this.#tokens(grant.claims, grant.nonce) : refuse("invalid_grant");
  }

  #isClient(request: Request, form: URLSearchParams): boolean {
    if (this.publicClients) return form.get("client_id") === this.clientId;
    const pair = [this.clientId, this.clientSecret].map((text) =>
      encodeURIComponent(text).replaceAll("%20", "+"),
    );
    const right = `Basic ${Buffer.from(pair.join(":")).toString("base64")}`;
    return request.headers.get("authorization") === right;
  }

  async #tokens(claims: JsonObject, nonce: string | undefined): Promise<Response> {
    const said = { aud: this.clientId, ...(nonce !== undefined && { nonce }), ...claims };
    const id_token = await this.sign({ ...said, ...this.wrongClaims });
    const refresh_token = randomBytes(16).toString("hex");
    this.#refresh.set(refresh_token, claims);
    return Response.json({ id_token, refresh_token, token_type: "Bearer", access_token: "opaque" });
  }
}
