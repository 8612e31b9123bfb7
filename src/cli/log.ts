// The log: pino, JSON for machines, lines for a person on a terminal. No transports: they are
// threads that load files, which an executable does not have.

import pino from "pino";
import type { Log } from "../base/log.ts";

/** How the log is written. */
export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly format: "json" | "pretty";
  /** Leave user data out: names, addresses, ids, and what errors quote. */
  readonly redact?: boolean;
  /** Takes the finished lines, each with its newline. */
  readonly write: (line: string) => void;
}

/** Names of fields that hold secrets, at the top of a line and one level below. */
const SECRETS = [
  ...["password", "secret", "token", "authorization", "cookie", "passwordHash"],
  "clientSecret",
];

/** Names of fields that hold user data. `ud` is for nothing else. */
const USER_DATA = ["ud", "id", "key", "path", "docId"];

const COLORS = { debug: "\x1b[2m", info: "\x1b[36m", warn: "\x1b[33m", error: "\x1b[31m" };
/** Control characters but line ends, and marks that turn the direction of what follows. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

const DIM = "\x1b[2m";
const PLAIN = "\x1b[0m";

/** Makes the process's log. */
export function makeLog({ level, format, redact = false, write }: LogOptions): Log {
  const names = redact ? [...SECRETS, ...USER_DATA] : SECRETS;
  const paths = names.flatMap((name) => [name, `*.${name}`]);
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths,
        censor: (_, path) => (USER_DATA.includes(path.at(-1) ?? "") ? "(user data)" : "(secret)"),
      },
      ...(redact && { serializers: { err: unquotedError } }),
    },
    { write: format === "json" ? write : (line: string) => write(pretty(line)) },
  );
}

/** An error without what it quotes: ids, names and values stand in quotation marks. */
function unquotedError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const plain = pino.stdSerializers.err(error);
  const unquoted = (text: string) => text.replace(/"[^"\n]*"|'[^'\n]*'/g, "(user data)");
  return { ...plain, message: unquoted(plain.message), stack: unquoted(plain.stack) };
}

/** One line for a person: time of day, level, message, and the fields behind it. */
function pretty(line: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const color = COLORS[level as keyof typeof COLORS] ?? "";
  const clock = String(time).slice(11, 23);
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${shown(value)}`);
  const words = harmless(String(msg));
  const head = `${DIM}${clock}${PLAIN} ${color}${String(level).padEnd(5)}${PLAIN} ${words}`;
  return `${head}${DIM}${harmless(rest.join(""))}${PLAIN}\n${harmless(errorText(err))}`;
}

/** What clients sent may be in any line: nothing of it may move the cursor or set colours. */
function harmless(text: string): string {
  return text.replace(
    CONTROL,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function shown(value: unknown): string {
  return typeof value === "string" && /^[\w./:+-]+$/.test(value) ? value : JSON.stringify(value);
}

/** The stack of an error, indented; nothing when there is none. */
function errorText(err: unknown): string {
  if (typeof err !== "object" || err === null) return "";
  const { stack, message } = err as { stack?: string; message?: string };
  return `${(stack ?? message ?? JSON.stringify(err)).replace(/^/gm, "    ")}\n`;
}
