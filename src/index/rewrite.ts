// One document rewritten: which entries stay, and the bytes of the new document. Pure.

import { MalformedBytes } from "../clock/bytes.ts";
import { type EntryTable, packEntry, packIdentity } from "./entry-codec.ts";
import { decodeHeader, encodeFrame, encodeHeader, type Kind, readFrames } from "./frame.ts";
import { MIN_APPENDED_SHARE } from "./limits.ts";
import { PackWriter } from "./pack.ts";
import type { WantedEntries } from "./sources.ts";

/** What is to become of a document that changes. */
export interface Rewriting {
  /** The new document; undefined: nothing stays. */
  readonly value: Uint8Array | undefined;
  /** Entries that go, repeated ones among them. */
  readonly dropped: number;
  readonly kept: number;
}

interface Kept {
  readonly table: EntryTable;
  readonly index: number;
}

/**
 * Rewrites a document with the entries that `keeps` says stay, each once, sorted, as one chunk.
 * Gives "leave" when that is not worth it, and "damaged" when a part of the document can't be read:
 * it is left for a person to look at.
 */
export function rewriteOf(
  want: WantedEntries,
  document: Uint8Array,
  tables: readonly EntryTable[],
  keeps: (table: EntryTable, index: number) => boolean,
): Rewriting | "leave" | "damaged" {
  let total = 0;
  const kept: Kept[] = [];
  for (const table of tables) {
    total += table.count;
    for (let index = 0; index < table.count; index++) {
      if (keeps(table, index)) kept.push({ table, index });
    }
  }
  const once = sortedOnce(kept);
  const dropped = total - once.length;
  const appended = appendedShare(document);
  if (appended === undefined) return "damaged";
  if (total > 0 && dropped === 0 && appended < MIN_APPENDED_SHARE) return "leave";
  if (once.length === 0) return { value: undefined, dropped, kept: 0 };
  return { value: newDocument(want, document, once), dropped, kept: once.length };
}

function sortedOnce(kept: readonly Kept[]): Kept[] {
  const sorted = [...kept].sort((one, other) => {
    const byVb = one.table.vb[one.index]! - other.table.vb[other.index]!;
    return byVb || one.table.seq[one.index]! - other.table.seq[other.index]!;
  });
  return sorted.filter(({ table, index }, i) => {
    const before = sorted[i - 1];
    return !(
      before &&
      before.table.vb[before.index] === table.vb[index] &&
      before.table.seq[before.index] === table.seq[index] &&
      before.table.branch(before.index) === table.branch(index)
    );
  });
}

/** The share of a document that came by appends; 0 for a single chunk; undefined when damaged. */
function appendedShare(document: Uint8Array): number | undefined {
  try {
    let damaged = false;
    const frames = readFrames(document, decodeHeader(document).end, () => {
      damaged = true;
    });
    if (damaged) return undefined;
    if (frames.length <= 1) return 0;
    const first = frames[0]!;
    return (document.length - first.next) / document.length;
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    return undefined;
  }
}

function newDocument(want: WantedEntries, document: Uint8Array, kept: readonly Kept[]): Uint8Array {
  const { kind, generation, body } = decodeHeader(document);
  const writer = new PackWriter(document.length + 16);
  writer.varint(kept.length);
  for (const { table, index } of kept) {
    const entry = table.entry(index);
    const identity = packIdentity(entry.docId, entry.revId);
    const channels = want.isSequences ? table.channels(index) : undefined;
    packEntry(writer, want.range, entry, identity, channels);
  }
  const header = encodeHeader(kind as Kind, body, generation + 1);
  const frame = encodeFrame(writer.bytes.subarray(0, writer.length), true);
  const rewritten = new Uint8Array(header.length + frame.length);
  rewritten.set(header);
  rewritten.set(frame, header.length);
  return rewritten;
}
