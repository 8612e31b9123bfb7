// One entry's bytes, and a chunk of them: what one append adds to a block or a sequence document.
// Numbers are stored as distances from the range that the document covers.
//
//   chunk = count varint | entries
//   entry = head 1 | [vb - vbFrom varint, when the range has several vbuckets]
//         | seq - seqFrom varint
//         | [branch varint] | [seq - supersedes zigzag varint] | doc id: length varint, UTF-8
//         | rev id | [grants: see grant-codec.ts; in pseudo-channels only]
//         | [channels: count varint, hashes of 4 bytes; in sequence documents only]
//   head  = flags (bits 0-2) | 8 a branch follows | 16 supersedes follows | 32 the rev id is text
//         | 64 grants follow
//   rev   = generation varint, 16 bytes of hash | text: length varint, UTF-8

import { Buffer } from "node:buffer";
import { assert } from "../base/assert.ts";
import { MalformedBytes } from "../clock/bytes.ts";
import { packGrants, unpackGrants } from "./grant-codec.ts";
import { PackReader, PackWriter } from "./pack.ts";
import { type Entry, EntryFlag, type Grant } from "./types.ts";

/** The vbuckets `[vbFrom, vbTo)` and sequences `[seqFrom, seqTo)` that a document covers. */
export interface Range {
  readonly vbFrom: number;
  readonly vbTo: number;
  readonly seqFrom: number;
  readonly seqTo: number;
}

const FLAGS = 0x07;
const HAS_BRANCH = 0x08;
const HAS_SUPERSEDES = 0x10;
const TEXT_REV = 0x20;
const HAS_GRANTS = 0x40;
const RESERVED = 0x80;

const HASH_BYTES = 16;
const HASH_DIGITS = 32;
const MAX_PACKED_GENERATION_DIGITS = 9;

/** The value of a lower-case hexadecimal digit's code; 16 for anything else. */
const digitValue = new Uint8Array(128).fill(16);
for (let value = 0; value < 16; value++) digitValue[value.toString(16).charCodeAt(0)] = value;
const digits = Buffer.from("0123456789abcdef", "latin1");

/** A document's id and revision as they are stored, packed once for all channels. */
export interface Identity {
  readonly bytes: Uint8Array;
  /** Whether the revision is stored as text. */
  readonly textRev: boolean;
}

const scratch = new PackWriter(512);

/** Packs what is the same in all entries of a mutation. */
export function packIdentity(docId: string, revId: string): Identity {
  scratch.length = 0;
  scratch.text(docId);
  const textRev = !packRev(scratch, revId);
  if (textRev) scratch.text(revId);
  return { bytes: scratch.slice(), textRev };
}

/** Packs `generation-32 digits`; gives false, and writes nothing, when `rev` is another form. */
function packRev(writer: PackWriter, rev: string): boolean {
  const dash = rev.length - HASH_DIGITS - 1;
  if (dash < 1 || dash > MAX_PACKED_GENERATION_DIGITS || rev.charCodeAt(dash) !== 0x2d)
    return false;
  let generation = 0;
  for (let i = 0; i < dash; i++) {
    const digit = rev.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return false;
    generation = generation * 10 + digit;
  }
  if (rev.charCodeAt(0) === 0x30) return false;
  const start = writer.length;
  writer.varint(generation);
  writer.reserve(HASH_BYTES);
  for (let i = dash + 1; i < rev.length; i += 2) {
    const high = rev.charCodeAt(i);
    const low = rev.charCodeAt(i + 1);
    const value = high < 128 && low < 128 ? (digitValue[high]! << 4) | digitValue[low]! : 256;
    if (value > 255 || digitValue[low]! > 15) {
      writer.length = start;
      return false;
    }
    writer.bytes[writer.length++] = value;
  }
  return true;
}

/** What an entry says beside the document's id and revision. */
export interface Place {
  readonly vb: number;
  readonly seq: number;
  readonly branch: number;
  readonly flags: number;
  readonly supersedes: number;
  readonly grants?: readonly Grant[];
}

