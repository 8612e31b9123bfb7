// The histories of model.test.ts once more, fewer of them, through a whole gateway: with the sync
// function in its sandbox, the index written as it is, and ticks of the controller's own.

import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { silentLog } from "../../src/base/log.ts";
import { zeroClock } from "../../src/clock/clock.ts";
import { TICK_ZERO } from "../../src/clock/sequence.ts";
import type { Stable } from "../../src/clock/tick.ts";
import type { OpenDatabase } from "../../src/gateway/database.ts";
import { openGateway } from "../../src/gateway/gateway.ts";
import type { IndexMutation } from "../../src/index/types.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { command, reader } from "./commands.ts";
import { History } from "./history.ts";
import type { Stage } from "./rig.ts";

const HISTORIES = 300;
const VBUCKETS = 4;
const LIMIT_MS = 300_000;

const SYNC_FUNCTION = `function (doc) {
  channel(doc.channels);
  (doc.access || []).forEach(function (one) { access(one[0], one[1]); });
  (doc.roles || []).forEach(function (one) {
    role(one[0], one[1].map(function (name) { return "role:" + name; }));
  });
}`;

/** A gateway as a stage: whatever is done, the clock is let come to rest. */
class WholeGateway implements Stage {
  readonly vbuckets = VBUCKETS;
  readonly ticks: Stable[] = [{ tick: TICK_ZERO, clock: zeroClock(VBUCKETS) }];
  readonly newest = new Map<string, IndexMutation>();
  readonly #database: OpenDatabase;

  constructor(database: OpenDatabase) {
    this.#database = database;
    const head = database.stable.head();
    if (head.tick > TICK_ZERO) this.ticks.push(head);
    database.stable.subscribe((stable) => this.ticks.push(stable));
    database.feeder.dropped = (mutation) => {
      this.newest.set(mutation.docId, mutation);
      return false;
    };
  }

  get documents() {
    return this.#database.documents;
  }

  get changes() {
    return this.#database.changes;
  }

  get access() {
    return this.#database.access;
  }

  async compact(): Promise<void> {
    const { index, stable } = this.#database;
    await index.compact(stable.head().clock, { documents: 1000, always: true });
  }

  async tick(): Promise<void> {
    const { bucket, stable } = this.#database;
    await stable.reached(await bucket.feed.highSeqs());
  }
}

test(
  `${HISTORIES} histories through a whole gateway give what the model gives`,
  async () => {
    const dataDirectory = await mkdtemp(join(tmpdir(), "tidegate-whole-"));
    const gateway = await openGateway({
      dataDirectory,
      time: systemTime(),
      random: systemRandom,
      log: silentLog,
      vbuckets: VBUCKETS,
      controller: { tickIntervalMs: 1 },
    });
    let histories = 0;
    try {
      await gateway.create("db", { syncFunction: SYNC_FUNCTION });
      const stage = new WholeGateway(gateway.database("db") as OpenDatabase);
      await fc.assert(
        fc.asyncProperty(
          fc.array(command, { minLength: 3, maxLength: 16 }),
          fc.tuple(reader, reader),
          async (commands, readers) => {
            const history = new History(stage, ++histories, false, readers);
            for (const one of commands) {
              await history.run(one);
              await stage.tick();
            }
            await history.finish();
          },
        ),
        { numRuns: HISTORIES },
      );
    } finally {
      await gateway.close();
      await rm(dataDirectory, { recursive: true, force: true });
    }
    expect(histories).toBeGreaterThanOrEqual(HISTORIES);
  },
  LIMIT_MS,
);
