// A gateway under write load is killed with -9 at random moments, again and again: nothing that was
// acknowledged is lost, no reader misses anything, no sequence is refused, and the index is right.
// CRASH_KILLS sets how often, CRASH_SEED repeats a run's choices (the moments of a kill within the
// gateway's own work are the machine's).

import { afterAll, beforeAll, expect, test } from "bun:test";
import { SeededRandom, seedFrom } from "../harness/random.ts";
import { startTarget, type Target, targetUnderTest } from "../harness/target.ts";
import { until } from "../harness/until.ts";
import {
  channelProblems,
  checkDocuments,
  checkRows,
  checkSequences,
  none,
  seenProblems,
} from "./checks.ts";
import { checkIndex } from "./index-check.ts";
import { Model } from "./model.ts";
import {
  ChannelReader,
  ContinuousReader,
  PageReader,
  type Reader,
  type Seen,
  WebSocketReader,
} from "./readers.ts";
import { CHANNELS, Writer } from "./writers.ts";

const KILLS = Number(process.env.CRASH_KILLS ?? 50);
const LIMIT_MS = 420_000;
const WRITERS = 16;
/** The share of kills that come while the gateway is still starting. */
const KILLED_AT_START = 0.15;
const MOST_START_MS = 400;
const MOST_LOAD_MS = 900;
/** How long readers may take to have everything after a restart. */
const CATCH_UP_MS = 10_000;
const DATABASE = "crash";

const random = new SeededRandom(seedFrom("CRASH_SEED"));
const model = new Model();
const peer = targetUnderTest() === "peer";
/** Positions of readers with what they knew then, to be resumed from at the end. */
const remembered: { reader: string; sequence: string; seen: Map<string, Seen> }[] = [];

let target: Target;
/** Entries that the last check of the index compared. */
let indexEntries = 0;
let url: string;
let readers: Reader[] = [];
let reading: Promise<void>[] = [];

beforeAll(async () => {
  target = await startTarget(targetUnderTest(), { database: DATABASE });
  url = await target.createDatabase(DATABASE);
  readers = [
    new PageReader("pages", target.port, DATABASE),
    new ContinuousReader("continuous", target.port, DATABASE),
  ];
  if (!peer) {
    readers.push(
      new WebSocketReader("websocket", target.port, DATABASE),
      new ChannelReader("channel", target.port, DATABASE, CHANNELS[3] as string),
    );
  }
  reading = readers.map((reader) => reader.run());
}, 30_000);

afterAll(async () => {
  for (const reader of readers) reader.stop();
  await target?.dispose();
  await Promise.all(reading);
});

function problemsOf(reader: Reader): string[] {
  return reader instanceof ChannelReader
    ? channelProblems(model, CHANNELS[3] as string, reader.seen)
    : seenProblems(model, reader.seen);
}

/** Everything that must hold once the gateway is back and no one writes. */
async function check(number: number): Promise<void> {
  await checkDocuments(url, model);
  for (const reader of readers) {
    await until(
      () => `the ${reader.name} reader to have all:\n${problemsOf(reader).slice(0, 5).join("\n")}`,
      () => problemsOf(reader).length === 0,
      CATCH_UP_MS,
      10,
    );
    none(`answers to the ${reader.name} reader`, reader.errors);
    const sample = Array.from({ length: 5 }, () => random.pick(reader.sequences));
    await checkSequences(
      url,
      sample.filter((sequence) => sequence !== undefined),
    );
  }
  if (!peer) indexEntries = (await checkIndex(target, DATABASE)).entries;
  if (number % 5 === 0) await checkRows(url, model, !peer);
}

/** Starts the gateway again; some of the time it is killed while it starts. Gives the kills made. */
async function restart(): Promise<number> {
  let kills = 0;
  while (random.fraction() < KILLED_AT_START) {
    await target.spawn();
    const at = random.fraction() * MOST_START_MS;
    await new Promise((resolve) => setTimeout(resolve, at));
    await target.kill();
    kills++;
  }
  await target.start();
  return kills;
}

/** Writes until the gateway is killed, at a random moment. Gives the saves in flight then. */
async function loadAndKill(writers: readonly Writer[]): Promise<number> {
  let killed = false;
  const writing = writers.map((writer) => writer.run(target.port, DATABASE, () => killed));
  const failed = Promise.all(writing);
  const moment = new Promise((resolve) => setTimeout(resolve, random.fraction() * MOST_LOAD_MS));
  await Promise.race([moment, failed]);
  const reader = random.pick(readers);
  if (!(reader instanceof ChannelReader) && remembered.length < 30) {
    const { name, lastSequence, seen } = reader;
    remembered.push({ reader: name, sequence: lastSequence, seen: new Map(seen) });
  }
  const killing = target.kill();
  const inFlight = model.inFlight;
  killed = true;
  await killing;
  await failed;
  return inFlight;
}

test(
  `${KILLS} times killed under load: nothing acknowledged is lost, no reader misses a row`,
  async () => {
    console.log(`crash test: ${KILLS} kills, CRASH_SEED=${random.seed}`);
    const writers = Array.from(
      { length: WRITERS },
      (_, k) => new Writer(`w${k}`, model, new SeededRandom(random.seed + k + 1)),
    );
    const starts: number[] = [];
    let inFlight = 0;
    let kills = 0;
    for (let round = 0; kills < KILLS; round++) {
      try {
        inFlight += await loadAndKill(writers);
        kills += 1 + (await restart());
        starts.push(target.startMs);
        await check(round);
      } catch (error) {
        const where = `round ${round}, ${kills} kills, CRASH_SEED=${random.seed}`;
        throw new Error(`${where}; the gateway printed:\n${target.log()}`, { cause: error });
      }
    }
    await checkRows(url, model, !peer);
    await finalChecks();
    starts.sort((x, y) => x - y);
    const middle = starts[Math.floor(starts.length / 2)] ?? 0;
    console.log(
      `crash test: ${kills} kills, ${model.acknowledgedSaves} saves acknowledged, ${inFlight} in ` +
        `flight at the kills (${model.keptInFlight} kept, ${model.lostInFlight} not), ` +
        `${model.ids().length} documents, start in ${middle.toFixed(0)} ms (median), ` +
        `${Math.max(...starts).toFixed(0)} ms (most), ${indexEntries} index entries; rows read: ` +
        readers.map((reader) => `${reader.name} ${reader.rows}`).join(", "),
    );
    expect(model.acknowledgedSaves).toBeGreaterThan(KILLS * 20);
    expect(inFlight).toBeGreaterThan(KILLS);
  },
  LIMIT_MS,
);

/** Every sequence kept is still answered, and resuming from each remembered one misses nothing. */
async function finalChecks(): Promise<void> {
  for (const reader of readers) await checkSequences(url, reader.sequences);
  for (const { reader, sequence, seen } of remembered) {
    const again = new PageReader(`again from ${reader}`, target.port, DATABASE);
    for (const [id, known] of seen) again.seen.set(id, known);
    again.lastSequence = sequence;
    const running = again.run();
    try {
      await until(
        () => `resuming from ${reader}'s ${sequence}:\n${problemsOf(again).slice(0, 5).join("\n")}`,
        () => problemsOf(again).length === 0,
        CATCH_UP_MS,
        10,
      );
      none(again.name, again.errors);
    } finally {
      again.stop();
      await running;
    }
  }
}
