// Finds blocks that have data but are named by no list: there must be none, whatever crashed when.

import { MalformedBytes } from "../clock/bytes.ts";
import { ListGrid } from "./decoders.ts";
import { decodeHeader, readFrames } from "./frame.ts";
import { CHANNEL_PAGE } from "./limits.ts";
import { readBlockHeader } from "./list-codec.ts";
import type { Index } from "./open.ts";
import { BLOCK_PREFIX, type BlockAddress, windowOf } from "./shape.ts";
import { wantList, wantRoot } from "./sources.ts";

/** A block that no reader finds. */
export interface UnlistedBlock {
  readonly key: string;
  readonly channel: string;
}

/** All blocks with data that their channel's lists do not name. */
export async function unlistedBlocks(index: Index): Promise<UnlistedBlock[]> {
  const unlisted: UnlistedBlock[] = [];
  let after: string | undefined;
  for (;;) {
    const options = { limit: CHANNEL_PAGE, ...(after === undefined ? {} : { after }) };
    const keys = await index.collection.keys(BLOCK_PREFIX, options);
    if (keys.length === 0) return unlisted;
    after = keys.at(-1)!;
    const stored = await index.collection.getMany(keys);
    for (const [i, key] of keys.entries()) {
      const value = stored[i]?.value;
      const block = value ? dataOf(value) : undefined;
      if (block && !(await isListed(index, block.channel, block.address))) {
        unlisted.push({ key, channel: block.channel });
      }
    }
  }
}

function dataOf(value: Uint8Array): { channel: string; address: BlockAddress } | undefined {
  try {
    const header = decodeHeader(value);
    const frames = readFrames(value, header.end, () => undefined);
    return frames.length === 0 ? undefined : readBlockHeader(header);
  } catch (error) {
    if (!(error instanceof MalformedBytes)) throw error;
    return undefined;
  }
}

async function isListed(index: Index, channel: string, address: BlockAddress): Promise<boolean> {
  const { documents, vbuckets } = index;
  const window = windowOf(address, vbuckets);
  const [windows] = await documents.fetch([wantRoot(channel, vbuckets)]);
  const rooted = windows?.some(({ bits, number }) => {
    return bits === window.bits && number === window.number;
  });
  if (!rooted) return false;
  const [list] = await documents.fetch([wantList(channel, window, vbuckets)]);
  const { vbBits, seqBits } = address;
  const group = list?.shapes.find(({ shape }) => {
    return shape.vbBits === vbBits && shape.seqBits === seqBits;
  });
  const place = new ListGrid(window, address, vbuckets).place(address.vbTile, address.seqTile);
  return group?.places.includes(place) ?? false;
}
