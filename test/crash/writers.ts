// The write load of the crash test: writers that save, change, delete and bulk-save their own
// documents as fast as they are answered, until the gateway is gone.

import { RawConnection, requestBytes } from "../../bench/server/raw-http.ts";
import type { SeededRandom } from "../harness/random.ts";
import type { Model } from "./model.ts";

/** The channels that documents move between. */
export const CHANNELS = Array.from({ length: 12 }, (_, k) => `channel-${k}`);

/** Documents of one writer. */
const POOL = 200;
/** Documents of one `_bulk_docs`. */
const BULK = 20;

/** One writer; its documents are its own, so that its saves conflict with nobody's. */
export class Writer {
  readonly #name: string;
  readonly #model: Model;
  readonly #random: SeededRandom;
  #count = 0;

  constructor(name: string, model: Model, random: SeededRandom) {
    this.#name = name;
    this.#model = model;
    this.#random = random;
  }

  /**
   * Writes until the connection breaks or `done` says so. Throws when an answer is neither a save
   * nor a refusal because the gateway is going away.
   */
  async run(port: number, database: string, done: () => boolean): Promise<void> {
    const connection = await RawConnection.open(port);
    try {
      while (!done()) {
        const choice = this.#random.fraction();
        const answered =
          choice < 0.1
            ? await this.#bulk(connection, database)
            : await this.#single(connection, database, choice > 0.9);
        if (!answered) return;
      }
    } finally {
      connection.close();
    }
  }

  async #single(connection: RawConnection, database: string, remove: boolean): Promise<boolean> {
    const id = `${this.#name}-${this.#random.below(POOL)}`;
    const document = this.#next(id, remove);
    const path = `/${database}/${id}`;
    const bytes = requestBytes("PUT", path, JSON.stringify(document));
    const answer = await connection.send(bytes).catch(() => undefined);
    if (!answer) return false;
    const text = answer.body.toString();
    if (answer.status !== 201) throw new Error(`PUT ${path}: ${answer.status} ${text}`);
    this.#model.acknowledge(id, (JSON.parse(text) as { rev: string }).rev);
    return true;
  }

  async #bulk(connection: RawConnection, database: string): Promise<boolean> {
    const first = this.#random.below(POOL);
    const ids = Array.from({ length: BULK }, (_, k) => `${this.#name}-${(first + k) % POOL}`);
    const docs = ids.map((id) => this.#next(id, this.#random.fraction() < 0.1));
    const bytes = requestBytes("POST", `/${database}/_bulk_docs`, JSON.stringify({ docs }));
    const answer = await connection.send(bytes).catch(() => undefined);
    if (!answer) return false;
    const text = answer.body.toString();
    if (answer.status !== 201) throw new Error(`_bulk_docs: ${answer.status} ${text}`);
    for (const line of JSON.parse(text) as { id: string; rev?: string }[]) {
      if (!line.rev) throw new Error(`_bulk_docs: ${JSON.stringify(line)}`);
      this.#model.acknowledge(line.id, line.rev);
    }
    return true;
  }

  #next(id: string, remove: boolean): object {
    const before = this.#model.version(id);
    const deleted = remove && before !== undefined && !before.deleted;
    const token = deleted ? undefined : `${this.#name}.${this.#count++}`;
    const count = this.#random.below(4);
    const channels = Array.from({ length: count }, () => this.#random.pick(CHANNELS));
    this.#model.attempt(id, { deleted, token, channels });
    // A deleted document is written again without its old revision, as a new one would be.
    const _rev = before && !before.deleted ? { _rev: before.rev } : {};
    const content = deleted ? { _deleted: true } : { token, note: "x".repeat(300) };
    return { _id: id, ..._rev, ...content, channels };
  }
}
