// Rollback mitigation, its questions: asks the active node and all replicas of a vbucket, as long as
// events of it are held, how much of its branch they have on disk (OBSERVE_SEQNO). What is held and
// what is released is `held-events.ts`.

import { isTidegateError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Random } from "../../../runtime/random.ts";
import type { Cancel, Time } from "../../../runtime/time.ts";
import { MAX_SEQ } from "../../vbucket.ts";
import { type ClusterNode, nodeName } from "../cluster/cluster-map.ts";
import type { Topology } from "../cluster/topology.ts";
import type { NodePool } from "../kv/node-pool.ts";
import { retryDelayMs } from "../kv/retry.ts";
import type { Frame } from "../wire/frame.ts";
import { observeSeqnoRequest, parseSeqnoReport } from "../wire/observe-seqno.ts";
import { nameOf, Status } from "../wire/opcodes.ts";
import type { HeldEvent, HeldEvents } from "./held-events.ts";
import { HELD_TOO_LONG_MS, PERSISTENCE_POLL_MS } from "./settings.ts";

/** What the questions need of the bucket. */
export interface PersistenceParts {
  readonly topology: Topology;
  readonly pool: NodePool;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
}

/** What the feed is told. */
export interface PersistenceEvents<Origin> {
  /** These are on the disks of all copies now. Called between chunks of frames, never within. */
  onReleased(events: readonly HeldEvent<Origin>[]): void;
  /** The active node is on another branch than the stream: that must be asked for again. */
  onBranchLeft(vb: number): void;
}

/** What is known of one vbucket's copies. Thrown away when the branch or the copies change. */
interface Watch {
  readonly vbuuid: string;
  readonly copies: readonly ClusterNode[];
  /** Node name -> the seq up to which it has the branch on disk. */
  readonly persisted: Map<string, number>;
  asking: number;
  askedMs: number;
  /** Since when events wait without any progress. */
  sinceMs: number;
}

