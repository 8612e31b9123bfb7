// What every part of the document store works with: handed in once, passed along.

import type { Log } from "../base/log.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { IndexMutation } from "../index/types.ts";
import type { Random } from "../runtime/random.ts";
import type { Time } from "../runtime/time.ts";
import type { Background } from "./background.ts";
import type { ByteGate } from "./byte-gate.ts";
import type { KeyedQueue } from "./keyed-queue.ts";
import type { DocumentLimits } from "./limits.ts";
import type { ImportFilter, SyncFunction } from "./sync-port.ts";
import { type Actor, ADMIN } from "./types.ts";

/** What the store's parts share. */
export interface StoreContext {
  readonly bucket: Bucket;
  readonly limits: DocumentLimits;
  /** How long a superseded revision's body stays readable; 0: not at all. */
  readonly oldRevisionSeconds: number;
  readonly syncFunction: SyncFunction;
  /** The import filter of this moment; undefined: everything is imported. */
  readonly importFilter: () => ImportFilter | undefined;
  /** Called when a version is durable, before its client is answered. Must not throw. */
  readonly onSaved: (mutation: IndexMutation) => void;
  /** The stable clock's seq in a vbucket, as this node knows it; undefined: there is none. */
  readonly stableSeq: ((vb: number) => number) | undefined;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
  readonly queue: KeyedQueue;
  readonly background: Background;
  /** Reads that put attachments into texts go through here. */
  readonly inline: ByteGate;
}

/** Who imports and `_resync` run as. */
export const SYSTEM_ACTOR: Actor = ADMIN;
