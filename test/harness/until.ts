// Waiting for a condition with a limit: what tests do instead of sleeping.

/**
 * Resolves with the first value of `condition` that is neither false, null nor undefined. Throws
 * when `limitMs` have passed, naming `what`, with the last error when the condition threw.
 *
 * @param what the thing waited for, in words, or a function that says how far it is
 */
export async function until<T>(
  what: string | (() => string),
  condition: () => Promise<T | false | null | undefined> | T | false | null | undefined,
  limitMs = 30_000,
  everyMs = 20,
): Promise<T> {
  const end = performance.now() + limitMs;
  let failure: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value !== false && value !== null && value !== undefined) return value;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > end) {
      const words = typeof what === "string" ? what : what();
      throw new Error(`waited ${limitMs} ms for ${words}`, { cause: failure });
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
