// Breakages of access: what leaves without a grant, and grants that are not what documents say.

import type { Breakage } from "./breakage.ts";

const MODEL = {
  test: "test/access/model.test.ts",
  fails: "histories give what the model gives",
} as const;

const privately = (
  what: string,
  where: { readonly test: string; readonly fails: string; readonly env?: Record<string, string> },
  file: string,
  find: string,
  replace: string,
): Breakage => ({
  invariant: "6 Private",
  what,
  edits: [{ file: `src/${file}`, find, replace }],
  ...where,
});

const cases = (fails: string) => ({ test: "test/replication/access.test.ts", fails });
const users = (fails: string) => ({ test: "test/server/users.test.ts", fails });
const sessions = (fails: string) => ({ test: "test/server/sessions.test.ts", fails });
const reading = (fails: string) => ({ test: "test/documents/access-reading.test.ts", fails });

/** Breakages of invariant 6, and of the grants in 2. */
export const privateBreakages: readonly Breakage[] = [
  {
    invariant: "2 Pure",
    what: "a grant that is withdrawn goes on in the index",
    edits: [
      {
        file: "src/documents/grants.ts",
        find: "grants.push(goesOn || was.until !== undefined ? was : { ...was, until: 0 });",
        replace: "grants.push(was);",
      },
    ],
    test: "test/documents/grants.test.ts",
    fails: "tell what was granted at every seq before",
  },
  {
    invariant: "2 Pure",
    what: "a losing revision grants what it says",
    edits: [
      {
        file: "src/documents/sync-metadata.ts",
        find: "const { access, roles } = record;",
        replace: "const [{ access, roles } = record] = [...leaves.values()].slice(-1);",
      },
    ],
    test: "test/documents/grants.test.ts",
    fails: "only the winner grants",
  },
  privately(
    "a channel is still sent that is not visible any more",
    cases("what a page was refused comes when the channel is back"),
    "replication/reach.ts",
    "const channels = meet(at, now);",
    "const channels = at;",
  ),
  privately(
    "a page goes on with a channel that was lost in its middle",
    cases("a channel lost in the middle of an interval sends no more"),
    "replication/reach.ts",
    "if (now === plan.now) return plan;",
    "if (now !== undefined) return plan;",
  ),
  privately(
    "a new grant does not bring its past",
    MODEL,
    "replication/reach.ts",
    "const backfilled = without(channels, known);",
    "const backfilled = NOTHING;",
  ),
  privately(
    "a role that is lost still shows its channels",
    MODEL,
    "access/visibility/principal-access.ts",
    'this.#own.grants.held("role", from, to, roles);',
    "for (const role of this.#own.grants.roles) roles.add(role);",
  ),
  privately(
    "grants are looked for as they were when the process began",
    users("gets what a document grants it"),
    "access/visibility/table-cache.ts",
    "      table.mark();\n      marked = true;\n",
    "      void table;\n",
  ),
  privately(
    "old revisions are read by the channels of the newest",
    reading("that was superseded is read by its own channels"),
    "documents/render.ts",
    "if (old === undefined || !mayRead(access, old.channels)) return undefined;",
    "if (old === undefined) return undefined;",
  ),
  privately(
    "what the sync function requires is recorded and not enforced",
    users("writes what the sync function lets it"),
    "documents/run-sync.ts",
    "if (result.requires.length > 0) enforce(actor, result.requires);",
    "",
  ),
  privately(
    "a purged document's grants stay",
    users("loses what a document granted it when that is purged"),
    "documents/purge.ts",
    "  if (isIndexed(version)) {",
    "  if (isIndexed(version) && version.sync.seq < 0) {",
  ),
  privately(
    "a user who is disabled can log in",
    users("that is disabled, or has another password, is out"),
    "access/login/logins.ts",
    "if (!user || !now || now.disabled ||",
    "if (!user || !now ||",
  ),
  privately(
    "a session outlives the password that it was begun with",
    sessions("ends with a new password"),
    "access/login/logins.ts",
    "return !user.disabled && user.name === name && user.epoch === epoch;",
    "return !user.disabled && user.name === name && epoch !== user.name;",
  ),
  privately(
    "a page of another origin writes with somebody's cookie",
    sessions("lets pages of other origins read nothing and write nothing"),
    "server/auth/authentication.ts",
    'if (credentials.kind === "session" && credentials.byCookie) checkOrigin(call);',
    "",
  ),
  privately(
    "failed logins are not counted",
    sessions("too often are 429 for that user"),
    "access/login/login-limits.ts",
    "    byUser.left--;\n",
    "",
  ),
  privately(
    "the admin listener lets everybody in",
    { test: "test/server/route-access.test.ts", fails: "the admin listener" },
    "server/auth/admin-auth.ts",
    "if (this.#users.size > 0) return this.#login(call);",
    "",
  ),
];
