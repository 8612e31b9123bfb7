// Assertions on invariants. They stay on in production: a broken invariant must stop the operation
// that found it, never be carried on into stored bytes. Bad input is not asserted, it is refused.

/** An invariant of Tidegate does not hold: a defect in Tidegate, never the caller's fault. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/**
 * Throws {@link AssertionError} when `condition` is false.
 *
 * @param condition what must hold here
 * @param message what was expected, in words; built lazily when it costs something
 */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new AssertionError(typeof message === "string" ? message : message());
}
