// Settings of a database about who vouches for users: issuers of bearer tokens, and OpenID providers
// that browsers are sent to. What is done with them is src/access/tokens/.

import { z } from "zod";
import { isLoopback } from "./address.ts";
import { SECRET_MASK } from "./secrets.ts";
import { ALGORITHMS, algorithmsOf, isShared, jwkOf } from "./token-keys.ts";

/** Issuers of one database, and providers. */
const MAX_ISSUERS = 20;

/** Keys of one issuer in the settings. */
const MAX_KEYS = 20;

/** Without `_`, so that what stands before the first `_` of a user's name is one issuer's alone. */
const issuerName = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, "a name of up to 64 of a-z A-Z 0-9 -");

/** Whether tokens, keys and codes may travel to and from `text`: by TLS, or on this machine. */
export function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  if (username !== "" || password !== "") return false;
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  return protocol === "https:" || (protocol === "http:" && isLoopback(host));
}

const safeUrl = z
  .string()
  .max(1000)
  .refine(isSafeUrl, "a URL that starts with https:// (http:// on this machine alone)");

const key = z
  .union([
    z.string().max(20_000),
    z.looseObject({
      kty: z.string(),
      kid: z.string().optional(),
      alg: z.string().optional(),
      use: z.string().optional(),
    }),
  ])
  .superRefine((given, context) => {
    const jwk = jwkOf(given);
    if ("problem" in jwk) context.addIssue({ code: "custom", message: String(jwk.problem) });
  });

const keys = z.array(key).min(1).max(MAX_KEYS);

/** What issuers and providers have in common. */
const claimsShape = {
  /** The `iss` of its tokens, letter by letter. */
  issuer: z.string().min(1).max(1000),
  /** The only algorithms taken; without it those of the keys. */
  algorithms: z.array(z.enum(ALGORITHMS)).min(1).optional(),
  /** The claim that names the user. */
  usernameClaim: z.string().min(1).max(200).default("sub"),
  /** What stands before it in the user's name; the issuer's name here and `_`, unless said. */
  usernamePrefix: z
    .string()
    .regex(/^[\p{L}\p{M}\p{Nd}+\-.@=_]{0,100}$/u, "up to 100 letters, digits and + - . @ = _")
    .optional(),
  /** Whether users that do not exist are made. */
  register: z.boolean().default(false),
  /** The claims that list the user's channels and roles; a path by dots leads into objects. */
  channelsClaim: z.string().min(1).max(200).optional(),
  rolesClaim: z.string().min(1).max(200).optional(),
};

const tokenIssuer = z
  .strictObject({
    /** What logs call it, and what its users' names start with. */
    name: issuerName,
    ...claimsShape,
    /** The `aud` of tokens that are for this database: one of these. */
    audience: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(20)], {
      error: 'a text, or a list of texts such as ["notes"]',
    }),
    /** Where the keys are: here, */
    keys: z.union([keys, z.strictObject({ keys })]).optional(),
    /** or at an address, */
    jwksUri: safeUrl.optional(),
    /** or where `issuer`/.well-known/openid-configuration says. */
    discovery: z.boolean().default(false),
  })
  .superRefine((issuer, context) => {
    const message = problemOfIssuer(issuer);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  });

interface GivenIssuer {
  readonly issuer: string;
  readonly algorithms?: readonly string[] | undefined;
  readonly keys?: z.infer<typeof keys> | { keys: z.infer<typeof keys> } | undefined;
  readonly jwksUri?: string | undefined;
  readonly discovery: boolean;
}

