// The controller's settings and the named limits of everything it keeps. No behaviour here.

/** Settings of a controller, all with defaults: see {@link DEFAULT_CONTROLLER_SETTINGS}. */
export interface ControllerSettings {
  /** How many partitions the vbuckets are cut into. */
  readonly partitions: number;
  /** How long a mutation may stay without its record before it is healed, in milliseconds. */
  readonly graceMs: number;
  /** The least time between two ticks under load, in milliseconds. */
  readonly tickIntervalMs: number;
  /** How often the owner renews its heartbeat, in milliseconds. */
  readonly heartbeatMs: number;
  /** After how long without a new heartbeat another node takes over, in milliseconds. */
  readonly takeOverMs: number;
  /** How often a follower looks at the head while it moves, in milliseconds. */
  readonly followMinMs: number;
  /** How often a follower looks at the head when nothing happens, in milliseconds. */
  readonly followMaxMs: number;
}

/** The defaults of {@link ControllerSettings}. */
export const DEFAULT_CONTROLLER_SETTINGS: ControllerSettings = {
  partitions: 16,
  graceMs: 500,
  tickIntervalMs: 25,
  heartbeatMs: 1000,
  takeOverMs: 10_000,
  followMinMs: 25,
  followMaxMs: 100,
};

/** The feed is not read on while more mutations than this have no record yet. */
export const MAX_PENDING = 8192;

/** A mutation is looked for in the stored journal after this time, then after twice as long, … */
export const FIRST_STORED_LOOK_MS = 20;

/** The most mutations in one question to the stored journal. */
export const MAX_STORED_LOOK = 1024;

/** The pause before a stored journal that could not be read is asked again. */
export const JOURNAL_RETRY_MS = 250;

/** The most mutations in one call of the healer. One that failed before is healed alone. */
export const MAX_HEAL_BATCH = 256;

/** The most calls of the healer under way at a time. */
export const MAX_HEALS_IN_FLIGHT = 4;

/** The pause before a failed heal is tried again: doubled each time, up to the longest. */
export const HEAL_RETRY_MIN_MS = 100;
export const HEAL_RETRY_MAX_MS = 10_000;

/** The pause before a failed write of the controller's own documents is tried again. */
export const WRITE_RETRY_MIN_MS = 50;
export const WRITE_RETRY_MAX_MS = 5000;

/** How long ticks are held back at most while vbuckets are checked again after a rollback. */
export const MAX_HOLD_MS = 2000;

/** The most channel hashes kept for one vbucket or one tick; beyond it: "unknown". */
export const MAX_CHANGED_CHANNELS = 4096;

/** The ticks whose changed channels the head document carries, and its hashes altogether. */
export const MAX_HEAD_TICKS = 64;
export const MAX_HEAD_HASHES = 2048;

/** The most branches kept of one vbucket's failover log, Couchbase's own limit. */
export const MAX_FAILOVER_ENTRIES = 25;
