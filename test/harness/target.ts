// The servers that tests and benchmarks run against, each a process of its own on free ports with a
// directory of its own: `tidegate`, or `peer` (PouchDB Server's core on LevelDB). With
// TEST_BUCKET=couchbase a gateway keeps its database on loopback Couchbase nodes, which are one more
// process and outlive the gateway's restarts; TEST_FAULTS is the seed of what goes wrong there.

import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { type Guarded, startGuarded } from "./process.ts";
import { until } from "./until.ts";

/** The root of the work tree. */
export const root = path.resolve(import.meta.dirname, "../..");

/**
 * What can be started. `peer` runs on Bun, where it is several times faster than on Node;
 * `peer-node` runs on Node, where its users run it; `peer-durable` is `peer` with LevelDB told to
 * sync each write.
 */
export type TargetKind = "tidegate" | "peer" | "peer-node" | "peer-durable";

/** How a database is made. The peer has no sync function and ignores it. */
export interface DatabaseOptions {
  readonly syncFunction?: string;
}

/** A running server. */
export interface Target {
  readonly kind: TargetKind;
  /** Where clients talk to, without a slash at the end. Stays the same over restarts. */
  readonly url: string;
  /** The admin listener; the same as `url` for the peer. */
  readonly adminUrl: string;
  /** The metrics listener; the same as `url` for the peer. */
  readonly metricsUrl: string;
  readonly port: number;
  readonly directory: string;
  /** The pid of the server now running. */
  readonly pid: number;
  /** Milliseconds from spawning to the first answer, of the last start. */
  readonly startMs: number;
  /** Makes an empty database that guests may use. Gives its URL. */
  createDatabase(name: string, options?: DatabaseOptions): Promise<string>;
  /** The end of what the server printed. */
  log(): string;
  /** kill -9; resolves when the process is gone. */
  kill(): Promise<void>;
  /** Asks it to stop, and gives its exit status. Throws when it takes more than `limitMs`. */
  stop(limitMs?: number): Promise<number>;
  /** Starts it again in the same directory on the same ports, and waits for its first answer. */
  start(): Promise<void>;
  /** As `start`, but resolves when the process exists, before it answers. */
  spawn(): Promise<void>;
  /** Resolves at the first answer after `spawn`. */
  answering(): Promise<void>;
  /** Ends it for good and removes its directory. */
  dispose(): Promise<void>;
}

/** Options of {@link startTarget}. */
export interface TargetOptions {
  /** Environment variables for the server. */
  readonly env?: Record<string, string>;
  /** More arguments for the server, or for the runtime before the program. */
  readonly args?: readonly string[];
  readonly runtimeArgs?: readonly string[];
  /** Where the temporary directory is made; the system's unless given. */
  readonly parentDirectory?: string;
  /** The database that will be made: on Couchbase the bucket has to be there before. */
  readonly database?: string;
}

/** How long a server may take to answer first. */
const START_LIMIT_MS = 20_000;

