// One seeded run: random saves, crashes, rollbacks and readers, with every invariant checked.

import { isTidegateError } from "../../src/base/errors.ts";
import type { Log } from "../../src/base/log.ts";
import type { DatabaseSettings } from "../../src/gateway/types.ts";
import { checkDurable, checkIndex, checkReader, watchTicks } from "./checks.ts";
import { Reader } from "./reader.ts";
import type { Violation } from "./violation.ts";
import { ADMIN, type Node, World } from "./world.ts";

const CHANNELS = ["A", "B", "C", "D"];

/** A rollback is known everywhere after this time, also when an owner must be found first. */
const ROLLBACK_KNOWN_MS = 2500;

/** What a run is made of. */
export interface RunOptions {
  readonly seed: number;
  readonly steps: number;
  readonly nodes?: number;
  readonly documents?: number;
  readonly rollbacks?: boolean;
  readonly settings?: Partial<DatabaseSettings>;
  readonly log?: Log;
  /** Hears of every step, to follow a run. */
  readonly trace?: (text: string) => void;
}

/** The run of a seed: how many nodes, and who writes the index, follow from it. */
export function runOptions(seed: number, steps: number) {
  const writer = seed % 5 === 4 ? "feed" : "frontend";
  const index = { writer, partitions: 4, shape: "computed" } as const;
  return { seed, steps, nodes: 1 + (seed % 2), settings: { index } } satisfies RunOptions;
}

/** Runs a simulation. Throws the first {@link Violation}. */
export async function simulate(options: RunOptions): Promise<void> {
  const world = new World(options);
  try {
    await world.start();
    const run = new Run(world, options);
    for (let step = 0; step < options.steps; step++) await run.step();
    await run.finish();
    await world.close();
  } finally {
    world.remove();
  }
}

class Run {
  readonly #world: World;
  readonly #options: RunOptions;
  readonly #readers: Reader[];
  readonly #watched = new WeakSet<Node>();
  #violation: Violation | undefined;
  /** When every node has heard of the last rollback, in monotonic milliseconds. */
  #knownMs = 0;

