// Faults on demand for a loopback node. A test sets them; the node looks at them for each frame.

/** What a node does wrong. All off at first. */
export class Faults {
  /** Milliseconds that each answer is held back. */
  delayMs = 0;
  /** Key-value requests, from now on, that are answered with a temporary failure. */
  temporaryFailures = 0;
  /** Key-value requests, from now on, that are carried out but whose answer never comes. */
  lostAnswers = 0;
  /** After this many bytes more, every connection is cut, in the middle of a frame if need be. */
  cutAfterBytes = Number.POSITIVE_INFINITY;
  /** Opcodes that the user may not use. */
  readonly forbidden = new Set<number>();
  /** New connections are refused. */
  refuseConnections = false;
}
