// Takes blocks of which nothing stays out of the index: the block goes first, then its name in the
// list. Both by CAS against what was read before, the list first of all: a writer that finds the
// block gone lists it again before it makes it, and then the list's CAS does not match any more, or
// the writer's record comes behind the new list. So a block with data is always listed; a listed
// block that does not exist is harmless.

import { Buffer } from "node:buffer";
import type { KeyValueOperation } from "../bucket/bucket.ts";
import { MalformedBytes } from "../clock/bytes.ts";
import { ListGrid } from "./decoders.ts";
import type { Documents } from "./documents.ts";
import { decodeHeader, encodeFrame, type Header } from "./frame.ts";
import { listHeader, packAddresses } from "./list-codec.ts";
import { type BlockAddress, type ListWindow, windowOf } from "./shape.ts";
import { wantList } from "./sources.ts";

/** A block that is to go, if it is still as it was read. */
export interface EmptyBlock {
  readonly key: string;
  readonly cas: bigint;
  readonly address: BlockAddress;
}

/** Removes the blocks that were not changed meanwhile. Gives how many went. */
export async function removeBlocks(
  documents: Documents,
  channel: string,
  blocks: readonly EmptyBlock[],
  vbuckets: number,
): Promise<number> {
  const byWindow = new Map<string, { window: ListWindow; blocks: EmptyBlock[] }>();
  for (const block of blocks) {
    const window = windowOf(block.address, vbuckets);
    const name = `${window.bits}.${window.number}`;
    const group = byWindow.get(name) ?? { window, blocks: [] };
    byWindow.set(name, group);
    group.blocks.push(block);
  }
  let removed = 0;
  for (const { window, blocks: listed } of byWindow.values()) {
    removed += await removeListed(documents, channel, window, listed, vbuckets);
  }
  return removed;
}

async function removeListed(
  documents: Documents,
  channel: string,
  window: ListWindow,
  blocks: readonly EmptyBlock[],
  vbuckets: number,
): Promise<number> {
  const { collection } = documents;
  const want = wantList(channel, window, vbuckets);
  const stored = await collection.get(want.key);
  if (!stored) return 0;
  const before = headerOf(stored.value);
  if (!before) return 0;
  const list = documents.decode(want, stored.value);
  const removals = blocks.map(({ key, cas }): KeyValueOperation => ({ op: "remove", key, cas }));
  const results = await collection.batch(removals);
  const gone = new Set(blocks.filter((_block, i) => results[i]?.ok).map(({ key }) => key));
  if (gone.size === 0) return 0;
  const goneAddresses = blocks.filter(({ key }) => gone.has(key)).map(({ address }) => address);
  const stay = list.shapes.flatMap(({ shape, places }) => {
    const grid = new ListGrid(window, shape, vbuckets);
    const without = new Set(
      goneAddresses
        .filter(({ vbBits, seqBits }) => vbBits === shape.vbBits && seqBits === shape.seqBits)
        .map(({ vbTile, seqTile }) => grid.place(vbTile, seqTile)),
    );
    return [...places].filter((place) => !without.has(place)).map((place) => grid.address(place));
  });
  const header = listHeader(channel, window, before.generation + 1);
  const value = Buffer.concat([header, stay.length > 0 ? encodeFrame(packAddresses(stay)) : NONE]);
  await collection.batch([{ op: "replace", key: want.key, value, cas: stored.cas }]);
  return gone.size;
}

const NONE = new Uint8Array();

/** A list whose header can't be read is left for a person to look at. */
function headerOf(document: Uint8Array): Header | undefined {
  try {
    return decodeHeader(document);
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    return undefined;
  }
}
