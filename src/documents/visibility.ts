// Which revisions of a document somebody may read, and of which it may know that they are there.
// Pure. What does not live here: what a principal sees (`src/access/`), and reading revisions.

import type { Access } from "../access/types.ts";
import { TidegateError } from "../base/errors.ts";
import type { Version } from "./load.ts";
import { indexOfRevision } from "./revision-tree.ts";
import type { LeftChannel } from "./sync-metadata.ts";

const NO_CHANNELS: readonly string[] = [];

/** Whether every document may be read: by administrators, and by who was granted `*`. */
export function seesEverything(access: Access): boolean {
  return access.everything || access.seesAny(NO_CHANNELS);
}

/** Whether a revision that is in `channels` may be read. */
export function mayRead(access: Access, channels: readonly string[]): boolean {
  return access.everything || access.seesAny(channels);
}

/** Whether leaf `rev` may be read. */
export function mayReadLeaf(access: Access, version: Version, rev: string): boolean {
  const leaf = version.sync.leaves.get(rev);
  return leaf !== undefined && mayRead(access, leaf.channels);
}

/** Whether some leaf may be read. */
export function mayReadSome(access: Access, version: Version): boolean {
  if (access.everything) return true;
  for (const leaf of version.sync.leaves.values()) {
    if (access.seesAny(leaf.channels)) return true;
  }
  return false;
}

/**
 * How `rev` took the document out of a channel that is seen: what a feed of that channel tells its
 * readers. Undefined when it did not, and when that was forgotten.
 */
export function removalSeen(
  access: Access,
  version: Version,
  rev: string,
): LeftChannel | undefined {
  return version.sync.left.find((left) => left.rev === rev && mayRead(access, [left.channel]));
}

/**
 * The revisions of the tree that may be known of: the leaves that may be read, the removals that
 * are seen, and the ancestors of both. Undefined: all of them.
 *
 * Of another revision it must not even be said that it is there: its id is a digest of its content,
 * which somebody could guess.
 */
export function knownRevisions(access: Access, version: Version): Set<string> | undefined {
  if (access.everything) return undefined;
  const { tree, leaves, left } = version.sync;
  const tips: string[] = [];
  for (const [rev, leaf] of leaves) if (access.seesAny(leaf.channels)) tips.push(rev);
  if (tips.length === leaves.size) return undefined;
  for (const { channel, rev } of left) if (access.seesAny([channel])) tips.push(rev);
  const known = new Set<string>();
  for (const tip of tips) {
    // What is known already has its ancestors among the known.
    for (let i = indexOfRevision(tree, tip); i >= 0; i = tree[i]!.parent) {
      const { rev } = tree[i]!;
      if (known.has(rev)) break;
      known.add(rev);
    }
  }
  return known;
}

/**
 * What to say of a revision that is not there, or not for this reader. The two must not be told
 * apart; whether the document is there may (docs/decisions.md).
 */
export function hidden(access: Access, version: Version): TidegateError {
  return mayReadSome(access, version) || version.sync.deleted ? missing() : noAccess();
}

/** The error for a revision or document that is not there. */
export function missing(): TidegateError {
  return new TidegateError("not_found", "missing");
}

/** The error for a document that is there, but not for this reader. */
export function noAccess(): TidegateError {
  return new TidegateError("forbidden", "The document is in no channel that you may read.");
}
