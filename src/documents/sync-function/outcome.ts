// What one call of a sync function came to, as the sandbox tells it, in this thread or a worker.
// Plain data: it crosses threads. Turning it into a result or an error is in settle.ts.

/** A line that the function gave to `console`. */
export type LogLine = readonly [level: "debug" | "info" | "warn", text: string];

/** What made a call fail by itself. */
export type Failure =
  /** It threw, or gave something that is not legal. */
  | "error"
  /** It did not end within its time. */
  | "time"
  | "memory"
  | "stack"
  /** It left promises behind. */
  | "async"
  /** It changed what `undefined`, `NaN` or `Infinity` mean. */
  | "tampered"
  /** It brought the engine itself down. */
  | "crash";

/** The grants recorded by one call of `access` or `role`: every one of `who` gets all of `what`. */
export type RecordedGrant = readonly [who: readonly string[], what: readonly string[]];

/** A recorded `require*` call. */
export type RecordedRequirement = {
  readonly kind: "admin" | "user" | "role" | "access";
  readonly names?: readonly string[];
};

/** What one call came to. */
export type Outcome = {
  readonly logs: readonly LogLine[];
  /** Log lines beyond the limit, not kept. */
  readonly dropped: number;
} & (
  | {
      readonly kind: "done";
      readonly channels: readonly string[];
      readonly access: readonly RecordedGrant[];
      readonly roles: readonly RecordedGrant[];
      readonly requires: readonly RecordedRequirement[];
      /** Whether what it returned is true, as JavaScript sees it. */
      readonly returned: boolean;
    }
  | {
      readonly kind: "refused";
      readonly code: "forbidden" | "unauthorized";
      readonly reason: string;
    }
  | { readonly kind: "failed"; readonly failure: Failure; readonly message: string }
);
