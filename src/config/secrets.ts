// Secrets among settings: shown to nobody, and kept when somebody sends back what was shown.

import type { Json, JsonObject } from "../base/json.ts";

/** What is shown in place of a secret. */
export const SECRET_MASK = "(secret)";

/** Names of settings whose texts are shown to nobody. */
const SECRET = /password|secret|token|key$/i;

/** Whether the text under `name` in `object` is a secret: by its name, or of a shared key (JWK). */
function isSecret(object: object, name: string): boolean {
  return SECRET.test(name) || (name === "k" && (object as { kty?: unknown }).kty === "oct");
}

/** A copy in which every secret that is set is masked. */
export function withoutSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutSecrets);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, inner]) => [
    name,
    typeof inner === "string" && isSecret(value, name) ? SECRET_MASK : withoutSecrets(inner),
  ]);
  return Object.fromEntries(entries);
}

/**
 * A copy of `given` in which masks are replaced by the secrets that are set now at the same place. In
 * lists the place is the entry of the same `name` or `kid`. A mask without a secret stays, and is
 * refused as a secret by who checks the settings.
 */
export function withSecretsOf(given: Json, now: unknown): Json {
  if (Array.isArray(given)) {
    return given.map((entry) => withSecretsOf(entry, counterpart(entry, given, now)));
  }
  if (typeof given !== "object" || given === null) return given;
  const entries = Object.entries(given).map(([name, inner]) => {
    const there = isObject(now) && Object.hasOwn(now, name) ? now[name] : undefined;
    const isMask = inner === SECRET_MASK && isSecret(given, name) && typeof there === "string";
    return [name, isMask ? there : withSecretsOf(inner, there)];
  });
  return Object.fromEntries(entries) as JsonObject;
}

function counterpart(entry: Json, given: readonly Json[], now: unknown): unknown {
  if (!Array.isArray(now)) return undefined;
  const entries: readonly unknown[] = now;
  for (const mark of ["name", "kid"]) {
    const value = isObject(entry) ? entry[mark] : undefined;
    if (value === undefined) continue;
    return entries.find((one) => isObject(one) && one[mark] === value);
  }
  return given.length === 1 && entries.length === 1 ? entries[0] : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
