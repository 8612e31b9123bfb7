// Breakages of logging in by tokens and at OpenID providers: what would be taken that must not be.

import type { Breakage } from "./breakage.ts";

const token = (
  what: string,
  where: { readonly test: string; readonly fails: string },
  ...edits: readonly (readonly [file: string, find: string, replace: string])[]
): Breakage => ({
  invariant: "6 Private",
  what: `tokens: ${what}`,
  edits: edits.map(([file, find, replace]) => ({ file: `src/${file}`, find, replace })),
  ...where,
});

const verifying = (fails: string) => ({ test: "test/access/token-verify.test.ts", fails });
const keys = (fails: string) => ({ test: "test/access/token-keys.test.ts", fails });
const users = (fails: string) => ({ test: "test/access/token-logins.test.ts", fails });
const parts = (fails: string) => ({ test: "test/access/oidc-parts.test.ts", fails });
const oidc = (fails: string) => ({ test: "test/access/oidc.test.ts", fails });

const VERIFY = "access/tokens/verify.ts";
const LOGINS = "access/tokens/token-logins.ts";

/** Breakages of `src/access/tokens` and of what is built on it. */
export const tokenBreakages: readonly Breakage[] = [
  token(
    "whom a token is for is not looked at",
    verifying("for another audience"),
    [VERIFY, 'meant.some((one) => audience.includes(one ?? ""))', "audience.length > 0"],
    [VERIFY, "      audience: [...issuer.audience],\n", ""],
  ),
  token("a token needs no end", verifying("without an end"), [
    VERIFY,
    '      requiredClaims: ["exp"],\n',
    "",
  ]),
  token("a token may come from the future", verifying("that was issued in the future"), [
    VERIFY,
    "!(iat <= nowSeconds + CLOCK_TOLERANCE_SECONDS)",
    "false",
  ]),
  token("tokens for other uses are taken", verifying("for something else than logging in"), [
    VERIFY,
    "if (!TYPES.includes(type))",
    "if (TYPES.length === 0)",
  ]),
  token("what is refused early costs nothing", verifying("at the cost of one signature"), [
    VERIFY,
    "if (!looked.at) await verifyInVain(token);",
    "",
  ]),
  token("secrets that an issuer publishes are keys", keys("are no keys"), [
    "access/tokens/keys.ts",
    'kty === "oct" || ',
    "",
  ]),
  token("keys for encryption are for signatures too", keys("are no keys"), [
    "config/token-keys.ts",
    'use !== undefined && use !== "sig"',
    'use === "none"',
  ]),
  token("the settings' algorithms are not looked at", verifying("the settings do not name"), [
    "access/tokens/keys.ts",
    "(name) => algorithms?.includes(name) ?? true",
    "() => algorithms?.length !== 0",
  ]),
  token("unknown keys are asked for each time", keys("not asked for by a storm"), [
    "access/tokens/refreshed.ts",
    "await this.#load(UNKNOWN_KEY_MS);",
    "await this.#load(0);",
  ]),
  token("an issuer that is ill is asked each time", keys("make a 503, not a 401"), [
    "access/tokens/refreshed.ts",
    "(this.#failed ? RETRY_MS : pauseMs)",
    "(this.#failed ? 0 : pauseMs)",
  ]),
  token("new keys are not asked for", keys("a token names one that is new"), [
    "access/tokens/keys.ts",
    "return found.length > 0 ? found : fitting(await source.again(), algorithm, kid);",
    "return found;",
  ]),
  token("keys stay for ever", keys("are fetched again when they are old"), [
    "access/tokens/refreshed.ts",
    "if (this.#age() > FRESH_MS)",
    "if (!this.#value)",
  ]),
  token("answers have no bound", keys("make a 503, not a 401"), [
    "access/tokens/provider-answers.ts",
    "length > MAX_ANSWER_BYTES",
    "length < 0",
  ]),
  token("redirects are followed", keys("make a 503, not a 401"), [
    "access/tokens/provider-answers.ts",
    'redirect: "manual"',
    'redirect: "follow"',
  ]),
  token("a description may be another issuer's", keys("another issuer's are not taken"), [
    "access/tokens/discovery.ts",
    "said.issuer !== issuer",
    "said.issuer === undefined",
  ]),
  token("keys may come from anywhere without TLS", keys("another issuer's are not taken"), [
    "access/tokens/discovery.ts",
    'const isSafe = typeof url === "string" && isSafeUrl(url);',
    'const isSafe = typeof url === "string" && isSafeUrl(issuer);',
  ]),
  token("a known token outlives its key", keys("are asked after for tokens"), [
    "access/tokens/known-tokens.ts",
    "if (keys.includes(key)) return subject;",
    "if (keys.length + key.fits.length >= 0) return subject;",
  ]),
  token("a known token outlives its time", keys("beyond its time"), [
    "access/tokens/known-tokens.ts",
    "if (subject.expiresMs > this.#time.nowMs()) {",
    "if (this.#time.nowMs() > 0) {",
  ]),
  token("an older token counts as much as a newer", users("that is newer takes and gives"), [
    LOGINS,
    "const newerBy = grants.issuedAt - tokenGrants.issuedAt;",
    "const newerBy = 0;",
  ]),
  token("a disabled user may come in", users("of a disabled user is refused"), [
    LOGINS,
    'if (user.disabled) throw new TokenRejected("its user is disabled");',
    "",
  ]),
  token("users are made though no issuer may", users("where its issuer makes none"), [
    LOGINS,
    "if (!now) return register ? registered",
    "if (!now) return register || true ? registered",
  ]),
  token("a grant is used before it counts", users("of many requests at once"), [
    LOGINS,
    "await this.#changes.get(name);",
    "",
  ]),
  token("two claims give one name", users('of "auth0%7C7" is'), [
    "access/tokens/claims.ts",
    'letter !== "%" && isPrincipalName(letter)',
    "isPrincipalName(letter)",
  ]),
  token("a database that is not there says so", users("is told to nobody"), [
    "server/auth/authentication.ts",
    "      throw wrongToken();",
    "      throw wrongLogin();",
  ]),
  token("shared keys are shown", users("show no secret"), [
    "config/secrets.ts",
    '(name === "k" && (object as { kty?: unknown }).kty === "oct")',
    "Array.isArray(object)",
  ]),
  token("a login comes back with any state", oidc("with another state, or none"), [
    "access/tokens/oidc/pending.ts",
    "if (!pending || !isEqual(pending.state, state)) {",
    "if (!pending) {",
  ]),
  token("a login can be finished twice", oidc("a second time"), [
    "access/tokens/oidc/pending.ts",
    "if (!(await this.#use(pending)))",
    "if (!(await this.#use(pending)) && !state)",
  ]),
  token("a login can be finished at any time", parts("is over after its time"), [
    "access/tokens/oidc/pending.ts",
    "if (pending.untilMs <= this.#options.time.nowMs())",
    "if (pending.untilMs <= 0)",
  ]),
  token("a login of one database is one of all", parts("is of one database"), [
    "access/tokens/oidc/seal.ts",
    "this.#bound = Buffer.from(",
    'this.#bound = Buffer.from(purpose && "") ?? Buffer.from(',
  ]),
  token("an id token may be of another login", oidc("that is not of this login"), [
    "access/tokens/oidc/provider.ts",
    "if (tokens.verified.claims.nonce === nonce) return tokens;",
    "if (nonce) return tokens;",
  ]),
  token("another provider may send the browser", oidc("when another provider sends it"), [
    "access/tokens/oidc/provider.ts",
    "if (named !== undefined || namesItself)",
    "if (named === this.name && namesItself)",
  ]),
  token("other sites may log a browser in", oidc("is not taken from a page of another site"), [
    "server/oidc-routes.ts",
    'call.req.header("sec-fetch-site") === "cross-site" || !originAllowed(call)',
    "!originAllowed(call)",
  ]),
  token("ways back may fail without a limit", oidc("too often from one address"), [
    "server/oidc-routes.ts",
    "return authOf(call).logins.begin(address,",
    "if (address) return { succeeded() {} };\n  return authOf(call).logins.begin(address,",
  ]),
  token("a client's secret is shown", oidc("show their secret to nobody"), [
    "config/secrets.ts",
    "const SECRET = /password|secret|token|key$/i;",
    "const SECRET = /password|token|key$/i;",
  ]),
];