/** The target that tests run against: `TEST_TARGET`, or tidegate. */
export function targetUnderTest(): TargetKind {
  return process.env.TEST_TARGET === "peer" ? "peer" : "tidegate";
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** The command that starts the gateway: `TIDEGATE_COMMAND` (an executable, say), or Bun on src/. */
export function tidegateCommand(runtimeArgs: readonly string[] = []): string[] {
  const given = process.env.TIDEGATE_COMMAND;
  if (given) return given.split(" ").filter((part) => part !== "");
  return [bunExecutable(), ...runtimeArgs, path.join(root, "src/main.ts")];
}

function bunExecutable(): string {
  return process.versions.bun ? process.execPath : path.join(root, "node_modules/.bin/bun");
}

/** Starts a server of `kind` and waits until it answers. */
export async function startTarget(kind: TargetKind, options: TargetOptions = {}): Promise<Target> {
  const directory = mkdtempSync(path.join(options.parentDirectory ?? tmpdir(), `${kind}-`));
  const bucket =
    kind === "tidegate" && onCouchbase() ? await startBucket(directory, options) : null;
  const args = [...(options.args ?? []), ...(bucket ? ["--bucket", bucket.connectionString] : [])];
  const env = { ...options.env, ...bucket?.env };
  const place = {
    directory,
    port: await freePort(),
    adminPort: await freePort(),
    metricsPort: await freePort(),
  };
  const target = new ServerProcess(kind, { ...options, args, env }, place, bucket?.process);
  try {
    await target.start();
  } catch (error) {
    await target.dispose();
    throw error;
  }
  return target;
}

/** Whether gateways under test keep their database on loopback Couchbase nodes. */
export function onCouchbase(): boolean {
  return process.env.TEST_BUCKET === "couchbase";
}

/** Starts loopback nodes with a bucket for `options.database`, in the directory it would have. */
async function startBucket(
  directory: string,
  options: TargetOptions,
): Promise<{ process: Guarded; connectionString: string; env: Record<string, string> }> {
  const name = options.database ?? "world";
  const faults = process.env.TEST_FAULTS;
  const nodes = await startGuarded([
    ...[bunExecutable(), path.join(root, "test/loopback/main.ts")],
    ...["--data", path.join(directory, "data", name), "--bucket", name],
    ...(faults === undefined ? [] : ["--faults", faults]),
  ]);
  const line = await new Promise<string>((resolve, reject) => {
    nodes.onLine((text) => text.startsWith("{") && resolve(text));
    nodes.exited.then((code) => reject(new Error(`the nodes ended with ${code}: ${nodes.log()}`)));
  });
  const ready = JSON.parse(line) as Record<"connectionString" | "username" | "password", string>;
  return {
    process: nodes,
    connectionString: ready.connectionString,
    env: {
      TIDEGATE_COUCHBASE_USERNAME: ready.username,
      TIDEGATE_COUCHBASE_PASSWORD: ready.password,
    },
  };
}

interface Place {
  readonly directory: string;
  readonly port: number;
  readonly adminPort: number;
  readonly metricsPort: number;
}

class ServerProcess implements Target {
  readonly kind: TargetKind;
  readonly url: string;
  readonly adminUrl: string;
  readonly metricsUrl: string;
  readonly port: number;
  readonly directory: string;
  startMs = 0;
  readonly #command: readonly string[];
  readonly #env: Record<string, string>;
  readonly #bucket: Guarded | undefined;
  #child: Guarded | undefined;
  #spawnedAt = 0;

  constructor(kind: TargetKind, options: TargetOptions, place: Place, bucket?: Guarded) {
    this.kind = kind;
    this.#bucket = bucket;
    this.port = place.port;
    this.directory = place.directory;
    this.url = `http://127.0.0.1:${place.port}`;
    const other = (port: number) => (kind === "tidegate" ? `http://127.0.0.1:${port}` : this.url);
    this.adminUrl = other(place.adminPort);
    this.metricsUrl = other(place.metricsPort);
    this.#env = { ...options.env };
    this.#command = commandOf(kind, options, place);
  }

  get pid(): number {
    return this.#running().pid;
  }

  async start(): Promise<void> {
    await this.spawn();
    await this.answering();
  }

  async spawn(): Promise<void> {
    this.#spawnedAt = performance.now();
    this.#child = await startGuarded(this.#command, { cwd: this.directory, env: this.#env });
  }

  async answering(): Promise<void> {
    const child = this.#running();
    let ended: number | undefined;
    child.exited.then((code) => {
      ended = code;
    });
    await until(
      () => `${this.kind} to answer; it printed:\n${child.log()}`,
      async () => {
        if (ended !== undefined) return true;
        const answer = await fetch(`${this.url}/`);
        await answer.arrayBuffer();
        return answer.ok;
      },
      START_LIMIT_MS,
      5,
    );
    if (ended !== undefined) {
      throw new Error(`${this.kind} ended with ${ended} at its start:\n${child.log()}`);
    }
    this.startMs = performance.now() - this.#spawnedAt;
  }

  async createDatabase(name: string, options: DatabaseOptions = {}): Promise<string> {
    const body = this.kind === "tidegate" ? JSON.stringify({ guest: true, ...options }) : "";
    const answer = await fetch(`${this.adminUrl}/${name}`, {
      method: "PUT",
      ...(body ? { body, headers: { "content-type": "application/json" } } : {}),
    });
    const text = await answer.text();
    if (answer.status !== 201) throw new Error(`PUT /${name}: ${answer.status} ${text}`);
    return `${this.url}/${name}`;
  }

  log(): string {
    return this.#child?.log() ?? "";
  }

  async kill(): Promise<void> {
    this.#child?.signal("SIGKILL");
    await this.#child?.exited;
  }

  async stop(limitMs = 10_000): Promise<number> {
    const child = this.#running();
    child.signal("SIGTERM");
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`not stopped after ${limitMs} ms:\n${child.log()}`)),
        limitMs,
      );
    });
    try {
      return await Promise.race([child.exited, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async dispose(): Promise<void> {
    await this.kill();
    this.#bucket?.signal("SIGKILL");
    await this.#bucket?.exited;
    rmSync(this.directory, { recursive: true, force: true });
  }

  #running(): Guarded {
    if (!this.#child) throw new Error(`${this.kind} was never started`);
    return this.#child;
  }
}

function commandOf(kind: TargetKind, options: TargetOptions, place: Place): string[] {
  const data = path.join(place.directory, "data");
  if (kind !== "tidegate") {
    const mode = kind === "peer-durable" ? ["--sync"] : [];
    const runtime = kind === "peer-node" ? "node" : bunExecutable();
    return [
      ...[runtime, path.join(root, "bench/peer/server.mjs"), data, String(place.port)],
      ...mode,
    ];
  }
  return [
    ...tidegateCommand(options.runtimeArgs),
    ...["serve", "--data", data],
    ...["--public", `127.0.0.1:${place.port}`],
    ...["--admin", `127.0.0.1:${place.adminPort}`],
    ...["--metrics", `127.0.0.1:${place.metricsPort}`],
    ...(options.args ?? []),
  ];
}
