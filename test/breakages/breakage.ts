// What a breakage is: a small edit that makes one invariant false, and the test that must notice.

/** One edit of a file; `find` must be there exactly once. */
export interface Edit {
  /** From the root of the work tree. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

/** A breakage. */
export interface Breakage {
  /** The invariant of the design's part 3 that it breaks. */
  readonly invariant: string;
  /** What is broken, in words. */
  readonly what: string;
  readonly edits: readonly Edit[];
  /** The test file that must fail, from the root, and a part of the name of a test that fails. */
  readonly test: string;
  readonly fails: string;
  /** What must be in the test's output too, where a test can fail for many reasons. */
  readonly says?: RegExp;
  /** Environment variables for the test, for example fewer kills. */
  readonly env?: Readonly<Record<string, string>>;
}
