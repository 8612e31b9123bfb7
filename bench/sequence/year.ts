// The lookup map after a simulated year of 10,000 writes a second and 40 ticks a second: what is
// stored, and how long it takes to resolve a tick.
//
// A year has 1.3 billion ticks. What thinning leaves of them is made directly: the ticks that the
// policy keeps at the year's end, with clocks drawn from the distribution of the writes between
// them, written by the same writer into the same segments of a real bucket. To show that this is
// what thinning makes, ten minutes are also lived through tick by tick, with a policy as many times
// shorter.

import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/base/log.ts";
import type { KeyValueCollection } from "../../src/bucket/bucket.ts";
import { openEmbeddedBucket } from "../../src/bucket/embedded/embedded-bucket.ts";
import { openLookupMap } from "../../src/clock/lookup-map.ts";
import { SegmentWriter } from "../../src/clock/segment.ts";
import { SegmentStore, segmentRef } from "../../src/clock/segment-store.ts";
import { DEFAULT_POLICY, type ThinningPolicy } from "../../src/clock/thinning.ts";
import type { Clock, Tick } from "../../src/clock/tick.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime, type Time } from "../../src/runtime/time.ts";
import { type Next, poisson, random } from "./chance.ts";
import { quantile } from "./timing.ts";
import { VBUCKETS } from "./traces.ts";

const WRITES_PER_SECOND = 10_000;
const TICK_MS = 25;
const YEAR_MS = 365 * 86_400_000;
const NOW = 1_763_685_600_000;
/** As in src/clock: a segment that is appended to, and a thinned one, are closed at these sizes. */
const OPEN_BYTES = 8 * 1024;
const THINNED_BYTES = 16 * 1024;
/** Ticks resolved cold, and again warm. */
const RESOLVED = 4000;
const WARM = 256;
/** The lived-through part: so long, with a policy so many times shorter than the default. */
const LIVED_MS = 600_000;
const SHORTENED = 60;

/** What one level of thinning holds at the year's end. */
export interface LevelResult {
  readonly keepEveryMs: number;
  readonly ticks: number;
  readonly segments: number;
  readonly bytes: number;
}

/** What the year leaves, and how it is read. */
export interface YearResult {
  readonly levels: readonly LevelResult[];
  readonly ticks: number;
  readonly segments: number;
  /** The values of the index collection; and the files of the bucket's index on the disk. */
  readonly bytes: number;
  readonly diskBytes: number;
  readonly openMs: number;
  /** Wall time; and time of the processor on average, which other processes do not lengthen. */
  readonly cold: {
    readonly p50: number;
    readonly mean: number;
    readonly p99: number;
    readonly cpu: number;
  };
  /** Of those microseconds, what the bucket's read of the segment takes. */
  readonly readUs: number;
  readonly readsEach: number;
  readonly mostReads: number;
  readonly warmUs: number;
  /** Bytes a tick of each level: made directly, and lived through. */
  readonly lived: readonly { keepEveryMs: number; made: number; lived: number }[];
}

/** Lets the clock run for `ms`: every vbucket gets its writes. */
function advance(clock: Clock, ms: number, next: Next): void {
  const mean = (WRITES_PER_SECOND * ms) / 1000 / VBUCKETS;
  for (let vb = 0; vb < VBUCKETS; vb++) clock[vb] = clock[vb]! + poisson(next, mean);
}

/**
 * The levels at the year's end, the oldest first: from and to in age, and the time between ticks.
 */
function levelsOf(policy: ThinningPolicy, wholeMs: number) {
  const steps = [{ olderThanMs: 0, keepEveryMs: TICK_MS }, ...policy];
  return steps
    .map(({ olderThanMs, keepEveryMs }, level) => {
      const until = steps[level + 1]?.olderThanMs ?? wholeMs;
      return { level, keepEveryMs, fromAge: Math.min(until, wholeMs), toAge: olderThanMs };
    })
    .filter(({ fromAge, toAge }) => fromAge > toAge)
    .reverse();
}

