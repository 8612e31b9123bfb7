// The default sync function, `channel(doc.channels)`, without a sandbox.

import type { Json, JsonObject } from "../base/json.ts";
import {
  EMPTY_SYNC_RESULT,
  type SyncFunction,
  type SyncInput,
  type SyncResult,
} from "./sync-port.ts";

/**
 * Puts a document into the channels that its member `channels` names: a string, or an array whose
 * strings count. Anything else, and empty names, are passed over, as `channel()` does.
 */
export const defaultSyncFunction: SyncFunction = {
  run(input: SyncInput): SyncResult {
    const body = input.body ?? (JSON.parse(input.docJson) as JsonObject);
    const names = Object.hasOwn(body, "channels") ? body.channels : undefined;
    const channels = channelNames(names);
    return channels.length === 0 ? EMPTY_SYNC_RESULT : { ...EMPTY_SYNC_RESULT, channels };
  },
};

function channelNames(names: Json | undefined): string[] {
  if (typeof names === "string") return names === "" ? [] : [names];
  if (!Array.isArray(names)) return [];
  const channels: string[] = [];
  for (const name of names) {
    if (typeof name === "string" && name !== "") channels.push(name);
  }
  return channels;
}
