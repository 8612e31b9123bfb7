// What is wrong with settings, in words: the path of the key, what it takes, and the nearest right
// key to one that is unknown.

import { z } from "zod";

/** One wrong setting: `path` like `databases.demo.limits`, and what to change. */
export interface Problem {
  readonly path: string;
  readonly message: string;
}

/**
 * The problems of `value` under `schema`.
 *
 * @param error what zod said
 * @param known every right path; `*` in place of a free name
 */
export function problemsOf(error: z.ZodError, known: readonly string[]): Problem[] {
  return error.issues.flatMap((issue) => {
    const path = issue.path.map(String);
    if (issue.code !== "unrecognized_keys") {
      return [{ path: path.join("."), message: `expected ${expectation(issue)}` }];
    }
    return issue.keys.map((key) => ({
      path: [...path, key].join("."),
      message: `there is no such setting${suggestion([...path, key], known)}`,
    }));
  });
}

/** What was expected, in words. */
function expectation(issue: z.core.$ZodIssue): string {
  const { message } = issue;
  if (issue.code === "invalid_type") return issue.expected;
  if (issue.code === "invalid_value") return `one of ${issue.values.map(String).join(", ")}`;
  if (issue.code === "too_small") return `at least ${issue.minimum}`;
  if (issue.code === "too_big") return `at most ${issue.maximum}`;
  if (issue.code === "invalid_key") return issue.issues[0]?.message ?? message;
  return message;
}

function suggestion(path: readonly string[], known: readonly string[]): string {
  const parent = path.slice(0, -1);
  const key = path.at(-1) ?? "";
  const siblings = known
    .map((name) => name.split("."))
    .filter((name) => name.length > parent.length)
    .filter((name) => parent.every((part, at) => name[at] === part || name[at] === "*"))
    .map((name) => name[parent.length] ?? "");
  const best = nearest(key, [...new Set(siblings)]);
  return best ? `; did you mean ${[...parent, best].join(".")}?` : "";
}

/** The candidate nearest to `word`, when it is near enough to be meant. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = Math.max(2, Math.floor(word.length / 2)) + 1;
  for (const candidate of candidates) {
    const d = distance(word.toLowerCase(), candidate.toLowerCase());
    if (d < least) {
      least = d;
      best = candidate;
    }
  }
  return best;
}

/** How many letters to change, add or drop to make `a` of `b`. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** Every path of a schema of objects, records and lists of objects (`*`), and values, in order. */
export function pathsOf(schema: z.core.$ZodType): string[] {
  const inner = unwrapped(schema);
  if (inner instanceof z.ZodObject) {
    return Object.entries(inner.shape).flatMap(([key, value]) => under(key, value));
  }
  if (inner instanceof z.ZodRecord) return under("*", inner.valueType);
  if (inner instanceof z.ZodArray) return pathsOf(inner.element).map((path) => `*.${path}`);
  return [];
}

function under(key: string, schema: z.core.$ZodType): string[] {
  const inside = pathsOf(schema);
  return inside.length > 0 ? inside.map((path) => `${key}.${path}`) : [key];
}

/** The schema beneath defaults and `optional`. */
export function unwrapped(schema: z.core.$ZodType): z.core.$ZodType {
  let inner = schema;
  while (
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodPrefault ||
    inner instanceof z.ZodOptional
  ) {
    inner = inner.unwrap();
  }
  return inner;
}
