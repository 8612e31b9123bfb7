// How this process appears in a database's cluster document, and which owners are surely gone.

import type { Instance } from "../controller/election.ts";
import { processIsGone, thisProcess } from "../runtime/instance.ts";
import type { Random } from "../runtime/random.ts";

/** The instances that are open in this process. */
const live = new Set<string>();

/** A new instance of this process; `end` says that it is gone. */
export function newInstance(random: Random): { instance: Instance; end: () => void } {
  const id = Buffer.from(random.bytes(8)).toString("hex");
  live.add(id);
  return { instance: { id, ...thisProcess() }, end: () => live.delete(id) };
}

/** Whether an owner is known to be gone: its process on this machine does not run any more. */
export function instanceIsGone(owner: Instance): boolean {
  const here = thisProcess();
  if (owner.host !== here.host) return false;
  // After a restart in a container the new process may well have the id of the old one.
  return owner.pid === here.pid ? !live.has(owner.id) : processIsGone(owner.pid);
}
