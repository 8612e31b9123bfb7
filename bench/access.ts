// What access costs by itself, over the embedded bucket and without HTTP: a grant until it counts, the
// first row of a feed, rows a second by access beside an administrator's, and memory; for one user of
// many channels, and for many users. The controller is not in it: the bench publishes the ticks.
// Run: bun bench/access.ts [channels=10000] [users=100000]. The last line is JSON of it all.

import { cpus } from "node:os";
import type { Access } from "../src/access/types.ts";
import { type Actor, ADMIN } from "../src/documents/types.ts";
import type { PrincipalId } from "../src/index/pseudo-channel.ts";
import { documentOf, Rig } from "../test/access/rig.ts";

const CHANNELS = Number(process.argv[2] ?? 10_000);
const USERS = Number(process.argv[3] ?? 100_000);
const DOCUMENTS_OF_A_CHANNEL = 5;
const ROWS = 100_000;
const GRANTED_EACH = 10;
const VBUCKETS = 1024;
/** Users whose access is asked for one by one. */
const SAMPLE = 1000;
/** Principals saved at once. */
const AT_ONCE = 200;

const results: Record<string, number> = {};

function report(name: string, value: number, unit: string, extra = ""): void {
  const rounded = value >= 100 ? Math.round(value) : Math.round(value * 100) / 100;
  results[name] = rounded;
  console.log(`${name.padEnd(58)} ${String(rounded).padStart(10)} ${unit.padEnd(8)} ${extra}`);
}

async function timed<T>(task: () => Promise<T>): Promise<[ms: number, result: T]> {
  const begun = performance.now();
  const result = await task();
  return [performance.now() - begun, result];
}

/** Bytes in use after everything that can go is gone. */
function memory(): number {
  Bun.gc(true);
  Bun.gc(true);
  return process.memoryUsage().heapUsed;
}

const MIB = 1024 * 1024;

function actorOf(access: Access): Actor {
  return { name: access.name, admin: false, access };
}

async function fill(rig: Rig, names: readonly string[], each: number): Promise<void> {
  let batch: { _id: string; channels: string[] }[] = [];
  for (const name of names) {
    for (let i = 0; i < each; i++) batch.push({ _id: `${name}/${i}`, channels: [name] });
    if (batch.length < 1000 && name !== names.at(-1)) continue;
    await rig.documents.bulk(ADMIN, batch);
    await rig.written();
    batch = [];
  }
}

async function grant(rig: Rig, who: PrincipalId, channels: string[], roles: string[] = []) {
  const { principals } = rig.documents;
  const { rev } = (await principals.load(who)) ?? {};
  await principals.save(who, rev, {}, { channels, roles });
}

/** Reads a feed to its end. Gives the time to the first batch, to the end, and the rows. */
async function readAll(rig: Rig, actor: Actor, channels?: string[]) {
  const begun = performance.now();
  const feed = await rig.changes.open(actor, { since: "0", ...(channels && { channels }) });
  let rows = 0;
  let firstMs = 0;
  for (;;) {
    const batch = await feed.read(false);
    if (rows === 0) firstMs = performance.now() - begun;
    rows += batch.rows.length;
    if (batch.caughtUp) break;
  }
  return { feed, rows, firstMs, wholeMs: performance.now() - begun };
}

async function oneUser(): Promise<void> {
  const rig = await Rig.open({ vbuckets: VBUCKETS });
  const channels = Array.from({ length: CHANNELS }, (_, i) => `channel-${i}`);
  await fill(rig, channels, DOCUMENTS_OF_A_CHANNEL);
  await rig.tick();
  await rig.access.user("u");
  const before = memory();
  const [savedMs] = await timed(() => grant(rig, "user:u", channels));
  report("one user: saving the grant of all channels", savedMs, "ms", `${CHANNELS} channels`);
  await rig.tick();
  const [knownMs, access] = await timed(() => rig.access.user("u"));
  report("one user: from its tick until the grant counts", knownMs, "ms");
  report("one user: memory of its grants", (memory() - before) / MIB, "MiB");
  const { feed, rows, firstMs, wholeMs } = await readAll(rig, actorOf(access));
  report("one user: first row of everything", firstMs, "ms", `${rows} rows`);
  report("one user: everything", wholeMs, "ms", `${Math.round((rows / wholeMs) * 1000)} rows/s`);
  const again = await readAll(rig, actorOf(access));
  report("one user: first row of everything, again", again.firstMs, "ms");
  report("one user: memory with two feeds", (memory() - before) / MIB, "MiB");
  let liveMs = 0;
  for (let i = 0; i < 100; i++) {
    await rig.documents.put(ADMIN, `live-${i}`, documentOf({ channels: [`channel-${i * 7}`] }));
    const reading = feed.read(true);
    await rig.tick();
    const [ms, batch] = await timed(() => reading);
    if (batch.rows.length !== 1) throw new Error("a live row is missing");
    liveMs += ms / 100;
  }
  report("one user: from a tick to the live row", liveMs, "ms", "one channel changed");
  await fill(rig, ["late"], 1000);
  await rig.tick();
  await feed.read(false);
  await grant(rig, "user:u", [...channels, "late"]);
  await rig.tick();
  const [backfillMs, batch] = await timed(() => feed.read(false));
  report("one user: backfill of one more channel, live", backfillMs, "ms", `${batch.rows.length}`);
  feed.close();
  again.feed.close();
  await rig.close();
}

