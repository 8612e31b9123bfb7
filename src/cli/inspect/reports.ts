// What `tidegate inspect` answers, one function a command: plain JSON, or lines that are text
// already. Printing is `command.ts`.

import { TidegateError } from "../../base/errors.ts";
import type { Json, JsonObject } from "../../base/json.ts";
import { vbucketOf } from "../../bucket/vbucket.ts";
import { inspectClock, inspectPosition, inspectTick, inspectTicks } from "../../clock/inspect.ts";
import { parseSequence } from "../../clock/sequence.ts";
import type { Tick } from "../../clock/tick.ts";
import { withoutSecrets } from "../../config/secrets.ts";
import { describeMutation } from "../../documents/describe.ts";
import { classify } from "../../documents/load.ts";
import { SYNC_ATTRIBUTE } from "../../documents/sync-codec.ts";
import { indexMutationOf } from "../../documents/sync-metadata.ts";
import { describeDocument, isIndexKey } from "../../index/inspect.ts";
import { ALL_CHANNEL, type Entry, EntryFlag } from "../../index/types.ts";
import { type Verification, verifyIndex } from "../../index/verify.ts";
import type { Opened } from "./open.ts";

/** Keys that are listed, or documents of the index that are described, at most. */
const MAX_LISTED = 1000;

/** Entries of a channel that are shown unless `--limit` says otherwise. */
export const DEFAULT_ENTRIES = 100;

/** A database as a whole: its settings, how far it is, how much there is. */
export async function reportDatabase({ bucket, settings, store, ticks, name }: Opened) {
  const [high, head, cluster] = await Promise.all([
    bucket.feed.highSeqs(),
    store.head(),
    store.cluster(),
  ]);
  const stable = head?.record.stable;
  const behind = stable ? high.reduce((sum, seq, vb) => sum + seq - (stable.clock[vb] ?? 0), 0) : 0;
  const report: JsonObject = {
    database: name,
    documents: await bucket.documents.count(),
    vbuckets: bucket.vbuckets,
    mutations: high.reduce((sum, seq) => sum + seq, 0),
    head: stable ? inspectTick(stable.tick) : null,
    notYetStable: behind,
    newestTickKept: ticks.newest() ? inspectTick((ticks.newest() as { tick: Tick }).tick) : null,
    owner: cluster ? ownerOf(cluster.record) : null,
    settings: JSON.parse(JSON.stringify(withoutSecrets(settings))) as Json,
  };
  return report;
}

function ownerOf(record: { owner: string; epoch: number; pid: number; released: boolean }) {
  const { owner, epoch, pid, released } = record;
  return { instance: owner, epoch, pid, released };
}

/** A document's `_sync` attribute, and what the index has of it in each channel. */
export async function reportDocument({ bucket, index }: Opened, id: string): Promise<JsonObject> {
  const item = await bucket.documents.get(id);
  if (!item) throw new TidegateError("not_found", `there is no document ${id}`);
  const vb = vbucketOf(id, bucket.vbuckets);
  const found = classify(id, item);
  const isVersion = found.kind === "version";
  const channels = isVersion ? indexMutationOf(id, found.version.sync, noToken).channels : [];
  const left = isVersion ? found.version.sync.left.map(({ channel }) => channel) : [];
  const entries: Json[] = [];
  for (const channel of [ALL_CHANNEL, ...channels, ...new Set(left)]) {
    for await (const entry of entriesOf({ bucket, index }, channel)) {
      if (entry.docId === id) entries.push({ channel, ...entryFields(entry) });
    }
  }
  const sync = item.xattrs[SYNC_ATTRIBUTE];
  return {
    id,
    vb,
    deleted: item.deleted,
    kind: found.kind,
    bodyBytes: item.body?.length ?? 0,
    _sync: sync === undefined ? null : (JSON.parse(sync) as Json),
    entries,
  };
}

const noToken = { vb: 0, seq: 0, vbuuid: "0" };

async function* entriesOf(
  { bucket, index }: Pick<Opened, "bucket" | "index">,
  channel: string,
): AsyncGenerator<Entry> {
  const none = new Float64Array(bucket.vbuckets);
  const high = await bucket.feed.highSeqs();
  for await (const batch of index.read(channel, none, high)) yield* batch;
}

function entryFields({ vb, seq, flags, docId, revId, supersedes, branch }: Entry): JsonObject {
  const words = Object.entries(EntryFlag).flatMap(([word, bit]) => (flags & bit ? [word] : []));
  const fields: JsonObject = { at: `${vb}.${seq}`, id: docId, rev: revId };
  if (words.length > 0) fields.flags = words.join(",");
  if (supersedes > 0) fields.supersedes = supersedes;
  if (branch > 0) fields.branch = branch;
  return fields;
}

/** What the index has of a channel, stable or not, superseded entries aside. */
export async function reportChannel(
  opened: Opened,
  channel: string,
  limit: number,
): Promise<JsonObject> {
  const entries: Json[] = [];
  let count = 0;
  for await (const entry of entriesOf(opened, channel)) {
    if (++count <= limit) entries.push(entryFields(entry));
  }
  return { channel, count, ...(count > limit ? { shown: limit } : {}), entries };
}

/** The names of all channels. */
export async function reportChannels({ index }: Opened): Promise<string[]> {
  const names: string[] = [];
  for await (const page of index.channels()) names.push(...page);
  return names.sort();
}

/** The index's documents whose key starts with `prefix`; one alone is described whole. */
export async function reportIndex({ bucket }: Opened, prefix: string): Promise<string[]> {
  const found = prefix === "" ? undefined : await bucket.index.get(prefix);
  if (found && isIndexKey(prefix)) return describeDocument(prefix, found.value);
  const keys = await bucket.index.keys(prefix, { limit: MAX_LISTED });
  const values = await bucket.index.getMany(keys);
  const lines = keys.map((key, at) => `${key}  ${values[at]?.value.length ?? 0} bytes`);
  if (keys.length === MAX_LISTED)
    lines.push(`... the first ${MAX_LISTED}; a longer prefix shows others`);
  return lines.length > 0 ? lines : [`there is nothing under ${JSON.stringify(prefix)}`];
}

/** What a client has that says `since`, in this database. */
export function reportPosition({ bucket, ticks, branches }: Opened, since: string) {
  return inspectPosition(since, ticks, branches, bucket.vbuckets);
}

/** The newest stable clock, vbucket by vbucket, and what it takes in each encoding. */
export function reportClock({ ticks, name }: Opened): JsonObject {
  const newest = ticks.newest();
  if (!newest) throw new TidegateError("not_found", `nothing was ever published in ${name}`);
  return { ...inspectTick(newest.tick), ...inspectClock(newest.clock), clock: [...newest.clock] };
}

/** The ticks that the lookup map keeps. */
export function reportTicks({ ticks }: Opened, from: string | undefined, limit: number) {
  if (from === undefined) return inspectTicks(ticks, { limit });
  const sequence = parseSequence(from);
  if (sequence.kind !== "tick") {
    throw new TidegateError("bad_sequence", `--from: expected the sequence of a tick, not ${from}`);
  }
  return inspectTicks(ticks, { from: sequence.tick, limit });
}

/** Computes the index again from the documents, and compares. Nothing may be written meanwhile. */
export function reportCheck({ index, bucket }: Opened): Promise<Verification> {
  return verifyIndex(index, bucket, describeMutation);
}
