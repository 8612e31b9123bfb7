// The commands and their options. No work is done here.

import process from "node:process";
import { Command } from "commander";
import { TidegateError } from "../base/errors.ts";
import type { JsonObject } from "../base/json.ts";
import { loadConfig } from "../config/load.ts";
import { check } from "./check.ts";
import { hashPassword } from "./hash-password.ts";
import { addInspect } from "./inspect/command.ts";
import { serve } from "./serve.ts";
import { trace } from "./trace.ts";
import { version, versionText } from "./version.ts";

const ABOUT =
  "A sync gateway: it sits between mobile and edge clients and a document bucket, " +
  "decides which client may see which document, and streams changes to them.";

const AFTER = `
Examples:
  $ tidegate serve --demo                     a database with data, open to a guest
  $ tidegate serve --config tidegate.jsonc    settings from a file
  $ tidegate serve --help                     every option

Every setting can also be given by the environment, as TIDEGATE_ and its name:
  $ TIDEGATE_LOG_LEVEL=debug tidegate serve
The command line goes over the environment, and the environment over the file.`;

/** The command line's grammar, with its actions. */
export function program(): Command {
  const tidegate = new Command("tidegate")
    .description(ABOUT)
    .version(`tidegate ${version}`, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .showSuggestionAfterError()
    .showHelpAfterError("(tidegate --help says more)")
    .addHelpText("after", AFTER);
  addServe(tidegate);
  addInspect(tidegate);
  addCheck(tidegate);
  addTrace(tidegate);
  tidegate
    .command("hash-password")
    .description("read a password from standard input, print what adminAuth takes")
    .action(async () => {
      await hashPassword();
      // Standard input may still be open.
      process.exit(0);
    });
  tidegate
    .command("version")
    .description("print the versions of Tidegate, its runtime and Couchbase's native client")
    .action(async () => {
      process.stdout.write(await versionText());
      // The native client keeps threads of its own.
      process.exit(0);
    });
  return tidegate;
}

interface ServeFlags {
  readonly config?: string;
  readonly data?: string;
  readonly public?: string;
  readonly bucket?: string;
  readonly admin?: string;
  readonly metrics?: string;
  readonly demo?: boolean;
  readonly logLevel?: string;
  readonly logFormat?: string;
}

function addServe(tidegate: Command): void {
  tidegate
    .command("serve")
    .description("run a gateway until it is stopped by SIGTERM or SIGINT")
    .option("-c, --config <file>", "settings: JSON with comments (TIDEGATE_CONFIG)")
    .option("-d, --data <directory>", "where the databases are (default: ./tidegate-data)")
    .option("--bucket <where>", "embedded, or couchbase://HOST/BUCKET (default: embedded)")
    .option("--public <host:port>", "listener for clients (default: 127.0.0.1:4984)")
    .option("--admin <host:port>", "listener for administration (default: 127.0.0.1:4985)")
    .option("--metrics <host:port>", "listener for /metrics, /health (default: 127.0.0.1:4986)")
    .option("--demo", "open a database `demo` with data that a guest may read and write")
    .option("--log-level <level>", "debug, info, warn or error (default: info)")
    .option("--log-format <format>", "pretty or json (default: pretty on a terminal)")
    .action(async (flags: ServeFlags) => {
      const { config, logLevel, logFormat, ...direct } = flags;
      const log = defined({ level: logLevel, format: logFormat });
      await serve(
        loadConfig({
          file: config ?? process.env.TIDEGATE_CONFIG,
          environment: process.env,
          commandLine: { ...defined(direct), ...(Object.keys(log).length > 0 ? { log } : {}) },
        }),
      );
    });
}

function addCheck(tidegate: Command): void {
  tidegate
    .command("check <bucket>")
    .description(
      "say whether a Couchbase bucket has all that a gateway needs: couchbase://HOST/BUCKET",
    )
    .option("-c, --config <file>", "settings: JSON with comments (TIDEGATE_CONFIG)")
    .action(async (bucket: string, flags: { config?: string }) => {
      const file = flags.config ?? process.env.TIDEGATE_CONFIG;
      const config = loadConfig({ file, environment: process.env, commandLine: { bucket } });
      process.exit(await check(config));
    });
}

interface TraceOptions {
  readonly config?: string;
  readonly admin?: string;
  readonly out?: string;
  readonly every: string;
  readonly seconds?: string;
}

function addTrace(tidegate: Command): void {
  tidegate
    .command("trace <database>")
    .description("record the clocks that a running gateway publishes, for the sequence bench")
    .option("-c, --config <file>", "settings: JSON with comments (TIDEGATE_CONFIG)")
    .option("--admin <host:port>", "the gateway's admin listener (default: 127.0.0.1:4985)")
    .option("--out <file>", "where to write (default: standard output)")
    .option("--every <ms>", "how often to ask", "25")
    .option("--seconds <count>", "how long to record (default: until a signal)")
    .action(async (database: string, flags: TraceOptions) => {
      const file = flags.config ?? process.env.TIDEGATE_CONFIG;
      const commandLine = defined({ admin: flags.admin });
      await trace(loadConfig({ file, environment: process.env, commandLine }), database, {
        out: flags.out,
        everyMs: wholeNumber("--every", flags.every),
        seconds: flags.seconds === undefined ? undefined : wholeNumber("--seconds", flags.seconds),
      });
    });
}

function wholeNumber(option: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new TidegateError("bad_request", `${option}: expected a whole number (came: ${text})`);
}

/** Only what was given. */
function defined(flags: Readonly<Record<string, string | boolean | undefined>>): JsonObject {
  const given: JsonObject = {};
  for (const [name, value] of Object.entries(flags)) if (value !== undefined) given[name] = value;
  return given;
}
