// An OpenID provider: the address that browsers are sent to, and what it gives for a code or a refresh
// token. The browser's part (state, cookies) is `pending.ts` and the server's floor.

import { createHash } from "node:crypto";
import { TidegateError } from "../../../base/errors.ts";
import type { JsonObject } from "../../../base/json.ts";
import type { OidcProviderSettings } from "../../../config/token-schema.ts";
import { TokenRejected } from "../claims.ts";
import { Discovery } from "../discovery.ts";
import { type IssuerParts, providerIssuer, type TokenIssuer } from "../issuers.ts";
import { ask } from "../provider-answers.ts";
import { type VerifiedToken, verifyToken } from "../verify.ts";
import type { PendingLogin } from "./pending.ts";

/** What a provider gave, verified. */
export interface ProviderTokens {
  readonly idToken: string;
  readonly verified: VerifiedToken;
  /** For the next id token without asking the user; undefined: the provider gave none. */
  readonly refreshToken: string | undefined;
}

/** A provider of one database's settings. */
export class OidcProvider {
  readonly name: string;
  /** The issuer of its id tokens, which are also taken as bearer tokens. */
  readonly issuer: TokenIssuer;
  readonly #given: OidcProviderSettings;
  readonly #discovery: Discovery;
  readonly #parts: IssuerParts;

  constructor(name: string, given: OidcProviderSettings, parts: IssuerParts) {
    this.name = name;
    this.#given = given;
    this.#parts = parts;
    this.#discovery = new Discovery(name, given.issuer, parts);
    this.issuer = providerIssuer(name, given, this.#discovery, parts);
  }

  /** Where the browser is sent. Throws `unavailable`. */
  async authorizationUrl({ state, nonce, verifier }: PendingLogin): Promise<string> {
    const { authorizationEndpoint } = await this.#discovery.get();
    if (authorizationEndpoint === undefined) throw this.#lacks("authorization_endpoint");
    const url = new URL(authorizationEndpoint);
    const { clientId, redirectUri, scopes } = this.#given;
    const parameters = {
      response_type: "code",
      client_id: clientId,
      redirect_uri: redirectUri,
      scope: scopes.join(" "),
      state,
      nonce,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    return url.href;
  }

  /**
   * Checks that a way back names this provider, when it names any (RFC 9207).
   *
   * @throws TokenRejected it is another's
   */
  async checkIssuer(named: string | undefined): Promise<void> {
    if (named === this.#given.issuer) return;
    const { namesItself } = await this.#discovery.get();
    if (named !== undefined || namesItself) throw new TokenRejected("another provider sent it");
  }

  /**
   * What the provider gives for a code.
   *
   * @throws TokenRejected when it refuses the code, or its id token is not of this login
   * @throws TidegateError `unavailable`
   */
  async redeem(code: string, { verifier, nonce }: PendingLogin): Promise<ProviderTokens> {
    const { redirectUri } = this.#given;
    const tokens = await this.#tokens({
      grant_type: "authorization_code",
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
    });
    if (tokens.verified.claims.nonce === nonce) return tokens;
    throw new TokenRejected("its nonce is of another login");
  }

  /** What the provider gives for a refresh token. Throws as {@link redeem}. */
  refresh(refreshToken: string): Promise<ProviderTokens> {
    return this.#tokens({ grant_type: "refresh_token", refresh_token: refreshToken });
  }

  async #tokens(form: Record<string, string>): Promise<ProviderTokens> {
    const { clientId } = this.#given;
    const answer = await this.#askForTokens(form);
    const { id_token: idToken, refresh_token: refreshToken } = answer;
    if (typeof idToken !== "string") throw new TokenRejected("the provider gave no id token");
    const verified = await verifyToken(idToken, [this.issuer], this.#parts.time);
    const { azp } = verified.claims;
    if (azp !== undefined && azp !== clientId) throw new TokenRejected("its azp is somebody else");
    return {
      idToken,
      verified,
      refreshToken: typeof refreshToken === "string" ? refreshToken : undefined,
    };
  }

  async #askForTokens(form: Record<string, string>): Promise<JsonObject> {
    const { tokenEndpoint, secretInBody } = await this.#discovery.get();
    if (tokenEndpoint === undefined) throw this.#lacks("token_endpoint");
    const { time, log } = this.#parts;
    const question = { url: tokenEndpoint, ...this.#authenticated(form, secretInBody) };
    const { status, body } = await ask(time, question);
    if (status === 200) return body;
    if (status >= 400 && status < 500) {
      const error = wordOf(body.error);
      // A wrong client id or secret is the administrator's to put right.
      if (error === "invalid_client" || error === "unauthorized_client") {
        log.warn({ provider: this.name, status, error }, "a provider refuses this gateway");
      }
      throw new TokenRejected(`the provider says ${error}`);
    }
    throw new TidegateError("unavailable", `the provider answered with ${status}; try again later`);
  }

  /** The form with who asks: a client with a secret says it as the provider wants it. */
  #authenticated(form: Record<string, string>, inBody: boolean) {
    const { clientId, clientSecret } = this.#given;
    if (clientSecret === undefined) return { form: { ...form, client_id: clientId } };
    if (inBody) {
      return { form: { ...form, client_id: clientId, client_secret: clientSecret } };
    }
    const pair = [clientId, clientSecret].map(formEncoded).join(":");
    const authorization = `Basic ${Buffer.from(pair).toString("base64")}`;
    return { form, headers: { authorization } };
  }

  #lacks(member: string): TidegateError {
    return new TidegateError("unavailable", `provider ${this.name} names no ${member}`);
  }
}

/** As in a form (RFC 6749, 2.3.1). */
function formEncoded(text: string): string {
  return new URLSearchParams([["", text]]).toString().slice(1);
}

/** An error word of a provider, for a message: short, and nothing but a word. */
export function wordOf(value: unknown): string {
  return typeof value === "string" && /^[\w.-]{1,60}$/.test(value) ? value : "an error";
}
