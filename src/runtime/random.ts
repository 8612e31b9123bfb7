// Randomness as the floors above see it: handed in, so that a seeded simulator can repeat a run.

/** The only source of randomness above `src/runtime/`. */
export interface Random {
  /** `length` random bytes. */
  bytes(length: number): Uint8Array;
  /** A number in [0, 1), for jitter and sampling. */
  fraction(): number;
}

/** The machine's own randomness; `bytes` is fit for secrets. */
export const systemRandom: Random = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  fraction: () => Math.random(),
};
