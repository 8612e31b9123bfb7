// `tidegate serve`: puts gateway and listeners together, runs them, and stops them in order.

import process from "node:process";
import type { Log } from "../base/log.ts";
import { formatAddress, isLoopback } from "../config/address.ts";
import { type Config, databaseSettings } from "../config/schema.ts";
import { couchbaseSource } from "../gateway/bucket-source.ts";
import { openGateway } from "../gateway/gateway.ts";
import type { Gateway } from "../gateway/types.ts";
import { onStopSignal, onUncaught } from "../runtime/process.ts";
import { systemRandom } from "../runtime/random.ts";
import { systemTime } from "../runtime/time.ts";
import { type RunningServer, startServer } from "../server/start.ts";
import { couchbaseOptions } from "./couchbase.ts";
import { demoText, openDemo, withDemo } from "./demo.ts";
import { makeLog } from "./log.ts";
import { version } from "./version.ts";

/** Everything is stopped within this time, or the process ends as failed. */
const STOP_LIMIT_MS = 10_000;

/** Runs a gateway until a signal stops it. Resolves when it listens. */
export async function serve(given: Config): Promise<void> {
  const config = withDemo(given);
  const log = logOf(config);
  const time = systemTime();
  const parts = { config, log, time, random: systemRandom, version };
  const gateway = await openGateway({
    ...parts,
    dataDirectory: config.data,
    ...(config.bucket === "embedded"
      ? {}
      : { source: couchbaseSource(couchbaseOptions(config, parts)) }),
  });
  let server: RunningServer;
  try {
    await openDatabases(gateway, config, log);
    server = await startServer({ ...parts, gateway });
  } catch (error) {
    await gateway.close();
    throw error;
  }
  onUncaught((error) => log.error({ err: error }, "an error that nobody caught: a defect"));
  onStopSignal(async (signal) => {
    log.info({ signal }, "stopping; a second signal ends at once");
    time.after(STOP_LIMIT_MS, () => process.exit(1));
    await server.stop();
    await gateway.close();
    log.info({}, "stopped");
    process.exit(0);
  });
  announce(server, config, log);
}

function logOf(config: Config): Log {
  const { level, format, redact } = config.log;
  const auto = process.stderr.isTTY ? "pretty" : "json";
  const write = (line: string) => process.stderr.write(line);
  return makeLog({ level, format: format === "auto" ? auto : format, redact, write });
}

/** The databases of the settings: made when missing, given these settings when they are there. */
async function openDatabases(gateway: Gateway, config: Config, log: Log): Promise<void> {
  for (const [name, given] of Object.entries(config.databases)) {
    const settings = databaseSettings(given);
    if (gateway.database(name)) await gateway.configure(name, settings);
    else await gateway.create(name, settings);
  }
  if (config.demo) await openDemo(gateway, log);
}

/** Says where everything is: to a person as lines, to a log as one line. */
function announce(server: RunningServer, config: Config, log: Log): void {
  const at = {
    public: formatAddress(server.public),
    admin: formatAddress(server.admin),
    metrics: formatAddress(server.metrics),
  };
  const exposed = !isLoopback(server.public.host);
  log.info({ ...at, data: config.data, ...(exposed ? { exposed } : {}) }, "tidegate is ready");
  const isOpen = Object.keys(config.adminAuth.users).length === 0;
  const forWhom = isOpen ? "for you: no credentials, this machine only" : "for who is in adminAuth";
  process.stdout.write(
    [
      `tidegate ${version}`,
      "",
      `  public      http://${at.public}    for clients`,
      `  admin       http://${at.admin}    ${forWhom}`,
      `  metrics     http://${at.metrics}    /metrics and /health`,
      `  data        ${config.data}`,
      "",
    ].join("\n"),
  );
  if (config.demo) process.stdout.write(demoText(server.public));
}
