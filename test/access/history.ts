// One random history: its commands, how they are done to the rig and to the model, and what must hold
// whatever the model says: nothing leaks, nothing is missed, nothing comes twice.

import { expect } from "bun:test";
import { vbucketOf } from "../../src/bucket/vbucket.ts";
import { parseSequence, type Sequence } from "../../src/clock/sequence.ts";
import type { Stable, Tick } from "../../src/clock/tick.ts";
import { ADMIN } from "../../src/documents/types.ts";
import type { PrincipalId } from "../../src/index/pseudo-channel.ts";
import type { ChangesFeed } from "../../src/replication/types.ts";
import type { Command } from "./commands.ts";
import { covers, type ExpectedRow, Model, type Reader, type Version } from "./model.ts";
import { documentOf, type Says, type Stage } from "./rig.ts";

interface Row {
  readonly seq: string;
  readonly id: string;
  readonly changes: readonly { readonly rev: string }[];
  readonly deleted?: boolean;
  readonly revoked?: boolean;
  readonly removed?: readonly string[];
}

/** An open feed, and where the model says that it is. */
interface Connection {
  readonly feed: ChangesFeed;
  from: Stable;
  /** An interval in which it stands. */
  within:
    | { to: Stable; place: { vb: number; seq: number } | undefined; whole: boolean }
    | undefined;
  has: ReadonlySet<string> | undefined;
  /** The channels that are sent of the interval. */
  sends: ReadonlySet<string>;
  left: number;
  /** What was sent: document and revision, and the end of the interval that it was in. */
  readonly sent: Map<string, Stable>;
}

/** What a reader has, over all its connections. */
interface Client {
  readonly reader: Reader;
  connection: Connection | undefined;
  since: string;
  readonly documents: Map<string, string>;
  readonly ever: Set<string>;
}

/** One history under way. */
export class History {
  readonly #stage: Stage;
  readonly #name: (name: string) => string;
  readonly #model = new Model();
  readonly #clients: readonly Client[];
  readonly #exact: boolean;

