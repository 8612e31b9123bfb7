// Reads a Chrome CPU profile and says where the time went: by floor of the design, by function
// itself, and by function with everything it calls.

import { readFileSync } from "node:fs";

interface ProfileNode {
  readonly id: number;
  readonly callFrame: { functionName: string; url: string; lineNumber: number };
  readonly children?: readonly number[];
}
interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Milliseconds by name, most first. */
export type Times = readonly [name: string, ms: number][];

/** Where the time of a profile went. */
export interface Summary {
  readonly totalMs: number;
  /** The nearest caller that is a floor of src/ or a package: native code counts to who called it. */
  readonly byFloor: Times;
  /** The function on top of the stack; native code is shown with who called it. */
  readonly bySelf: Times;
  /** Every function of src/ or a package with all that it calls. */
  readonly byTotal: Times;
}

/** Reads the profile in `file`. */
export function summarise(file: string): Summary {
  const profile = JSON.parse(readFileSync(file, "utf8")) as Profile;
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map<number, number>();
  for (const node of profile.nodes) {
    for (const child of node.children ?? []) parents.set(child, node.id);
  }
  const self = new Map<number, number>();
  let totalMs = 0;
  for (const [index, id] of profile.samples.entries()) {
    const ms = (profile.timeDeltas[index] ?? 0) / 1000;
    self.set(id, (self.get(id) ?? 0) + ms);
  }
  const floors = new Map<string, number>();
  const functions = new Map<string, number>();
  const totals = new Map<string, number>();
  for (const [id, ms] of self) {
    const stack: ProfileNode[] = [];
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      stack.push(nodes.get(at) as ProfileNode);
    }
    const top = stack[0] as ProfileNode;
    if (["(root)", "(idle)", "(program)"].includes(top.callFrame.functionName)) continue;
    totalMs += ms;
    const owner = stack.find((node) => placeOf(node) !== undefined);
    add(floors, owner ? (placeOf(owner) as string) : "runtime", ms);
    const name = owner && owner !== top ? `${nameOf(top)} ← ${nameOf(owner)}` : nameOf(top);
    add(functions, name, ms);
    for (const each of new Set(stack.filter(placeOf).map(nameOf))) add(totals, each, ms);
  }
  return { totalMs, byFloor: sorted(floors), bySelf: sorted(functions), byTotal: sorted(totals) };
}

function add(map: Map<string, number>, key: string, ms: number): void {
  map.set(key, (map.get(key) ?? 0) + ms);
}

function sorted(map: Map<string, number>): [string, number][] {
  return [...map].sort(([, a], [, b]) => b - a);
}

/** The floor or package that a frame belongs to; undefined for the runtime's own code. */
function placeOf({ callFrame: { url } }: ProfileNode): string | undefined {
  const own = /\/src\/([a-z]+)(?:\/([a-z]+)\/)?/.exec(url);
  if (own && !url.includes("node_modules")) {
    return own[2] ? `src/${own[1]}/${own[2]}` : `src/${own[1]}`;
  }
  const packages = [...url.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g)];
  return packages.at(-1)?.[1];
}

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const name = functionName || "(anonymous)";
  const file = url.replace(/^file:\/\//, "").replace(/^.*\/(src|node_modules)\//, "$1/");
  return file ? `${name} ${file}:${lineNumber + 1}` : name;
}
