// Runs the stories of a whole database: saves, ticks, readers, crashes, rollbacks, other owners. Real
// files, virtual time. Ticks are told by names, t1, t2, …, in the order in which they appear.

import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isTidegateError } from "../../src/base/errors.ts";
import { ControllerStore } from "../../src/controller/store.ts";
import { takeTerm } from "../../src/controller/term.ts";
import type { ChangesFeed } from "../../src/replication/types.ts";
import type { Row } from "../simulation/support.ts";
import { ADMIN, type Node, World } from "../simulation/world.ts";
import type { RunCommand } from "./scenario-file.ts";

type Command = (words: readonly string[]) => string | Promise<string>;

/** A story in progress. `end` removes what it left. */
export function databaseStory(): { run: RunCommand; end: () => void } {
  const story = new DatabaseStory();
  return {
    run(name, words) {
      const command = story.commands[name];
      if (command === undefined) throw new Error(`no such command: ${name}`);
      return command(words);
    },
    end: () => story.world?.remove(),
  };
}

class DatabaseStory {
  world: World | undefined;
  readonly #ticks = new Map<string, string>();
  readonly #sequences = new Map<string, string>();
  readonly #feeds = new Map<string, ChangesFeed>();

  readonly commands: Record<string, Command> = {
    open: async (words) => {
      const { vbuckets = "4", nodes = "1" } = options(words);
      this.world = new World({ seed: 1, vbuckets: Number(vbuckets), nodes: Number(nodes) });
      await this.world.start();
      return "";
    },
    save: async ([id = "", ...words]) => {
      const { on = "0" } = options(words);
      const channels = words.filter((word) => !word.includes("="));
      const { documents } = this.#node(on).database;
      const newest = (await this.#run(documents.leaves([id])))[0]?.[0];
      const parent = newest && !newest.deleted ? { _rev: newest.rev } : {};
      const { rev } = await this.#run(documents.put(ADMIN, id, { channels, ...parent }));
      const made = this.#world.made.get(id)?.at(-1)?.mutation;
      return `${id} ${short(rev)} is mutation ${made?.vb}.${made?.seq}`;
    },
    "lose-index-writes": ([which]) => {
      this.#node("0").dropping = which !== "no";
      return "";
    },
    wait: async ([ms]) => {
      await this.#world.time.advance(Number(ms));
      return "";
    },
    settle: async () => {
      await this.#world.settle();
      return "";
    },
    clock: ([on = "0"]) => {
      const { tick, clock } = this.#node(on).database.stable.head();
      return `tick ${this.#name(tick.toString(36))}, clock [${clock.join(" ")}]`;
    },
    changes: async (words) => {
      const { on = "0", since = "0", limit, channels, as } = options(words);
      const text = this.#sequences.get(since) ?? since;
      const feed = await this.#run(
        this.#node(on).database.changes.open(ADMIN, {
          since: text,
          ...(limit === undefined ? {} : { limit: Number(limit) }),
          ...(channels === undefined ? {} : { channels: channels.split(",") }),
        }),
      );
      return this.#read(feed, as);
    },
    connect: async (words) => {
      const { on = "0", as = "feed" } = options(words);
      const open = this.#node(on).database.changes.open(ADMIN, { since: "0" });
      this.#feeds.set(as, await this.#run(open));
      return "";
    },
    read: ([name = "feed"]) => this.#read(this.#feeds.get(name) as ChangesFeed, undefined),
    "lose-tail": async ([vb, count]) => {
      await this.#world.loseTail(this.#node("0"), Number(vb), Number(count));
      return "";
    },
    crash: async ([on = "0"]) => {
      await this.#world.crash(Number(on));
      return "";
    },
    start: async ([on = "0"]) => {
      await this.#world.startNode(Number(on));
      return "";
    },
    "lose-index": () => {
      const directory = join(this.#world.directory, "sim");
      for (const file of readdirSync(directory)) {
        if (file.startsWith("index.")) rmSync(join(directory, file));
      }
      return "";
    },
    steal: async () => {
      const { bucket } = this.#node("0").database;
      const store = new ControllerStore(bucket.index);
      const cluster = await this.#run(store.cluster());
      const instance = { id: "thief", host: "elsewhere", pid: 1 };
      const { vbuckets } = bucket;
      const floor = new Float64Array(vbuckets);
      const partitions = Math.min(16, vbuckets);
      const taking = takeTerm({ store, instance, partitions, vbuckets, floor }, cluster?.cas ?? 0n);
      const term = await this.#run(taking);
      return `another node owns the partitions under epoch ${term?.epoch}`;
    },
    node: async ([on = "0"]) => {
      const { stable, bucket } = this.#node(on).database;
      const cluster = await this.#run(new ControllerStore(bucket.index).cluster());
      const health = this.#node(on)
        .database.health()
        .map(({ part, message }) => `${part}: ${message}`);
      const counts = stable.metrics();
      return [
        `${stable.role}, epoch ${cluster?.record.epoch}, healed ${counts.healed}`,
        ...health.map((line) => `! ${line}`),
      ].join("\n");
    },
  };

  get #world(): World {
    if (this.world === undefined) throw new Error("a story begins with open");
    return this.world;
  }

  #node(on: string): Node {
    const node = this.#world.nodes[Number(on)];
    if (node === undefined) throw new Error(`node ${on} is down`);
    return node;
  }

  #run<T>(promise: Promise<T>): Promise<T> {
    return this.#world.time.run(promise);
  }

  async #read(feed: ChangesFeed, as: string | undefined): Promise<string> {
    try {
      const { rows, lastSeq, caughtUp } = await this.#run(feed.read(false));
      if (as !== undefined) this.#sequences.set(as, lastSeq);
      const lines = rows.map((text) => this.#row(JSON.parse(text) as Row));
      const state = caughtUp ? "caught up" : "more to come";
      return [...lines, `last_seq ${this.#sequence(lastSeq)}, ${state}`].join("\n");
    } catch (error) {
      if (!isTidegateError(error)) throw error;
      return `${error.code}: ${error.message}`;
    }
  }

  #row({ seq, id, changes, deleted, removed }: Row): string {
    const what = removed ? ` left ${removed.join(" ")}` : deleted ? " deleted" : "";
    return `${id} ${short(changes[0]?.rev ?? "")}${what} (seq ${this.#sequence(seq)})`;
  }

  /** A sequence with names for its ticks. */
  #sequence(text: string): string {
    const [ticks = "", ...place] = text.split(/(?=[:*])/);
    const names = ticks.split("-").map((tick) => this.#name(tick));
    return names.join("-") + place.join("");
  }

  #name(tick: string): string {
    if (tick === "0") return "0";
    const known = this.#ticks.get(tick);
    if (known !== undefined) return known;
    const name = `t${this.#ticks.size + 1}`;
    this.#ticks.set(tick, name);
    return name;
  }
}

function short(rev: string): string {
  return rev.slice(0, 6);
}

function options(words: readonly string[]): Record<string, string> {
  const pairs = words.filter((word) => word.includes("="));
  return Object.fromEntries(pairs.map((word) => word.split("=") as [string, string]));
}
