// Rows ahead of the stable clock: what this node saved itself, for one feed. They come again with
// the tick that covers them, and are then left out.

import type { Clock } from "../clock/tick.ts";
import { EntryFlag, type IndexMutation } from "../index/types.ts";
import { MAX_EAGER_QUEUED, MAX_EAGER_SENT } from "./limits.ts";
import type { Change } from "./merge.ts";
import { type Channels, meets } from "./reach.ts";

/** The rows of one feed that are ahead of the stable clock. */
export class EagerRows {
  /** The channels that the feed reads now. */
  #channels: Channels = new Set();
  /** Saved and not yet sent: the newest of each document. */
  readonly #queue = new Map<string, IndexMutation>();
  /** Sent ahead, by (vb, seq), in the order they were sent. */
  readonly #sent = new Map<string, { readonly vb: number; readonly seq: number }>();

  /** Whether something waits to be sent. */
  get waiting(): boolean {
    return this.#queue.size > 0;
  }

  /** Says which channels the feed reads from now on. */
  see(channels: Channels): void {
    this.#channels = channels;
  }

  /** Takes a save. What does not fit comes with its tick. */
  saved(mutation: IndexMutation): void {
    if (this.#leftBy(mutation) === "unseen") return;
    if (this.#queue.size + this.#sent.size >= Math.min(MAX_EAGER_QUEUED, MAX_EAGER_SENT)) return;
    this.#queue.delete(mutation.docId);
    this.#queue.set(mutation.docId, mutation);
  }

  /** The wanted channels that the document left with this mutation; undefined: it is in one. */
  #leftBy(mutation: IndexMutation): readonly string[] | undefined | "unseen" {
    const channels = this.#channels;
    if (meets(channels, mutation.channels)) return undefined;
    const left = mutation.removals.filter(
      ({ channel, seq }) => seq === mutation.seq && channels.has(channel),
    );
    return left.length === 0 ? "unseen" : left.map(({ channel }) => channel);
  }

  /** What is to be sent now: what `stable` does not cover yet, and is seen now. */
  take(stable: Clock): Change[] {
    const changes: Change[] = [];
    for (const mutation of this.#queue.values()) {
      const { vb, seq, docId, revId, supersedes } = mutation;
      const left = this.#leftBy(mutation);
      if (left === "unseen" || seq <= (stable[vb] ?? 0)) continue;
      const flags = mutation.flags | (left === undefined ? 0 : EntryFlag.removed);
      changes.push({ entry: { vb, seq, branch: 0, flags, docId, revId, supersedes }, left });
    }
    this.#queue.clear();
    return changes;
  }

  /** Says that this row was sent ahead. */
  sent(vb: number, seq: number): void {
    this.#sent.set(`${vb}.${seq}`, { vb, seq });
  }

  /** Whether this row was sent ahead. */
  wasSent(vb: number, seq: number): boolean {
    return this.#sent.size > 0 && this.#sent.has(`${vb}.${seq}`);
  }

  /** Forgets what `stable` covers: it will not come again. */
  covered(stable: Clock): void {
    for (const [name, { vb, seq }] of this.#sent) {
      if (seq <= (stable[vb] ?? 0)) this.#sent.delete(name);
    }
  }
}
