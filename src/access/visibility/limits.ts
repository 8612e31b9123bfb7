// The named limits of what is kept in memory of who sees what.

/**
 * The weight of the grant tables that a database keeps in memory: a table weighs as many as its
 * spans, and {@link TABLE_WEIGHT} beside. A weight of one is about 200 bytes (bench/access.ts).
 */
export const MAX_TABLES_WEIGHT = 400_000;

/** What a table weighs beside its spans. */
export const TABLE_WEIGHT = 8;

/** Clocks at which a principal's channels are remembered: feeds ask for the same ones again. */
export const MAX_REMEMBERED_CLOCKS = 4;

/** A clock serves as the end of what was read for ticks (milliseconds) up to this much newer. */
export const MILESTONE_TICKS = 60_000;

/** A table that took more entries than this at once keeps a clock of its own in place of a shared one. */
export const MAX_READ_AGAIN = 200;
