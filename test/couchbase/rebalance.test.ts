// Vbuckets move between three nodes all the time while gateways and another program write: every
// answer "not my vbucket" is the client's affair, and no save becomes two.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { SeededRandom, seedFrom } from "../harness/random.ts";
import { ADMIN, CouchbaseWorld, indexDifferences } from "./gateways.ts";

const VBUCKETS = 32;
const DOCUMENTS = 120;
const ROUNDS = 4;

let world: CouchbaseWorld;
beforeEach(async () => {
  world = await CouchbaseWorld.start({ nodes: 3, vbuckets: VBUCKETS });
});
afterEach(() => world.close());

/** Moves some vbuckets every few milliseconds until `over`. Gives how often. */
async function rebalance(seed: number, over: () => boolean): Promise<number> {
  const random = new SeededRandom(seed);
  let moves = 0;
  while (!over()) {
    const first = random.below(VBUCKETS);
    const some = Array.from({ length: 8 }, (_, n) => (first + n) % VBUCKETS);
    world.cluster.move(some, random.below(world.cluster.nodes.length));
    moves++;
    await Bun.sleep(random.between(1, 15));
  }
  return moves;
}

test("saves, reads, imports and feeds go on while vbuckets move", async () => {
  const seed = seedFrom("REBALANCE_SEED");
  console.log(`REBALANCE_SEED=${seed}`);
  const first = await world.gateway();
  const second = await world.gateway();
  const program = await world.program();
  let over = false;
  const rebalancing = rebalance(seed, () => over);
  const ids = Array.from({ length: DOCUMENTS }, (_, n) => `doc-${n}`);
  const revs = new Map<string, string>();
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      await Promise.all(
        ids.map(async (id, n) => {
          const database = (n + round) % 2 === 0 ? first : second;
          const before = revs.get(id);
          const document = { round, channels: ["a"], ...(before ? { _rev: before } : {}) };
          const { rev } = await database.documents.put(ADMIN, id, document);
          expect(rev).toStartWith(`${round}-`);
          const other = database === first ? second : first;
          expect((await other.documents.get(ADMIN, id)).rev).toBe(rev);
          revs.set(id, rev);
          await program.upsert(`theirs-${id}`, { round, channels: ["b"] });
        }),
      );
      // Each version by the program is imported before its next one.
      await world.stable(first);
    }
  } finally {
    over = true;
  }
  expect(await rebalancing).toBeGreaterThan(10);
  await world.stable(second);
  const feed = await second.changes.open(ADMIN, { since: "0" });
  const told = new Map<string, string>();
  for (;;) {
    const batch = await feed.read(false);
    for (const text of batch.rows) {
      const row = JSON.parse(text) as { id: string; changes: { rev: string }[] };
      told.set(row.id, row.changes[0]!.rev);
    }
    if (batch.rows.length === 0 && batch.caughtUp) break;
  }
  feed.close();
  for (const id of ids) {
    expect(`${id} ${told.get(id)}`).toBe(`${id} ${revs.get(id)}`);
    expect(told.get(`theirs-${id}`)).toStartWith(`${ROUNDS}-`);
  }
  // One mutation a save, two for each write of the program: nothing was done twice.
  const high = await world.stable(first);
  expect(high.reduce((sum, seq) => sum + seq, 0)).toBe(DOCUMENTS * ROUNDS * 3);
  expect(await indexDifferences(world, first, ["a", "b"])).toEqual([]);
  const moved = [first, second].map((one) => one.bucket.stats().kv_moved_vbuckets ?? 0);
  expect(moved[0]! + moved[1]!).toBeGreaterThan(0);
  expect([...first.health(), ...second.health()]).toEqual([]);
}, 120_000);
