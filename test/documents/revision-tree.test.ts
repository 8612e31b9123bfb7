// Revision trees against a model: whatever the order of replication, the same leaves and winner.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  addRevision,
  EMPTY_TREE,
  historyOf,
  indexOfRevision,
  leavesOf,
  leavesUnder,
  mergeHistory,
  type RevisionTree,
  removeBranch,
  stem,
} from "../../src/documents/revision-tree.ts";

/** A random tree: each new revision hangs on a random one before, or is a root. */
const trees = fc
  .array(fc.record({ parent: fc.nat(), root: fc.nat(9), deleted: fc.boolean() }), {
    minLength: 1,
    maxLength: 24,
  })
  .map((steps) => {
    let tree: RevisionTree = EMPTY_TREE;
    for (const [i, step] of steps.entries()) {
      const parent = tree.length === 0 || step.root === 0 ? -1 : step.parent % tree.length;
      const generation = parent < 0 ? 1 : Number.parseInt(tree[parent]!.rev, 10) + 1;
      tree = addRevision(tree, parent, `${generation}-${hash(i)}`, step.deleted);
    }
    return tree;
  });

/** Digests whose order has nothing to do with the order of the edits. */
function hash(i: number): string {
  return ((i * 2654435761) % 4294967296).toString(16).padStart(8, "0");
}

function leafKeys(tree: RevisionTree): string[] {
  return leavesOf(tree).map((leaf) => `${leaf.rev}${leaf.deleted ? " deleted" : ""}`);
}

/** CouchDB's rule, written down once more. */
function expectedOrder(a: string, b: string): number {
  const [revA, deletedA] = a.split(" ");
  const [revB, deletedB] = b.split(" ");
  if ((deletedA === undefined) !== (deletedB === undefined)) return deletedA === undefined ? -1 : 1;
  const [genA, digestA] = revA!.split("-");
  const [genB, digestB] = revB!.split("-");
  if (genA !== genB) return Number(genB) - Number(genA);
  return digestA! > digestB! ? -1 : 1;
}

describe("replicated histories", () => {
  test("converge to the same leaves and winner in any order", () => {
    fc.assert(
      fc.property(trees, fc.infiniteStream(fc.nat()), (source, choices) => {
        const todo = source.map((_, index) => index);
        let replica: RevisionTree = EMPTY_TREE;
        while (todo.length > 0) {
          const [index] = todo.splice((choices.next().value ?? 0) % todo.length, 1);
          const history = historyOf(source, index!);
          replica = mergeHistory(replica, history, source[index!]!.deleted);
          for (const [i, node] of replica.entries()) expect(node.parent).toBeLessThan(i);
        }
        expect(leafKeys(replica)).toEqual(leafKeys(source));
        expect(leafKeys(replica)).toEqual(leafKeys(source).toSorted(expectedOrder));
      }),
      { numRuns: 400 },
    );
  });

  test("from the leaves alone give every ancestor", () => {
    fc.assert(
      fc.property(trees, (source) => {
        let replica: RevisionTree = EMPTY_TREE;
        for (const leaf of leavesOf(source).toReversed()) {
          const index = indexOfRevision(source, leaf.rev);
          replica = mergeHistory(replica, historyOf(source, index), leaf.deleted);
        }
        const revs = (tree: RevisionTree) => tree.map((node) => node.rev).toSorted();
        expect(revs(replica)).toEqual(revs(source));
      }),
    );
  });

  test("merged twice change nothing", () => {
    const once = mergeHistory(EMPTY_TREE, ["3-c", "2-b", "1-a"], false);
    expect(mergeHistory(once, ["3-c", "2-b", "1-a"], false)).toBe(once);
    expect(mergeHistory(once, ["2-b", "1-a"], false)).toBe(once);
  });

  test("hang up again a branch whose beginning was not known", () => {
    const late = mergeHistory(EMPTY_TREE, ["3-c"], false);
    const tree = mergeHistory(late, ["4-d", "3-c", "2-b", "1-a"], false);
    expect(historyOf(tree, indexOfRevision(tree, "4-d"))).toEqual(["4-d", "3-c", "2-b", "1-a"]);
    expect(leafKeys(tree)).toEqual(["4-d"]);
  });

  test("that disagree on an ancestor make no leaf without a document", () => {
    const ours = mergeHistory(EMPTY_TREE, ["3-c", "2-b", "1-a"], false);
    const tree = mergeHistory(ours, ["4-d", "3-c", "2-x", "1-y"], false);
    expect(leafKeys(tree)).toEqual(["4-d"]);
    expect(historyOf(tree, indexOfRevision(tree, "4-d"))).toEqual(["4-d", "3-c", "2-b", "1-a"]);
  });

  test("with a gap between generations are refused", () => {
    expect(() => mergeHistory(EMPTY_TREE, ["3-c", "1-a"], false)).toThrow("one generation below");
    expect(() => mergeHistory(EMPTY_TREE, ["1-a", "0-z"], false)).toThrow("one generation below");
  });
});

describe("winner", () => {
  test("is live before deleted, then long before short, then by digest", () => {
    let tree = mergeHistory(EMPTY_TREE, ["3-a", "2-a", "1-a"], true);
    tree = mergeHistory(tree, ["2-b", "1-a"], false);
    expect(leavesOf(tree)[0]!.rev).toBe("2-b");
    tree = mergeHistory(tree, ["2-c", "1-a"], false);
    expect(leavesOf(tree)[0]!.rev).toBe("2-c");
    tree = mergeHistory(tree, ["10-0", "9-0"], false);
    expect(leavesOf(tree).map((leaf) => leaf.rev)).toEqual(["10-0", "2-c", "2-b", "3-a"]);
  });
});

describe("stemming", () => {
  test("loses no leaf, keeps no more than the depth of each branch, and all within it", () => {
    fc.assert(
      fc.property(trees, fc.integer({ min: 1, max: 8 }), (tree, depth) => {
        const short = stem(tree, depth);
        expect(leafKeys(short)).toEqual(leafKeys(tree));
        const expected = new Set<string>();
        for (const leaf of leavesOf(tree)) {
          const history = historyOf(tree, indexOfRevision(tree, leaf.rev));
          for (const rev of history.slice(0, depth)) expected.add(rev);
        }
        expect(new Set(short.map((node) => node.rev))).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });
});

describe("removing a branch", () => {
  test("takes the leaf and what only it descends from", () => {
    fc.assert(
      fc.property(trees, fc.nat(), (tree, pick) => {
        const leaves = leavesOf(tree);
        const gone = leaves[pick % leaves.length]!;
        const rest = removeBranch(tree, indexOfRevision(tree, gone.rev));
        const others = leaves.filter((leaf) => leaf !== gone).map((leaf) => leaf.rev);
        expect(leavesOf(rest).map((leaf) => leaf.rev)).toEqual(others);
        for (const rev of others) {
          const before = historyOf(tree, indexOfRevision(tree, rev));
          expect(historyOf(rest, indexOfRevision(rest, rev))).toEqual(before);
        }
      }),
    );
  });

  test("leavesUnder finds what a revision has become", () => {
    let tree = mergeHistory(EMPTY_TREE, ["3-a", "2-a", "1-a"], false);
    tree = mergeHistory(tree, ["3-b", "2-b", "1-a"], false);
    const under = (rev: string) =>
      leavesUnder(tree, indexOfRevision(tree, rev)).map((index) => tree[index]!.rev);
    expect(under("1-a")).toEqual(["3-b", "3-a"]);
    expect(under("2-a")).toEqual(["3-a"]);
    expect(under("3-b")).toEqual(["3-b"]);
  });
});
