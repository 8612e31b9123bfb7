// The bytes of what a document grants a principal, as they follow an entry in a pseudo-channel.
//
//   grants = count varint | grant…
//   grant  = kind 1 (0 channel, 1 role; 2 is added when it was withdrawn)
//          | seq - from varint | [seq - until varint] | name: length varint, UTF-8
//
// `seq` is the entry's: a span lies before it, so distances are short.

import { assert } from "../base/assert.ts";
import { MalformedBytes } from "../clock/bytes.ts";
import { type PackReader, PackWriter } from "./pack.ts";
import type { Grant } from "./types.ts";

const ROLE = 1;
const WITHDRAWN = 2;

const scratch = new PackWriter(1024);

/** Writes the grants of the entry at `seq`, their length in bytes first. */
export function packGrants(writer: PackWriter, seq: number, grants: readonly Grant[]): void {
  scratch.length = 0;
  scratch.varint(grants.length);
  for (const { kind, name, from, until } of grants) {
    assert(from <= seq && until <= seq, "a grant begins and ends at or before its entry");
    scratch.byte((kind === "role" ? ROLE : 0) | (until > 0 ? WITHDRAWN : 0));
    scratch.varint(seq - from);
    if (until > 0) scratch.varint(seq - until);
    scratch.text(name);
  }
  writer.varint(scratch.length);
  writer.raw(scratch.bytes.subarray(0, scratch.length));
}

/** Reads what {@link packGrants} wrote. Throws `MalformedBytes`. */
export function unpackGrants(reader: PackReader, seq: number): Grant[] {
  const bytes = reader.varint();
  const end = reader.at + bytes;
  const count = reader.varint();
  if (count > bytes) throw new MalformedBytes("an entry names more grants than it holds");
  const grants: Grant[] = [];
  for (let i = 0; i < count; i++) {
    const head = reader.byte();
    if (head > (ROLE | WITHDRAWN)) throw new MalformedBytes("a grant is of no known kind");
    const from = seq - reader.varint();
    const until = head & WITHDRAWN ? seq - reader.varint() : 0;
    const name = reader.text();
    if (from < 0 || until < 0) throw new MalformedBytes("a grant begins or ends before all seqs");
    grants.push({ kind: head & ROLE ? "role" : "channel", name, from, until });
  }
  if (reader.at !== end) throw new MalformedBytes("bytes are left over behind an entry's grants");
  return grants;
}
