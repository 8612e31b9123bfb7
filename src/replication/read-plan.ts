// Reads what a plan says from the index: one merged stream, from which is left out what the reader
// has already, or may still see. What is to be read: reach.ts.

import type { Access } from "../access/types.ts";
import { zeroClock } from "../clock/clock.ts";
import type { Clock } from "../clock/tick.ts";
import type { ChangedChannels } from "../controller/ports.ts";
import type { DocumentStore, Winner } from "../documents/types.ts";
import { ALL_CHANNEL, type Entry, type IndexReader } from "../index/types.ts";
import type { Time } from "../runtime/time.ts";
import { gatherChannels } from "./gather.ts";
import { MAX_CHECKED_DOCUMENTS, MAX_MERGED_STREAMS } from "./limits.ts";
import { type Change, mergeChannels, type ReadingKind } from "./merge.ts";
import type { Place } from "./ports.ts";
import { meets, type Plan } from "./reach.ts";

/** What reading needs. */
export interface PlanSources {
  readonly index: IndexReader;
  readonly documents: Pick<DocumentStore, "winners">;
  readonly channelHash: (channel: string) => number;
  readonly vbuckets: number;
  readonly time: Time;
}

/** Where in the interval to read. */
export interface Where {
  /** After this place; undefined: from the beginning. */
  readonly start?: Place | undefined;
  /** In these vbuckets alone; undefined: in all of them. */
  readonly vbuckets?: ReadonlySet<number> | undefined;
}

/** A channel to be read, and the clocks between which. */
interface Reading {
  readonly channel: string;
  readonly kind: ReadingKind;
  readonly from: Clock;
  readonly to: Clock;
}

/**
 * The changes of the interval, merged.
 *
 * @param changed the channels in which there may be something new in the interval
 */
export function readPlan(
  sources: PlanSources,
  access: Access,
  plan: Plan,
  changed: ChangedChannels,
  where: Where,
): AsyncIterable<readonly Change[]> {
  const readings = readingsOf(sources, plan, changed);
  const changes = readAll(sources, readings, where);
  const isSimple = plan.backfilled.size + plan.revoked.size + plan.dropped.size === 0;
  return isSimple ? changes : checked(sources.documents, access, plan, changes);
}

function readingsOf(
  { channelHash, vbuckets }: PlanSources,
  { from, to, channels, backfilled, doubtful, revoked, dropped }: Plan,
  changed: ChangedChannels,
): Reading[] {
  const zero = zeroClock(vbuckets);
  const readings: Reading[] = [];
  // Every tick changes the channel of all documents: its hash is not named.
  const hasNew = (channel: string) =>
    changed === "unknown" || channel === ALL_CHANNEL || changed.has(channelHash(channel));
  for (const channel of channels) {
    if (backfilled.has(channel)) {
      readings.push({ channel, kind: "backfill", from: zero, to: to.clock });
    } else if (hasNew(channel)) {
      readings.push({ channel, kind: "new", from: from.clock, to: to.clock });
    }
  }
  for (const channel of doubtful) {
    readings.push({ channel, kind: "left", from: from.clock, to: to.clock });
  }
  for (const channel of revoked) {
    readings.push({ channel, kind: "revoked", from: zero, to: from.clock });
  }
  for (const channel of dropped) {
    readings.push({ channel, kind: "dropped", from: from.clock, to: to.clock });
  }
  return readings;
}

function readAll(
  { index, vbuckets, time }: PlanSources,
  readings: readonly Reading[],
  { start, vbuckets: wanted }: Where,
): AsyncIterable<readonly Change[]> {
  if (readings.length <= MAX_MERGED_STREAMS) {
    return mergeChannels(
      readings.map(({ channel, kind, from, to }) => ({
        channel,
        kind,
        batches: index.read(channel, from, wanted ? narrowed(from, to, wanted) : to, start),
      })),
    );
  }
  const stripes = new Stripes(vbuckets, wanted);
  const striped = readings.map((reading) => ({
    channel: reading.channel,
    kind: reading.kind,
    read(vbFrom: number, vbTo: number): AsyncIterable<readonly Entry[]> {
      const to = stripes.upTo(reading, vbFrom, vbTo);
      return index.read(reading.channel, reading.from, to, start);
    },
  }));
  return gatherChannels(striped, start?.vb ?? 0, vbuckets, time);
}

/** The ends of readings in a stripe of vbuckets: many channels are read between the same clocks. */
class Stripes {
  readonly #vbuckets: number;
  readonly #wanted: ReadonlySet<number> | undefined;
  #vbFrom = -1;
  #vbTo = -1;
  #ends = new Map<ReadingKind, Clock>();

  constructor(vbuckets: number, wanted: ReadonlySet<number> | undefined) {
    this.#vbuckets = vbuckets;
    this.#wanted = wanted;
  }

  upTo({ kind, from, to }: Reading, vbFrom: number, vbTo: number): Clock {
    if (vbFrom === 0 && vbTo === this.#vbuckets && this.#wanted === undefined) return to;
    if (vbFrom !== this.#vbFrom || vbTo !== this.#vbTo) this.#ends.clear();
    this.#vbFrom = vbFrom;
    this.#vbTo = vbTo;
    const known = this.#ends.get(kind);
    if (known) return known;
    const stripe = new Set<number>();
    for (let vb = vbFrom; vb < vbTo; vb++) {
      if (this.#wanted === undefined || this.#wanted.has(vb)) stripe.add(vb);
    }
    const end = narrowed(from, to, stripe);
    this.#ends.set(kind, end);
    return end;
  }
}

/** `to` where something is wanted, and nothing elsewhere: what is not read costs nothing. */
function narrowed(from: Clock, to: Clock, vbuckets: ReadonlySet<number>): Clock {
  const narrow = from.slice();
  for (const vb of vbuckets) narrow[vb] = to[vb] ?? 0;
  return narrow;
}

/**
 * Leaves out what the newest version of a document makes needless. That is looked at only for what
 * was revoked, and for what lies before the interval: a past that is sent again.
 */
async function* checked(
  documents: Pick<DocumentStore, "winners">,
  access: Access,
  plan: Plan,
  changes: AsyncIterable<readonly Change[]>,
): AsyncGenerator<readonly Change[]> {
  const { clock } = plan.from;
  for await (const batch of changes) {
    const old = batch.filter(({ entry, revoked }) => revoked || entry.seq <= clock[entry.vb]!);
    if (old.length === 0) {
      yield batch;
      continue;
    }
    const needless = new Set<Change>();
    for (let at = 0; at < old.length; at += MAX_CHECKED_DOCUMENTS) {
      const piece = old.slice(at, at + MAX_CHECKED_DOCUMENTS);
      const winners = await documents.winners(piece.map(({ entry }) => entry.docId));
      for (const [i, change] of piece.entries()) {
        const winner = winners[i];
        const isNeedless = change.revoked
          ? winner !== undefined && isStillSeen(access, plan, change, winner)
          : // What has changed since comes with its change; what is gone has none to come.
            winner?.seq !== change.entry.seq || meets(plan.has, winner.channels);
        if (isNeedless) needless.add(change);
      }
    }
    yield batch.filter((change) => !needless.has(change));
  }
}

/**
 * Whether the reader sees the document both at the end of the interval and now. What changed after
 * the interval comes again with its change, if it is seen then.
 */
function isStillSeen(access: Access, { to }: Plan, { entry }: Change, winner: Winner): boolean {
  if (winner.seq > to.clock[entry.vb]!) return false;
  return access.seesAny(winner.channels) && meets(access.at(to.clock), winner.channels);
}
