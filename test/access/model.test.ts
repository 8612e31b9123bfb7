// Access by random histories: users, roles, documents that grant, administrators, ticks to any clock,
// readers who page, pause and come back; against the naive model, row by row.

import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { command, History, open, reader } from "./history.ts";
import { Rig } from "./rig.ts";

/** The histories of one run; ACCESS_HISTORIES asks for more, ACCESS_COMMANDS for longer ones. */
const HISTORIES = Number(process.env.ACCESS_HISTORIES ?? 10_000);
const COMMANDS = Number(process.env.ACCESS_COMMANDS ?? 16);

/** Histories that share a bucket, told apart by their names. */
const HISTORIES_OF_A_BUCKET = 100;

let rig: Rig | undefined;
let histories = 0;

/** A rig in which nothing disturbs a history. */
async function rigFor(open: boolean): Promise<Rig> {
  histories++;
  if (rig && (open || histories % HISTORIES_OF_A_BUCKET === 0)) await closed();
  rig ??= await Rig.open();
  return rig;
}

async function closed(): Promise<void> {
  await rig?.close();
  rig = undefined;
}

afterAll(closed);

test(`${HISTORIES} histories give what the model gives`, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(command, { minLength: 3, maxLength: COMMANDS }),
      fc.tuple(reader, reader),
      open,
      async (commands, readers, isOpen) => {
        const history = new History(await rigFor(isOpen), histories, isOpen, readers);
        for (const one of commands) await history.run(one);
        await history.finish();
        if (isOpen) await closed();
      },
    ),
    { numRuns: HISTORIES },
  );
  expect(histories).toBeGreaterThanOrEqual(HISTORIES);
}, 600_000);
