// The breakages tried, by the invariants of the design's part 3. When one does not fit the code any
// more, write it anew against the code as it is.

import { clockBreakages } from "../clock/breakages.ts";
import { couchbaseBreakages } from "../couchbase/breakages.ts";
import { indexBreakages } from "../index/breakages.ts";
import { accessBreakages } from "../replication/breakages.ts";
import type { Breakage } from "./breakage.ts";
import { privateBreakages } from "./private.ts";
import { tokenBreakages } from "./tokens.ts";

/** A quick crash test is enough to notice what it is for. */
const CRASH = { CRASH_KILLS: "12", CRASH_SEED: "7" };

/** What the crash test says of a reader that misses a row, or a save that is gone. */
const SEEN_OUTSIDE = /reader to have all|documents after a restart|resuming from|the index differs/;

const complete: Breakage[] = [
  {
    invariant: "1 Complete",
    what: "the record is written although one channel's entry was not",
    edits: [
      {
        file: "src/index/group.ts",
        find: "let blocks = this.#place(members, identities, late);",
        replace: "let blocks = this.#place(members, identities, late).slice(1);",
      },
    ],
    test: "test/index/verify.test.ts",
    fails: "finds nothing in a whole index",
  },
  {
    invariant: "1 Complete",
    what: "a mutation without a record counts as validated after the grace period",
    edits: [
      {
        file: "src/controller/validation.ts",
        find: "      else this.#queueHeal(pending);\n    }\n  }",
        replace: "      else this.#done(pending, []);\n    }\n  }",
      },
    ],
    test: "test/scenarios/scenarios.test.ts",
    fails: "scenario core-heal",
  },
  {
    invariant: "1 Complete",
    what: "the same, seen from outside: readers of a killed gateway",
    edits: [
      {
        file: "src/controller/validation.ts",
        find: "      else this.#queueHeal(pending);\n    }\n  }",
        replace: "      else this.#done(pending, []);\n    }\n  }",
      },
    ],
    test: "test/crash/crash.test.ts",
    fails: "times killed under load",
    says: SEEN_OUTSIDE,
    env: CRASH,
  },
  {
    invariant: "1 Complete",
    what: "a block with data is named by no list",
    edits: [
      {
        file: "src/index/group.ts",
        find: "    await this.#list(lists);\n",
        replace: "",
      },
    ],
    test: "test/index/verify.test.ts",
    fails: "finds nothing in a whole index",
  },
];

const pure: Breakage[] = [
  {
    invariant: "2 Pure",
    what: "`_sync` keeps no channels that were left before",
    edits: [
      {
        file: "src/documents/sync-metadata.ts",
        find: "    left.push(old.seq === 0 ? { ...old, seq: current.seq } : old);",
        replace: "    if (old.seq === 0) continue;\n    left.push(old);",
      },
    ],
    test: "test/documents/sync-metadata.test.ts",
    fails: "healed from the newest version alone",
  },
  {
    invariant: "2 Pure",
    what: "healing writes no removals of mutations before the one it heals",
    edits: [
      {
        file: "src/documents/healer.ts",
        find: "  await parts.writer.write(mutation, true);",
        replace: "  await parts.writer.write(mutation, false);",
      },
    ],
    test: "test/documents/healing.test.ts",
    fails: "writes from _sync alone what the save said",
  },
  {
    invariant: "2 Pure",
    what: "the clock moves inside a snapshot, as soon as a mutation is validated",
    edits: [
      {
        file: "src/controller/vbucket-state.ts",
        find: "    if (seq === segment.end) segment.complete = true;",
        replace: "    segment.end = seq;\n    segment.complete = true;",
      },
      {
        file: "src/controller/vbucket-state.ts",
        find: "segment !== undefined && !segment.complete,",
        replace: "segment !== undefined,",
      },
      {
        file: "src/controller/vbucket-state.ts",
        find: '    assert(seq <= segment.end, "a mutation came beyond its snapshot\'s end");\n',
        replace: "",
      },
    ],
    test: "test/scenarios/scenarios.test.ts",
    fails: "scenario core-",
  },
];

const monotone: Breakage[] = [
  {
    invariant: "3 Monotone",
    what: "a tick is the machine's time, also when that went back",
    edits: [
      {
        file: "src/clock/tick-source.ts",
        find: "const tick = Math.max(this.#time.nowMs(), this.#last + 1) as Tick;",
        replace: "const tick = this.#time.nowMs() as Tick;",
      },
    ],
    test: "test/clock/tick-source.test.ts",
    fails: "grows when the clock of the machine goes back",
  },
  {
    invariant: "3 Monotone",
    what: "the ceiling of ticks is not read at the start",
    edits: [
      {
        file: "src/clock/tick-source.ts",
        find: "if (stored > this.#ceiling && stored > this.#last) this.#last = stored;",
        replace: "",
      },
    ],
    test: "test/clock/tick-source.test.ts",
    fails: "gives ticks above all before after a kill",
  },
];

