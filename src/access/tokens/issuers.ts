// The issuers of a database's tokens, made from its settings: those of bearer tokens, and the OpenID
// providers, whose id tokens are taken as bearer tokens, too.

import type { Log } from "../../base/log.ts";
import {
  keysIn,
  type OidcProviderSettings,
  prefixOf,
  type TokenIssuerSettings,
} from "../../config/token-schema.ts";
import type { Time } from "../../runtime/time.ts";
import type { ClaimSettings } from "./claims.ts";
import { Discovery } from "./discovery.ts";
import { fixedKeys, type KeySource, keysOfSet, remoteKeys } from "./keys.ts";
import { askForObject } from "./provider-answers.ts";
import { Refreshed } from "./refreshed.ts";

/** Who issues tokens, and how they are read. */
export interface TokenIssuer extends ClaimSettings {
  /** What the settings call it. */
  readonly name: string;
  /** The `iss` of its tokens. */
  readonly issuer: string;
  /** The `aud`s that are ours. */
  readonly audience: readonly string[];
  readonly keys: KeySource;
  /** Whether users that do not exist are made. */
  readonly register: boolean;
}

/** What {@link bearerIssuer} and {@link providerIssuer} need. */
export interface IssuerParts {
  readonly time: Time;
  readonly log: Log;
}

/** An issuer of bearer tokens. */
export function bearerIssuer(given: TokenIssuerSettings, parts: IssuerParts): TokenIssuer {
  const { name, audience } = given;
  return {
    ...common(name, given),
    audience: typeof audience === "string" ? [audience] : audience,
    keys: keysOf(given, parts),
  };
}

function keysOf(given: TokenIssuerSettings, parts: IssuerParts): KeySource {
  const { name, issuer, keys, jwksUri, algorithms } = given;
  if (keys !== undefined) return fixedKeys(keysIn(keys), algorithms);
  if (jwksUri !== undefined) return keysAt(name, async () => jwksUri, algorithms, parts);
  const discovery = new Discovery(name, issuer, parts);
  return keysAt(name, async () => (await discovery.get()).jwksUri, algorithms, parts);
}

/** The issuer of a provider's id tokens. */
export function providerIssuer(
  name: string,
  given: OidcProviderSettings,
  discovery: Discovery,
  parts: IssuerParts,
): TokenIssuer {
  const uri = async () => (await discovery.get()).jwksUri;
  const keys = keysAt(name, uri, given.algorithms, parts);
  return { ...common(name, given), audience: [given.clientId], keys };
}

function keysAt(
  name: string,
  uri: () => Promise<string>,
  algorithms: readonly string[] | undefined,
  { time, log }: IssuerParts,
): KeySource {
  const what = `the keys of ${name}`;
  const load = async () => keysOfSet(await askForObject(time, { url: await uri() }), algorithms);
  return remoteKeys(new Refreshed({ what, load, time, log }));
}

function common(name: string, given: TokenIssuerSettings | OidcProviderSettings) {
  const { issuer, register, usernameClaim, channelsClaim, rolesClaim } = given;
  const usernamePrefix = prefixOf(name, given);
  return { name, issuer, register, usernameClaim, usernamePrefix, channelsClaim, rolesClaim };
}
