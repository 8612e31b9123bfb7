// The rollback drill: a failover loses the tail of some vbuckets under load. The index drops the
// dead branch, clients go on from their old sequences, nothing is served that no longer exists.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { loseTail } from "../../src/bucket/embedded/testing.ts";
import type { OpenDatabase } from "../../src/gateway/database.ts";
import { until } from "./dcp-world.ts";
import { ADMIN, CouchbaseWorld, indexDifferences } from "./gateways.ts";

let world: CouchbaseWorld;
beforeEach(async () => {
  world = await CouchbaseWorld.start({ vbuckets: 16 });
});
afterEach(() => world.close());

interface Row {
  id: string;
  changes: { rev: string }[];
}

/** A client: reads pages from its last sequence, keeps what it was told. */
class Client {
  since = "0";
  readonly revs = new Map<string, string>();

  /** Gives the rows read. */
  async readAll(database: OpenDatabase): Promise<Row[]> {
    const rows: Row[] = [];
    for (;;) {
      const feed = await database.changes.open(ADMIN, { since: this.since, limit: 50 });
      const batch = await feed.read(false);
      feed.close();
      for (const text of batch.rows) {
        const row = JSON.parse(text) as Row;
        rows.push(row);
        this.revs.set(row.id, row.changes[0]!.rev);
      }
      this.since = batch.lastSeq;
      if (batch.rows.length === 0 && batch.caughtUp) return rows;
    }
  }
}

async function save(database: OpenDatabase, id: string, n: number): Promise<void> {
  const current = await database.documents.leaves([id]);
  const rev = current[0]?.[0]?.rev;
  const document = { n, channels: [`c${n % 3}`], ...(rev === undefined ? {} : { _rev: rev }) };
  await database.documents.put(ADMIN, id, document);
}

async function existing(database: OpenDatabase, id: string, rev: string): Promise<boolean> {
  return !(await database.documents.revsDiff(ADMIN, new Map([[id, [rev]]]))).has(id);
}

test("a failover that loses tails under load leaves no client on a dead branch", async () => {
  const database = await world.gateway();
  const client = new Client();
  let losses = 0;
  for (let round = 0; round < 4; round++) {
    for (let n = 0; n < 60; n++) await save(database, `doc-${n % 40}`, round * 100 + n);
    await world.stable(database);
    await client.readAll(database);

    const high = await world.store.feed.highSeqs();
    const saving = Promise.all(
      Array.from({ length: 20 }, (_, n) => save(database, `busy-${round}-${n}`, n)),
    );
    for (const vb of [1, 5, 9]) {
      if (high[vb]! > 3) await loseTail(world.store, vb, high[vb]! - 3);
    }
    for (const node of world.cluster.nodes) node.dropConnections();
    // Saves caught by the failover may fail: they were told so.
    await saving.catch((error: Error) => expect(error.message).toMatch(/Couchbase|changed/));

    expect(await indexDifferences(world, database, ["c0", "c1", "c2"])).toEqual([]);
    for (const { id, changes } of await client.readAll(database)) {
      expect(await existing(database, id, changes[0]!.rev)).toBe(true);
    }
    for (const [id, rev] of client.revs) {
      const [leaves] = await database.documents.leaves([id]);
      // What the failover lost is lost; the client has it still, and its next push restores it.
      // Everything else the client has must be the winner: it missed nothing.
      const lost = !(await existing(database, id, rev));
      if (lost) losses++;
      else expect(`${id} ${rev}`).toBe(`${id} ${leaves![0]!.rev}`);
    }
  }
  expect(losses).toBeGreaterThan(0);
  expect(database.health()).toEqual([]);
}, 120_000);

test("with rollback mitigation no client is told of what a failover then loses", async () => {
  await world.close();
  world = await CouchbaseWorld.start({ vbuckets: 16, replicas: 1 });
  const database = await world.gateway({}, { rollbackMitigation: true });
  const { cluster } = world;
  const live = new Client();
  let lost = 0;
  for (let round = 0; round < 4; round++) {
    for (let n = 0; n < 60; n++) await save(database, `doc-${n % 40}`, round * 100 + n);
    await world.stable(database);
    await live.readAll(database);

    const high = await world.store.feed.highSeqs();
    const cut = [1, 5, 9];
    cluster.replicate(cut, [0, 1]);
    for (const vb of cut) {
      cluster.disks.stop(1 - cluster.active[vb]!, vb, high[vb]!);
    }
    const asked = new Map(cluster.disks.asked);
    const times = (vb: number) => (cluster.disks.asked.get(vb) ?? 0) - (asked.get(vb) ?? 0);
    // Enough of them for each of the vbuckets to get some.
    await Promise.all(
      Array.from({ length: 80 }, (_, n) => save(database, `busy-${round}-${n}`, n)),
    );
    const tails = await world.store.feed.highSeqs();
    await until("the disks are asked for the tails", () => cut.every((vb) => times(vb) >= 6));
    const told = await live.readAll(database);
    for (const vb of cut) {
      lost += tails[vb]! - high[vb]!;
      await loseTail(world.store, vb, high[vb]!);
      const replica = cluster.replicas[vb]![0]!;
      cluster.failOver(vb, replica);
      cluster.disks.go(replica, vb);
    }
    for (const { id, changes } of told) {
      expect(`${id} ${await existing(database, id, changes[0]!.rev)}`).toBe(`${id} true`);
    }
    expect(await indexDifferences(world, database, ["c0", "c1", "c2"])).toEqual([]);
    await live.readAll(database);
    for (const [id, rev] of live.revs) {
      const [leaves] = await database.documents.leaves([id]);
      expect(`${id} ${rev}`).toBe(`${id} ${leaves![0]!.rev}`);
    }
  }
  expect(lost).toBeGreaterThan(20);
  expect(database.health()).toEqual([]);
}, 120_000);
