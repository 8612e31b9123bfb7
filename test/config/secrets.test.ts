// Secrets among settings: none is shown, and what was shown may be sent back.

import { describe, expect, test } from "bun:test";
import type { Json } from "../../src/base/json.ts";
import { withoutSecrets, withSecretsOf } from "../../src/config/secrets.ts";

const oct = (kid: string | undefined, k: string) => ({ kty: "oct", ...(kid && { kid }), k });
const tokens = (...keys: object[]) => ({ tokens: [{ name: "a", keys }] }) as unknown as Json;

describe("secrets", () => {
  test("are masked wherever they stand, and nothing else is", () => {
    const settings = {
      couchbase: { username: "u", password: "p" },
      adminAuth: { users: { ci: { token: "t", passwordHash: "h" } } },
      databases: { db: { oidc: { providers: { p: { clientId: "i", clientSecret: "s" } } } } },
      tokens: [{ name: "a", usernameClaim: "sub", keys: [oct("1", "k"), { kty: "RSA", n: "n" }] }],
      k: "no key",
    };
    expect(withoutSecrets(settings)).toEqual({
      couchbase: { username: "u", password: "(secret)" },
      adminAuth: { users: { ci: { token: "(secret)", passwordHash: "(secret)" } } },
      databases: {
        db: { oidc: { providers: { p: { clientId: "i", clientSecret: "(secret)" } } } },
      },
      tokens: [
        { name: "a", usernameClaim: "sub", keys: [oct("1", "(secret)"), { kty: "RSA", n: "n" }] },
      ],
      k: "no key",
    });
    expect(settings.couchbase.password).toBe("p");
  });

  test("that come back masked are those that are there, by name and kid, not by place", () => {
    const now = tokens(oct("1", "one"), oct("2", "two"));
    const shown = tokens(oct("2", "(secret)"), oct("1", "(secret)"), oct("3", "new"));
    expect(withSecretsOf(shown, now)).toEqual(
      tokens(oct("2", "two"), oct("1", "one"), oct("3", "new")),
    );
    expect(withSecretsOf(tokens(oct(undefined, "(secret)")), tokens(oct(undefined, "x")))).toEqual(
      tokens(oct(undefined, "x")),
    );
  });

  test("are not guessed: a mask without its secret stays a mask", () => {
    const now = tokens(oct(undefined, "one"), oct(undefined, "two"));
    for (const shown of [
      tokens(oct(undefined, "(secret)")),
      tokens(oct("3", "(secret)")),
      { tokens: [{ name: "other", keys: [oct("1", "(secret)")] }] } as unknown as Json,
      { __proto__: { clientSecret: "x" }, clientSecret: "(secret)" } as unknown as Json,
    ]) {
      expect(JSON.stringify(withSecretsOf(shown, now))).toContain("(secret)");
    }
    const text = { usernameClaim: "(secret)" };
    expect(withSecretsOf(text, { usernameClaim: "sub" })).toEqual(text);
  });
});
