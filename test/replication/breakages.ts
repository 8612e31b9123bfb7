// Breakages of what changes send by access: grants with their past, revocations, and who is woken.

import type { Breakage } from "../breakages/breakage.ts";

const MODEL = {
  test: "test/access/model.test.ts",
  fails: "histories give what the model gives",
  env: { ACCESS_HISTORIES: "3000" },
} as const;

const cases = (fails: string) => ({ test: "test/replication/access.test.ts", fails });
const visibility = (fails: string) => ({ test: "test/access/visibility.test.ts", fails });

function broken(
  invariant: string,
  what: string,
  where: Pick<Breakage, "test" | "fails" | "env">,
  file: string,
  find: string,
  replace: string,
): Breakage {
  return { invariant, what, edits: [{ file: `src/${file}`, find, replace }], ...where };
}

/** Breakages of changes by access. */
export const accessBreakages: readonly Breakage[] = [
  broken(
    "6 Private",
    "what left a channel before it was granted is told",
    MODEL,
    "replication/merge.ts",
    'if (kind === "backfill") return (flags & EntryFlag.removed) !== 0;',
    'if (kind === "backfill") return false;',
  ),
  broken(
    "6 Private",
    "the feed of a principal's grants can be asked for by name",
    cases("what principals are granted is nobody's"),
    "replication/reach.ts",
    "asked.filter((name) => !isPseudoChannel(name))",
    "asked.filter((name) => !isPseudoChannel(name.slice(1)))",
  ),
  broken(
    "6 Private",
    "rows ahead of the clock are sent although their channel was lost meanwhile",
    cases("a row that waits ahead of the clock is not sent to who lost its channel"),
    "replication/eager.ts",
    "const left = this.#leftBy(mutation);\n      if (left",
    "const left = this.#leftBy(mutation) && undefined;\n      if (left",
  ),
  broken(
    "6 Private",
    "a table of grants that was dropped from memory counts as current",
    visibility("a change of one user reaches it although its table was dropped"),
    "access/visibility/principal-access.ts",
    "while (this.#epoch !== cache.epoch || this.#drops !== cache.drops) {",
    "while (this.#epoch !== cache.epoch) {",
  ),
  broken(
    "6 Private",
    "a tick that comes while a table is being read is taken as read",
    visibility("a grant that comes while a table is being read"),
    "access/visibility/table-cache.ts",
    "      this.#branchesVersion = version;\n    } catch",
    "      this.#branchesVersion = version;\n      this.#marked = false;\n    } catch",
  ),
  broken(
    "8 Branch-safe",
    "grants of a branch that was cut away go on",
    visibility("after a rollback everything is read anew"),
    "access/visibility/table-cache.ts",
    "const goesOn = this.#known !== undefined && version === this.#branchesVersion;",
    "const goesOn = this.#known !== undefined;",
  ),
  broken(
    "4 Resumable",
    "who lost a channel and has it again while away goes on where it was",
    cases("what a page was refused comes when the channel is back"),
    "replication/reach.ts",
    "const known = has ?? this.#narrow(access.heldThrough(from.clock, to.clock));",
    "const known = has ?? this.#narrow(access.at(from.clock));",
  ),
  broken(
    "4 Resumable",
    "a page that a client came back in the middle of counts as had, whole",
    cases("it comes also to who goes on with that page"),
    "replication/reach.ts",
    "      whole: to.tick >= newest.tick,",
    "      whole: true,",
  ),
  broken(
    "4 Resumable",
    "what left a channel that was lost and is back is not told",
    cases("what left a channel while it was lost is told"),
    "replication/read-plan.ts",
    'readings.push({ channel, kind: "left", from: from.clock, to: to.clock });',
    'readings.push({ channel, kind: "left", from: to.clock, to: to.clock });',
  ),
  broken(
    "5 Exact",
    "a new channel's past brings again what came by another",
    MODEL,
    "replication/read-plan.ts",
    "winner?.seq !== change.entry.seq || meets(plan.has, winner.channels);",
    "winner?.seq !== change.entry.seq;",
  ),
  broken(
    "5 Exact",
    "what is still seen by another channel is revoked",
    cases("what is still seen by another channel is not revoked"),
    "replication/read-plan.ts",
    "  return access.seesAny(winner.channels) && meets(",
    "  return access.seesAny([]) && meets(",
  ),
  broken(
    "1 Complete",
    "a live feed does not look at what the newest tick changed",
    cases("a live feed of many channels"),
    "replication/recent-ticks.ts",
    "tick > from && tick <= to);",
    "tick > from && tick < to);",
  ),
  broken(
    "1 Complete",
    "a waiting feed does not hear of grants to its reader's roles",
    cases("a role's grant wakes the feeds of who has it"),
    "replication/feed.ts",
    "const others = this.#access.watched();",
    "const others = this.#access.watched().slice(0, 1);",
  ),
  broken(
    "1 Complete",
    "of many channels gathered, what does not fit at once is lost",
    { test: "test/replication/gather.test.ts", fails: "gathering gives what merging gives" },
    "replication/gather.ts",
    "    first = stripe.vbTo;",
    "    first += width;",
  ),
  broken(
    "1 Complete",
    "compaction forgets with which entry a document came into a channel",
    cases("what was revoked is told after compaction"),
    "index/compaction.ts",
    "gathering.superseded(withFirst)",
    "gathering.superseded(withFirst && false)",
  ),
];
