// Access by random histories: users, roles, documents that grant, administrators, ticks to any clock,
// readers who page, pause and come back; against the naive model, row by row.

import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { beginning, type Command, command, commandOrCompaction, open, reader } from "./commands.ts";
import { History } from "./history.ts";
import type { Reader } from "./model.ts";
import { Rig, type RigOptions } from "./rig.ts";

/** The histories of one run; ACCESS_HISTORIES asks for more, ACCESS_COMMANDS for longer ones. */
const HISTORIES = Number(process.env.ACCESS_HISTORIES ?? 10_000);
const COMMANDS = Number(process.env.ACCESS_COMMANDS ?? 16);

/** Histories that share a bucket, told apart by their names. */
const HISTORIES_OF_A_BUCKET = 100;

/** The histories with compaction in between, and those that share a bucket. */
const COMPACTED = Math.ceil(HISTORIES / 10);
const COMPACTED_OF_A_BUCKET = 10;

/** Rigs for histories, one after the other. */
class Rigs {
  readonly #each: number;
  readonly #options: RigOptions;
  #rig: Rig | undefined;
  used = 0;

  constructor(each: number, options: RigOptions = {}) {
    this.#each = each;
    this.#options = options;
  }

  /** A rig in which nothing disturbs a history. */
  async for(open: boolean): Promise<Rig> {
    this.used++;
    if (open || this.used % this.#each === 0) await this.close();
    this.#rig ??= await Rig.open(this.#options);
    return this.#rig;
  }

  async close(): Promise<void> {
    await this.#rig?.close();
    this.#rig = undefined;
  }
}

const rigs = new Rigs(HISTORIES_OF_A_BUCKET);
const compacted = new Rigs(COMPACTED_OF_A_BUCKET, { forgetful: true });

afterAll(async () => {
  await rigs.close();
  await compacted.close();
});

async function play(
  from: Rigs,
  commands: readonly Command[],
  readers: readonly Reader[],
  isOpen: boolean,
  exact: boolean,
): Promise<void> {
  const history = new History(await from.for(isOpen), from.used, isOpen, readers, exact);
  for (const one of commands) await history.run(one);
  await history.finish();
  if (isOpen) await from.close();
}

test(`${HISTORIES} histories give what the model gives`, async () => {
  await fc.assert(
    fc.asyncProperty(
      beginning,
      fc.array(command, { minLength: 3, maxLength: COMMANDS }),
      fc.tuple(reader, reader),
      open,
      (first, commands, readers, isOpen) =>
        play(rigs, [...first, ...commands], readers, isOpen, true),
    ),
    { numRuns: HISTORIES },
  );
  expect(rigs.used).toBeGreaterThanOrEqual(HISTORIES);
}, 600_000);

test(`${COMPACTED} histories with compaction miss nothing, and leak nothing`, async () => {
  await fc.assert(
    fc.asyncProperty(
      beginning,
      fc.array(commandOrCompaction, { minLength: 3, maxLength: COMMANDS }),
      fc.tuple(reader, reader),
      open,
      (first, commands, readers, isOpen) =>
        play(compacted, [...first, ...commands], readers, isOpen, false),
    ),
    { numRuns: COMPACTED },
  );
  expect(compacted.used).toBeGreaterThanOrEqual(COMPACTED);
}, 600_000);
