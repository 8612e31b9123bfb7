// How durable a write must be before it is acknowledged, in the protocol's and the SDK's words.

import { DurabilityLevel } from "couchbase";

/**
 * `none`: in the active node's memory. `majority`: in the memory of most copies. The two others: on
 * the disk of the active node too, or of most copies.
 */
export type Durability = "none" | "majority" | "majorityPersistActive" | "persistMajority";

/** The levels as the protocol numbers them. */
export const WIRE_DURABILITY: Readonly<Record<Durability, number>> = {
  none: 0,
  majority: 1,
  majorityPersistActive: 2,
  persistMajority: 3,
};

/** The levels as the SDK names them. */
export const SDK_DURABILITY: Readonly<Record<Durability, DurabilityLevel>> = {
  none: DurabilityLevel.None,
  majority: DurabilityLevel.Majority,
  majorityPersistActive: DurabilityLevel.MajorityAndPersistOnMaster,
  persistMajority: DurabilityLevel.PersistToMajority,
};
