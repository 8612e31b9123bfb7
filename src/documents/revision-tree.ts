// Revision trees: pure. A tree is an array of nodes, each naming its parent by index; trees are
// never changed, every operation gives a new one. What does not live here: bodies, channels,
// storing.

import { assert } from "../base/assert.ts";
import { TidegateError } from "../base/errors.ts";
import { compareRevisions, generationOf } from "./revision-id.ts";

/** One revision of a document. */
export interface RevisionNode {
  readonly rev: string;
  /** The index of its parent, always lower than its own; -1 when the parent is not known. */
  readonly parent: number;
  readonly deleted: boolean;
}

/** The revisions of a document that are remembered; parents come before their children. */
export type RevisionTree = readonly RevisionNode[];

/** The tree of a document that has no revision yet. */
export const EMPTY_TREE: RevisionTree = [];

/** The index of `rev` in `tree`; -1 when it is not there. */
export function indexOfRevision(tree: RevisionTree, rev: string): number {
  for (let i = tree.length - 1; i >= 0; i--) if (tree[i]!.rev === rev) return i;
  return -1;
}

/** The indexes of the leaves, winner first, then in the order of {@link compareLeaves}. */
export function leafIndexes(tree: RevisionTree): number[] {
  const parents = new Uint8Array(tree.length);
  for (const node of tree) if (node.parent >= 0) parents[node.parent] = 1;
  const leaves: number[] = [];
  for (let i = 0; i < tree.length; i++) if (parents[i] === 0) leaves.push(i);
  if (leaves.length > 1) leaves.sort((a, b) => compareLeaves(tree[a]!, tree[b]!));
  return leaves;
}

/** The leaves, winner first. */
export function leavesOf(tree: RevisionTree): RevisionNode[] {
  return leafIndexes(tree).map((index) => tree[index]!);
}

/**
 * Winner first: a live revision before a deleted one, then the longer history, then the higher id.
 */
export function compareLeaves(a: RevisionNode, b: RevisionNode): number {
  if (a.deleted !== b.deleted) return a.deleted ? 1 : -1;
  return compareRevisions(b.rev, a.rev);
}

/** Whether node `index` has a child. */
export function hasChild(tree: RevisionTree, index: number): boolean {
  for (let i = index + 1; i < tree.length; i++) if (tree[i]!.parent === index) return true;
  return false;
}

/** The ids from node `index` back to the oldest ancestor remembered, itself first. */
export function historyOf(tree: RevisionTree, index: number): string[] {
  const history: string[] = [];
  for (let i = index; i >= 0; i = tree[i]!.parent) history.push(tree[i]!.rev);
  return history;
}

/** The leaves that descend from node `index` (itself when it is one), winner first. */
export function leavesUnder(tree: RevisionTree, index: number): number[] {
  return leafIndexes(tree).filter((leaf) => {
    let i = leaf;
    while (i > index) i = tree[i]!.parent;
    return i === index;
  });
}

/** The tree with `rev` as a new child of node `parent` (-1: a root). */
export function addRevision(
  tree: RevisionTree,
  parent: number,
  rev: string,
  deleted: boolean,
): RevisionTree {
  assert(parent >= -1 && parent < tree.length, "the parent is in the tree");
  assert(
    parent === -1 || generationOf(rev) === generationOf(tree[parent]!.rev) + 1,
    () => `${rev} is one generation above its parent`,
  );
  return [...tree, { rev, parent, deleted }];
}

/**
 * The tree with a history that another replica gives.
 *
 * @param history the new revision first, then its ancestors, each one generation lower
 * @returns the same tree when the revision is there already
 */
