// What the case by case tests of access share: a rig for each test, and saving over what is there.

import { test } from "bun:test";
import { ADMIN } from "../../src/documents/types.ts";
import type { PrincipalId } from "../../src/index/pseudo-channel.ts";
import { documentOf, Rig, type RigOptions, type Says } from "./rig.ts";

/** A test with a rig of its own. */
export function rigged(
  name: string,
  task: (rig: Rig) => Promise<void>,
  options: RigOptions = {},
): void {
  test(name, async () => {
    const rig = await Rig.open(options);
    try {
      await task(rig);
    } finally {
      await rig.close();
    }
  });
}

/** Saves a document over the one that is there. Gives its revision. */
export async function put(rig: Rig, id: string, says: Partial<Says>): Promise<string> {
  const newest = (await rig.documents.leaves([id]))[0]?.[0];
  const parent = newest ? { _rev: newest.rev } : {};
  return (await rig.documents.put(ADMIN, id, documentOf(says, parent))).rev;
}

/** What administrators give a principal from now on. */
export async function grant(
  rig: Rig,
  who: PrincipalId,
  channels: string[],
  roles: string[] = [],
): Promise<void> {
  const { principals } = rig.documents;
  const { rev } = (await principals.load(who)) ?? {};
  await principals.save(who, rev, {}, { channels, roles });
}