  /**
   * @param open whether `*` and `!` are what they are: then the stage is this history's alone
   * @param exact whether each batch must be what the model says; otherwise, where compaction may give
   *   an older revision for a moment, only what must hold whatever the model says
   */
  constructor(
    stage: Stage,
    number: number,
    open: boolean,
    readers: readonly Reader[],
    exact = true,
  ) {
    this.#exact = exact;
    this.#stage = stage;
    this.#name = (name) => (open && (name === "*" || name === "!") ? name : `${name}-${number}`);
    this.#clients = readers.map((one) => ({
      reader: {
        ...one,
        user: this.#name(one.user),
        asked: one.asked?.map(this.#name),
      },
      connection: undefined,
      since: "0",
      documents: new Map(),
      ever: new Set(),
    }));
  }

  get #newest(): Stable {
    return this.#stage.ticks.at(-1) as Stable;
  }

  async run(one: Command): Promise<void> {
    if (one.kind === "save") await this.#save(one.id, one.says, one.deleted);
    else if (one.kind === "admin") await this.#admin(one);
    else if (one.kind === "tick") await this.#stage.tick(one.vbs, one.unknown);
    else if (one.kind === "compact") await this.#stage.compact();
    else await this.#read(this.#clients[one.reader] as Client, one.limit, one.leaves);
  }

  /** Lets everything become stable and everybody read to the end; then who sees what, has it. */
  async finish(): Promise<void> {
    await this.#stage.tick();
    for (const client of this.#clients) {
      while (!(await this.#read(client, undefined, false)));
      client.connection?.feed.close();
      this.#checkReplica(client);
    }
  }

  async #save(name: string, said: Says, deleted: boolean): Promise<void> {
    const id = this.#name(`d${name}`);
    const principal = (one: string) =>
      one.startsWith("role:") ? `role:${this.#name(one.slice(5))}` : this.#name(one);
    const all: Says = {
      channels: said.channels.map(this.#name),
      access: said.access.map(([one, names]) => [principal(one), names.map(this.#name)]),
      roles: said.roles.map(([one, names]) => [this.#name(one), names.map(this.#name)]),
    };
    const before = this.#model.newest(id);
    if (deleted && (before === undefined || before.deleted)) return;
    const parent = before === undefined ? {} : { _rev: before.rev };
    const body = documentOf(all, { ...parent, ...(deleted && { _deleted: true }) });
    const { rev } = await this.#stage.documents.put(ADMIN, id, body);
    this.#add(id, rev, deleted, all);
  }

  async #admin(one: Command & { kind: "admin" }): Promise<void> {
    const [kind, short] = one.principal.split(":") as ["user" | "role", string];
    const name = this.#name(short);
    const principal: PrincipalId = `${kind}:${name}`;
    const id = `_sync:${principal}`;
    const before = this.#model.newest(id);
    const current = before?.deleted ? undefined : before?.rev;
    if (one.deleted && current === undefined) return;
    const channels = one.channels.map(this.#name);
    const roles = kind === "user" ? one.roles.map(this.#name) : [];
    const body = one.deleted ? null : { n: this.#model.versions.get(id)?.length ?? 0 };
    const { principals } = this.#stage.documents;
    const { rev } = await principals.save(principal, current, body, { channels, roles });
    const granted = kind === "user" ? name : principal;
    this.#add(id, rev, one.deleted, {
      channels: [],
      access: [[granted, channels]],
      roles: [[name, roles]],
    });
  }

  #add(id: string, rev: string, deleted: boolean, all: Says): void {
    const vb = vbucketOf(id, this.#stage.vbuckets);
    const saved = this.#stage.newest.get(id);
    if (saved?.vb !== vb) throw new Error(`the save of ${id} was not told`);
    this.#model.add({ ...all, id, rev, deleted, vb, seq: saved.seq });
  }

  /** One batch. Gives whether the reader has everything then. */
  async #read(client: Client, limit: number | undefined, leaves: boolean): Promise<boolean> {
    client.connection ??= await this.#connect(client, limit);
    const { connection } = client;
    const expected = this.#exact ? this.#expected(client.reader, connection) : [];
    const batch = await connection.feed.read(false);
    const rows = batch.rows.map((row) => JSON.parse(row) as Row);
    if (this.#exact) {
      // A batch may end early, but not before its first row.
      const most = rows.length === 0 ? expected.length : rows.length;
      expect(rows.map(shown)).toEqual(expected.slice(0, most).map(shownExpected));
      this.#move(connection, batch.lastSeq, rows.length);
    }
    const to = this.#tickNamed(endOf(parseSequence(batch.lastSeq)));
    client.since = batch.lastSeq;
    for (const row of rows) this.#take(client, connection, to, row);
    if (leaves || batch.done) {
      connection.feed.close();
      client.connection = undefined;
    }
    return batch.caughtUp;
  }

  async #connect(client: Client, limit: number | undefined): Promise<Connection> {
    const { user, revocations, activeOnly, asked } = client.reader;
    const access = await this.#stage.access.user(user);
    const feed = await this.#stage.changes.open(
      { name: user, admin: false, access },
      {
        since: client.since,
        revocations,
        activeOnly,
        ...(limit !== undefined && { limit }),
        ...(asked !== undefined && { channels: asked }),
      },
    );
    const position = parseSequence(client.since);
    const sent = new Map<string, Stable>();
    const left = limit ?? Number.POSITIVE_INFINITY;
    const common = { feed, has: undefined, sends: new Set<string>(), left, sent };
    if (position.kind === "tick") {
      return { ...common, from: this.#tickNamed(position.tick), within: undefined };
    }
    if (position.kind !== "interval") throw new Error(`${client.since} is no such position`);
    const place = { vb: position.vb, seq: position.seq };
    // While its end is the newest tick, whoever read the page's beginning saw what is seen now.
    const whole = position.to >= this.#newest.tick;
    const within = { to: this.#tickNamed(position.to), place, whole };
    return { ...common, from: this.#tickNamed(position.from), within };
  }

  #tickNamed(wanted: Tick): Stable {
    return this.#stage.ticks.find(({ tick }) => tick === wanted) as Stable;
  }

  /** The rows of the next batch, by the model: all of an interval. */
  #expected(one: Reader, connection: Connection): ExpectedRow[] {
    const newest = this.#newest;
    for (;;) {
      if (connection.within === undefined) {
        if (connection.from.tick >= newest.tick) return [];
        connection.within = { to: newest, place: undefined, whole: true };
      }
      const { to, place, whole } = connection.within;
      const { rows, sent } = this.#model.rows(one, connection.from, to, connection.has, newest);
      connection.sends = sent;
      const rest = rows.filter(
        ({ vb, seq }) => !place || vb > place.vb || (vb === place.vb && seq > place.seq),
      );
      if (rest.length > 0) return rest.slice(0, connection.left);
      connection.from = to;
      connection.has = whole ? sent : undefined;
      connection.within = undefined;
    }
  }

  /** The connection goes on from where the feed says that it is. */
  #move(connection: Connection, lastSeq: string, rows: number): void {
    connection.left -= rows;
    const position = parseSequence(lastSeq);
    const { within } = connection;
    if (within === undefined) {
      expect(position).toEqual({ kind: "tick", tick: connection.from.tick });
    } else if (position.kind === "interval") {
      expect([position.from, position.to]).toEqual([connection.from.tick, within.to.tick]);
      within.place = { vb: position.vb, seq: position.seq };
    } else {
      expect(position).toEqual({ kind: "tick", tick: within.to.tick });
      connection.from = within.to;
      connection.has = within.whole ? connection.sends : undefined;
      connection.within = undefined;
    }
  }

  /** Takes a row as a client does, and looks whether it may be there. */
  #take(client: Client, connection: Connection, to: Stable, row: Row): void {
    const rev = row.changes[0]?.rev ?? "";
    const versions = this.#model.versions.get(row.id) ?? [];
    const version = versions.find((one) => one.rev === rev) as Version;
    if (row.removed === undefined) {
      const seen = this.#model.visible(client.reader.user, this.#newest.clock);
      const isSeen = seen.has("*") || version.channels.some((name) => seen.has(name));
      if (!isSeen) throw new Error(`${row.id} ${rev} leaks to ${client.reader.user}`);
      this.#checkRepeat(client, connection, to, version);
    }
    if (row.revoked && !client.ever.has(row.id)) this.#checkSeenOnce(client, row.id);
    if (row.removed === undefined && !row.deleted) {
      client.documents.set(row.id, rev);
      client.ever.add(row.id);
    } else client.documents.delete(row.id);
  }

  /**
   * Who lost a channel in the middle of a page, and went away, may be told of what it did not get any
   * more; but only of what it could have got.
   */
  #checkSeenOnce({ reader: { user } }: Client, id: string): void {
    const couldHave = this.#stage.ticks.some(({ clock }) => {
      const seen = this.#model.visible(user, clock);
      const version = this.#model.newest(id, clock);
      return version?.channels.some((name) => covers(seen, name)) ?? false;
    });
    if (!couldHave) throw new Error(`${id} is revoked, and ${user} never saw it`);
  }

  /**
   * A revision comes again in a connection only when the reader had lost it meanwhile, or when no
   * single grant tells that it had not: who comes back sees a channel at two clocks by two grants,
   * and what was in between is known to nobody any more.
   */
  #checkRepeat(
    { reader: { user, asked } }: Client,
    { sent }: Connection,
    to: Stable,
    { id, rev, channels }: Version,
  ): void {
    const before = sent.get(`${id} ${rev}`);
    sent.set(`${id} ${rev}`, to);
    if (before === undefined) return;
    const held = this.#model.held(user, before.clock, this.#newest.clock);
    const hadAll = asked === undefined && held.has("*");
    const had = channels.some((name) => covers(held, name) && (asked?.includes(name) ?? true));
    if (hadAll || had) throw new Error(`${id} ${rev} comes twice in one connection of ${user}`);
  }

  /** The reader has read everything: what it sees it has; what it does not see it was told. */
  #checkReplica({ reader, documents }: Client): void {
    const { clock } = this.#newest;
    const visible = this.#model.visible(reader.user, clock);
    const wanted = new Map<string, string>();
    for (const versions of this.#model.versions.values()) {
      const { id, rev, deleted, channels } = versions.at(-1) as Version;
      if (deleted || id.startsWith("_")) continue;
      const isSeen = reader.asked
        ? channels.some((name) => covers(visible, name) && reader.asked?.includes(name))
        : visible.has("*") || channels.some((name) => visible.has(name));
      if (isSeen) wanted.set(id, rev);
    }
    const sorted = (map: Map<string, string>) => [...map].sort();
    if (this.#exact && reader.revocations && !reader.activeOnly && reader.asked === undefined) {
      expect(sorted(documents)).toEqual(sorted(wanted));
    } else {
      const missed = [...wanted].filter(([id, rev]) => documents.get(id) !== rev);
      expect(missed).toEqual([]);
    }
  }
}

/** The tick at whose clock the rows before a position were found. */
function endOf(position: Sequence): Tick {
  if (position.kind === "interval") return position.to;
  if (position.kind === "tick") return position.tick;
  throw new Error(`a feed of stable rows stands at no ${position.kind}`);
}

function shown({ id, changes, deleted = false, revoked = false, removed }: Row): unknown {
  return { id, rev: changes[0]?.rev, deleted, revoked, removed: removed && [...removed].sort() };
}

function shownExpected({ id, rev, deleted, revoked, removed }: ExpectedRow): unknown {
  return { id, rev, deleted, revoked, removed };
}
