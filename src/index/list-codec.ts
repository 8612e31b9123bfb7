// The bytes of headers, channel roots and list windows: what exists, by name.
//
//   header of a root     = name: length, text
//   header of a list     = name | bits varint | number varint
//   header of a block    = name | vbBits | seqBits | vbTile | seqTile, varints
//   header of a sequence document = partition | vbFrom | vbTo | seqBits | window, varints
//   header of the layout = vbuckets | partitions | seqBits of sequence documents, varints
//   root, a frame's payload = (bits varint | number varint) ...
//   list, a frame's payload = (vbBits varint | seqBits varint | vbTile varint | seqTile varint) ...

import { TidegateError } from "../base/errors.ts";
import { MalformedBytes } from "../clock/bytes.ts";
import type { Range } from "./entry-codec.ts";
import { decodeHeader, encodeHeader, type Header, Kind } from "./frame.ts";
import { PackReader, PackWriter } from "./pack.ts";
import { type BlockAddress, type ListWindow, SequenceGrid } from "./shape.ts";

/** The header of a channel's root. `generation`, here and below: see `Header`. */
export function rootHeader(channel: string, generation: number): Uint8Array {
  return header(Kind.root, generation, (writer) => writer.text(channel));
}

/** The header of a channel's list window. */
export function listHeader(channel: string, window: ListWindow, generation: number): Uint8Array {
  return header(Kind.list, generation, (writer) => {
    writer.text(channel);
    writer.varint(window.bits);
    writer.varint(window.number);
  });
}

/** The header of a channel's block. */
export function blockHeader(
  channel: string,
  address: BlockAddress,
  generation: number,
): Uint8Array {
  return header(Kind.block, generation, (writer) => {
    writer.text(channel);
    packAddress(writer, address);
  });
}

/** The header of a sequence document. */
export function sequenceHeader(
  grid: SequenceGrid,
  partition: number,
  window: number,
  generation: number,
): Uint8Array {
  return header(Kind.sequence, generation, (writer) => {
    writer.varint(partition);
    writer.varint(grid.firstVb(partition));
    writer.varint(grid.firstVb(partition + 1));
    writer.varint(grid.seqBits);
    writer.varint(window);
  });
}

/** The whole layout document: how the sequence documents are cut. */
export function encodeLayout(grid: SequenceGrid): Uint8Array {
  return header(Kind.layout, 0, (writer) => {
    writer.varint(grid.vbuckets);
    writer.varint(grid.partitions);
    writer.varint(grid.seqBits);
  });
}

/** Reads the layout document. Throws TidegateError `corrupt`, `newer_version`. */
export function decodeLayout(document: Uint8Array): SequenceGrid {
  try {
    const { kind, body } = decodeHeader(document);
    const reader = new PackReader(body);
    const [vbuckets, partitions, seqBits] = [reader.varint(), reader.varint(), reader.varint()];
    if (kind !== Kind.layout) throw new MalformedBytes("it is another kind of document");
    return new SequenceGrid(vbuckets, partitions, seqBits);
  } catch (cause) {
    if (!(cause instanceof MalformedBytes)) throw cause;
    const reason = `the index's layout document can't be read: ${cause.message}`;
    throw new TidegateError("corrupt", reason, { cause });
  }
}

/** Throws TidegateError `corrupt` when a document with this header is not of this channel. */
export function checkChannel(found: Header, channel: string, key: string): void {
  const name = readRootHeader(found);
  if (name === channel) return;
  throw new TidegateError(
    "corrupt",
    `${key}: expected channel ${JSON.stringify(channel)}, found ${JSON.stringify(name)}`,
  );
}

/** The channel's name in the header of its root; undefined when the header can't be read. */
export function channelOfRoot(document: Uint8Array): string | undefined {
  try {
    return readRootHeader(decodeHeader(document));
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    return undefined;
  }
}

function header(kind: Kind, generation: number, fill: (writer: PackWriter) => void): Uint8Array {
  const body = new PackWriter(64);
  fill(body);
  return encodeHeader(kind, body.slice(), generation);
}

function packAddress(writer: PackWriter, address: BlockAddress): void {
  writer.varint(address.vbBits);
  writer.varint(address.seqBits);
  writer.varint(address.vbTile);
  writer.varint(address.seqTile);
}

/** The channel in a root's header. Throws `MalformedBytes`, as the functions below do. */
export function readRootHeader(header: Header): string {
  return new PackReader(header.body).text();
}

/** What a list window's header says. */
export function readListHeader(header: Header): { channel: string; window: ListWindow } {
  const reader = new PackReader(header.body);
  const channel = reader.text();
  return { channel, window: { bits: reader.varint(), number: reader.varint() } };
}

/** What a block's header says. */
export function readBlockHeader(header: Header): { channel: string; address: BlockAddress } {
  const reader = new PackReader(header.body);
  return { channel: reader.text(), address: unpackAddress(reader) };
}

/** What a sequence document's header says. */
export function readSequenceHeader(header: Header): { partition: number; range: Range } {
  const reader = new PackReader(header.body);
  const partition = reader.varint();
  const [vbFrom, vbTo] = [reader.varint(), reader.varint()];
  const length = 2 ** reader.varint();
  const window = reader.varint();
  const seqFrom = window * length;
  return { partition, range: { vbFrom, vbTo, seqFrom, seqTo: seqFrom + length } };
}

function unpackAddress(reader: PackReader): BlockAddress {
  return {
    vbBits: reader.varint(),
    seqBits: reader.varint(),
    vbTile: reader.varint(),
    seqTile: reader.varint(),
  };
}

/** The payload of a root's frame. */
export function packWindows(windows: readonly ListWindow[]): Uint8Array {
  const writer = new PackWriter(windows.length * 6 + 8);
  for (const window of windows) {
    writer.varint(window.bits);
    writer.varint(window.number);
  }
  return writer.slice();
}

/** Reads what {@link packWindows} wrote. Throws `MalformedBytes`. */
export function unpackWindows(payload: Uint8Array): ListWindow[] {
  const reader = new PackReader(payload);
  const windows: ListWindow[] = [];
  while (reader.at < payload.length) {
    windows.push({ bits: reader.varint(), number: reader.varint() });
  }
  return windows;
}

/** The payload of a list's frame. */
export function packAddresses(addresses: readonly BlockAddress[]): Uint8Array {
  const writer = new PackWriter(addresses.length * 6 + 8);
  for (const address of addresses) packAddress(writer, address);
  return writer.slice();
}

/** Reads what {@link packAddresses} wrote. Throws `MalformedBytes`. */
export function unpackAddresses(payload: Uint8Array): BlockAddress[] {
  const reader = new PackReader(payload);
  const addresses: BlockAddress[] = [];
  while (reader.at < payload.length) addresses.push(unpackAddress(reader));
  return addresses;
}
