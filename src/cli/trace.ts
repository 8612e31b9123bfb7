// `tidegate trace`: records the clocks that a running gateway publishes, for the sequence bench.

import { createWriteStream } from "node:fs";
import process from "node:process";
import { TidegateError } from "../base/errors.ts";
import type { Json } from "../base/json.ts";
import { headOf, recordTrace, SINCE_HEAD } from "../clock/trace.ts";
import { formatAddress, parseAddress } from "../config/address.ts";
import type { Config } from "../config/schema.ts";
import { onStopSignal } from "../runtime/process.ts";
import { systemTime } from "../runtime/time.ts";

/** Options of {@link trace}. */
export interface TraceFlags {
  /** The file to write; standard output unless given. */
  readonly out?: string | undefined;
  readonly everyMs: number;
  /** How long to record; until a signal unless given. */
  readonly seconds?: number | undefined;
}

/** Asks the gateway at the settings' admin listener until it is stopped, or its time is over. */
export async function trace(config: Config, database: string, flags: TraceFlags): Promise<void> {
  const address = parseAddress(config.admin);
  if ("problem" in address) throw new TidegateError("bad_config", `admin: ${address.problem}`);
  const base = `http://${formatAddress(address)}/${encodeURIComponent(database)}`;
  const time = systemTime();
  const over = new AbortController();
  onStopSignal(() => over.abort());
  if (flags.seconds !== undefined) time.after(flags.seconds * 1000, () => over.abort());
  const out = flags.out === undefined ? process.stdout : createWriteStream(flags.out);
  const ticks = await recordTrace({
    head: async () => headOf(await answerOf(`${base}/_clock?since=${SINCE_HEAD}`)),
    write: (line) =>
      new Promise((resolve, reject) => {
        out.write(`${line}\n`, (error) => (error ? reject(error) : resolve()));
      }),
    time,
    everyMs: flags.everyMs,
    signal: over.signal,
  });
  if (out !== process.stdout) await new Promise<void>((resolve) => out.end(() => resolve()));
  process.stderr.write(`${ticks} ticks recorded\n`);
}

async function answerOf(url: string): Promise<Json> {
  let answer: Response;
  try {
    answer = await fetch(url);
  } catch (error) {
    const reason = `no gateway answers at ${new URL(url).host}; --admin names its admin listener`;
    throw new TidegateError("unavailable", reason, { cause: error });
  }
  const body = (await answer.json()) as Json;
  if (answer.ok) return body;
  const { reason } = body as { reason?: string };
  throw new TidegateError("not_found", reason ?? `the gateway answered ${answer.status}`);
}
