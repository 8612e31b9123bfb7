// A simulated client that follows the changes of some channels: it pages, pauses, resumes from old
// sequences, and remembers what it was told.

import type { OpenDatabase } from "../../src/gateway/database.ts";
import type { ChangesBatch, ChangesFeed } from "../../src/replication/types.ts";
import { Violation } from "./violation.ts";
import { ADMIN, type World } from "./world.ts";

/** What a client believes of a document. */
export interface Belief {
  readonly rev: string;
  readonly kind: "live" | "deleted" | "removed";
}

interface Row {
  readonly seq: string;
  readonly id: string;
  readonly changes: readonly { readonly rev: string }[];
  readonly deleted?: boolean;
  readonly removed?: readonly string[];
}

/** The places that a reader may come back to. */
const MAX_REMEMBERED = 12;

/** A reader. */
export class Reader {
  /** The channels it asks for; undefined: everything. */
  readonly channels: readonly string[] | undefined;
  beliefs = new Map<string, Belief>();
  since = "0";
  readonly eager: boolean;
  /** The feed that is open, and what was sent on it: document -> what. */
  #feed: ChangesFeed | undefined;
  readonly #sent = new Map<string, string>();
  /** The rollbacks known when the feed was opened. */
  #version = 0;
  #remembered: { since: string; beliefs: Map<string, Belief> }[] = [];
  readonly #world: World;

  constructor(world: World, channels: readonly string[] | undefined, eager = false) {
    this.#world = world;
    this.channels = channels;
    this.eager = eager;
  }

  /** Reads one batch: of the open feed, or of a new one from where it stands. */
  async step(database: OpenDatabase, limit?: number): Promise<ChangesBatch> {
    const { time, random } = this.#world;
    if (this.#feed === undefined) {
      this.#sent.clear();
      this.#version = database.stable.branches.version;
      const options = {
        since: this.since,
        eager: this.eager,
        ...(limit === undefined ? {} : { limit }),
        ...(this.channels === undefined ? {} : { channels: this.channels }),
      };
      this.#feed = await time.run(database.changes.open(ADMIN, options));
    }
    const batch = await time.run(this.#feed.read(false));
    if (this.#version !== database.stable.branches.version) this.#sent.clear();
    // Sometimes it loses the connection in the middle of a batch, and has the last row's position.
    const cut = batch.rows.length > 1 && random.fraction() < 0.2;
    const rows = cut ? batch.rows.slice(0, 1 + random.below(batch.rows.length)) : batch.rows;
    for (const text of rows) this.#apply(JSON.parse(text) as Row);
    if (!cut) this.since = batch.lastSeq;
    this.#remember();
    if (cut || batch.done) this.disconnect();
    return batch;
  }

  #apply(row: Row): void {
    const rev = row.changes[0]?.rev ?? "";
    const kind = row.removed ? "removed" : row.deleted ? "deleted" : "live";
    const told = `${rev} ${kind}`;
    // A revision that only one mutation has needs no second row on one connection (5).
    const made = this.#world.made.get(row.id)?.filter(({ mutation: m }) => m.revId === rev);
    if (this.#sent.get(row.id) === told && made?.length === 1) {
      throw new Violation("a row was sent twice on one connection", { row, of: this.channels });
    }
    this.#sent.set(row.id, told);
    this.beliefs.set(row.id, { rev, kind });
    this.since = row.seq;
  }

  #remember(): void {
    const place = { since: this.since, beliefs: new Map(this.beliefs) };
    const { random } = this.#world;
    if (this.#remembered.length < MAX_REMEMBERED) this.#remembered.push(place);
    else this.#remembered[random.below(MAX_REMEMBERED)] = place;
  }

  /** Goes back to a place where it was before, with what it believed there. */
  goBack(): void {
    if (this.#remembered.length === 0) return;
    const { since, beliefs } = this.#world.random.pick(this.#remembered);
    this.disconnect();
    this.since = since;
    this.beliefs = new Map(beliefs);
  }

  /** Reads until it has everything that is stable. */
  async catchUp(database: OpenDatabase): Promise<void> {
    for (let rounds = 0; rounds < 10_000; rounds++) {
      const { caughtUp, done } = await this.step(database);
      if (caughtUp && !done && this.#feed !== undefined) return;
    }
    throw new Error("the reader does not catch up");
  }

  /** Lets go of the connection. */
  disconnect(): void {
    this.#feed?.close();
    this.#feed = undefined;
  }
}
