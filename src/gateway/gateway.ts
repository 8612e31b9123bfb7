// The gateway: the databases of a data directory, opened, made, changed and removed.
// What is inside a database: database.ts.

import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { TidegateError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { openEmbeddedBucket, removeEmbeddedBucket } from "../bucket/embedded/embedded-bucket.ts";
import type { ControllerSettings } from "../controller/settings.ts";
import type { Random } from "../runtime/random.ts";
import type { Time } from "../runtime/time.ts";
import { type OpenDatabase, openDatabase } from "./database.ts";
import { checkDatabaseName, readSettings, wholeSettings, writeSettings } from "./settings.ts";
import type { Database, DatabaseSettings, Gateway } from "./types.ts";

/** What {@link openGateway} needs. */
export interface GatewayOptions {
  /** The directory with a directory for each database; made when missing. */
  readonly dataDirectory: string;
  readonly time: Time;
  readonly random: Random;
  readonly log: Log;
  /** Vbuckets of databases made from now on; 1024 unless said. For tests. */
  readonly vbuckets?: number;
  /** For tests: buckets keep older versions, so that a tail can be lost. */
  readonly keepHistory?: boolean;
  /** The controllers' settings where they are not the defaults. */
  readonly controller?: Partial<ControllerSettings>;
}

/**
 * Opens a gateway with every database that its data directory has.
 *
 * @throws TidegateError what opening a database throws: `corrupt`, `newer_version`, `unavailable`
 */
export async function openGateway(options: GatewayOptions): Promise<EmbeddedGateway> {
  const { dataDirectory } = options;
  try {
    mkdirSync(dataDirectory, { recursive: true });
  } catch (error) {
    const reason = `the data directory ${dataDirectory} can't be made`;
    throw new TidegateError("unavailable", reason, { cause: error });
  }
  const gateway = new EmbeddedGateway(options);
  try {
    await gateway.openAll();
  } catch (error) {
    await gateway.close();
    throw error;
  }
  return gateway;
}

/** The databases of this process, in embedded buckets. Made by {@link openGateway}. */
export class EmbeddedGateway implements Gateway {
  readonly #options: GatewayOptions;
  readonly #databases = new Map<string, OpenDatabase>();
  /** Creating, changing and removing go one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(options: GatewayOptions) {
    this.#options = options;
  }

  database(name: string): OpenDatabase | undefined {
    return this.#databases.get(name);
  }

  names(): string[] {
    return [...this.#databases.keys()].sort();
  }

  /** Opens what the data directory has. */
  async openAll(): Promise<void> {
    const { dataDirectory, log } = this.#options;
    for (const entry of readdirSync(dataDirectory, { withFileTypes: true })) {
      if (!entry.isDirectory() || !isDatabaseName(entry.name)) continue;
      const bucket = await this.#bucket(entry.name);
      const settings = await readSettings(bucket);
      if (settings === undefined) {
        log.warn({ database: entry.name }, "a database was never completely made: left alone");
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
      const bucket = await this.#bucket(name);
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
      return this.#open(await this.#bucket(name), whole);
    });
  }

  remove(name: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#close(this.#existing(name));
      await removeEmbeddedBucket(this.#directory(name));
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

  #directory(name: string): string {
    return join(this.#options.dataDirectory, name);
  }

  #bucket(name: string) {
    const { time, random, log, vbuckets, keepHistory } = this.#options;
    const directory = this.#directory(name);
    // A bucket that exists has its number of vbuckets.
    const wanted = vbuckets === undefined || existsSync(directory) ? {} : { vbuckets };
    const history = keepHistory === undefined ? {} : { keepHistory };
    return openEmbeddedBucket({ directory, name, time, random, log, ...wanted, ...history });
  }

  async #open(
    bucket: Awaited<ReturnType<typeof openEmbeddedBucket>>,
    settings: DatabaseSettings,
  ): Promise<OpenDatabase> {
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

function isDatabaseName(name: string): boolean {
  try {
    checkDatabaseName(name);
    return true;
  } catch {
    // Not an error: the directory may hold other things than databases.
    return false;
  }
}