async function withBucket<T>(
  use: (index: KeyValueCollection, disk: () => number) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "tidegate-bench-year-"));
  const bucket = await openEmbeddedBucket({
    directory,
    name: "year",
    time: systemTime(),
    random: systemRandom,
    log: silentLog,
    vbuckets: VBUCKETS,
  });
  const disk = () =>
    readdirSync(directory)
      .filter((name) => name.startsWith("index"))
      .reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  try {
    return await use(bucket.index, disk);
  } finally {
    await bucket.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Measures the year. `say` is told how far it is. */
export async function measureYear(say: (text: string) => void): Promise<YearResult> {
  return withBucket(async (index, disk) => {
    const levels: LevelResult[] = [];
    const ticks: number[] = [];
    const store = new SegmentStore(index, VBUCKETS, silentLog);
    const next = random(365);
    const clock: Clock = new Float64Array(VBUCKETS);
    for (const { level, keepEveryMs, fromAge, toAge } of levelsOf(DEFAULT_POLICY, YEAR_MS)) {
      say(`ticks of the last ${Math.round(fromAge / 60_000)} minutes, every ${keepEveryMs} ms`);
      const made = { keepEveryMs, ticks: 0, segments: 0, bytes: 0 };
      const closedAt = level === 0 ? OPEN_BYTES : THINNED_BYTES;
      let writer = new SegmentWriter(closedAt * 2);
      const flush = async () => {
        if (writer.first === undefined) return;
        await store.write(segmentRef(level, writer.first), writer.view());
        made.segments++;
        made.bytes += writer.length;
        writer = new SegmentWriter(closedAt * 2);
      };
      for (let age = fromAge; age > toAge; age -= keepEveryMs) {
        advance(clock, keepEveryMs, next);
        const tick = (NOW - age) as Tick;
        writer.add(writer.encode(tick, clock.slice()));
        ticks.push(tick);
        made.ticks++;
        if (writer.isFull(closedAt)) await flush();
      }
      await flush();
      levels.push(made);
    }
    say("resolving");
    const reads = await measureReads(index, ticks);
    say("ten minutes tick by tick");
    const lived = await measureLived(levels);
    return {
      levels,
      ticks: ticks.length,
      segments: levels.reduce((sum, { segments }) => sum + segments, 0),
      bytes: levels.reduce((sum, { bytes }) => sum + bytes, 0),
      diskBytes: disk(),
      ...reads,
      lived,
    };
  });
}

/** Resolves ticks of the whole year in no order, first cold and then warm. */
async function measureReads(index: KeyValueCollection, ticks: readonly number[]) {
  let gets = 0;
  const counted: KeyValueCollection = {
    get(key) {
      gets++;
      return index.get(key);
    },
    getMany: (keys) => index.getMany(keys),
    keys: (prefix, options) => index.keys(prefix, options),
    batch: (operations) => index.batch(operations),
  };
  const time = systemTime();
  const options = { collection: counted, vbuckets: VBUCKETS, time, log: silentLog };
  const begun = performance.now();
  const map = await openLookupMap(options);
  const openMs = performance.now() - begun;
  const next = random(9);
  const chosen = Array.from(
    { length: RESOLVED },
    () => (ticks[Math.floor(next() * ticks.length)]! + Math.floor(next() * TICK_MS)) as Tick,
  );
  // Cold is the map, not the program: afterwards its loops are compiled, and the file's pages are in
  // the system's memory. The map that is measured has seen nothing.
  for (let round = 0; round < 3; round++) for (const tick of chosen) await map.resolve(tick);
  const cold: number[] = [];
  let mostReads = 0;
  const other = await openLookupMap(options);
  gets = 0;
  const used = process.cpuUsage();
  for (const tick of chosen) {
    const before = gets;
    const start = performance.now();
    await other.resolve(tick);
    cold.push((performance.now() - start) * 1000);
    mostReads = Math.max(mostReads, gets - before);
  }
  const { user, system } = process.cpuUsage(used);
  const cpu = (user + system) / chosen.length;
  const readsEach = gets / chosen.length;
  cold.sort((a, b) => a - b);
  const keys = await index.keys("tick:", { limit: 1000 });
  const readTimes: number[] = [];
  for (const key of keys) {
    const start = performance.now();
    await index.get(key);
    readTimes.push((performance.now() - start) * 1000);
  }
  readTimes.sort((a, b) => a - b);
  const last = chosen.slice(-WARM);
  const warm: number[] = [];
  for (let round = 0; round < 200; round++) {
    const start = performance.now();
    for (const tick of last) await other.resolve(tick);
    warm.push(((performance.now() - start) * 1000) / last.length);
  }
  warm.sort((a, b) => a - b);
  const mean = cold.reduce((sum, us) => sum + us, 0) / cold.length;
  return {
    openMs,
    cold: { p50: quantile(cold, 0.5), mean, p99: quantile(cold, 0.99), cpu },
    readUs: quantile(readTimes, 0.5),
    readsEach,
    mostReads,
    warmUs: quantile(warm, 0.5),
  };
}

/** Ten minutes, tick by tick, with a shorter policy: does thinning leave what was made directly? */
async function measureLived(levels: readonly LevelResult[]) {
  const policy = DEFAULT_POLICY.slice(0, 2).map(({ olderThanMs, keepEveryMs }) => ({
    olderThanMs: olderThanMs / SHORTENED,
    keepEveryMs: keepEveryMs,
  }));
  return withBucket(async (index) => {
    let nowMs = NOW;
    const time: Time = { ...systemTime(), nowMs: () => nowMs, monotonicMs: () => nowMs - NOW };
    const map = await openLookupMap({
      collection: index,
      vbuckets: VBUCKETS,
      time,
      log: silentLog,
      policy,
    });
    const next = random(600);
    const clock: Clock = new Float64Array(VBUCKETS);
    advance(clock, YEAR_MS, next);
    for (; nowMs < NOW + LIVED_MS; nowMs += TICK_MS) {
      advance(clock, TICK_MS, next);
      await map.append((nowMs + 1) as Tick, clock);
    }
    await map.thin();
    const kept = await map.ticks(1 as Tick, 1_000_000);
    await map.close();
    const sizes = new Map<number, { bytes: number; ticks: number }>();
    for (const [at, { tick, bytes }] of kept.entries()) {
      const gap = (kept[at + 1]?.tick ?? tick) - tick;
      const keepEveryMs = gap <= TICK_MS * 2 ? TICK_MS : gap <= 2100 ? 1000 : 60_000;
      const size = sizes.get(keepEveryMs) ?? { bytes: 0, ticks: 0 };
      sizes.set(keepEveryMs, { bytes: size.bytes + bytes, ticks: size.ticks + 1 });
    }
    return [TICK_MS, 1000].map((keepEveryMs) => {
      const size = sizes.get(keepEveryMs) ?? { bytes: 0, ticks: 1 };
      const made = levels.find((level) => level.keepEveryMs === keepEveryMs);
      return {
        keepEveryMs,
        made: made === undefined ? Number.NaN : made.bytes / made.ticks,
        lived: size.bytes / size.ticks,
      };
    });
  });
}
