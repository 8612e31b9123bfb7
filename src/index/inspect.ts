// Any document of the index as text that a person can read, for `tidegate inspect`.

import { MalformedBytes } from "../clock/bytes.ts";
import { unpackBranches } from "./branch-table.ts";
import { EntryTable, type Range } from "./entry-codec.ts";
import { decodeHeader, type Frame, type Header, Kind, payloadOf, readFrames } from "./frame.ts";
import {
  decodeLayout,
  readBlockHeader,
  readListHeader,
  readRootHeader,
  readSequenceHeader,
  unpackAddresses,
  unpackWindows,
} from "./list-codec.ts";
import { blockKey, channelInKeys, KEY_PREFIX, listKey, rangeOf } from "./shape.ts";
import { type Entry, EntryFlag } from "./types.ts";

/** Whether a key of the index collection is one of the index's own documents. */
export function isIndexKey(key: string): boolean {
  return key.startsWith(KEY_PREFIX);
}

/**
 * The lines that describe a document of the index: what it is, and everything in it. Damaged parts
 * are named. Throws TidegateError `newer_version`.
 */
export function describeDocument(key: string, document: Uint8Array): string[] {
  const lines = [`${key}: ${document.length} bytes`];
  let header: Header;
  try {
    header = decodeHeader(document);
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    return [...lines, `can't be read: ${error.message}`];
  }
  const frames = readFrames(document, header.end, ({ at, length, reason }) => {
    lines.push(`DAMAGED: ${length} bytes at ${at}: ${reason}`);
  });
  const kind = describers[header.kind];
  if (!kind) return [...lines, `of an unknown kind, ${header.kind}`];
  return [...lines, ...kind(header, frames, document)];
}

type Describer = (header: Header, frames: readonly Frame[], document: Uint8Array) => string[];

const describers: Readonly<Record<number, Describer>> = {
  [Kind.layout]: (_header, _frames, document) => {
    const { vbuckets, partitions, seqBits } = decodeLayout(document);
    const window = `windows of ${2 ** seqBits} sequences`;
    return [`layout: ${vbuckets} vbuckets in ${partitions} partitions, ${window}`];
  },
  [Kind.branches]: (_header, frames) => [
    "branches: where vbuckets' histories were cut",
    ...eachFrame(frames, (payload) =>
      unpackBranches(payload).map(({ vb, seq, vbuuid }) => {
        return `  vbucket ${vb} goes on after ${seq} as ${vbuuid}`;
      }),
    ),
  ],
  [Kind.root]: (header, frames) => {
    const channel = readRootHeader(header);
    const lines = eachFrame(frames, (payload) =>
      unpackWindows(payload).map((window) => {
        const length = 2 ** window.bits;
        const from = window.number * length;
        return `  ${listKey(channelInKeys(channel), window)}: seq ${from} to ${from + length - 1}`;
      }),
    );
    return [`root of channel ${JSON.stringify(channel)}: its list windows`, ...lines];
  },
  [Kind.list]: (header, frames) => {
    const { channel, window } = readListHeader(header);
    const length = 2 ** window.bits;
    const from = window.number * length;
    const name = JSON.stringify(channel);
    const title = `list of channel ${name}: blocks that begin at seq ${from} to `;
    const lines = eachFrame(frames, (payload) =>
      unpackAddresses(payload).map((address) => {
        return `  ${blockKey(channelInKeys(channel), address)}: ${rangeText(rangeOf(address))}`;
      }),
    );
    return [title + (from + length - 1), ...lines];
  },
  [Kind.block]: (header, frames) => {
    const { channel, address } = readBlockHeader(header);
    const range = rangeOf(address);
    const title = `block of channel ${JSON.stringify(channel)}: ${rangeText(range)}`;
    return [title, ...entryLines(frames, range, false)];
  },
  [Kind.sequence]: (header, frames) => {
    const { partition, range } = readSequenceHeader(header);
    const title = `sequence document of partition ${partition}: ${rangeText(range)}`;
    return [title, ...entryLines(frames, range, true)];
  },
};

function rangeText({ vbFrom, vbTo, seqFrom, seqTo }: Range): string {
  return `vbuckets ${vbFrom} to ${vbTo - 1}, seq ${seqFrom} to ${seqTo - 1}`;
}

/** The lines of all frames; a frame that can't be read is named. */
function eachFrame(frames: readonly Frame[], read: (payload: Uint8Array) => string[]): string[] {
  return frames.flatMap((frame) => {
    try {
      return read(payloadOf(frame));
    } catch (error) {
      if (!(error instanceof MalformedBytes)) throw error;
      return [`DAMAGED: the frame at ${frame.at}: ${error.message}`];
    }
  });
}

function entryLines(frames: readonly Frame[], range: Range, withChannels: boolean): string[] {
  return frames.flatMap((frame, number) => [
    `  chunk ${number + 1}${frame.compressed ? ", compressed" : ""}: ` +
      `${frame.next - frame.at} bytes`,
    ...eachFrame([frame], (payload) => {
      const table = new EntryTable(payload, [[0, payload.length]], range, withChannels);
      return Array.from({ length: table.count }, (_, index) => {
        const hashes = withChannels ? table.channels(index) : [];
        const channels = hashes.map((hash) => hash.toString(16).padStart(8, "0")).join(" ");
        return `    ${entryText(table.entry(index))}${channels ? ` channels ${channels}` : ""}`;
      });
    }),
  ]);
}

function entryText(entry: Entry): string {
  const { vb, seq, branch, flags, docId, revId, supersedes, grants } = entry;
  const words = Object.entries(EntryFlag).flatMap(([name, bit]) => (flags & bit ? [name] : []));
  if (branch > 0) words.push(`branch ${branch}`);
  if (supersedes > 0) words.push(`supersedes ${supersedes}`);
  for (const { kind, name, from, until } of grants ?? []) {
    words.push(`${kind} ${JSON.stringify(name)} from ${from}${until > 0 ? ` until ${until}` : ""}`);
  }
  const tail = words.length > 0 ? ` (${words.join(", ")})` : "";
  return `${vb}.${seq} ${JSON.stringify(docId)} ${revId || "-"}${tail}`;
}
