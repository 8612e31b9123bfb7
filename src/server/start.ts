// Opens the three listeners over a gateway, and closes them again.

import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { type Address, parseAddress } from "../config/address.ts";
import type { Config } from "../config/schema.ts";
import type { Gateway } from "../gateway/types.ts";
import { type Listener, listen } from "../runtime/http.ts";
import type { Random } from "../runtime/random.ts";
import type { Time } from "../runtime/time.ts";
import { documentApp, metricsApp } from "./app.ts";
import { Authentication } from "./auth/authentication.ts";
import { Bodies } from "./bodies.ts";
import { OpenFeeds } from "./changes/open-feeds.ts";
import type { ServerContext } from "./context.ts";
import { gate } from "./gate.ts";
import { HeldAnswers } from "./held-answers.ts";
import { Metrics } from "./metrics.ts";

/** Requests in flight may take this long to finish when the server stops. */
const STOP_GRACE_MS = 5000;

/** Room for what wraps a body of the largest size, so that the refusal is ours to word. */
const BODY_SLACK_BYTES = 1024 * 1024;

/** What the server is put together from. */
export interface ServerParts {
  readonly gateway: Gateway;
  readonly config: Config;
  readonly log: Log;
  readonly time: Time;
  readonly random: Random;
  readonly version: string;
}

/** The listeners, open. */
export interface RunningServer {
  readonly public: Address;
  readonly admin: Address;
  readonly metrics: Address;
  /**
   * Tells the feeds, lets requests in flight finish, and closes the listeners. Resolves within
   * about {@link STOP_GRACE_MS}.
   */
  stop(): Promise<void>;
}

/**
 * Opens the listeners. Throws `bad_config` when an address cannot be had; then none is left open.
 */
export async function startServer(parts: ServerParts): Promise<RunningServer> {
  const { config, version } = parts;
  const metrics = new Metrics(version);
  metrics.watch(parts.gateway);
  const feeds = new OpenFeeds(config.limits.openFeeds);
  const auth = new Authentication(parts);
  const bodies = new Bodies(parts.time, {
    // A body of the largest size, packed and unpacked, must find room.
    totalBytes: Math.max(config.limits.heldBodyBytes, 2 * config.limits.bodyBytes),
    slowSeconds: config.limits.slowBodySeconds,
  });
  const answers = new HeldAnswers(parts.time, config.limits.heldAnswerBytes);
  metrics.watchMemory(bodies, answers);
  const context: ServerContext = { ...parts, metrics, feeds, auth, bodies, answers };
  const open: Listener[] = [];
  const stop = async (graceMs: number) => {
    feeds.stop();
    await Promise.all(open.map((listener) => listener.stop(graceMs)));
  };
  const start = (setting: "public" | "admin" | "metrics"): Address => {
    const app = setting === "metrics" ? metricsApp(context) : documentApp(context, setting);
    const listener = listen({
      ...addressOf(config, setting),
      maxBodyBytes: config.limits.bodyBytes + BODY_SLACK_BYTES,
      fetch: (request, connection) => gate(request) ?? app.fetch(request, { connection }),
      onError: (error) => context.log.error({ err: error }, "a listener failed"),
    });
    open.push(listener);
    return { host: listener.host, port: listener.port };
  };
  try {
    return {
      public: start("public"),
      admin: start("admin"),
      metrics: start("metrics"),
      stop: () => stop(STOP_GRACE_MS),
    };
  } catch (error) {
    await stop(0);
    throw error;
  }
}

function addressOf(config: Config, setting: "public" | "admin" | "metrics"): Address {
  const address = parseAddress(config[setting]);
  if ("problem" in address) {
    throw new TidegateError("bad_config", `${setting}: expected ${address.problem}`);
  }
  return address;
}