function problemOfIssuer(given: GivenIssuer): string | undefined {
  const { issuer, algorithms, keys, jwksUri, discovery } = given;
  const sources = [keys !== undefined, jwksUri !== undefined, discovery];
  if (sources.filter(Boolean).length !== 1) return "one of keys, jwksUri, discovery: true";
  if (discovery && !isSafeUrl(issuer)) return "with discovery an issuer that is an https:// URL";
  if (keys === undefined) return problemOfAlgorithms(algorithms);
  if (algorithms === undefined) return undefined;
  const useful = keysIn(keys).flatMap((key) => {
    const jwk = jwkOf(key);
    return "problem" in jwk ? [] : algorithmsOf(jwk);
  });
  const idle = algorithms.find((name) => !useful.includes(name));
  return idle === undefined ? undefined : `algorithms that a key is for: none is for ${idle}`;
}

function problemOfAlgorithms(algorithms: readonly string[] | undefined): string | undefined {
  const shared = algorithms?.find(isShared);
  if (shared === undefined) return undefined;
  return `algorithms with public keys: ${shared} takes a secret, which stands in keys`;
}

/** The keys of an issuer's setting, which may be a JWK set. */
export function keysIn(given: NonNullable<GivenIssuer["keys"]>): z.infer<typeof keys> {
  return Array.isArray(given) ? given : given.keys;
}

/** The issuers of bearer tokens. */
export const tokensSchema = z
  .array(tokenIssuer)
  .max(MAX_ISSUERS)
  .superRefine((issuers, context) => {
    const names = issuers.map(({ name }) => name);
    const twice = names.find((name, at) => names.indexOf(name) !== at);
    if (twice === undefined) return;
    context.addIssue({ code: "custom", message: `each name once: ${twice} is there twice` });
  });

const provider = z
  .strictObject({
    ...claimsShape,
    /** Where `/.well-known/openid-configuration` is looked for, and the `iss` of its tokens. */
    issuer: safeUrl,
    clientId: z.string().min(1).max(1000),
    clientSecret: z
      .string()
      .min(1)
      .max(1000)
      .refine((text) => text !== SECRET_MASK, "the secret itself")
      .optional(),
    /** `https://…/{db}/_oidc_callback`, as the provider knows it. */
    redirectUri: safeUrl,
    scopes: z
      .array(z.string().regex(/^[!#-[\]-~]{1,200}$/, "a scope, without blanks"))
      .max(50)
      .refine((scopes) => scopes.includes("openid"), "scopes with openid among them")
      .default(["openid"]),
  })
  .superRefine(({ algorithms }, context) => {
    const message = problemOfAlgorithms(algorithms);
    if (message !== undefined) context.addIssue({ code: "custom", message });
  });

/** The OpenID providers of a database. */
export const oidcSchema = z.strictObject({
  providers: z
    .record(issuerName, provider)
    .default({})
    .refine(
      (providers) => Object.keys(providers).length <= MAX_ISSUERS,
      `at most ${MAX_ISSUERS} providers`,
    ),
});

/** An issuer of bearer tokens, as set. */
export type TokenIssuerSettings = z.infer<typeof tokenIssuer>;

/** An OpenID provider, as set. */
export type OidcProviderSettings = z.infer<typeof provider>;

/** What stands before the names of the users of an issuer or a provider. */
export function prefixOf(
  name: string,
  { usernamePrefix }: { usernamePrefix?: string | undefined },
) {
  return usernamePrefix ?? `${name}_`;
}

/**
 * What is wrong between issuers and providers: two of them whose users would have the same names,
 * so that one could vouch for the other's.
 */
export function problemOfPrefixes(settings: {
  readonly tokens: readonly TokenIssuerSettings[];
  readonly oidc: { readonly providers: Readonly<Record<string, OidcProviderSettings>> };
}): string | undefined {
  const named = [
    ...settings.tokens.map((issuer) => [issuer.name, issuer] as const),
    ...Object.entries(settings.oidc.providers),
  ];
  const owners = new Map<string, string>();
  for (const [name, given] of named) {
    const prefix = prefixOf(name, given);
    const owner = owners.get(prefix);
    if (owner !== undefined && owner !== given.issuer) {
      return `a usernamePrefix for each issuer: ${owner} and ${given.issuer} have ${prefix || "none"}`;
    }
    owners.set(prefix, given.issuer);
  }
  return undefined;
}
