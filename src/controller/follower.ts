// A node that does not own the partitions: it follows the head that the owner stores, and watches
// whether the owner lives. Taking over: controller.ts.

import { sleep, type Time } from "../runtime/time.ts";
import type { Election } from "./election.ts";
import { changedSince } from "./head-ring.ts";
import type { FollowedLookupMap } from "./ports.ts";
import type { Problems } from "./problems.ts";
import type { Rollbacks } from "./rollbacks.ts";
import type { ControllerSettings } from "./settings.ts";
import type { StableHead } from "./stable.ts";
import type { ControllerStore } from "./store.ts";

/** What {@link follow} needs. */
export interface FollowOptions {
  readonly store: ControllerStore;
  readonly lookup: FollowedLookupMap;
  readonly stable: StableHead;
  readonly rollbacks: Rollbacks;
  readonly election: Election;
  readonly time: Time;
  readonly problems: Problems;
  readonly settings: ControllerSettings;
}

/**
 * Follows the owner until this node may take over. Gives the CAS of the cluster document that says
 * so (`0n`: there is none), and undefined when `signal` ended it.
 */
export async function follow(
  options: FollowOptions,
  signal: AbortSignal,
): Promise<bigint | undefined> {
  const { store, election, time, problems, settings } = options;
  let pauseMs = settings.followMinMs;
  let lookMs = Number.NEGATIVE_INFINITY;
  while (!signal.aborted) {
    try {
      const nowMs = time.monotonicMs();
      if (nowMs - lookMs >= settings.heartbeatMs) {
        const cluster = await store.cluster();
        if (election.mayTake(cluster, nowMs)) return cluster?.cas ?? 0n;
        lookMs = nowMs;
      }
      const moved = await look(options);
      pauseMs = moved ? settings.followMinMs : Math.min(pauseMs * 1.5, settings.followMaxMs);
      problems.clear("follow");
    } catch (error) {
      problems.raise("follow", error);
      pauseMs = settings.heartbeatMs;
    }
    await sleep(time, pauseMs, signal);
  }
  return undefined;
}

/** Looks at the head once. Gives whether it moved. */
async function look({ store, stable, lookup, rollbacks }: FollowOptions): Promise<boolean> {
  const head = (await store.head())?.record;
  const known = stable.head().tick;
  if (head === undefined || head.stable.tick <= known) return false;
  if (head.rollbacks > rollbacks.version) rollbacks.replace((await store.rollbacks()).record);
  lookup.observe(head.stable);
  stable.publish(head.stable, changedSince(head, known));
  return true;
}
