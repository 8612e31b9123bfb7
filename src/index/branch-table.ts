// The branches of every vbucket, numbered in the order in which they were stored: entries name
// their branch by that number. Ordinal 0 is the branch from before the first rollback that was
// seen.
//
//   branches document, a frame's payload = (vb varint | seq varint | vbuuid: length, text) ...

import { PackReader, PackWriter } from "./pack.ts";

/** A vbucket's history was cut after `seq` and went on as branch `vbuuid`. */
export interface BranchPoint {
  readonly vb: number;
  readonly seq: number;
  readonly vbuuid: string;
}

/** The payload of one frame of the branches document. */
export function packBranches(points: readonly BranchPoint[]): Uint8Array {
  const writer = new PackWriter(64);
  for (const { vb, seq, vbuuid } of points) {
    writer.varint(vb);
    writer.varint(seq);
    writer.text(vbuuid);
  }
  return writer.slice();
}

/** Reads what {@link packBranches} wrote. Throws `MalformedBytes`. */
export function unpackBranches(payload: Uint8Array): BranchPoint[] {
  const reader = new PackReader(payload);
  const points: BranchPoint[] = [];
  while (reader.at < payload.length) {
    points.push({ vb: reader.varint(), seq: reader.varint(), vbuuid: reader.text() });
  }
  return points;
}

/** Which branch an entry must be of to be alive. */
export class BranchTable {
  readonly #points = new Map<number, BranchPoint[]>();
  #version = 0;

  /** Grows with every branch that is new. */
  get version(): number {
    return this.#version;
  }

  /** Every branch point, by vbucket and then in order. */
  all(): BranchPoint[] {
    return [...this.#points.values()].flat();
  }

  /** Whether this branch is taken up. */
  knows(vb: number, vbuuid: string): boolean {
    return this.#points.get(vb)?.some((point) => point.vbuuid === vbuuid) ?? false;
  }

  /** Takes up a branch; a branch that is known is left as it is. Gives whether it was new. */
  add(point: BranchPoint): boolean {
    if (this.knows(point.vb, point.vbuuid)) return false;
    const points = this.#points.get(point.vb);
    if (points) points.push(point);
    else this.#points.set(point.vb, [point]);
    this.#version++;
    return true;
  }

  /** The ordinal of the branch that owns `seq` now: entries of any other are dead. */
  owner(vb: number, seq: number): number {
    const points = this.#points.get(vb);
    return points === undefined ? 0 : lastBefore(points, points.length, seq);
  }

  /** Whether an entry of this branch is dead. One of a branch that is not known yet may live. */
  isDead(vb: number, seq: number, branch: number): boolean {
    const known = this.#points.get(vb)?.length ?? 0;
    return branch <= known && branch !== this.owner(vb, seq);
  }

  /**
   * The ordinal of the branch that `seq` belongs to in the history of branch `vbuuid`. A branch
   * that is not known counts as the first: should it be a newer one, what is written is dead as
   * soon as the branch is known, and healed.
   */
  ordinal(vb: number, vbuuid: string, seq: number): number {
    const points = this.#points.get(vb);
    if (points === undefined) return 0;
    const own = points.findIndex((point) => point.vbuuid === vbuuid) + 1;
    return lastBefore(points, own, seq);
  }
}

/** The last of the first `count` branches that began before `seq`, counted from 1; 0: none did. */
function lastBefore(points: readonly BranchPoint[], count: number, seq: number): number {
  for (let ordinal = count; ordinal > 0; ordinal--) {
    if (points[ordinal - 1]!.seq < seq) return ordinal;
  }
  return 0;
}
