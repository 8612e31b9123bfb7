// The named limits of tokens and of talking to those who issue them.

/** The longest token, in characters. */
export const MAX_TOKEN_CHARACTERS = 16 * 1024;

/** Tokens that were found good and are remembered, of one database: each at most a few KB. */
export const MAX_KNOWN_TOKENS = 10_000;

/** The longest token that is remembered, in characters. */
export const MAX_KNOWN_CHARACTERS = 4096;

/** How far the clocks of issuers and of this machine may be apart. */
export const CLOCK_TOLERANCE_SECONDS = 30;

/** Channels, and roles, that one token may give. */
export const MAX_TOKEN_GRANTS = 1000;

/**
 * A newer token that gives the same is noted when it is newer by so much: of two that were issued
 * closer together either may count.
 */
export const ISSUED_STEP_SECONDS = 60;

/** Keys that are tried for a token that does not say which one it was signed with. */
export const MAX_KEYS_TRIED = 5;

/** Keys of a provider that are looked at. */
export const MAX_REMOTE_KEYS = 100;

/** The largest answer of a provider that is read. */
export const MAX_ANSWER_BYTES = 256 * 1024;

/** How long a provider may take for a whole answer. */
export const ANSWER_LIMIT_MS = 5000;

/** What a provider said of its keys and addresses is asked for again after this long. */
export const FRESH_MS = 600_000;

/** It is used this long when the provider does not answer any more. */
export const KEPT_MS = 3_600_000;

/** A provider is asked at most this often because of a token whose key is not known. */
export const UNKNOWN_KEY_MS = 30_000;

/** A provider that did not answer is asked again after this long, at the earliest. */
export const RETRY_MS = 5000;

/** Between the way to the provider and the way back from it a browser may take this long. */
export const LOGIN_LIMIT_SECONDS = 600;
