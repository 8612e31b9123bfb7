// What the tests of the sync function share: making one, calling it with documents as values.

import type { Json, JsonObject } from "../../src/base/json.ts";
import { type Log, silentLog } from "../../src/base/log.ts";
import {
  DEFAULT_SANDBOX_LIMITS,
  type SandboxLimits,
} from "../../src/documents/sync-function/limits.ts";
import {
  createSyncFunction,
  type SandboxedSyncFunction,
} from "../../src/documents/sync-function/sync-function.ts";
import type { SyncFunction, SyncResult } from "../../src/documents/sync-port.ts";
import { FREE_GUEST } from "../../src/documents/types.ts";
import { systemTime, type Time } from "../../src/runtime/time.ts";

/** Time as this process uses it up, so that a busy machine does not make calls time out. */
export const cpuTime: Time = {
  ...systemTime(),
  monotonicMs() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
};

/** A sync function made of `source` that stays in this thread and has its time for itself. */
export function make(
  source: string,
  limits: Partial<SandboxLimits> = {},
  log: Log = silentLog,
): Promise<SandboxedSyncFunction> {
  const inThreadMs = limits.timeMs ?? DEFAULT_SANDBOX_LIMITS.timeMs;
  return createSyncFunction({ source, limits: { inThreadMs, ...limits }, log, time: cpuTime });
}

/** Calls `sync` for a document of its own. */
export async function call(
  sync: SyncFunction,
  doc: JsonObject = {},
  oldDoc: JsonObject | null = null,
  xattrs: Record<string, Json> = {},
): Promise<SyncResult> {
  return await sync.run({
    docJson: JSON.stringify({ _id: "doc", _rev: "1-a", ...doc }),
    oldDocJson: oldDoc === null ? null : JSON.stringify(oldDoc),
    meta: { xattrs },
    actor: { ...FREE_GUEST, name: "alice" },
  });
}

/** Makes a sync function, calls it once, lets it go. */
export async function once(source: string, doc: JsonObject = {}): Promise<SyncResult> {
  const sync = await make(source);
  try {
    return await call(sync, doc);
  } finally {
    await sync.close();
  }
}

/** A log that keeps its lines as `level: message`. */
export function keptLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const keep = (level: string) => (_fields: object, message: string) => {
    lines.push(`${level}: ${message}`);
  };
  const log: Log = {
    debug: keep("debug"),
    info: keep("info"),
    warn: keep("warn"),
    error: keep("error"),
    child: () => log,
  };
  return { log, lines };
}
