// Metrics in Prometheus's text form, in a registry of our own.

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Database, Gateway } from "../gateway/types.ts";
import type { Bodies } from "./bodies.ts";
import type { HeldAnswers } from "./held-answers.ts";

/** Upper bounds of the latency histogram, in seconds. */
const LATENCY_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

/** Counts what the listeners do, and prints it. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"route" | "method" | "status">;
  readonly #latency: Histogram<"route" | "method">;
  #gateway: Gateway | undefined;

  /** @param version Tidegate's version, shown as a label of `tidegate_info` */
  constructor(version: string) {
    const registers = [this.#registry];
    new Gauge({
      name: "tidegate_info",
      help: "Always 1; the label says which version runs.",
      labelNames: ["version"],
      registers,
    }).set({ version }, 1);
    this.#requests = new Counter({
      name: "tidegate_http_requests_total",
      help: "Requests answered, by route, method and status.",
      labelNames: ["route", "method", "status"],
      registers,
    });
    this.#latency = new Histogram({
      name: "tidegate_http_request_seconds",
      help: "Time from a request's head to its answer's head.",
      labelNames: ["route", "method"],
      buckets: LATENCY_BOUNDS,
      registers,
    });
  }

  /** Adds the numbers of the databases of `gateway`, read when somebody asks for them. */
  watch(gateway: Gateway): void {
    this.#gateway = gateway;
    const registers = [this.#registry];
    const each = (name: string, help: string, read: (database: Database) => number) => {
      new Gauge({
        name,
        help,
        labelNames: ["database"],
        registers,
        collect() {
          this.reset();
          for (const database of databasesOf(gateway)) {
            this.set({ database: database.name }, read(database));
          }
        },
      });
    };
    each("tidegate_open_feeds", "Feeds open now.", ({ changes }) => changes.openFeeds);
    each(
      "tidegate_stable_tick",
      "The newest tick: milliseconds since the Unix epoch.",
      ({ stable }) => stable.head().tick,
    );
    each(
      "tidegate_problems",
      "Background parts that fail now; /health names them.",
      (database) => database.health().length,
    );
  }

  /** Adds the bytes of request bodies and of answers that are held in memory. */
  watchMemory(bodies: Bodies, answers: HeldAnswers): void {
    const registers = [this.#registry];
    const gauge = (name: string, help: string, read: () => number) => {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    };
    const bodyHelp = "Bytes of request bodies in memory, small ones left out.";
    gauge("tidegate_request_body_bytes", bodyHelp, () => bodies.held);
    const answerHelp = "Bytes of answers that wait for their clients, small ones left out.";
    gauge("tidegate_answer_bytes", answerHelp, () => answers.held);
  }

  /** One request was answered. */
  answered(route: string, method: string, status: number, milliseconds: number): void {
    this.#requests.inc({ route, method, status });
    this.#latency.observe({ route, method }, milliseconds / 1000);
  }

  /** Everything, as Prometheus reads it. */
  async text(): Promise<{ contentType: string; text: string }> {
    const own = await this.#registry.metrics();
    return { contentType: this.#registry.contentType, text: own + this.#floors() };
  }

  /**
   * The numbers of every floor of every database: `index_cacheHits` becomes
   * `tidegate_index_cache_hits{database="..."}`. Which there are is the floors' own business.
   */
  #floors(): string {
    const lines = new Map<string, string[]>();
    for (const database of databasesOf(this.#gateway)) {
      for (const [name, value] of Object.entries(database.metrics())) {
        const metric = `tidegate_${snake(name)}`;
        const samples = lines.get(metric) ?? [`# TYPE ${metric} untyped`];
        samples.push(`${metric}{database="${database.name}"} ${value}`);
        lines.set(metric, samples);
      }
    }
    return [...lines.values()].flat().concat("").join("\n");
  }
}

function databasesOf(gateway: Gateway | undefined): Database[] {
  return (gateway?.names() ?? []).flatMap((name) => gateway?.database(name) ?? []);
}

/** A name as Prometheus has them: lower case, words joined by `_`. */
function snake(name: string): string {
  const words = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return words.replace(/[^a-z0-9]+/g, "_");
}