  constructor(world: World, options: RunOptions) {
    this.#world = world;
    this.#options = options;
    const wanted = [undefined, ["A"], ["A", "B"], ["B", "C", "D"]];
    this.#readers = [
      ...wanted.map((channels) => new Reader(world, channels)),
      new Reader(world, undefined, true),
      new Reader(world, ["A", "C"], true),
    ];
  }

  async step(): Promise<void> {
    const { random } = this.#world;
    const node = await this.#node();
    const choice = random.fraction();
    if (choice < 0.5) await this.#save(node);
    else if (choice < 0.58) await this.#saveMany(node);
    else if (choice < 0.66) await this.#world.time.advance(random.below(700));
    else if (choice < 0.9) await this.#read(node);
    else if (choice < 0.93) node.dropping = !node.dropping;
    else if (choice < 0.95) await this.#crash();
    else if (choice < 0.965) await this.#foreignWrite(node);
    else if (choice < 0.975) await this.#repeatIndexWrite(node);
    else if (choice < 0.979) await this.#compact(node);
    else if (choice < 0.985) await this.#rollback(node);
    else await this.#check(node);
    if (this.#violation) throw this.#violation;
  }

  #trace(text: string): void {
    this.#options.trace?.(`${this.#world.time.monotonicMs()} ms: ${text}`);
  }

  async #node(): Promise<Node> {
    const node = await this.#world.anyNode();
    if (!this.#watched.has(node)) {
      this.#watched.add(node);
      watchTicks(node, (violation) => {
        this.#violation ??= violation;
      });
    }
    return node;
  }

  #document() {
    const { random } = this.#world;
    const id = `doc${random.below(this.#options.documents ?? 12)}`;
    const channels = CHANNELS.filter(() => random.fraction() < 0.35);
    return { id, body: { channels, x: random.below(1_000_000) } };
  }

  /** One save of a random kind, upon whatever revision is there. */
  async #save(node: Node): Promise<void> {
    const { time } = this.#world;
    await time.run(this.#saving(node));
  }

  async #saving(node: Node): Promise<void> {
    const { random } = this.#world;
    const { id, body } = this.#document();
    const { documents } = node.database;
    const choice = random.fraction();
    try {
      const newest = (await this.#leaves(node, id))?.[0];
      if (choice < 0.12 && newest && !newest.deleted) {
        this.#trace(`delete ${id}`);
        await documents.remove(ADMIN, id, newest.rev);
      } else if (choice < 0.24) {
        const generation = 1 + random.below(3);
        const rev = `${generation}-${random.below(1e9).toString(16)}`;
        this.#trace(`push ${id} ${rev} into ${body.channels}`);
        const document = { ...body, _rev: rev };
        await documents.put(ADMIN, id, document, { newEdits: false });
      } else {
        this.#trace(`save ${id} into ${body.channels}`);
        const parent = newest && !newest.deleted ? { _rev: newest.rev } : {};
        await documents.put(ADMIN, id, { ...body, ...parent });
      }
    } catch (error) {
      // Another save came between reading the revision and writing upon it, or the node stopped.
      // A rollback gives back versions whose bodies beside the document are gone: "corrupt".
      const passing = ["conflict", "unavailable", "corrupt"] as const;
      if (!passing.some((code) => isTidegateError(error, code))) throw error;
    }
  }

  async #leaves(node: Node, id: string) {
    return (await node.database.documents.leaves([id]))[0];
  }

  /** Several saves at once; sometimes the node dies in the middle of them. */
  async #saveMany(node: Node): Promise<void> {
    const { random, time } = this.#world;
    const saving = Promise.all(
      Array.from({ length: 2 + random.below(12) }, () => this.#saving(node)),
    );
    if (random.fraction() < 0.15) {
      saving.catch(() => {});
      await time.advance(0);
      this.#trace("crash among saves");
      await this.#crashNode(node);
      await time.run(saving);
    } else {
      await time.run(saving);
    }
  }

  async #crash(): Promise<void> {
    const up = this.#world.nodes.filter((node) => node !== undefined);
    this.#trace("crash");
    await this.#crashNode(this.#world.random.pick(up));
  }

  async #crashNode(node: Node): Promise<void> {
    const at = this.#world.nodes.indexOf(node);
    for (const reader of this.#readers) reader.disconnect();
    await this.#world.crash(at);
    if (this.#world.random.fraction() < 0.7) await this.#world.startNode(at);
  }

  async #read(node: Node): Promise<void> {
    const { random } = this.#world;
    const reader = random.pick(this.#readers);
    const choice = random.fraction();
    if (choice < 0.1) reader.goBack();
    else if (choice < 0.3) reader.disconnect();
    const limit = random.fraction() < 0.5 ? 1 + random.below(5) : undefined;
    this.#trace(`read ${reader.channels ?? "*"} from ${reader.since}`);
    await reader.step(node.database, limit);
  }

  /** Another program writes the document without knowing of gateways. */
  async #foreignWrite(node: Node): Promise<void> {
    const { time } = this.#world;
    const { id, body } = this.#document();
    if (!this.#world.made.has(id)) return;
    const { documents } = node.database.bucket;
    const found = await time.run(documents.get(id));
    this.#trace(`foreign write of ${id}`);
    const write = {
      key: id,
      cas: found?.cas ?? 0n,
      body: new TextEncoder().encode(JSON.stringify(body)),
      xattrs: {},
      macros: [],
    };
    await time.run(documents.write(write));
  }

  /** Any index write may be repeated (10). */
  async #repeatIndexWrite(node: Node): Promise<void> {
    const { random, time } = this.#world;
    const all = [...(await this.#world.truth(node)).values()];
    if (all.length === 0) return;
    const mutation = random.pick(all);
    const made = this.#world.made
      .get(mutation.docId)
      ?.find((one) => !one.lost && one.mutation.seq === mutation.seq);
    if (made === undefined) return;
    await time.run(node.database.index.write(made.mutation, random.fraction() < 0.5));
  }

  /** The owner compacts the whole index. */
  async #compact(node: Node): Promise<void> {
    const { index, stable } = node.database;
    if (stable.role !== "owner") return;
    this.#trace("compact");
    const budget = { documents: 10_000, always: true };
    await this.#world.time.run(index.compact(stable.head().clock, budget));
  }

  /** A vbucket loses its newest mutations, as in a failover to a node that had not got them. */
  async #rollback(node: Node): Promise<void> {
    if (this.#options.rollbacks === false) return;
    const { random } = this.#world;
    const vb = random.below(node.database.bucket.vbuckets);
    await this.#world.loseTail(node, vb, 1 + random.below(4));
    this.#trace(`vbucket ${vb} lost its tail`);
    this.#knownMs = this.#world.time.monotonicMs() + ROLLBACK_KNOWN_MS;
  }

  async #check(node: Node): Promise<void> {
    // Until the owner has heard of a rollback nobody can know that a branch is dead.
    const { time } = this.#world;
    await time.advance(Math.max(0, this.#knownMs - time.monotonicMs()));
    this.#trace("check");
    await checkIndex(this.#world, node, CHANNELS);
  }

  /** Lets everything come to rest and checks all of it. */
  async finish(): Promise<void> {
    const { nodes } = this.#world;
    for (const [i, node] of nodes.entries()) {
      if (node === undefined) await this.#world.startNode(i);
      else node.dropping = false;
    }
    this.#trace("settle");
    await this.#world.settle();
    for (const node of nodes) {
      if (node === undefined) continue;
      await checkIndex(this.#world, node, CHANNELS);
      await checkDurable(this.#world, node);
      for (const reader of this.#readers) {
        reader.disconnect();
        await reader.catchUp(node.database);
        await checkReader(this.#world, node, reader);
      }
    }
    if (this.#violation) throw this.#violation;
  }
}
