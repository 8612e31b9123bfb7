// The gateway: the databases of a data directory, opened, made, changed and removed.
// What is inside a database: database.ts.

import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Bucket } from "../bucket/bucket.ts";
import type { ControllerSettings } from "../controller/settings.ts";
import type { Random } from "../runtime/random.ts";
import type { Time } from "../runtime/time.ts";
import { type BucketSource, embeddedSource } from "./bucket-source.ts";
import type { OpenDatabase } from "./database.ts";
import { openDatabase } from "./open-database.ts";
import { checkDatabaseName, readSettings, wholeSettings, writeSettings } from "./settings.ts";
import type { Database, DatabaseSettings, Gateway } from "./types.ts";

/** What {@link openGateway} needs. */
export interface GatewayOptions {
  /** Where the databases live; without it `dataDirectory` says it. */
  readonly source?: BucketSource;
  /** The directory of embedded buckets, a directory for each database; made when missing. */
  readonly dataDirectory: string;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
  /** Vbuckets of embedded databases made from now on; 1024 unless said. For tests. */
  readonly vbuckets?: number;
  /** For simulations: a tail can be lost, and everything happens on the event loop. */
  readonly simulated?: boolean;
  /** The controllers' settings where they are not the defaults. */
  readonly controller?: Partial<ControllerSettings>;
}

/**
 * Opens a gateway with every database that its source has.
 *
 * @throws TidegateError what opening a database throws: `corrupt`, `newer_version`, `unavailable`,
 *   and for a bucket of Couchbase Server `unauthorized`, `not_found`, `bad_config`
 */
export async function openGateway(options: GatewayOptions): Promise<OpenGateway> {
  const gateway = new OpenGateway(options, options.source ?? embeddedSource(options));
  try {
    await gateway.openAll();
  } catch (error) {
    await gateway.close();
    throw error;
  }
  return gateway;
}

/** The databases of this process. Made by {@link openGateway}. */
export class OpenGateway implements Gateway {
  readonly #options: GatewayOptions;
  readonly #source: BucketSource;
  readonly #databases = new Map<string, OpenDatabase>();
  /** Creating, changing and removing go one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: GatewayOptions, source: BucketSource) {
    this.#options = options;
    this.#source = source;
  }

  database(name: string): OpenDatabase | undefined {
    return this.#databases.get(name);
  }

  names(): string[] {
    return [...this.#databases.keys()].sort();
  }

  /** Opens what the source has. */
  async openAll(): Promise<void> {
    const { log } = this.#options;
    for (const name of this.#source.names()) {
      const bucket = await this.#source.open(name);
      const settings = await readSettings(bucket);
      if (settings === undefined) {
        log.warn({ database: name }, "there is no database in this bucket yet: PUT makes it");
        await bucket.close();
        continue;
      }
      await this.#open(bucket, settings);
    }
  }

  create(name: string, settings: Partial<DatabaseSettings>): Promise<Database> {
    return this.#inTurn(async () => {
      checkDatabaseName(name);
      if (this.#databases.has(name)) {
        throw new TidegateError("database_exists", `database ${name} exists already`);
      }
      const whole = wholeSettings(settings);
      const bucket = await this.#source.open(name);
      if ((await readSettings(bucket)) !== undefined) {
        await bucket.close();
        throw new TidegateError("database_exists", `database ${name} was made by another process`);
      }
      const database = await this.#open(bucket, whole);
      await writeSettings(bucket, whole);
      return database;
    });
  }

  configure(name: string, settings: Partial<DatabaseSettings>): Promise<Database> {
    return this.#inTurn(async () => {
      const database = this.#existing(name);
      const whole = wholeSettings(settings);
      const before = database.settings;
      if (whole.index.partitions !== before.index.partitions) {
        throw new TidegateError(
          "bad_config",
          `index.partitions: database ${name} was made with ${before.index.partitions} partitions ` +
            `and keeps them, not ${whole.index.partitions}`,
        );
      }
      const same =
        whole.index.writer === before.index.writer && whole.index.shape === before.index.shape;
      await database.configure(whole);
      await writeSettings(database.bucket, whole);
      if (same) return database;
      // How the index is written is fixed while a database is open.
      await this.#close(database);
      return this.#open(await this.#source.open(name), whole);
    });
  }

  remove(name: string): Promise<void> {
    return this.#inTurn(async () => {
      const database = this.#existing(name);
      this.#source.checkRemovable(name);
      await this.#close(database);
      await this.#source.remove(name);
    });
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      this.#closed = true;
      await Promise.all([...this.#databases.values()].map((database) => this.#close(database)));
    });
  }

  /** Ends as a crash would, for tests. */
  abandon(): Promise<void> {
    return this.#inTurn(async () => {
      this.#closed = true;
      await Promise.all([...this.#databases.values()].map((database) => database.abandon()));
      this.#databases.clear();
    });
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(() => {
      if (this.#closed) throw new TidegateError("unavailable", "the gateway is closed");
      return task();
    });
    this.#turn = result.then(
      () => {},
      () => {},
    );
    return result;
  }

  #existing(name: string): OpenDatabase {
    const database = this.#databases.get(name);
    if (database === undefined) {
      throw new TidegateError("not_found", `there is no database ${JSON.stringify(name)}`);
    }
    return database;
  }

  async #open(bucket: Bucket, settings: DatabaseSettings): Promise<OpenDatabase> {
    const { time, random, log, controller } = this.#options;
    try {
      const extra = controller === undefined ? {} : { controller };
      const database = await openDatabase({ bucket, settings, time, random, log, ...extra });
      this.#databases.set(bucket.name, database);
      return database;
    } catch (error) {
      await bucket.close();
      throw error;
    }
  }

  async #close(database: OpenDatabase): Promise<void> {
    this.#databases.delete(database.name);
    await database.close();
  }
}
