// What the load generator can be told to do, and what it answers. Shared by both sides.

import type { Spread } from "./samples.ts";

/** PUTs of new documents, each connection sending the next as soon as the last is acknowledged. */
export interface SavesJob {
  readonly job: "saves";
  readonly port: number;
  readonly database: string;
  readonly connections: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** `_bulk_docs` of `batch` new documents each, until `documents` are in or `seconds` have passed. */
export interface BulkJob {
  readonly job: "bulk";
  readonly port: number;
  readonly database: string;
  readonly connections: number;
  readonly batch: number;
  readonly documents: number;
  readonly seconds: number;
  /** Numbers the documents from here. */
  readonly first: number;
}

/** The whole `_changes` from 0, read `runs` times, one after another. */
export interface ChangesJob {
  readonly job: "changes";
  readonly port: number;
  readonly database: string;
  readonly query: string;
  readonly runs: number;
}

/** From PUT to the row on a live feed. `rate` 0: one at a time with pauses, else open loop, per s. */
export interface LatencyJob {
  readonly job: "latency";
  readonly port: number;
  readonly database: string;
  readonly feed: "websocket" | "continuous";
  readonly rate: number;
  readonly connections: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export type Job = SavesJob | BulkJob | ChangesJob | LatencyJob;

/** Answers of each job. `failures`: status -> how many answers had it. */
export interface SavesResult {
  readonly saved: number;
  readonly perSecond: number;
  readonly answer: Spread;
  readonly failures: Readonly<Record<string, number>>;
}
export interface BulkResult {
  readonly saved: number;
  readonly perSecond: number;
  readonly answer: Spread;
  /** From the last answer until every row was seen in `_changes` (reading them takes a part of it). */
  readonly settledMs: number;
  readonly failures: Readonly<Record<string, number>>;
}
export interface ChangesResult {
  readonly rows: number;
  readonly bytes: number;
  /** Of the first run, which may find everything cold, and of the fastest. */
  readonly firstPerSecond: number;
  readonly perSecond: number;
  readonly seconds: readonly number[];
}
export interface LatencyResult {
  readonly answer: Spread;
  readonly row: Spread;
  /** Rows that came within the time allowed after the last PUT, of those that were sent. */
  readonly sent: number;
  readonly received: number;
  readonly achievedPerSecond: number;
  readonly failures: Readonly<Record<string, number>>;
}

/** The result type of a job type. */
export type ResultOf<J extends Job> = J extends SavesJob
  ? SavesResult
  : J extends BulkJob
    ? BulkResult
    : J extends ChangesJob
      ? ChangesResult
      : LatencyResult;

/** What marks the line with the result on the generator's output. */
export const RESULT_MARK = "result: ";
