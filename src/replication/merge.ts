// Merges the entries of several channels into the changes of one reader: in (vb, seq) order, of each
// document the newest. A steppable core apart from reading its inputs.

import { type Entry, EntryFlag } from "../index/types.ts";

/** Within a vbucket, at most this many entries are looked over for older ones of a document. */
export const MAX_MERGE_WINDOW = 8192;

/** Merged changes are given out in batches of about this many. */
const MERGED_BATCH = 1000;

/** One change as a reader sees it. */
export interface Change {
  readonly entry: Entry;
  /** The wanted channels that the document left, when it is in none of them any more. */
  readonly left: readonly string[] | undefined;
  /** Whether it is the reader that lost those channels, not the document. */
  readonly revoked?: boolean;
}

/**
 * What is read of a channel: "new": what is new to its readers; "backfill": the whole past of one that
 * the reader lacks, without removals; "left": only removals; "revoked": what was in one that the reader
 * has lost; "dropped": what left one before the reader lost it.
 */
export type ReadingKind = "new" | "backfill" | "left" | "revoked" | "dropped";

/** The entries of one channel, in `(vb, seq)` order. */
export interface ChannelEntries {
  readonly channel: string;
  /** "new" unless said. */
  readonly kind?: ReadingKind;
  readonly batches: AsyncIterable<readonly Entry[]>;
}

/** Merges `inputs`. Documents are told apart by id within a vbucket. Gives batches of changes. */
export async function* mergeChannels(
  inputs: readonly ChannelEntries[],
): AsyncGenerator<readonly Change[]> {
  const [only] = inputs;
  if (inputs.length === 1 && only) yield* alone(only);
  else yield* mergeMany(inputs);
}

/** The index gives of each document only the newest: nothing is left to do for one channel. */
async function* alone(input: ChannelEntries): AsyncGenerator<readonly Change[]> {
  const { channel, kind = "new", batches } = input;
  const left = [channel];
  for await (const batch of batches) {
    const wanted = kind === "new" ? batch : batch.filter((entry) => !isSkipped(entry, kind));
    if (isOfLost(kind)) yield wanted.map((entry) => ({ entry, left, revoked: true }));
    else yield wanted.map((entry) => ({ entry, left: isRemoval(entry) ? left : undefined }));
  }
}

/** Whether an entry says nothing to who reads its channel in this way. */
export function isSkipped({ flags }: Entry, kind: ReadingKind): boolean {
  // Who lacks a channel has nothing that could have left it; who lost it needs no word of what is
  // deleted, or had left before.
  if (kind === "backfill") return (flags & EntryFlag.removed) !== 0;
  if (kind === "dropped" || kind === "left") return (flags & EntryFlag.removed) === 0;
  return kind === "revoked" && (flags & (EntryFlag.removed | EntryFlag.deleted)) !== 0;
}

/** Whether the reader has lost the channel. */
function isOfLost(kind: ReadingKind): boolean {
  return kind === "revoked" || kind === "dropped";
}

async function* mergeMany(inputs: readonly ChannelEntries[]): AsyncGenerator<readonly Change[]> {
  const cursors = inputs.map((input) => new Cursor(input));
  try {
    await Promise.all(cursors.map((cursor) => cursor.fill()));
    const heap = new CursorHeap(cursors.filter((cursor) => cursor.entry !== undefined));
    let window = new MergeWindow();
    let ready: Change[] = [];
    for (let cursor = heap.least; cursor !== undefined; cursor = heap.least) {
      const { entry } = cursor;
      if (entry === undefined) break;
      if (!window.takes(entry)) {
        ready = window.appendTo(ready);
        window = new MergeWindow();
        if (ready.length >= MERGED_BATCH) {
          yield ready;
          ready = [];
        }
      }
      if (heap.size === 1 && window.size === 0) {
        // The last channel that has anything more: from here on it is as if there were no other.
        const { channel, kind } = cursor;
        for await (const rest of alone({ channel, kind, batches: cursor.rest() })) {
          yield ready.length > 0 ? [...ready, ...rest] : rest;
          ready = [];
        }
        break;
      }
      window.add(entry, cursor.channel, cursor.kind);
      if (!cursor.step()) await cursor.fill();
      heap.moved();
    }
    ready = window.appendTo(ready);
    if (ready.length > 0) yield ready;
  } finally {
    await Promise.all(cursors.map((cursor) => cursor.close()));
  }
}

/** The changes of one vbucket, newest of each document, in order of seq. */
export class MergeWindow {
  #vb = -1;
  #seq = 0;
  readonly #byDocument = new Map<
    string,
    { entry: Entry; left: string[] | undefined; revoked: boolean }
  >();

