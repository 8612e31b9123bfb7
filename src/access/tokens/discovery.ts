// Where an OpenID provider's parts are: what it says of itself under its issuer's address.

import type { JsonObject } from "../../base/json.ts";
import type { Log } from "../../base/log.ts";
import { isSafeUrl } from "../../config/token-schema.ts";
import type { Time } from "../../runtime/time.ts";
import { askForObject } from "./provider-answers.ts";
import { Refreshed } from "./refreshed.ts";

/** What is needed of a provider's description. */
export interface ProviderMetadata {
  readonly jwksUri: string;
  /** Undefined of an issuer that only signs tokens. */
  readonly authorizationEndpoint: string | undefined;
  readonly tokenEndpoint: string | undefined;
  /** How a client says its secret to the token endpoint. */
  readonly secretInBody: boolean;
  /** Whether the way back from the provider always names it (RFC 9207). */
  readonly namesItself: boolean;
}

/** A provider's description, kept for a while. */
export class Discovery {
  readonly #kept: Refreshed<ProviderMetadata>;

  /** @param issuer the provider's address, which its description must repeat letter by letter */
  constructor(name: string, issuer: string, { time, log }: { time: Time; log: Log }) {
    const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const load = async () => metadataOf(issuer, await askForObject(time, { url }));
    this.#kept = new Refreshed({ what: `the addresses of ${name}`, load, time, log });
  }

  /** Throws `unavailable` when it cannot be had. */
  get(): Promise<ProviderMetadata> {
    return this.#kept.get();
  }
}

function metadataOf(issuer: string, said: JsonObject): ProviderMetadata {
  if (said.issuer !== issuer) {
    throw new Error(`it says that its issuer is ${JSON.stringify(said.issuer)}, not ${issuer}`);
  }
  const jwksUri = addressOf(issuer, said, "jwks_uri");
  if (jwksUri === undefined) throw new Error("it names no jwks_uri");
  const methods = said.token_endpoint_auth_methods_supported;
  const isPostOnly =
    Array.isArray(methods) &&
    methods.includes("client_secret_post") &&
    !methods.includes("client_secret_basic");
  return {
    jwksUri,
    authorizationEndpoint: addressOf(issuer, said, "authorization_endpoint"),
    tokenEndpoint: addressOf(issuer, said, "token_endpoint"),
    secretInBody: isPostOnly,
    namesItself: said.authorization_response_iss_parameter_supported === true,
  };
}

/** Only an issuer on this machine has its parts without TLS. */
function addressOf(issuer: string, said: JsonObject, member: string): string | undefined {
  const url = said[member];
  if (url === undefined) return undefined;
  const isSafe = typeof url === "string" && isSafeUrl(url);
  if (isSafe && (url.startsWith("https:") || issuer.startsWith("http:"))) return url;
  throw new Error(`its ${member} is no https:// URL`);
}
