// A gateway with its three listeners in this process, on free ports, over a directory of its own.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "../../src/base/json.ts";
import type { Log } from "../../src/base/log.ts";
import { formatAddress } from "../../src/config/address.ts";
import { loadConfig } from "../../src/config/load.ts";
import { openGateway } from "../../src/gateway/gateway.ts";
import type { Gateway } from "../../src/gateway/types.ts";
import { systemRandom } from "../../src/runtime/random.ts";
import { systemTime } from "../../src/runtime/time.ts";
import { type RunningServer, startServer } from "../../src/server/start.ts";

/** What a test has of a running gateway. */
export interface Fixture {
  /** Where the databases are: another gateway may be opened there, with the setting `data`. */
  readonly directory: string;
  readonly gateway: Gateway;
  readonly server: RunningServer;
  /** URLs of the listeners, without a slash at the end. */
  readonly public: string;
  readonly admin: string;
  readonly metrics: string;
  /** What was logged as warning or error. */
  readonly complaints: readonly string[];
  close(): Promise<void>;
}

/** Starts a gateway. `settings` are those of the process, in the file's shape. */
export async function startFixture(settings: JsonObject = {}): Promise<Fixture> {
  const { data } = settings;
  const directory =
    typeof data === "string" ? data : mkdtempSync(join(tmpdir(), "tidegate-server-"));
  const any = "127.0.0.1:0";
  const commandLine = { data: directory, public: any, admin: any, metrics: any, ...settings };
  const config = loadConfig({ environment: {}, commandLine });
  const complaints: string[] = [];
  const log = complainingLog(complaints);
  const parts = { config, log, time: systemTime(), random: systemRandom, version: "0.0.0" };
  const gateway = await openGateway({ dataDirectory: directory, ...parts });
  const server = await startServer({ ...parts, gateway }).catch(async (error) => {
    await gateway.close();
    if (data === undefined) rmSync(directory, { recursive: true });
    throw error;
  });
  return {
    directory,
    gateway,
    server,
    public: `http://${formatAddress(server.public)}`,
    admin: `http://${formatAddress(server.admin)}`,
    metrics: `http://${formatAddress(server.metrics)}`,
    complaints,
    async close() {
      await server.stop();
      await gateway.close();
      if (data === undefined) rmSync(directory, { recursive: true });
    },
  };
}

function complainingLog(complaints: string[]): Log {
  const complain = (fields: object, message: string) => {
    const { err } = fields as { err?: Error };
    complaints.push(`${message}${err ? `: ${err.message}` : ""}`);
  };
  const log: Log = {
    debug() {},
    info() {},
    warn: complain,
    error: complain,
    child: () => log,
  };
  return log;
}

/** One answer, read whole. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined when it is none. */
  readonly json: unknown;
}

/** Makes one request. An object as body is sent as JSON. */
export async function request(
  method: string,
  url: string,
  body?: string | Uint8Array<ArrayBuffer> | object,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const isRaw = body === undefined || typeof body === "string" || body instanceof Uint8Array;
  const answer = await fetch(url, {
    method,
    headers: isRaw ? headers : { "content-type": "application/json", ...headers },
    body: isRaw ? (body ?? null) : JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, text, json: parsed(text) };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
