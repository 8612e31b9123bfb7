// Documents, grants, index, access and changes over a real bucket, with a stable clock that the test
// moves itself: to any clock, with any tick. What the model expects of it is model.ts.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type OpenAccess, openAccess } from "../../src/access/visibility/open-access.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { silentLog } from "../../src/base/log.ts";
import {
  type EmbeddedBucket,
  openEmbeddedBucket,
} from "../../src/bucket/embedded/embedded-bucket.ts";
import { type Branches, noBranches } from "../../src/clock/branches.ts";
import { zeroClock } from "../../src/clock/clock.ts";
import { openLookupMap, type TickHistory } from "../../src/clock/lookup-map.ts";
import { TICK_ZERO } from "../../src/clock/sequence.ts";
import type { Clock, Stable, Tick } from "../../src/clock/tick.ts";
import { StableHead } from "../../src/controller/stable.ts";
import { DEFAULT_LIMITS } from "../../src/documents/limits.ts";
import { createDocumentStore, type DocumentStoreHandle } from "../../src/documents/store.ts";
import { EMPTY_SYNC_RESULT, type SyncFunction } from "../../src/documents/sync-port.ts";
import { type Index, openIndex } from "../../src/index/open.ts";
import { pseudoChannel } from "../../src/index/pseudo-channel.ts";
import { channelHash } from "../../src/index/shape.ts";
import type { IndexMutation } from "../../src/index/types.ts";
import { createChangesEngine, type RunningChangesEngine } from "../../src/replication/engine.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";

/** What a test's document says of itself. */
export interface Says {
  readonly channels: readonly string[];
  /** Users by name, roles as `role:NAME`, and the channels that they are granted. */
  readonly access: readonly (readonly [principal: string, channels: readonly string[]])[];
  readonly roles: readonly (readonly [user: string, roles: readonly string[]])[];
}

/** The sync function of these tests: a document is where it says, and grants what it says. */
const syncFunction: SyncFunction = {
  run({ docJson }) {
    const { channels = [], access = [], roles = [] } = JSON.parse(docJson) as Partial<Says>;
    return {
      ...EMPTY_SYNC_RESULT,
      channels: [...channels],
      access: access.map(([principal, granted]) => ({ principal, channels: [...granted] })),
      roles: roles.map(([user, given]) => ({ user, roles: [...given] })),
    };
  },
};

/** What a rig is made with. */
export interface RigOptions {
  readonly vbuckets?: number;
  readonly branches?: Branches;
  /** Whether the index keeps nothing in memory: what it does not find stored is gone. */
  readonly forgetful?: boolean;
  /** The weight of the grant tables kept. */
  readonly maxWeight?: number;
  /** Stands between the access and the index. */
  readonly watchIndex?: (index: Index) => Pick<Index, "read">;
  /** Stands between the changes and the index. */
  readonly watchChanges?: (index: Index) => Pick<Index, "read">;
}

/** Where a history is played: the rig, or a whole gateway. */
export interface Stage {
  readonly vbuckets: number;
  readonly documents: DocumentStoreHandle;
  readonly changes: Pick<RunningChangesEngine, "open">;
  readonly access: Pick<OpenAccess, "user">;
  /** Every tick published, oldest first, tick 0 before them. */
  readonly ticks: readonly Stable[];
  /** What was saved last of each document. */
  readonly newest: ReadonlyMap<string, IndexMutation>;
  /** Publishes a tick: see {@link Rig.tick}; a whole gateway chooses its clocks itself. */
  tick(vbs?: readonly number[], unknown?: boolean): Promise<unknown>;
  /** Compacts the whole index. */
  compact(): Promise<unknown>;
}

interface RigParts {
  readonly vbuckets: number;
  readonly bucket: EmbeddedBucket;
  readonly documents: DocumentStoreHandle;
  readonly index: Index;
  readonly stable: StableHead;
  readonly lookup: TickHistory;
  readonly changes: RunningChangesEngine;
  readonly access: OpenAccess;
}

/** Everything beneath the server, but for the controller. Close it. */
export class Rig implements RigParts, Stage {
  readonly vbuckets: number;
  readonly bucket: EmbeddedBucket;
  readonly documents: DocumentStoreHandle;
  readonly index: Index;
  readonly stable: StableHead;
  readonly lookup: TickHistory;
  readonly changes: RunningChangesEngine;
  readonly access: OpenAccess;
  /** Every tick published, oldest first, tick 0 before them. */
  readonly ticks: Stable[];
  /** What was saved last of each document. */
  readonly newest: ReadonlyMap<string, IndexMutation>;
  readonly #directory: string;
  readonly #saved: IndexMutation[];
  readonly #unpublished: IndexMutation[] = [];

