// One term of ownership: reads the feed, lets the core validate it, heals, and publishes ticks.
// It ends when it is stopped or when another node took over. Who may own: election.ts.

import { isTidegateError } from "../base/errors.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { FailoverEntry, FeedEvent, FeedReader } from "../bucket/feed.ts";
import type { Clock } from "../clock/tick.ts";
import { type Cancel, sleep, type Time } from "../runtime/time.ts";
import type { Aggregator } from "./aggregator.ts";
import type { Healer, Journal } from "./ports.ts";
import type { Problems } from "./problems.ts";
import {
  type ControllerSettings,
  MAX_PENDING,
  WRITE_RETRY_MAX_MS,
  WRITE_RETRY_MIN_MS,
} from "./settings.ts";
import type { Term } from "./term.ts";
import { Ticker } from "./ticker.ts";
import { Validation, type Work } from "./validation.ts";
import type { Pending } from "./vbucket-state.ts";

/** What an {@link Owner} needs. */
export interface OwnerOptions {
  readonly bucket: Bucket;
  readonly journal: Journal;
  readonly healer: Healer;
  readonly time: Time;
  readonly problems: Problems;
  readonly settings: ControllerSettings;
  readonly term: Term;
  readonly aggregator: Aggregator;
  /** Called once when the term is over because another node took it: the reason. */
  readonly lost: (error: unknown) => void;
}

/** A term of ownership, running. */
export class Owner {
  readonly validation: Validation;
  readonly ticker: Ticker;
  readonly #options: OwnerOptions;
  #reader: FeedReader | undefined;
  #over = false;
  readonly #ended = new AbortController();
  #due: Cancel = () => {};
  #dueMs = Number.POSITIVE_INFINITY;
  #room: (() => void) | undefined;
  #loop: Promise<void> = Promise.resolve();
  readonly #cancels = new Set<Cancel>();

  /**
   * @param start.replayUntil what was made before this term: its records may be stored already
   * @param start.published the clock that was published last
   */
  constructor(options: OwnerOptions, start: { replayUntil: Clock; published: Clock }) {
    this.#options = options;
    const { settings, term } = options;
    this.validation = new Validation(
      { graceMs: settings.graceMs, replayUntil: (vb) => start.replayUntil[vb] ?? 0 },
      term.states,
    );
    this.ticker = new Ticker({
      time: options.time,
      problems: options.problems,
      tickIntervalMs: settings.tickIntervalMs,
      published: start.published,
      term,
      aggregator: options.aggregator,
      validation: this.validation,
      journal: options.journal,
      lost: (error) => this.#lose(error),
    });
  }

  /** Starts to read the feed. */
  async start(): Promise<void> {
    const { bucket, journal, term, time, settings } = this.#options;
    const logs = await bucket.feed.failoverLogs();
    const cuts: { vb: number; seq: number }[] = [];
    for (const state of term.states) {
      const log = logs[state.vb] ?? [];
      const added = state.added(log).filter((entry) => state.beyond(entry.seq));
      // What happened while nobody owned the partitions is known before the first tick: none may name
      // seqs of a dead branch once the index knows that it is dead.
      if (state.record().log.length > 0 && added.length > 0) {
        cuts.push({ vb: state.vb, seq: Math.min(...added.map((entry) => entry.seq)) });
      } else await this.#branched(state.vb, log);
    }
    if (cuts.length > 0) await this.ticker.exclusive(() => this.#cut(cuts, logs));
    this.#cancels.add(
      journal.onRecorded((written) => {
        this.validation.acknowledged(written);
        this.#pump();
      }),
    );
    this.#cancels.add(time.every(settings.heartbeatMs, () => void this.#beat()));
    if (this.validation.checking) this.ticker.hold();
    this.#loop = this.#read();
    this.ticker.moved();
  }

