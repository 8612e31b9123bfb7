// What a simulation throws when an invariant does not hold.

/** A violation, with everything that helps to understand it. */
export class Violation extends Error {
  override readonly name = "Violation";

  constructor(invariant: string, details: object) {
    super(`${invariant}: ${JSON.stringify(details)}`);
  }
}