  private constructor(
    parts: RigParts,
    directory: string,
    saved: IndexMutation[],
    newest: ReadonlyMap<string, IndexMutation>,
  ) {
    this.vbuckets = parts.vbuckets;
    this.bucket = parts.bucket;
    this.documents = parts.documents;
    this.index = parts.index;
    this.stable = parts.stable;
    this.lookup = parts.lookup;
    this.changes = parts.changes;
    this.access = parts.access;
    this.ticks = [parts.stable.head()];
    this.#directory = directory;
    this.#saved = saved;
    this.newest = newest;
  }

  static async open(options: RigOptions = {}): Promise<Rig> {
    const { vbuckets = 4, branches = noBranches } = options;
    const directory = await mkdtemp(join(tmpdir(), "tidegate-access-"));
    const time = systemTime(false);
    const log = silentLog;
    const shared = { time, random: systemRandom, log };
    const bucket = await openEmbeddedBucket({ directory, name: "test", vbuckets, ...shared });
    const index = await openIndex({
      collection: bucket.index,
      vbuckets,
      time,
      log,
      ...(options.forgetful && { tailEntries: 1, cacheBytes: 0 }),
    });
    const stable = new StableHead({ tick: TICK_ZERO, clock: zeroClock(vbuckets) }, (error) => {
      throw error;
    });
    const lookup = await openLookupMap({ collection: bucket.index, vbuckets, time, log });
    const saved: IndexMutation[] = [];
    const newest = new Map<string, IndexMutation>();
    const making: { changes?: RunningChangesEngine } = {};
    const documents = createDocumentStore({
      bucket,
      settings: { limits: DEFAULT_LIMITS },
      syncFunction,
      onSaved: (mutation) => {
        saved.push(mutation);
        newest.set(mutation.docId, mutation);
        making.changes?.saved(mutation);
      },
      stableSeq: (vb) => stable.head().clock[vb] ?? 0,
      ...shared,
    });
    const watched = options.watchIndex?.(index) ?? index;
    const { maxWeight } = options;
    const access = openAccess({
      index: watched,
      stable,
      branches,
      vbuckets,
      ...(maxWeight === undefined ? {} : { maxWeight }),
    });
    const parts = { vbuckets, stable, lookup, branches, documents, channelHash, time };
    const read = options.watchChanges?.(index) ?? index;
    const changes = createChangesEngine({ ...parts, index: read });
    making.changes = changes;
    return new Rig({ ...parts, bucket, index, changes, access }, directory, saved, newest);
  }

  /** Writes the index of what was saved. */
  async written(): Promise<IndexMutation[]> {
    const saved = this.#saved.splice(0);
    await Promise.all(saved.map((mutation) => this.index.write(mutation)));
    this.#unpublished.push(...saved);
    return saved;
  }

  /**
   * Publishes the next tick.
   *
   * @param vbs the vbuckets that move to where they are; all of them unless said
   * @param unknown whether the tick does not say what it changed
   */
  async tick(vbs?: readonly number[], unknown = false): Promise<Stable> {
    await this.written();
    const high = await this.bucket.feed.highSeqs();
    const before = this.stable.head();
    const clock: Clock = before.clock.slice();
    for (const vb of vbs ?? high.keys()) clock[vb] = high[vb] ?? 0;
    const tick = Math.max(before.tick + 1, Date.now()) as Tick;
    const changed = new Set<number>();
    const rest: IndexMutation[] = [];
    for (const mutation of this.#unpublished.splice(0)) {
      if (mutation.seq > clock[mutation.vb]!) rest.push(mutation);
      else for (const hash of hashesOf(mutation)) changed.add(hash);
    }
    this.#unpublished.push(...rest);
    for (let vb = 0; vb < this.vbuckets; vb++) {
      if (clock[vb]! > before.clock[vb]!) this.index.validated(vb, before.clock[vb]!, clock[vb]!);
    }
    await this.lookup.append(tick, clock);
    this.index.passed(clock);
    const stable = { tick, clock };
    this.ticks.push(stable);
    this.stable.publish(stable, unknown ? "unknown" : changed);
    return stable;
  }

  /** Compacts the whole index, as far as it is stable. */
  async compact(): Promise<void> {
    const budget = { documents: Number.POSITIVE_INFINITY, always: true };
    await this.index.compact(this.stable.head().clock, budget);
  }

  async close(): Promise<void> {
    await this.written();
    await this.documents.idle();
    this.access.close();
    this.changes.close();
    await this.index.close();
    await this.bucket.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function* hashesOf({ channels, removals, grants }: IndexMutation): Generator<number> {
  for (const channel of channels) yield channelHash(channel);
  for (const { channel } of removals) yield channelHash(channel);
  for (const { principal } of grants ?? []) yield channelHash(pseudoChannel(principal));
}

/** A document with `says`, and what else it holds. */
export function documentOf(says: Partial<Says>, more: JsonObject = {}): JsonObject {
  return { ...(says as unknown as JsonObject), ...more };
}