  /** Ends the term without letting go of the ownership. What is under way comes to its end. */
  async stop(): Promise<void> {
    this.#over = true;
    this.#ended.abort();
    for (const cancel of this.#cancels) cancel();
    this.#cancels.clear();
    this.#due();
    this.#reader?.close();
    this.#room?.();
    await this.ticker.stop();
    await this.#loop;
  }

  /** The clock as validated now: at or ahead of the published one. */
  clock(): Clock {
    return Float64Array.from(this.#options.term.states, (state) => state.clock);
  }

  #lose(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#options.lost(error);
  }

  async #beat(): Promise<void> {
    const { term, problems } = this.#options;
    try {
      await this.ticker.exclusive(async () => {
        if (this.#over) return;
        await term.beat();
      });
      problems.clear("heartbeat");
    } catch (error) {
      if (isTidegateError(error, "stale_owner")) return this.#lose(error);
      problems.raise("heartbeat", error);
      await this.ticker.reread();
    }
  }

  /** Reads the feed until the term is over; a feed that fails is opened again. */
  async #read(): Promise<void> {
    const { problems, time } = this.#options;
    let pauseMs = WRITE_RETRY_MIN_MS;
    while (!this.#over) {
      try {
        await this.#readOnce(() => {
          pauseMs = WRITE_RETRY_MIN_MS;
          problems.clear("feed");
        });
      } catch (error) {
        if (this.#over) return;
        if (isTidegateError(error, "stale_owner")) return this.#lose(error);
        problems.raise("feed", error);
      }
      this.#reader?.close();
      if (this.#over) return;
      await sleep(time, pauseMs, this.#ended.signal);
      pauseMs = Math.min(pauseMs * 2, WRITE_RETRY_MAX_MS);
    }
  }

  async #readOnce(works: () => void): Promise<void> {
    const { bucket, term } = this.#options;
    for (const { vb } of term.states) this.validation.drop(vb);
    const positions = term.states.map((state) => state.restart());
    const reader = bucket.feed.open(positions, { withBody: false });
    this.#reader = reader;
    while (!this.#over) {
      const events = await reader.read();
      if (events.length === 0 || this.#over) return;
      works();
      await this.#handle(events, reader);
      this.#pump();
      // The feed's own flow control: it is not read on while too much is not yet validated.
      while (this.validation.pending >= MAX_PENDING && !this.#over) {
        await new Promise<void>((resolve) => {
          this.#room = resolve;
        });
      }
    }
  }

  async #handle(events: readonly FeedEvent[], reader: FeedReader): Promise<void> {
    const nowMs = this.#options.time.monotonicMs();
    for (const event of events) {
      switch (event.kind) {
        case "failover":
          await this.#branched(event.vb, event.log);
          break;
        case "rollback":
          await this.#rolledBack(event.vb, event.seq, reader);
          break;
        case "end":
          this.#streamEnded(event.vb, reader);
          break;
        default:
          this.validation.feed(event, nowMs);
      }
    }
  }

