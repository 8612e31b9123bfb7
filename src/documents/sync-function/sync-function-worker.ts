// The thread in which slow sync functions run: it holds one function in an engine of its own.
// What does not live here: when a call comes here (sync-function.ts) and waiting for it (lane.ts).

import { systemTime } from "../../runtime/time.ts";
import { serveWorker } from "../../runtime/worker.ts";
import type { LaneRequest } from "./lane.ts";
import type { Outcome } from "./outcome.ts";
import { Sandbox } from "./sandbox.ts";

const time = systemTime();
let sandbox: Sandbox | undefined;

/** Makes the sandbox with the first message, which brings the source, and calls it with each. */
async function handle(request: LaneRequest): Promise<Outcome> {
  if (request.setup !== undefined) {
    sandbox?.close();
    const { kind, source, limits } = request.setup;
    sandbox = await Sandbox.create(kind, source, limits, time);
  }
  if (sandbox === undefined) throw new Error("the first message brings the source");
  if (sandbox.broken) await sandbox.repair();
  return sandbox.call(request.text, request.budgetMs);
}

serveWorker((message) => handle(message as LaneRequest));
