// What is checked after each restart of the crash test: the documents against the model, readers
// against the documents, old sequences, and the channels' rows against their recomputation.

import type { Model, Observed } from "./model.ts";
import type { Row, Seen } from "./readers.ts";
import { CHANNELS } from "./writers.ts";

/** Documents asked for in one request. */
const PAGE = 1000;
/** Problems named in one failure. */
const NAMED = 5;

/** Throws, naming the first few, when there are `problems`. */
export function none(what: string, problems: readonly string[]): void {
  if (problems.length === 0) return;
  const named = problems.slice(0, NAMED).join("\n  ");
  throw new Error(`${what}: ${problems.length} problems, the first:\n  ${named}`);
}

async function getJson<T>(url: string, init?: RequestInit): Promise<T> {
  const answer = await fetch(url, init);
  const text = await answer.text();
  if (answer.status !== 200) throw new Error(`${url}: ${answer.status} ${text}`);
  return JSON.parse(text) as T;
}

interface AllDocsRow {
  key: string;
  error?: string;
  value?: { rev: string; deleted?: boolean };
  doc?: { token?: string } | null;
}

/** Every document is what was acknowledged last, or what was in flight; the model learns which. */
export async function checkDocuments(url: string, model: Model): Promise<void> {
  const problems: string[] = [];
  const ids = model.ids();
  for (let from = 0; from < ids.length; from += PAGE) {
    const { rows } = await getJson<{ rows: AllDocsRow[] }>(`${url}/_all_docs?include_docs=true`, {
      method: "POST",
      body: JSON.stringify({ keys: ids.slice(from, from + PAGE) }),
      headers: { "content-type": "application/json" },
    });
    for (const { key, value, doc, error } of rows) {
      const observed: Observed | undefined =
        error || !value
          ? undefined
          : { rev: value.rev, deleted: value.deleted === true, token: doc?.token };
      const problem = model.settle(key, observed);
      if (problem) problems.push(problem);
    }
  }
  none("documents after a restart", problems);
}

/** What is wrong in what a reader of all documents has `seen`. */
export function seenProblems(model: Model, seen: ReadonlyMap<string, Seen>): string[] {
  const problems: string[] = [];
  const versions = model.versions();
  for (const [id, version] of versions) {
    const known = seen.get(id);
    if (known?.rev === version.rev && known.deleted === version.deleted) continue;
    problems.push(`${id}: seen ${JSON.stringify(known)}, is ${JSON.stringify(version)}`);
  }
  if (problems.length === 0 && seen.size !== versions.length) {
    problems.push(`${seen.size} documents seen, there are ${versions.length}`);
  }
  return problems;
}

/** What is wrong in what a reader of `channel` has `seen`. */
export function channelProblems(
  model: Model,
  channel: string,
  seen: ReadonlyMap<string, Seen>,
): string[] {
  const problems: string[] = [];
  for (const [id, version] of model.versions()) {
    const inside = !version.deleted && version.channels.includes(channel);
    const known = seen.get(id);
    if (inside ? known?.rev === version.rev : known === undefined) continue;
    problems.push(`${channel} ${id}: seen ${JSON.stringify(known)}, is ${JSON.stringify(version)}`);
  }
  return problems;
}

/** Every one of `sequences` is answered, and never with an error. */
export async function checkSequences(url: string, sequences: readonly string[]): Promise<void> {
  const problems: string[] = [];
  for (const sequence of sequences) {
    const answer = await fetch(`${url}/_changes?since=${sequence}&limit=1`);
    const text = await answer.text();
    if (answer.status !== 200) problems.push(`since=${sequence}: ${answer.status} ${text}`);
  }
  none("sequences sent before", problems);
}

async function allRows(url: string, query = ""): Promise<Row[]> {
  const { results } = await getJson<{ results: Row[] }>(`${url}/_changes?since=0${query}`);
  return results;
}

/**
 * The rows of the whole `_changes`, and of every channel, are what the documents say: each document
 * once with its newest revision, in each of its channels, and in channels that it left as removed.
 */
export async function checkRows(url: string, model: Model, withChannels: boolean): Promise<void> {
  const rows = await allRows(url);
  const problems = seenProblems(model, new Map(rows.map((row) => [row.id, seenIn(row)])));
  if (new Set(rows.map((row) => row.id)).size !== rows.length) problems.push("a row came twice");
  for (const channel of withChannels ? CHANNELS : []) {
    const inside = new Map<string, Seen>();
    const query = `&filter=sync_gateway/bychannel&channels=${channel}`;
    for (const row of await allRows(url, query)) {
      if (!model.wasIn(row.id, channel)) problems.push(`${row.id} was never in ${channel}`);
      const seen = seenIn(row);
      if (!row.removed && !seen.deleted) inside.set(row.id, seen);
    }
    problems.push(...channelProblems(model, channel, inside));
  }
  none("rows against documents", problems);
}

function seenIn(row: Row): Seen {
  return { rev: row.changes[0]?.rev ?? "", deleted: row.deleted === true };
}