  /** The vbucket goes on as a new branch. */
  async #branched(vb: number, log: readonly FailoverEntry[]): Promise<void> {
    const state = this.validation.vbucket(vb);
    const added = state.added(log);
    // Where the new branch leaves out what was delivered, a rollback follows, which takes the log
    // and the cut together: a clock of the dead branch must never be stored beside the new log.
    if (added.some((entry) => state.beyond(entry.seq))) return;
    await this.#announce(vb, added, state.record().log.length === 0);
    state.failover(log);
  }

  /** Tells the index of new branches. The first of a vbucket's history cut nothing. */
  async #announce(vb: number, added: readonly FailoverEntry[], first: boolean): Promise<void> {
    for (const { vbuuid, seq } of first ? added.slice(1) : added) {
      await this.#options.journal.branched(vb, vbuuid, seq);
    }
  }

  async #rolledBack(vb: number, seq: number, reader: FeedReader): Promise<void> {
    const { bucket } = this.#options;
    // No tick may be under way: it would name seqs of the dead branch after the cut was stored.
    await this.ticker.exclusive(async () => {
      const logs = await bucket.feed.failoverLogs();
      const added = this.validation.vbucket(vb).added(logs[vb] ?? []);
      const point = Math.min(seq, ...added.map((entry) => entry.seq));
      await this.#cut([{ vb, seq: point }], logs);
      reader.restart(this.validation.vbucket(vb).streamPosition());
    });
  }

  /** The histories of vbuckets were cut: what lies beyond is dead, and they are read again. */
  async #cut(
    cuts: readonly { readonly vb: number; readonly seq: number }[],
    logs: readonly (readonly FailoverEntry[])[],
  ): Promise<void> {
    for (const { vb } of cuts) {
      const state = this.validation.vbucket(vb);
      await this.#announce(vb, state.added(logs[vb] ?? []), state.record().log.length === 0);
    }
    await this.#options.aggregator.cut(cuts);
    for (const { vb, seq } of cuts) {
      const state = this.validation.vbucket(vb);
      this.validation.drop(vb);
      state.failover(logs[vb] ?? []);
      state.rollback(seq);
      this.validation.touched(vb);
      this.ticker.cut(vb, seq);
    }
    this.ticker.hold();
  }

  #streamEnded(vb: number, reader: FeedReader): void {
    this.validation.drop(vb);
    const position = this.validation.vbucket(vb).restart();
    const { time } = this.#options;
    const cancel = time.after(WRITE_RETRY_MIN_MS, () => {
      this.#cancels.delete(cancel);
      if (!this.#over && this.#reader === reader) reader.restart(position);
    });
    this.#cancels.add(cancel);
  }

  /** Does what the core asks for, and comes back when it is due. */
  #pump(): void {
    if (this.#over) return;
    const { time, journal } = this.#options;
    const work = this.validation.work(time.monotonicMs());
    const { memory, stored } = work;
    if (memory.length > 0) {
      this.#background("journal", journal.recorded(memory, "memory"), (answers) =>
        this.validation.memoryAnswered(memory, answers ?? []),
      );
    }
    if (stored.length > 0) {
      this.#background("journal", journal.recorded(stored, "stored"), (answers) => {
        if (answers !== undefined) this.validation.storedAnswered(stored, answers);
        else this.validation.storedFailed(stored, time.monotonicMs());
      });
    }
    if (work.heals.length > 0) void this.#heal(work);
    this.#comeBack(work.dueMs);
    this.ticker.moved();
    if (this.validation.pending < MAX_PENDING) {
      this.#room?.();
      this.#room = undefined;
    }
  }

  /** Gives the outcome of `promise` to `then`: undefined when it failed, which is shown. */
  #background<T>(part: string, promise: Promise<T>, then: (value: T | undefined) => void): void {
    const { problems } = this.#options;
    promise
      .then(
        (value) => {
          problems.clear(part);
          then(value);
        },
        (error) => {
          problems.raise(part, error);
          then(undefined);
        },
      )
      .then(() => this.#pump())
      .catch((error) => problems.raise("controller", error));
  }

  async #heal(work: Work): Promise<void> {
    const { aggregator, healer } = this.#options;
    if (work.clamps.length > 0) {
      try {
        await this.ticker.exclusive(() => aggregator.cut(work.clamps));
        for (const { vb, seq } of work.clamps) {
          this.validation.clamped(vb, seq);
          this.ticker.cut(vb, seq);
        }
      } catch (error) {
        if (isTidegateError(error, "stale_owner")) return this.#lose(error);
        for (const batch of work.heals) this.#healed(batch, undefined);
        this.#options.problems.raise("rollbacks", error);
        return this.#pump();
      }
      this.#options.problems.clear("rollbacks");
    }
    for (const batch of work.heals) {
      const mutations = batch.map((pending) => pending.mutation);
      const vbuuids = batch.map((pending) => pending.vbuuid);
      const healed = healer.heal(mutations, vbuuids);
      this.#background("heal", healed, (results) => this.#healed(batch, results));
    }
  }

  #healed(
    batch: readonly Pending[],
    results: readonly (readonly number[] | "imported")[] | undefined,
  ): void {
    if (results !== undefined) this.validation.healed(batch, results);
    else this.validation.healFailed(batch, this.#options.time.monotonicMs());
  }

  #comeBack(dueMs: number): void {
    if (dueMs === this.#dueMs) return;
    this.#due();
    this.#dueMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const { time } = this.#options;
    this.#due = time.after(Math.max(0, Math.ceil(dueMs - time.monotonicMs())), () => {
      this.#dueMs = Number.POSITIVE_INFINITY;
      this.#pump();
    });
  }
}
