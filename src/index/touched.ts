// Which channels a mutation concerns: where it has an entry, or has had one.

import { pseudoChannel } from "./pseudo-channel.ts";
import type { IndexMutation } from "./types.ts";

/** The channels that the document is in, those it has left, and those of whom it grants something. */
export function touchedChannels({ channels, removals, grants = [] }: IndexMutation): Set<string> {
  const touched = new Set(channels);
  for (const { channel } of removals) touched.add(channel);
  for (const { principal } of grants) touched.add(pseudoChannel(principal));
  return touched;
}
