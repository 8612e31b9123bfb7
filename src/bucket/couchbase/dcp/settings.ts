// The settings and limits of the DCP client, all in one place for the operator's page.

/** How a DCP connection behaves. */
export interface DcpSettings {
  /** Names the connections in the server's statistics; must differ between gateways. */
  readonly connectionName: string;
  /** Bytes that the server may send ahead of the consumer, for each node. */
  readonly bufferBytes: number;
  /** How often the server sends a no-op; without one for three intervals the link is dead. */
  readonly noopIntervalSeconds: number;
  /** The collection streamed; undefined: the whole bucket. */
  readonly collectionId?: number;
}

/** The defaults of {@link DcpSettings}. */
export const DEFAULT_DCP_SETTINGS = {
  bufferBytes: 10 * 1024 * 1024,
  noopIntervalSeconds: 10,
} as const;

/** A link is dead when nothing came for this many no-op intervals. */
export const DEAD_AFTER_NOOP_INTERVALS = 3;

/** Acknowledge when this share of the buffer was consumed. */
export const ACKNOWLEDGE_SHARE = 0.2;

/** Stream requests under way at once on one connection. */
export const MAX_STREAM_REQUESTS = 128;

/** The most events that one `read()` gives out. */
export const MAX_EVENTS_PER_READ = 4096;

/** How often the copies of a vbucket are asked for what they have on disk, while events wait. */
export const PERSISTENCE_POLL_MS = 100;

/** Events held back for longer than this are told in the log, once in the same time. */
export const HELD_TOO_LONG_MS = 10_000;

/** Waits between tries to reach a node: doubled each time, up to the longest, with jitter. */
export const RETRY_FIRST_MS = 50;
export const RETRY_LONGEST_MS = 10_000;
