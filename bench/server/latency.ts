// The time from a PUT to its row on a live feed. Open loop: a PUT is due when the clock says so,
// and is counted from then on, however late it can be sent (no coordinated omission).

import { readyTexts } from "./documents.ts";
import { openFeed } from "./feeds.ts";
import type { LatencyJob, LatencyResult } from "./jobs.ts";
import { putText, RawConnection } from "./raw-http.ts";
import { spreadOf } from "./samples.ts";

/** How long the last rows are waited for, in milliseconds. */
const LAST_ROWS_MS = 10_000;
/** The pause between two PUTs of the idle measurement: at least, and at most so much more. */
const IDLE_PAUSE_MS = 15;
const IDLE_JITTER_MS = 70;
/** The most PUTs that may be due and not sent; a server that far behind does not hold the rate. */
const BACKLOG_LIMIT = 200_000;

/** Carries out `job`. */
export async function measureLatency(job: LatencyJob): Promise<LatencyResult> {
  const run = new LatencyRun(job);
  return await run.measure();
}

class LatencyRun {
  readonly #job: LatencyJob;
  readonly #dueAt: number[] = [];
  readonly #answer: number[] = [];
  readonly #row: number[] = [];
  readonly #failures: Record<string, number> = {};
  readonly #free: RawConnection[] = [];
  readonly #backlog: number[] = [];
  readonly #textOf = readyTexts();
  #prefix = "";
  #countFrom = 0;
  #received = 0;
  #answered = 0;
  #onRow: ((number: number) => void) | undefined;

  constructor(job: LatencyJob) {
    this.#job = job;
  }

  async measure(): Promise<LatencyResult> {
    const { port, database, feed, connections, rate } = this.#job;
    for (let k = 0; k < connections; k++) this.#free.push(await RawConnection.open(port));
    this.#prefix = `l${rate}-`;
    const open = openFeed(feed, port, database, (id) => this.#arrived(id));
    await open.live;
    const begin = performance.now();
    this.#countFrom = begin + this.#job.warmUpSeconds * 1000;
    const end = this.#countFrom + this.#job.seconds * 1000;
    if (rate === 0) await this.#oneByOne(end);
    else await this.#openLoop(begin, end);
    const sendingMs = performance.now() - begin;
    const answeredBy = this.#answered;
    const limit = performance.now() + LAST_ROWS_MS;
    while (this.#received < this.#dueAt.length && performance.now() < limit) await pause(10);
    open.close();
    for (const connection of this.#free) connection.close();
    return {
      answer: spreadOf(this.#answer),
      row: spreadOf(this.#row),
      sent: this.#dueAt.length,
      received: this.#received,
      achievedPerSecond: answeredBy / (sendingMs / 1000),
      failures: this.#failures,
    };
  }

  #arrived(id: string): void {
    if (!id.startsWith(this.#prefix)) return;
    const number = Number(id.slice(this.#prefix.length));
    const dueAt = this.#dueAt[number];
    if (dueAt === undefined) return;
    this.#received++;
    if (dueAt >= this.#countFrom) this.#row.push(performance.now() - dueAt);
    this.#onRow?.(number);
  }

  async #oneByOne(end: number): Promise<void> {
    for (let number = 0; performance.now() < end; number++) {
      const came = new Promise<void>((resolve) => {
        this.#onRow = (seen) => {
          if (seen === number) resolve();
        };
      });
      this.#dueAt.push(performance.now());
      this.#put(number);
      await Promise.race([came, pause(LAST_ROWS_MS)]);
      await pause(IDLE_PAUSE_MS + Math.random() * IDLE_JITTER_MS);
    }
  }

  /** Puts what is due, in steps of the timer's own resolution (about a millisecond). */
  #openLoop(begin: number, end: number): Promise<void> {
    const gapMs = 1000 / this.#job.rate;
    return new Promise((resolve) => {
      const step = () => {
        const now = Math.min(performance.now(), end);
        for (let at = begin + this.#dueAt.length * gapMs; at < now; at += gapMs) {
          this.#backlog.push(this.#dueAt.length);
          this.#dueAt.push(at);
        }
        this.#sendBacklog();
        if (now >= end || this.#backlog.length > BACKLOG_LIMIT) return resolve();
        setTimeout(step, 1);
      };
      step();
    });
  }

  #sendBacklog(): void {
    while (this.#free.length > 0) {
      const number = this.#backlog.shift();
      if (number === undefined) return;
      this.#put(number);
    }
  }

  #put(number: number): void {
    const connection = this.#free.pop();
    if (!connection) throw new Error("no connection is free");
    const path = `/${this.#job.database}/${this.#prefix}${number}`;
    const dueAt = this.#dueAt[number] as number;
    connection.send(putText(path, this.#textOf(number))).then(
      ({ status }) => {
        this.#answered++;
        if (status !== 201) this.#failures[status] = (this.#failures[status] ?? 0) + 1;
        if (dueAt >= this.#countFrom) this.#answer.push(performance.now() - dueAt);
        this.#free.push(connection);
        this.#sendBacklog();
      },
      (error: Error) => {
        this.#failures[error.message] = (this.#failures[error.message] ?? 0) + 1;
      },
    );
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