  /** The documents in the window. */
  get size(): number {
    return this.#byDocument.size;
  }

  /** Whether `entry` belongs into this window: of one vbucket, and never half of one mutation. */
  takes({ vb, seq }: Entry): boolean {
    if (this.#vb < 0) return true;
    return vb === this.#vb && (seq === this.#seq || this.size < MAX_MERGE_WINDOW);
  }

  /** Adds the next entry: never one of a lower seq than the one before. */
  add(entry: Entry, channel: string, kind: ReadingKind = "new"): void {
    if (kind !== "new" && isSkipped(entry, kind)) return;
    this.#vb = entry.vb;
    this.#seq = entry.seq;
    const known = this.#byDocument.get(entry.docId);
    const revoked = isOfLost(kind);
    const lost = revoked || isRemoval(entry);
    if (known?.entry.seq === entry.seq) {
      // One mutation, several channels: who still sees the document in one of them has not lost it.
      if (!lost) {
        known.entry = entry;
        known.left = undefined;
        known.revoked = false;
      } else if (known.left !== undefined) {
        if (!known.left.includes(channel)) known.left.push(channel);
        // What left a channel that the reader still sees has left, whatever it lost beside.
        if (!revoked) known.revoked = false;
      }
      return;
    }
    // A newer mutation of the document: it takes its place at the end, where its seq belongs.
    if (known !== undefined) this.#byDocument.delete(entry.docId);
    this.#byDocument.set(entry.docId, { entry, left: lost ? [channel] : undefined, revoked });
  }

  /** Adds the changes, in order of seq, to `changes`, and gives that. */
  appendTo(changes: Change[]): Change[] {
    for (const change of this.#byDocument.values()) changes.push(change);
    return changes;
  }
}

function isRemoval(entry: Entry): boolean {
  return (entry.flags & EntryFlag.removed) !== 0;
}

/** One input's place. */
class Cursor {
  readonly channel: string;
  readonly kind: ReadingKind;
  /** The entry at this place; undefined at the end, or when the batch is used up. */
  entry: Entry | undefined;
  readonly #batches: AsyncIterator<readonly Entry[]>;
  #batch: readonly Entry[] = [];
  #at = 0;

  constructor({ channel, kind = "new", batches }: ChannelEntries) {
    this.channel = channel;
    this.kind = kind;
    this.#batches = batches[Symbol.asyncIterator]();
  }

  /** Goes to the next entry of the batch in hand. Gives whether there is one. */
  step(): boolean {
    this.entry = this.#batch[++this.#at];
    return this.entry !== undefined;
  }

  /** Fetches the next batch that is not empty. */
  async fill(): Promise<void> {
    for (;;) {
      const next = await this.#batches.next();
      this.#at = 0;
      this.#batch = next.done ? [] : next.value;
      this.entry = this.#batch[0];
      if (next.done || this.entry !== undefined) return;
    }
  }

  /** What is left, from this place on. */
  async *rest(): AsyncGenerator<readonly Entry[]> {
    for (; this.entry !== undefined; await this.fill()) yield this.#batch.slice(this.#at);
  }

  async close(): Promise<void> {
    await this.#batches.return?.();
  }
}

/** A binary heap of cursors, the one with the least `(vb, seq)` on top. */
class CursorHeap {
  readonly #cursors: Cursor[];

  constructor(cursors: readonly Cursor[]) {
    // A sorted list is a heap.
    this.#cursors = [...cursors].sort((a, b) => (before(a, b) ? -1 : 1));
  }

  get size(): number {
    return this.#cursors.length;
  }

  get least(): Cursor | undefined {
    return this.#cursors[0];
  }

  /** The top cursor moved on, or came to its end. */
  moved(): void {
    const cursors = this.#cursors;
    if (cursors[0]?.entry === undefined) {
      const last = cursors.pop();
      if (last === undefined || cursors.length === 0) return;
      cursors[0] = last;
    }
    let at = 0;
    for (;;) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        const a = cursors[child];
        const b = cursors[least];
        if (a && b && before(a, b)) least = child;
      }
      if (least === at) return;
      const a = cursors[at] as Cursor;
      cursors[at] = cursors[least] as Cursor;
      cursors[least] = a;
      at = least;
    }
  }
}

function before(a: Cursor, b: Cursor): boolean {
  const x = a.entry;
  const y = b.entry;
  if (x === undefined || y === undefined) return x !== undefined;
  return x.vb - y.vb < 0 || (x.vb === y.vb && x.seq < y.seq);
}