async function manyUsers(): Promise<void> {
  const rig = await Rig.open({ vbuckets: VBUCKETS });
  await fill(rig, ["shared"], 10);
  await grant(rig, "role:r", ["shared"]);
  const begun = performance.now();
  for (let at = 0; at < USERS; at += AT_ONCE) {
    const some = Array.from({ length: Math.min(AT_ONCE, USERS - at) }, (_, i) => at + i);
    await Promise.all(
      some.map((i) => {
        const own = Array.from({ length: GRANTED_EACH }, (_, n) => `own-${i}-${n}`);
        return rig.documents.principals.save(
          `user:u${i}`,
          undefined,
          {},
          { channels: own, roles: ["r"] },
        );
      }),
    );
    await rig.written();
  }
  report("many users: saved a second", USERS / ((performance.now() - begun) / 1000), "/s");
  await rig.tick();
  const step = Math.max(1, Math.floor(USERS / SAMPLE));
  const [coldMs] = await timed(async () => {
    for (let i = 0; i < USERS; i += step) await rig.access.user(`u${i}`);
  });
  report("many users: access of one, first asked", coldMs / Math.ceil(USERS / step), "ms");
  const [warmMs] = await timed(async () => {
    for (let i = 0; i < USERS; i += step) await rig.access.user(`u${i}`);
  });
  report("many users: access of one, in memory", warmMs / Math.ceil(USERS / step), "ms");
  const before = memory() - (rig.index.stats().cache_bytes ?? 0);
  for (let i = 0; i < USERS; i++) await rig.access.user(`u${i}`);
  const { tables, tables_weight: weight } = rig.access.stats();
  const used = (memory() - (rig.index.stats().cache_bytes ?? 0) - before) / MIB;
  report("many users: memory of their grants", used, "MiB", `${tables} tables, weight ${weight}`);
  await grant(rig, "user:u5", ["shared", "other"], ["r"]);
  const [tickMs] = await timed(() => rig.tick());
  report("many users: a tick that grants to one", tickMs, "ms");
  const [knownMs, access] = await timed(() => rig.access.user("u5"));
  report("many users: from its tick until the grant counts", knownMs, "ms");
  const { feed, firstMs, rows } = await readAll(rig, actorOf(access));
  report("many users: first row of everything of one", firstMs, "ms", `${rows} rows`);
  feed.close();
  await rig.close();
}

async function rowsBySecond(): Promise<void> {
  const rig = await Rig.open({ vbuckets: VBUCKETS });
  for (let at = 0; at < ROWS; at += 1000) {
    const batch = Array.from({ length: 1000 }, (_, i) => ({
      _id: `doc-${at + i}`,
      channels: ["A"],
    }));
    await rig.documents.bulk(ADMIN, batch);
    await rig.written();
  }
  await grant(rig, "user:u", ["A"]);
  await rig.tick();
  const user = actorOf(await rig.access.user("u"));
  const lines: [string, Actor, string[] | undefined][] = [
    ["an administrator, everything", ADMIN, undefined],
    ["an administrator, one channel", ADMIN, ["A"]],
    ["a user, one channel", user, undefined],
  ];
  for (const [what, actor, channels] of lines) {
    let best = 0;
    for (let run = 0; run < 4; run++) {
      const { feed, rows, wholeMs } = await readAll(rig, actor, channels);
      feed.close();
      if (rows < ROWS) throw new Error("rows are missing");
      best = Math.max(best, (rows / wholeMs) * 1000);
    }
    report(`rows: ${what}`, best, "rows/s");
  }
  await rig.close();
}

console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Bun ${Bun.version}`);
await rowsBySecond();
await oneUser();
await manyUsers();
console.log(JSON.stringify(results));
