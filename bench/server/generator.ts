// The load generator: a process of its own that carries out one job (its only argument, as JSON)
// and prints the result. It shares nothing with the server but the machine.

import { readyTexts } from "./documents.ts";
import {
  type BulkJob,
  type BulkResult,
  type ChangesJob,
  type ChangesResult,
  type Job,
  RESULT_MARK,
  type SavesJob,
  type SavesResult,
} from "./jobs.ts";
import { measureLatency } from "./latency.ts";
import { putText, RawConnection, requestBytes } from "./raw-http.ts";
import { spreadOf } from "./samples.ts";

/** How long rows may take to be seen after the last bulk save. */
const SETTLE_LIMIT_MS = 60_000;

/** The id of document `number`: they come in no order, as ids made by many clients do. */
export function idOf(number: number): string {
  return `${((number * 2654435761) >>> 0).toString(36)}-${number}`;
}

function openMany(port: number, connections: number): Promise<RawConnection[]> {
  return Promise.all(Array.from({ length: connections }, () => RawConnection.open(port)));
}

async function saves(job: SavesJob): Promise<SavesResult> {
  const connections = await openMany(job.port, job.connections);
  const textOf = readyTexts();
  const failures: Record<string, number> = {};
  const answer: number[] = [];
  const begin = performance.now() + job.warmUpSeconds * 1000;
  const end = begin + job.seconds * 1000;
  let next = 0;
  let saved = 0;
  await Promise.all(
    connections.map(async (connection) => {
      for (;;) {
        const number = next++;
        const request = putText(`/${job.database}/${idOf(number)}`, textOf(number));
        const sentAt = performance.now();
        if (sentAt >= end) return;
        const { status } = await connection.send(request);
        const now = performance.now();
        if (now < begin || now > end) continue;
        if (status === 201 || status === 200) {
          saved++;
          answer.push(now - sentAt);
        } else failures[status] = (failures[status] ?? 0) + 1;
      }
    }),
  );
  for (const connection of connections) connection.close();
  return { saved, perSecond: saved / job.seconds, answer: spreadOf(answer), failures };
}

async function bulk(job: BulkJob): Promise<BulkResult> {
  const connections = await openMany(job.port, job.connections);
  const textOf = readyTexts();
  const failures: Record<string, number> = {};
  const answer: number[] = [];
  const begin = performance.now();
  let next = job.first;
  let saved = 0;
  await Promise.all(
    connections.map(async (connection) => {
      while (next < job.first + job.documents && performance.now() - begin < job.seconds * 1000) {
        const texts: string[] = [];
        for (let k = 0; k < job.batch; k++, next++)
          texts.push(`{"_id":"${idOf(next)}",${textOf(next).slice(1)}`);
        const body = `{"docs":[${texts.join(",")}]}`;
        const bytes = requestBytes("POST", `/${job.database}/_bulk_docs`, body);
        const sentAt = performance.now();
        const { status, body: reply } = await connection.send(bytes);
        answer.push(performance.now() - sentAt);
        if (status !== 201 && status !== 200) failures[status] = (failures[status] ?? 0) + 1;
        else {
          const lines = JSON.parse(reply.toString()) as { rev?: string; error?: string }[];
          for (const line of lines) {
            if (line.rev) saved++;
            else failures[line.error ?? "?"] = (failures[line.error ?? "?"] ?? 0) + 1;
          }
        }
      }
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  const [one] = connections;
  if (!one) throw new Error("no connection");
  const settledMs = await settled(one, job.database, job.first + saved);
  for (const connection of connections) connection.close();
  return { saved, perSecond: saved / seconds, answer: spreadOf(answer), settledMs, failures };
}

/** Waits until `_changes` has `rows` rows. Gives the milliseconds that took. */
async function settled(connection: RawConnection, database: string, rows: number): Promise<number> {
  const begin = performance.now();
  let since: string | number = 0;
  for (let seen = 0; ; ) {
    const path = `/${database}/_changes?since=${encodeURIComponent(since)}&limit=20000`;
    const { body } = await connection.send(requestBytes("GET", path));
    const page = JSON.parse(body.toString()) as { results: unknown[]; last_seq: string | number };
    seen += page.results.length;
    since = page.last_seq;
    const ms = performance.now() - begin;
    if (seen >= rows) return ms;
    if (ms > SETTLE_LIMIT_MS) throw new Error(`after ${ms} ms: ${seen} of ${rows} rows`);
  }
}

async function changes(job: ChangesJob): Promise<ChangesResult> {
  const seconds: number[] = [];
  let rows = 0;
  let bytes = 0;
  for (let run = 0; run < job.runs; run++) {
    const connection = await RawConnection.open(job.port);
    const begin = performance.now();
    const path = `/${job.database}/_changes?${job.query}`;
    const { status, body } = await connection.send(requestBytes("GET", path));
    seconds.push((performance.now() - begin) / 1000);
    connection.close();
    if (status !== 200) throw new Error(`_changes answered ${status}: ${body.toString()}`);
    const { results } = JSON.parse(body.toString()) as { results: { id: string }[] };
    if (run > 0 && results.length !== rows) throw new Error("two reads had different rows");
    rows = results.length;
    bytes = body.length;
    if (new Set(results.map((row) => row.id)).size !== rows) throw new Error("a row came twice");
  }
  const perSecond = rows / Math.min(...seconds);
  return { rows, bytes, firstPerSecond: rows / (seconds[0] as number), perSecond, seconds };
}

function carryOut(job: Job): Promise<unknown> {
  if (job.job === "saves") return saves(job);
  if (job.job === "bulk") return bulk(job);
  if (job.job === "changes") return changes(job);
  return measureLatency(job);
}

if (import.meta.main) {
  const job = JSON.parse(process.argv[2] ?? "null") as Job;
  const result = await carryOut(job);
  console.log(RESULT_MARK + JSON.stringify(result));
  process.exit(0);
}
