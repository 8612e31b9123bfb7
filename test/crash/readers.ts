// The readers of the crash test, one for each transport. Each keeps its last sequence and what it
// has seen, and goes on from there when the gateway comes back.

import { connect } from "node:net";
import { requestBytes } from "../../bench/server/raw-http.ts";

/** A row of `_changes`. */
export interface Row {
  readonly seq: string | number;
  readonly id: string;
  readonly changes: readonly { rev: string }[];
  readonly deleted?: boolean;
  readonly removed?: readonly string[];
}

/** What a reader knows of a document. */
export interface Seen {
  readonly rev: string;
  readonly deleted: boolean;
}

/** How long a reader waits before it tries again to reach a gateway that is away. */
const RETRY_MS = 10;
/** Sequences remembered, to be asked again. */
export const SEQUENCES_KEPT = 1500;

/** A reader. `run` reads until told to stop, over as many connections as it takes. */
export abstract class Reader {
  readonly name: string;
  readonly seen = new Map<string, Seen>();
  /** Sequences that were sent: a sample of all of them when there are many. */
  readonly sequences: string[] = [];
  lastSequence = "0";
  rows = 0;
  /** Times it had to connect again. */
  connections = 0;
  /** Answers that were not what was asked for: none are allowed. */
  readonly errors: string[] = [];
  protected readonly port: number;
  protected readonly database: string;
  #stopped = false;
  protected hangUp: () => void = () => {};

  constructor(name: string, port: number, database: string) {
    this.name = name;
    this.port = port;
    this.database = database;
  }

  /** Reads until `stop`. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      this.connections++;
      await this.connection();
      if (!this.#stopped) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  stop(): void {
    this.#stopped = true;
    this.hangUp();
  }

  protected get stopped(): boolean {
    return this.#stopped;
  }

  /** Reads over one connection, until it ends or breaks. Never rejects. */
  protected abstract connection(): Promise<void>;

  protected take(row: Row): void {
    this.rows++;
    const rev = row.changes[0]?.rev;
    if (rev === undefined) this.errors.push(`a row without a revision: ${JSON.stringify(row)}`);
    else this.apply(row, { rev, deleted: row.deleted === true });
    this.advance(row.seq);
  }

  protected apply(row: Row, seen: Seen): void {
    this.seen.set(row.id, seen);
  }

  protected advance(sequence: string | number): void {
    this.lastSequence = String(sequence);
    if (this.lastSequence === this.sequences[this.sequences.length - 1]) return;
    if (this.sequences.length < SEQUENCES_KEPT) this.sequences.push(this.lastSequence);
    else this.sequences[(this.rows * 7919) % SEQUENCES_KEPT] = this.lastSequence;
  }
}

/** Reads page after page of `feed=normal`. */
export class PageReader extends Reader {
  protected query = "";

  protected async connection(): Promise<void> {
    while (!this.stopped) {
      const since = encodeURIComponent(this.lastSequence);
      const limit = 20 + ((this.rows * 31) % 400);
      const url = `http://127.0.0.1:${this.port}/${this.database}/_changes`;
      const answer = await fetch(`${url}?since=${since}&limit=${limit}${this.query}`).catch(
        () => undefined,
      );
      const text = await answer?.text().catch(() => undefined);
      if (!answer || text === undefined) return;
      if (answer.status !== 200) {
        this.errors.push(`since=${this.lastSequence}: ${answer.status} ${text}`);
        return;
      }
      const page = parsed<{ results: Row[]; last_seq: string | number }>(text);
      // Cut off by the kill: what came of it is not used, as a client would not.
      if (!page) return;
      for (const row of page.results) this.take(row);
      this.advance(page.last_seq);
      if (page.results.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Reads one channel, page after page: knows the documents that are in it now. */
export class ChannelReader extends PageReader {
  constructor(name: string, port: number, database: string, channel: string) {
    super(name, port, database);
    this.query = `&filter=sync_gateway/bychannel&channels=${channel}`;
  }

  protected override apply(row: Row, seen: Seen): void {
    if (row.removed || seen.deleted) this.seen.delete(row.id);
    else this.seen.set(row.id, seen);
  }
}

/** Reads `feed=continuous`. */
export class ContinuousReader extends Reader {
  protected connection(): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect(this.port, "127.0.0.1");
      this.hangUp = () => socket.destroy();
      let pending = "";
      let head = "";
      socket.on("connect", () => {
        const since = encodeURIComponent(this.lastSequence);
        const query = `feed=continuous&since=${since}&heartbeat=1000`;
        socket.write(requestBytes("GET", `/${this.database}/_changes?${query}`));
      });
      socket.on("data", (bytes) => {
        pending += bytes.toString("latin1");
        const lines = pending.split("\n");
        pending = lines.pop() ?? "";
        for (const line of lines) {
          if (head === "") {
            head = line;
            if (!head.includes(" 200 ")) this.errors.push(`since=${this.lastSequence}: ${head}`);
          }
          if (!line.startsWith('{"')) continue;
          const row = parsed<Row & { last_seq?: string }>(line);
          if (!row) this.errors.push(`not JSON: ${line}`);
          else if (row.last_seq !== undefined) this.advance(row.last_seq);
          else this.take(row);
        }
      });
      socket.on("error", () => {});
      socket.on("close", () => resolve());
    });
  }
}

/** Reads `feed=websocket`. */
export class WebSocketReader extends Reader {
  protected connection(): Promise<void> {
    return new Promise((resolve) => {
      const url = `ws://127.0.0.1:${this.port}/${this.database}/_changes?feed=websocket`;
      const socket = new WebSocket(url);
      this.hangUp = () => socket.close();
      socket.onopen = () => socket.send(JSON.stringify({ since: this.lastSequence }));
      socket.onmessage = ({ data }) => {
        const rows = parsed<Row[]>(String(data));
        if (!Array.isArray(rows)) this.errors.push(`not rows: ${String(data)}`);
        else for (const row of rows) this.take(row);
      };
      socket.onerror = () => {};
      socket.onclose = ({ code, reason }) => {
        // 1006: cut off. Anything that the gateway itself says of the sequence is an error.
        if (code !== 1006 && code !== 1000 && code !== 1001 && !this.stopped) {
          this.errors.push(`since=${this.lastSequence}: closed with ${code} ${reason}`);
        }
        resolve();
      };
    });
  }
}

function parsed<T>(text: string): T | undefined {
  try {
    return JSON.parse(text) as T;
  } catch {
    return undefined;
  }
}
