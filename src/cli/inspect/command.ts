// `tidegate inspect ...`: the commands, their arguments, and how reports are printed.

import process from "node:process";
import type { Command } from "commander";
import { TidegateError } from "../../base/errors.ts";
import type { Json } from "../../base/json.ts";
import { inspectSequence, linesOf } from "../../clock/inspect.ts";
import { loadConfig } from "../../config/load.ts";
import type { Config } from "../../config/schema.ts";
import { databaseNames, type Opened, withDatabase } from "./open.ts";
import {
  DEFAULT_ENTRIES,
  reportChannel,
  reportChannels,
  reportCheck,
  reportClock,
  reportDatabase,
  reportDocument,
  reportIndex,
  reportPosition,
  reportTicks,
} from "./reports.ts";

interface Flags {
  readonly config?: string;
  readonly data?: string;
  readonly json?: boolean;
  readonly limit?: string;
  readonly from?: string;
}

const AFTER = `
Looks into the data directory itself, also while a gateway runs on it, and changes nothing.

Examples:
  $ tidegate inspect database demo
  $ tidegate inspect document demo airport:SFO
  $ tidegate inspect channel demo state-CA
  $ tidegate inspect sequence mwppsb0o demo
  $ tidegate inspect check demo              exit code 1 when the index is not what it must be`;

/** Adds `inspect` to the program. */
export function addInspect(tidegate: Command): void {
  const inspect = tidegate
    .command("inspect")
    .description("look into a database: documents, channels, index, sequences, clocks, ticks")
    .addHelpText("after", AFTER);
  add(inspect, "databases", "the databases of the data directory", async (flags) =>
    databaseNames(configOf(flags)),
  );
  addFor(inspect, "database <database>", "settings, head and size of a database", reportDatabase);
  addFor(inspect, "document <database> <id>", "`_sync` and index entries of a document", (db, id) =>
    reportDocument(db, id),
  );
  addFor(inspect, "channels <database>", "the names of all channels", reportChannels);
  addFor(inspect, "channel <database> <channel>", "the entries of a channel", (db, name, flags) =>
    reportChannel(db, name, limitOf(flags)),
  );
  addFor(inspect, "index <database> [key]", "keys of the index, or one document of it", (db, key) =>
    reportIndex(db, key ?? ""),
  );
  add(inspect, "sequence <sequence> [database]", "what a sequence means", sequence);
  addFor(inspect, "clock <database>", "the stable clock, and its size in each encoding", (db) =>
    Promise.resolve(reportClock(db)),
  );
  addFor(inspect, "ticks <database>", "the ticks that are kept, from --from on", (db, _, flags) =>
    reportTicks(db, flags.from, limitOf(flags)),
  );
  addFor(inspect, "check <database>", "whether the index equals its recomputation", check);
}

function sequence(flags: Flags, text: string, database?: string): Promise<Json> {
  if (database === undefined) return Promise.resolve(inspectSequence(text));
  return withDatabase(configOf(flags), database, (opened) => reportPosition(opened, text));
}

async function check(opened: Opened): Promise<Json> {
  const { documents, entries, differing, differences } = await reportCheck(opened);
  if (differing > 0) process.exitCode = 1;
  const verdict = differing === 0 ? "the index is what it must be" : "THE INDEX IS WRONG";
  const listed = differences.map(({ kind, channel, message }) => ({ kind, channel, message }));
  return { verdict, documents, entries, differing, differences: listed };
}

/** Adds a command over one database, which is its first argument. */
function addFor(
  inspect: Command,
  grammar: string,
  about: string,
  report: (opened: Opened, argument: string, flags: Flags) => Promise<Json>,
): void {
  add(inspect, grammar, about, (flags, database, argument) =>
    withDatabase(configOf(flags), database, (opened) => report(opened, argument as string, flags)),
  );
}

function add(
  inspect: Command,
  grammar: string,
  about: string,
  report: (flags: Flags, first: string, second?: string) => Promise<Json>,
): void {
  const command = inspect
    .command(grammar)
    .description(about)
    .option("-c, --config <file>", "settings: JSON with comments (TIDEGATE_CONFIG)")
    .option("-d, --data <directory>", "where the databases are (default: ./tidegate-data)")
    .option("--json", "print JSON");
  if (/^(channel|ticks) /.test(grammar)) {
    command.option("--limit <count>", `how many to show (default: ${DEFAULT_ENTRIES})`);
  }
  if (grammar.startsWith("ticks")) command.option("--from <sequence>", "the first tick to show");
  command.action(async () => {
    const words = command.args;
    const flags = command.opts<Flags>();
    print(await report(flags, words[0] ?? "", words[1]), flags);
  });
}

function print(report: Json, flags: Flags): void {
  const isText = Array.isArray(report) && report.every((line) => typeof line === "string");
  const lines = isText ? (report as string[]) : linesOf(report);
  const text = flags.json ? JSON.stringify(report, null, 2) : lines.join("\n");
  process.stdout.write(`${text}\n`);
}

function configOf({ config, data }: Flags): Config {
  const commandLine = data === undefined ? {} : { data };
  const file = config ?? process.env.TIDEGATE_CONFIG;
  return loadConfig({ file, environment: process.env, commandLine });
}

function limitOf({ limit }: Flags): number {
  if (limit === undefined) return DEFAULT_ENTRIES;
  if (/^\d{1,9}$/.test(limit)) return Number(limit);
  throw new TidegateError("bad_request", `--limit: expected a whole number (came: ${limit})`);
}