export function mergeHistory(
  tree: RevisionTree,
  history: readonly string[],
  deleted: boolean,
): RevisionTree {
  checkGenerations(history);
  const rev = history[0]!;
  if (indexOfRevision(tree, rev) >= 0) return tree;
  const known = new Map(tree.map((node, index) => [node.rev, index]));
  const nodes: RevisionNode[] = [...tree, { rev, parent: -1, deleted }];
  let child = nodes.length - 1;
  for (let i = 1; i < history.length; i++) {
    const ancestor = history[i]!;
    const parent = nodes[child]!.parent;
    if (parent !== -1) {
      // Both have an opinion on this ancestor. Where they differ ours stays, and the rest of theirs
      // is left out: a node added here would be a leaf without a document.
      if (nodes[parent]!.rev !== ancestor) break;
      child = parent;
      continue;
    }
    let at = known.get(ancestor);
    if (at === undefined) {
      nodes.push({ rev: ancestor, parent: -1, deleted: false });
      at = nodes.length - 1;
    }
    nodes[child] = { ...nodes[child]!, parent: at };
    child = at;
  }
  return inParentOrder(nodes);
}

/**
 * The tree without the revisions that are `depth` or more steps above every leaf. Leaves are never
 * lost; a branch whose beginning goes becomes a tree of its own.
 */
export function stem(tree: RevisionTree, depth: number): RevisionTree {
  assert(depth >= 1, "a leaf alone is a depth of 1");
  if (tree.length <= depth) return tree;
  // The shortest way from each node down to a leaf, leaves 1.
  const steps = new Float64Array(tree.length).fill(Number.POSITIVE_INFINITY);
  for (let i = tree.length - 1; i >= 0; i--) {
    if (steps[i] === Number.POSITIVE_INFINITY) steps[i] = 1;
    const parent = tree[i]!.parent;
    if (parent >= 0) steps[parent] = Math.min(steps[parent]!, steps[i]! + 1);
  }
  if (!steps.some((n) => n > depth)) return tree;
  return keepNodes(tree, (index) => steps[index]! <= depth);
}

/** The tree without the branch that ends in leaf `index`, up to where it parted from another. */
export function removeBranch(tree: RevisionTree, index: number): RevisionTree {
  assert(!hasChild(tree, index), "only a leaf's branch can be removed");
  const children = new Uint32Array(tree.length);
  for (const node of tree) if (node.parent >= 0) children[node.parent]!++;
  const gone = new Set<number>();
  for (let i = index; i >= 0 && children[i]! <= (i === index ? 0 : 1); i = tree[i]!.parent) {
    gone.add(i);
  }
  return keepNodes(tree, (i) => !gone.has(i));
}

/** The nodes for which `keep` holds; children of one that goes become roots. */
function keepNodes(tree: RevisionTree, keep: (index: number) => boolean): RevisionTree {
  const moved = new Int32Array(tree.length).fill(-1);
  const nodes: RevisionNode[] = [];
  for (let i = 0; i < tree.length; i++) {
    if (!keep(i)) continue;
    const node = tree[i]!;
    const parent = node.parent < 0 ? -1 : moved[node.parent]!;
    moved[i] = nodes.length;
    nodes.push(parent === node.parent ? node : { ...node, parent });
  }
  return nodes;
}

/** The same tree with every parent before its children. */
function inParentOrder(nodes: readonly RevisionNode[]): RevisionTree {
  if (nodes.every((node, index) => node.parent < index)) return nodes;
  const order = nodes.map((_, index) => index);
  order.sort((a, b) => generationOf(nodes[a]!.rev) - generationOf(nodes[b]!.rev));
  const moved = new Int32Array(nodes.length);
  order.forEach((from, to) => {
    moved[from] = to;
  });
  return order.map((from) => {
    const node = nodes[from]!;
    return { ...node, parent: node.parent < 0 ? -1 : moved[node.parent]! };
  });
}

/** Throws `bad_revision` unless each id is one generation below the one before it. */
function checkGenerations(history: readonly string[]): void {
  assert(history.length > 0, "a history has at least the revision itself");
  let generation = generationOf(history[0]!);
  for (let i = 1; i < history.length; i++) {
    generation--;
    if (generation < 1 || generationOf(history[i]!) !== generation) {
      throw new TidegateError(
        "bad_revision",
        `In the history of ${history[0]}, ${history[i]} does not follow ${history[i - 1]}: ` +
          "each revision must be one generation below the one before it.",
      );
    }
  }
}
