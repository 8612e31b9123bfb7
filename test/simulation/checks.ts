// The invariants of DESIGN part 3, checked in a simulated world.

import { clampToBranches } from "../../src/clock/branches.ts";
import { copyClock } from "../../src/clock/clock.ts";
import type { Clock } from "../../src/clock/tick.ts";
import { ALL_CHANNEL, EntryFlag, type IndexMutation } from "../../src/index/types.ts";
import type { Reader } from "./reader.ts";
import { Violation } from "./violation.ts";
import type { Node, World } from "./world.ts";

/** What the index must say of a document in one channel. */
interface Expected {
  readonly seq: number;
  readonly rev: string;
  readonly removed: boolean;
}

function expectedIn(mutation: IndexMutation, channel: string): Expected | undefined {
  if (channel === ALL_CHANNEL || mutation.channels.includes(channel)) {
    return { seq: mutation.seq, rev: mutation.revId, removed: false };
  }
  const removal = mutation.removals.find((one) => one.channel === channel);
  return removal && { seq: removal.seq, rev: removal.revId, removed: true };
}

/**
 * Complete and pure (1, 2), and no dead branch (8): as far as the stable clock reaches, the index
 * has of each channel exactly what the documents say.
 */
export async function checkIndex(world: World, node: Node, channels: readonly string[]) {
  const { index, stable } = node.database;
  const { clock, tick } = stable.head();
  const truth = await world.truth(node);
  for (const channel of [ALL_CHANNEL, ...channels]) {
    const found = await readChannel(world, node, channel, clock);
    for (const [id, mutation] of truth) {
      // Beyond the clock the index may have it or not; what was before it is superseded.
      if (mutation.seq > (clock[mutation.vb] ?? 0)) continue;
      const want = expectedIn(mutation, channel);
      const have = found.get(id);
      if (JSON.stringify(want) === JSON.stringify(have)) continue;
      throw new Violation("the index is not what the documents say", {
        tick,
        channel,
        id,
        vb: mutation.vb,
        clock: clock[mutation.vb],
        want,
        have,
        made: world.made
          .get(id)
          ?.map(({ mutation: m, lost }) => [m.seq, m.revId, m.channels, lost]),
        stored: index.stats().write_mutations,
      });
    }
  }
}

async function readChannel(world: World, node: Node, channel: string, clock: Clock) {
  const { index, bucket } = node.database;
  const found = new Map<string, Expected>();
  const zero = new Float64Array(bucket.vbuckets);
  const reading = async () => {
    for await (const batch of index.read(channel, zero, clock)) {
      for (const entry of batch) {
        if (entry.revId === "") continue;
        if (found.has(entry.docId)) {
          throw new Violation("a document came twice in one interval", { channel, entry });
        }
        const removed = (entry.flags & EntryFlag.removed) !== 0;
        found.set(entry.docId, { seq: entry.seq, rev: entry.revId, removed });
      }
    }
  };
  await world.time.run(reading());
  return found;
}

/** Durable (9): the newest version that a gateway made and no rollback lost is the document's. */
export async function checkDurable(world: World, node: Node) {
  const truth = await world.truth(node);
  for (const [id, made] of world.made) {
    const newest = made.filter(({ lost }) => !lost).at(-1)?.mutation;
    const stored = truth.get(id);
    if (newest?.seq === stored?.seq && newest?.revId === stored?.revId) continue;
    throw new Violation("an acknowledged save is lost", { id, newest, stored });
  }
}

/** Resumable (4): a reader that has caught up knows the state of every document it may see. */
export async function checkReader(world: World, node: Node, reader: Reader) {
  const truth = await world.truth(node);
  for (const [id, mutation] of truth) {
    const belief = reader.beliefs.get(id);
    // What a client has of a dead branch is not taken back: its position is, and new changes come.
    const lost = world.made.get(id)?.some((one) => one.lost && one.mutation.revId === belief?.rev);
    if (lost) continue;
    const { channels } = reader;
    const visible = channels === undefined || mutation.channels.some((c) => channels.includes(c));
    const kind = mutation.flags & EntryFlag.deleted ? "deleted" : "live";
    const right = visible
      ? belief?.rev === mutation.revId && belief.kind === kind
      : belief?.kind !== "live";
    if (right) continue;
    throw new Violation("a reader missed something", {
      reader: channels ?? "*",
      since: reader.since,
      id,
      belief,
      mutation,
      made: world.made.get(id)?.map(({ mutation: m, lost }) => [m.seq, m.revId, m.channels, lost]),
    });
  }
}

/** Monotone (3): ticks grow; a clock goes back to where a rollback has cut it, and never otherwise. */
export function watchTicks(node: Node, violated: (violation: Violation) => void): () => void {
  const { stable } = node.database;
  let before = stable.head();
  return stable.subscribe((next) => {
    if (next.tick <= before.tick) {
      violated(new Violation("a tick did not grow", { before: before.tick, next: next.tick }));
    }
    const least = clampToBranches(copyClock(before.clock), before.tick, stable.branches);
    for (const [vb, was] of least.entries()) {
      const is = next.clock[vb] ?? 0;
      if (is < was) violated(new Violation("a clock went back", { vb, was, is, tick: next.tick }));
    }
    before = next;
  });
}