const resumable: Breakage[] = [
  {
    invariant: "4 Resumable",
    what: "every row of a batch carries the position after the last",
    edits: [
      {
        file: "src/replication/feed.ts",
        find: "if (i === changes.length - 1) this.#seq = after;",
        replace: "if (i >= 0) this.#seq = after;",
      },
    ],
    test: "test/replication/changes.test.ts",
    fails: "",
  },
  {
    invariant: "4 Resumable",
    what: "a tick that is gone resolves to the newest in place of the nearest older",
    edits: [
      {
        file: "src/clock/lookup-map.ts",
        find: "        : await this.#lookUp(wanted);",
        replace: "        : { tick: newest.tick, clock: copyClock(newest.clock) };",
      },
    ],
    test: "test/clock/lookup-map.test.ts",
    fails: "names every clock exactly",
  },
  {
    invariant: "4 Resumable",
    what: "the same, seen from outside: readers of a killed gateway",
    edits: [
      {
        file: "src/clock/lookup-map.ts",
        find: "        : await this.#lookUp(wanted);",
        replace: "        : { tick: newest.tick, clock: copyClock(newest.clock) };",
      },
    ],
    test: "test/crash/crash.test.ts",
    fails: "times killed under load",
    says: SEEN_OUTSIDE,
    env: CRASH,
  },
  {
    invariant: "4 Resumable",
    what: "a position inside an interval counts as its end",
    edits: [
      {
        file: "src/clock/position.ts",
        find: "return { from, within: { to, vb: sequence.vb, seq: sequence.seq } };",
        replace: "return { from: to };",
      },
    ],
    test: "test/clock/position.test.ts",
    fails: "inside an interval",
  },
];

const exact: Breakage[] = [
  {
    invariant: "5 Exact in a connection",
    what: "a document in two wanted channels makes two rows",
    edits: [
      {
        file: "src/replication/merge.ts",
        find: "if (known?.entry.seq === entry.seq) {",
        replace: "if (known?.entry.seq === -1) {",
      },
      {
        file: "src/replication/merge.ts",
        find: "this.#byDocument.set(entry.docId, {",
        replace: "this.#byDocument.set(entry.docId + channel, {",
      },
    ],
    test: "test/replication/merge.test.ts",
    fails: "gives what a naive merge gives",
  },
  {
    invariant: "5 Exact in a connection",
    what: "a feed that is told of a tick begins again where it was a tick ago",
    edits: [
      {
        file: "src/replication/feed.ts",
        find: "      this.#from = to;\n",
        replace: "      if (this.#from.tick === 0) this.#from = to;\n",
      },
    ],
    test: "test/replication/changes.test.ts",
    fails: "",
  },
];

const fenced: Breakage[] = [
  {
    invariant: "7 Fenced",
    what: "a clock document that another node has written is written over",
    edits: [
      {
        file: "src/controller/store.ts",
        find: '{ op: "replace", key, value, cas };',
        replace: '{ op: "upsert", key, value };',
      },
    ],
    test: "test/controller/ownership.test.ts",
    fails: "a stale owner cannot move the clock",
  },
];

const branchSafe: Breakage[] = [
  {
    invariant: "8 Branch-safe",
    what: "entries of dead branches are served",
    edits: [
      {
        file: "src/index/gather.ts",
        find: "if (entry.branch !== this.#branches.owner(entry.vb, seq)) continue;",
        replace: "",
      },
    ],
    test: "test/index/branches.test.ts",
    fails: "a second rollback below the first",
  },
  {
    invariant: "8 Branch-safe",
    what: "ticks from before a rollback are not cut back",
    edits: [
      {
        file: "src/clock/lookup-map.ts",
        find: "    clampToBranches(found.clock, found.tick, this.#branches);\n    if (version",
        replace: "    if (version",
      },
    ],
    test: "test/clock/lookup-map.test.ts",
    fails: "cuts back what later rollbacks took",
  },
];

const durable: Breakage[] = [
  {
    invariant: "9 Durable",
    what: "writes are acknowledged before they are committed, seven groups of eight after a while",
    edits: [
      {
        file: "src/bucket/embedded/connection.ts",
        find: "    this.#begin.run();",
        replace: "    if (!this.#database.isTransaction) this.#begin.run();",
      },
      {
        file: "src/bucket/embedded/connection.ts",
        find: "  commit(): void {\n    this.#commit.run();",
        replace:
          "  skipped = 0;\n  commit(): void {\n    if (++this.skipped < 12 || this.skipped % 8 === 0) this.#commit.run();",
      },
    ],
    test: "test/crash/crash.test.ts",
    fails: "times killed under load",
    says: SEEN_OUTSIDE,
    env: CRASH,
  },
];

const idempotent: Breakage[] = [
  {
    invariant: "10 Idempotent",
    what: "readers do not tell repeated entries apart",
    edits: [
      {
        file: "src/index/gather.ts",
        find: "      if (seq === lastSeq) continue;\n",
        replace: "",
      },
      {
        file: "src/index/gather.ts",
        find: "      if (seen?.has(entry.docId)) continue;\n",
        replace: "",
      },
    ],
    test: "test/index/write-read.test.ts",
    fails: "",
  },
];

/** All of them. */
export const breakages: readonly Breakage[] = [
  ...complete,
  ...pure,
  ...monotone,
  ...resumable,
  ...exact,
  ...privateBreakages,
  ...tokenBreakages,
  ...fenced,
  ...branchSafe,
  ...durable,
  ...idempotent,
  ...accessBreakages,
  ...clockBreakages,
  ...indexBreakages,
  ...couchbaseBreakages,
];