/** Follows the disks of the copies for what is held. */
export class PersistenceWatch<Origin> {
  readonly #parts: PersistenceParts;
  readonly #held: HeldEvents<Origin>;
  readonly #events: PersistenceEvents<Origin>;
  readonly #watches = new Map<number, Watch>();
  /** Node name -> failures in a row, and not to be asked before. */
  readonly #silent = new Map<string, { failures: number; untilMs: number }>();
  readonly #stops: Cancel[];
  #toldMs = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(
    parts: PersistenceParts,
    held: HeldEvents<Origin>,
    events: PersistenceEvents<Origin>,
  ) {
    this.#parts = parts;
    this.#held = held;
    this.#events = events;
    this.#stops = [
      parts.time.every(PERSISTENCE_POLL_MS, () => this.#poll()),
      parts.topology.onChange(() => this.#copiesChanged()),
    ];
  }

  /** The first event of `vb` is held: asks at once, unless that was done a moment ago. */
  look(vb: number): void {
    const watch = this.#watchOf(vb);
    const waited = this.#parts.time.monotonicMs() - watch.askedMs;
    watch.sinceMs = this.#parts.time.monotonicMs();
    if (waited >= PERSISTENCE_POLL_MS) this.#ask(vb, watch);
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stops) stop();
  }

  #poll(): void {
    let longestMs = 0;
    const now = this.#parts.time.monotonicMs();
    for (const vb of this.#held.waiting()) {
      const watch = this.#watchOf(vb);
      longestMs = Math.max(longestMs, now - watch.sinceMs);
      this.#ask(vb, watch);
    }
    if (longestMs < HELD_TOO_LONG_MS || now - this.#toldMs < HELD_TOO_LONG_MS) return;
    this.#toldMs = now;
    this.#parts.log.warn(
      { events: this.#held.count, bytes: this.#held.bytes, longestMs: Math.round(longestMs) },
      "mutations are held back: not all copies of their vbuckets have them on disk",
    );
  }

  #watchOf(vb: number): Watch {
    const vbuuid = this.#held.branch(vb);
    const existing = this.#watches.get(vb);
    if (existing?.vbuuid === vbuuid) return existing;
    const watch = {
      vbuuid,
      copies: this.#copiesOf(vb),
      persisted: new Map(),
      asking: 0,
      askedMs: Number.NEGATIVE_INFINITY,
      sinceMs: this.#parts.time.monotonicMs(),
    };
    this.#watches.set(vb, watch);
    return watch;
  }

  /** The nodes with a copy, the active one first; none while there is no active one. */
  #copiesOf(vb: number): readonly ClusterNode[] {
    const { active, replicas, nodes } = this.#parts.topology.map;
    const copies = [active[vb] ?? -1, ...(replicas[vb] ?? [])].map((place) => nodes[place]);
    return copies[0] === undefined ? [] : copies.filter((node) => node !== undefined);
  }

  /** Forgets what is known of vbuckets that have other copies now. */
  #copiesChanged(): void {
    for (const [vb, watch] of this.#watches) {
      const copies = this.#copiesOf(vb);
      const same =
        copies.length === watch.copies.length &&
        copies.every((node, at) => nodeName(node) === nodeName(watch.copies[at] as ClusterNode));
      // A bucket that got its first replica has the same copies until the rebalance is done.
      if (same && this.#parts.topology.map.replicaCount > 0) continue;
      this.#watches.delete(vb);
      this.#release(vb, watch, 0);
    }
  }

  #ask(vb: number, watch: Watch): void {
    if (watch.asking > 0) return;
    watch.askedMs = this.#parts.time.monotonicMs();
    if (this.#parts.topology.map.replicaCount === 0) {
      // Nothing could fail over to a copy that lacks something. Not now: a chunk may be under way.
      queueMicrotask(() => this.#release(vb, watch, MAX_SEQ));
      return;
    }
    for (const [at, node] of watch.copies.entries()) {
      const name = nodeName(node);
      if (watch.askedMs < (this.#silent.get(name)?.untilMs ?? 0)) continue;
      watch.asking++;
      this.#askCopy(vb, watch, node)
        .then((answer) => this.#answered(vb, watch, at, answer))
        .catch((error: unknown) => this.#unanswered(name, error))
        .finally(() => {
          watch.asking--;
        });
    }
  }

  async #askCopy(vb: number, watch: Watch, node: ClusterNode): Promise<Frame> {
    const connection = await this.#parts.pool.connection(node);
    return connection.request(observeSeqnoRequest(vb, watch.vbuuid));
  }

  #answered(vb: number, watch: Watch, at: number, answer: Frame): void {
    if (this.#closed || this.#watches.get(vb) !== watch) return;
    if (this.#held.branch(vb) !== watch.vbuuid) return;
    const node = watch.copies[at] as ClusterNode;
    const name = nodeName(node);
    this.#silent.delete(name);
    const persisted = this.#persistedBy(answer, vb, watch, node);
    if (persisted === undefined) {
      // Another branch, or none that the node knows. A replica learns it from the active node.
      watch.persisted.delete(name);
      if (at === 0 && answer.status !== Status.notMyVbucket) this.#events.onBranchLeft(vb);
      return;
    }
    watch.persisted.set(name, persisted);
    if (watch.persisted.size < watch.copies.length) return;
    this.#release(vb, watch, Math.min(...watch.persisted.values()));
  }

  /** What the node has on disk of the branch asked for; undefined when it is not on that branch. */
  #persistedBy(answer: Frame, vb: number, watch: Watch, node: ClusterNode): number | undefined {
    if (answer.status === Status.success) {
      const report = parseSeqnoReport(answer.value);
      const ours = report.left === undefined && report.vbuuid === watch.vbuuid;
      return ours ? report.persistedSeq : undefined;
    }
    if (answer.status === Status.notMyVbucket) {
      this.#parts.topology.learnFrom(answer, node.host);
      return undefined;
    }
    if (answer.status === Status.keyNotFound) return undefined;
    // Busy, or not allowed: not known to be on the disk.
    const status = nameOf(Status, answer.status);
    this.#parts.log.warn({ vb, node: nodeName(node), status }, "OBSERVE_SEQNO was refused");
    return watch.persisted.get(nodeName(node)) ?? 0;
  }

  #unanswered(name: string, error: unknown): void {
    if (this.#closed) return;
    if (!isTidegateError(error, "unavailable") && !isTidegateError(error, "ambiguous")) {
      this.#parts.log.error({ node: name, error: String(error) }, "a node's disks can't be asked");
    }
    const failures = (this.#silent.get(name)?.failures ?? 0) + 1;
    const untilMs =
      this.#parts.time.monotonicMs() +
      retryDelayMs(failures, this.#parts.random) +
      PERSISTENCE_POLL_MS;
    this.#silent.set(name, { failures, untilMs });
  }

  #release(vb: number, watch: Watch, seq: number): void {
    if (this.#closed) return;
    const released = this.#held.persisted(vb, watch.vbuuid, seq);
    if (released.length === 0) return;
    watch.sinceMs = this.#parts.time.monotonicMs();
    this.#events.onReleased(released);
  }
}