/** Writes one entry. `channels`: the hashes, in sequence documents. */
export function packEntry(
  writer: PackWriter,
  range: Range,
  place: Place,
  identity: Identity,
  channels?: readonly number[],
): void {
  const { vb, seq, branch, flags, supersedes, grants } = place;
  assert(vb >= range.vbFrom && vb < range.vbTo, "an entry's vbucket is outside its document");
  assert(seq >= range.seqFrom && seq < range.seqTo, "an entry's seq is outside its document");
  let head = flags & FLAGS;
  if (branch > 0) head |= HAS_BRANCH;
  if (supersedes > 0) head |= HAS_SUPERSEDES;
  if (identity.textRev) head |= TEXT_REV;
  if (grants !== undefined) head |= HAS_GRANTS;
  writer.byte(head);
  if (range.vbTo - range.vbFrom > 1) writer.varint(vb - range.vbFrom);
  writer.varint(seq - range.seqFrom);
  if (branch > 0) writer.varint(branch);
  if (supersedes > 0) writer.varint(zigzag(seq - supersedes));
  writer.raw(identity.bytes);
  if (grants !== undefined) packGrants(writer, seq, grants);
  if (channels === undefined) return;
  writer.varint(channels.length);
  for (const hash of channels) writer.uint32(hash);
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

const revText = Buffer.alloc(MAX_PACKED_GENERATION_DIGITS + 1 + HASH_DIGITS);

/** The entries of some chunks, found but not yet unpacked: what a reader filters and sorts. */
export class EntryTable {
  readonly count: number;
  readonly vb: Uint16Array;
  readonly seq: Float64Array;
  readonly #at: Uint32Array;
  readonly #head: Uint8Array;
  readonly #reader: PackReader;
  readonly #withChannels: boolean;
  readonly #spans: readonly (readonly [from: number, to: number])[];

  /**
   * @param bytes what holds the payloads
   * @param spans where each payload begins and ends in `bytes`
   * @param withChannels whether these are records of a sequence document
   * @throws MalformedBytes when the entries do not fill the payloads
   */
  constructor(
    bytes: Uint8Array,
    spans: readonly (readonly [from: number, to: number])[],
    range: Range,
    withChannels: boolean,
  ) {
    const reader = new PackReader(bytes);
    let count = 0;
    for (const [from, to] of spans) {
      reader.at = from;
      reader.end = to;
      const entries = reader.varint();
      if (entries > to - from) throw new MalformedBytes("a chunk names more entries than it holds");
      count += entries;
    }
    this.count = count;
    this.vb = new Uint16Array(count);
    this.seq = new Float64Array(count);
    this.#at = new Uint32Array(count);
    this.#head = new Uint8Array(count);
    this.#reader = reader;
    this.#withChannels = withChannels;
    this.#spans = spans;
    let index = 0;
    for (const [from, to] of spans) {
      reader.at = from;
      reader.end = to;
      for (let left = reader.varint(); left > 0; left--) this.#scan(range, index++);
      if (reader.at !== to) throw new MalformedBytes("bytes are left over behind the entries");
    }
    reader.end = bytes.length;
  }

  #scan(range: Range, index: number): void {
    const reader = this.#reader;
    const head = reader.byte();
    if (head & RESERVED) throw new MalformedBytes("an entry has flags that mean nothing");
    const vb = range.vbTo - range.vbFrom > 1 ? range.vbFrom + reader.varint() : range.vbFrom;
    const seq = range.seqFrom + reader.varint();
    if (vb >= range.vbTo || seq >= range.seqTo) {
      throw new MalformedBytes("an entry lies outside its document");
    }
    this.vb[index] = vb;
    this.seq[index] = seq;
    this.#head[index] = head;
    this.#at[index] = reader.at;
    if (head & HAS_BRANCH) reader.varint();
    if (head & HAS_SUPERSEDES) reader.varint();
    reader.skip(reader.varint());
    if (head & TEXT_REV) {
      reader.skip(reader.varint());
    } else {
      reader.varint();
      reader.skip(HASH_BYTES);
    }
    if (head & HAS_GRANTS) reader.skip(reader.varint());
    if (this.#withChannels) reader.skip(reader.varint() * 4);
  }

  /** About how many bytes this table keeps in memory. */
  get byteSize(): number {
    return this.#reader.bytes.length + this.count * 15 + this.#spans.length * 32 + 200;
  }

  /** The chunks that the table was made of. */
  payloads(): Uint8Array[] {
    return this.#spans.map(([from, to]) => this.#reader.bytes.subarray(from, to));
  }

  /** The branch ordinal of entry `index`. */
  branch(index: number): number {
    if ((this.#head[index]! & HAS_BRANCH) === 0) return 0;
    this.#reader.at = this.#at[index]!;
    return this.#reader.varint();
  }

  /** Whether entry `index` says that its document left the channel. */
  isRemoval(index: number): boolean {
    return (this.#head[index]! & EntryFlag.removed) !== 0;
  }

  /** The document id of entry `index`. */
  docId(index: number): string {
    this.#toIdentity(index);
    return this.#reader.text();
  }

  /** Entry `index`, unpacked. */
  entry(index: number): Entry {
    const reader = this.#reader;
    const head = this.#head[index]!;
    const seq = this.seq[index]!;
    reader.at = this.#at[index]!;
    const branch = head & HAS_BRANCH ? reader.varint() : 0;
    const supersedes = head & HAS_SUPERSEDES ? seq - unzigzag(reader.varint()) : 0;
    const docId = reader.text();
    const revId = head & TEXT_REV ? reader.text() : unpackRev(reader);
    const flags = head & FLAGS;
    const entry = { vb: this.vb[index]!, seq, branch, flags, docId, revId, supersedes };
    if ((head & HAS_GRANTS) === 0) return entry;
    return { ...entry, flags: flags | EntryFlag.grants, grants: unpackGrants(reader, seq) };
  }

  /** The hashes of the channels of record `index`. */
  channels(index: number): number[] {
    assert(this.#withChannels, "only records of sequence documents name channels");
    const reader = this.#reader;
    this.#toIdentity(index);
    reader.skip(reader.varint());
    if (this.#head[index]! & TEXT_REV) {
      reader.skip(reader.varint());
    } else {
      reader.varint();
      reader.skip(HASH_BYTES);
    }
    if (this.#head[index]! & HAS_GRANTS) reader.skip(reader.varint());
    const hashes = new Array<number>(reader.varint());
    for (let i = 0; i < hashes.length; i++) hashes[i] = reader.uint32();
    return hashes;
  }

  #toIdentity(index: number): void {
    const head = this.#head[index]!;
    this.#reader.at = this.#at[index]!;
    if (head & HAS_BRANCH) this.#reader.varint();
    if (head & HAS_SUPERSEDES) this.#reader.varint();
  }
}

/** A packed revision's text. */
function unpackRev(reader: PackReader): string {
  const generation = reader.varint();
  let at = 1;
  if (generation < 10) revText[0] = 0x30 + generation;
  else at = revText.write(String(generation), 0, "latin1");
  revText[at++] = 0x2d;
  const bytes = reader.bytes;
  const from = reader.skip(HASH_BYTES);
  for (let i = from; i < from + HASH_BYTES; i++) {
    const byte = bytes[i]!;
    revText[at++] = digits[byte >> 4]!;
    revText[at++] = digits[byte & 15]!;
  }
  return revText.toString("latin1", 0, at);
}
